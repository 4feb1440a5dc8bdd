"""Labelled examples for fine-tuning, as token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .batches import generator_at
from .text import plain_ids


@dataclass(frozen=True)
class Examples:
    """Tokenised examples; `len` of them.

    `labels[i]` is a class (SequenceClassifier), one tag a token with -100 where there is none
    (TokenClassifier, JointIntentSlots), or the ids of the answer (T5, Gpt: text to text).
    `intents` are the classes of a JointIntentSlots.
    """

    ids: Sequence[Sequence[int]]
    labels: Sequence[int] | Sequence[Sequence[int]]
    intents: Sequence[int] | None = None

    def __post_init__(self) -> None:
        """Take arrays and tensors as lists; refuse columns of different lengths, or none."""
        for name, column in vars(self).items():
            if column is not None:
                object.__setattr__(self, name, [_plain(value) for value in column])
        sizes = [len(c) for c in (self.ids, self.labels, self.intents) if c is not None]
        if len(set(sizes)) != 1 or not sizes[0]:
            raise ValueError(f"texts, labels and intents must be as many, at least one: {sizes}")

    def __len__(self) -> int:
        return len(self.ids)


def _plain(value: Any) -> Any:
    """A number of NumPy or PyTorch as Python's own, an array or tensor of them as a list."""
    return value.tolist() if hasattr(value, "tolist") else value


def encode(
    split: Mapping[str, Sequence], tokenizer: Any, max_length: int, text: str = "text"
) -> Examples:
    """Tokenise a split with columns `text` and "label", truncated to `max_length` tokens."""
    cut = {"add_special_tokens": True, "truncation": True, "max_length": max_length}
    return Examples(plain_ids(tokenizer, split[text], **cut), list(split["label"]))


def draw(count: int, size: int, seed: int) -> list[int]:
    """The first `size` of a shuffle of all training sentences: a draw contains the smaller ones."""
    order = torch.randperm(count, generator=generator_at("draw", seed)).tolist()
    return order[: size or count]
