"""The objective as a dial: each row is corrupted by one of several denoisers (Tay et al. 2023).

A denoiser is three numbers: how much is masked (`rate`), in how long spans (`mean_span`), and
whether the masked part is scattered or is the end of the text (`suffix`). Span corruption is one
setting, a prefix language model another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from course_utils.checks import check_rate, check_token_ids, require

from . import span_corruption
from .batch import Batch, real_tokens
from .span_corruption import Vocabulary, from_noise_mask, noise_mask, row_lengths, suffix_mask

loss = span_corruption.loss  # Equation 9.3, whatever was masked


@dataclass(frozen=True)
class Denoiser:
    """One position of the dial; `mode` is the UL2 family it belongs to: R, S or X."""

    mode: str
    rate: float
    mean_span: float = 1.0
    suffix: bool = False

    def __post_init__(self) -> None:
        """Refuse a rate or a span out of range."""
        check_rate(self.rate)
        require(self.mean_span >= 1, f"mean_span={self.mean_span} must be at least 1 token")


# Tay et al. 2023, table 1: R regular, S sequential (the last quarter), X extreme.
UL2 = (
    Denoiser("R", 0.15, 3),
    Denoiser("R", 0.15, 8),
    Denoiser("S", 0.25, suffix=True),
    Denoiser("X", 0.5, 3),
    Denoiser("X", 0.5, 8),
    Denoiser("X", 0.15, 64),
    Denoiser("X", 0.5, 64),
)


def corrupt(
    ids: Tensor,
    *,
    vocabulary: Vocabulary,
    generator: Generator,
    denoisers: Sequence[Denoiser] = UL2,
    mode_token_ids: dict[str, int] | None = None,
    attention_mask: Tensor | None = None,
    vocab_size: int | None = None,
) -> Batch:
    """Corrupt each row of `ids` (batch, length) by a denoiser drawn from `denoisers`.

    A denoiser that stands there twice is drawn twice as often.

    With `mode_token_ids`, e.g. {"R": 5, "S": 6, "X": 7}, the inputs start with the token of the
    row's mode. Otherwise as `span_corruption.corrupt`. Raises ValueError for no denoisers, or a
    mode without a token.
    """
    modes = check_modes(denoisers, mode_token_ids, vocab_size)
    real = real_tokens(ids, attention_mask)
    drawn = draw_denoisers(denoisers, len(ids), generator)
    noise = mixed_noise(drawn, row_lengths(real), ids.shape[1], generator)
    layout = {"attention_mask": real, "vocab_size": vocab_size}
    if mode_token_ids:
        layout["mode_ids"] = torch.tensor([modes[d.mode] for d in drawn], dtype=torch.long)
    return from_noise_mask(ids, noise, vocabulary, **layout)


def check_modes(
    denoisers: Sequence[Denoiser], mode_token_ids: dict[str, int] | None, vocab_size: int | None
) -> dict[str, int]:
    """Refuse no denoisers, and modes without a token of the vocabulary, if modes have tokens."""
    modes = mode_token_ids or {d.mode: 0 for d in denoisers}
    missing = sorted({d.mode for d in denoisers} - modes.keys())
    what = f"{len(denoisers)} denoisers, modes without a token: {missing}"
    remedy = "give at least one denoiser and one token for each mode"
    require(len(denoisers) > 0 and not missing, f"{what}; {remedy}")
    check_token_ids(vocab_size, **{f"mode_token_ids[{m}]": i for m, i in modes.items()})
    return modes


def draw_denoisers(
    denoisers: Sequence[Denoiser], rows: int, generator: Generator
) -> list[Denoiser]:
    """A denoiser for each row, all equally likely."""
    even = torch.ones(len(denoisers), device=generator.device, dtype=torch.float32)
    drawn = torch.multinomial(even, max(1, rows), replacement=True, generator=generator)
    return [denoisers[number] for number in drawn[:rows].tolist()]


def mixed_noise(
    drawn: Sequence[Denoiser], lengths: Tensor, width: int, generator: Generator
) -> Tensor:
    """What each row's denoiser masks: bool (batch, width), True = masked."""
    rate = torch.tensor([d.rate for d in drawn], dtype=torch.float64)  # (batch,), as the next two
    mean_span = torch.tensor([d.mean_span for d in drawn], dtype=torch.float32)
    at_end = torch.tensor([d.suffix for d in drawn], dtype=torch.bool, device=lengths.device)
    spans = noise_mask(lengths, width, rate, mean_span, generator)
    return torch.where(at_end[:, None], suffix_mask(lengths, width, rate), spans)


settings = span_corruption.settings
