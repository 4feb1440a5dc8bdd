"""What several references compute."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

SUM = "That is the sum; divide by the number of predicted tokens."
ALL = "You divide by all positions; only those with a label count."
SOFTMAX = "The loss function takes the logits themselves: it applies the softmax."
COUNTED = "-100 is no token: positions with that label are left out, not counted as a token."
NEGATIVE = "The sign is the other way round: a loss is never negative."
POSITIONS = "The softmax runs over the vocabulary, the last dimension; yours over the positions."
ROWS = "You averaged each row, then the rows; every predicted token counts the same."


def single(numbers: np.ndarray) -> Tensor:
    """Numbers as a model gives them."""
    return torch.tensor(numbers, dtype=torch.float32)


def nats(logits: Tensor, labels: Tensor) -> float:
    """The mean loss of labels that are not -100."""
    return cross_entropy(logits.flatten(0, 1).double(), labels.flatten()).item()


def loss_mistakes(logits: Tensor, labels: Tensor) -> list[tuple[str, float]]:
    """What mistakes make of a mean loss; one may divide by the positions before a shift, too."""
    total = nats(logits, labels) * int((labels != -100).sum())
    rows = [nats(one[None], goal[None]) for one, goal in zip(logits, labels, strict=True)]
    unshifted = labels.numel() + len(labels)
    return [
        (SUM, total),
        (ALL, total / labels.numel()),
        (ALL, total / unshifted),
        (ROWS, float(np.mean(rows))),
        (COUNTED, nats(logits, labels.clamp(min=0))),
        (NEGATIVE, -nats(logits, labels)),
        (SOFTMAX, nats(logits.softmax(-1), labels)),
    ]


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis."""
    moved = logits - logits.max(-1, keepdims=True)
    return moved - np.log(np.exp(moved).sum(-1, keepdims=True))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis."""
    return np.exp(log_softmax(logits))
