"""What training costs: operations from 6·N·D, and hours and money from stated assumptions.

Hours need two assumptions more than operations do, money three: they are arguments here, never
constants, so that nobody can quote a price without saying what it rests on.
"""

from __future__ import annotations

from dataclasses import dataclass


def train_flops(parameters: float, tokens: float) -> float:
    """FLOPs of training: 6·N·D, 2 forward and 4 backward for each weight and token.

    A rule of thumb: attention over long contexts comes on top, embeddings look up instead of
    multiplying. An encoder-decoder needs about half, since a token passes one of its two stacks.
    Source: Kaplan et al. 2020, §2.1.

    Raises:
        ValueError: a negative number.
    """
    return 3 * read_flops(parameters, tokens)


def read_flops(parameters: float, tokens: float) -> float:
    """FLOPs of the forward pass alone: 2·N·D. Raises ValueError for negative numbers."""
    if parameters < 0 or tokens < 0:
        raise ValueError(f"{parameters} parameters and {tokens} tokens: neither can be negative")
    return 2 * float(parameters) * float(tokens)


@dataclass(frozen=True)
class Hardware:
    """One accelerator, as the reader assumes it.

    peak: FLOPs per second in the data sheet, at the precision used.
    used: share of the peak that training reaches, 0 to 1.
    price: money an hour.
    """

    peak: float
    used: float
    price: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no machine can be."""
        if self.peak <= 0 or not 0 < self.used <= 1 or self.price < 0:
            raise ValueError(f"peak > 0, 0 < used <= 1 and price >= 0 are needed, got {self}")

    def hours(self, flops: float) -> float:
        """Hours on one such accelerator; n of them take an nth, at best."""
        return flops / (self.peak * self.used) / 3600

    def price_of(self, flops: float) -> float:
        """Money for that many FLOPs; the number of accelerators does not change it."""
        return self.hours(flops) * self.price
