"""Hidden checks of T2: logits, targets and masks drawn when it is graded."""

import numpy as np

from course_utils.grading.item import Hidden
from course_utils.grading.items.t2 import (
    ITEM,
    check_causal,
    check_gradient,
    check_loss,
    check_masked,
)

HIDDEN = Hidden(ITEM)


def logits(rng, *shape):
    """Random scores, of a random scale and height."""
    return rng.normal(size=shape) * rng.uniform(0.5, 4) + rng.uniform(-3, 3)


@HIDDEN.part("T2.1")
def loss(student, rng):
    """Vocabularies of several sizes, and one with logits far below zero."""
    for size in map(int, rng.integers(3, 60, size=3)):
        check_loss(student, logits(rng, size), int(rng.integers(size)))
    check_loss(student, logits(rng, 9) - 2000, int(rng.integers(9)))


@HIDDEN.part("T2.2")
def gradient(student, rng):
    """Vocabularies of several sizes, and one with logits far above zero."""
    for size in map(int, rng.integers(3, 60, size=3)):
        check_gradient(student, logits(rng, size), int(rng.integers(size)))
    check_gradient(student, logits(rng, 9) + 2000, int(rng.integers(9)))


@HIDDEN.part("T2.3")
def masked(student, rng):
    """Several lengths and masks; one position, all positions, none."""
    for count in (1, 3, 7, 0):
        labels = np.full(7, -100)
        labels[rng.choice(7, count, replace=False)] = rng.integers(1, 11, size=count)
        check_masked(student, logits(rng, 7, 11), labels)


@HIDDEN.part("T2.4")
def causal(student, rng):
    """Several lengths; in each some neighbours differ, so that every shift shows."""
    for length in (2, 5, 12):
        check_causal(student, logits(rng, length, 17), rng.permutation(17)[:length])
