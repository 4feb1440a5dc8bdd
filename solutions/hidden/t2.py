"""Hidden cases of T2: logits, targets and masks drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.t2 import (
    causal_case,
    gradient_case,
    loss_case,
    masked_case,
    small,
)
from course_utils.grading.items.t2 import ITEM

HIDDEN = Hidden(ITEM)


def logits(rng, *shape):
    """Random scores, of a random scale and height."""
    return rng.normal(size=shape) * rng.uniform(0.5, 4) + rng.uniform(-3, 3)


def rare(rng, *shape):
    """Scores of usual size, and a token whose probability is next to nothing: 0."""
    scores = rng.normal(size=shape)
    scores[..., 0] -= 50
    return scores


@HIDDEN.part("T2.1")
def loss(rng):
    """Vocabularies of several sizes, one with logits far below zero, one far apart."""
    for size in map(int, rng.integers(3, 60, size=3)):
        yield loss_case(logits(rng, size), int(rng.integers(size)))
    yield loss_case(logits(rng, 9) - 2000, int(rng.integers(9)))
    yield loss_case(np.append(logits(rng, 9), 1500), int(rng.integers(9)))


@HIDDEN.part("T2.2")
def gradient(rng):
    """Vocabularies of several sizes, and one with logits far above zero."""
    for size in map(int, rng.integers(3, 60, size=3)):
        yield gradient_case(logits(rng, size), int(rng.integers(size)))
    yield gradient_case(logits(rng, 9) + 2000, int(rng.integers(9)))
    yield small(gradient_case(rare(rng, 9), int(rng.integers(1, 9))))


@HIDDEN.part("T2.3")
def masked(rng):
    """Several lengths and masks; one position, all positions, none; token 0 among the labels."""
    for count in (1, 3, 7, 0):
        labels = np.full(7, -100)
        labels[rng.choice(7, count, replace=False)] = rng.permutation(11)[:count] * (count > 1)
        yield masked_case(logits(rng, 7, 11), labels)
    yield small(masked_case(rare(rng, 4, 8), np.array([3, -100, 7, 1])))


@HIDDEN.part("T2.4")
def causal(rng):
    """Several lengths; in each some neighbours differ, so that every shift shows."""
    for length in (2, 5, 12):
        yield causal_case(logits(rng, length, 17), rng.permutation(17)[:length])
    yield small(causal_case(rare(rng, 4, 8), np.array([2, 3, 7, 1])))
