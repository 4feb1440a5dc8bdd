"""Hidden checks of L1: models, masks, spaces and classes drawn when it is graded."""

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import Hidden
from course_utils.grading.items.l1 import (
    ITEM,
    attention_of,
    check_cka,
    check_cosine,
    check_looks,
    check_probe,
    check_record,
    check_states,
    check_vectors,
)

HIDDEN = Hidden(ITEM)
HIDDEN.part("L1.7")(check_record)


def right_padded(rng, texts, length):
    """A mask with at least one full and one short text."""
    counts = rng.integers(2, length, size=texts)
    counts[0] = length
    return (np.arange(length) < counts[:, None]).astype(int)


@HIDDEN.part("L1.1")
def states(student, rng):
    """Other texts, other weights."""
    for kind in ("bert", "gpt"):
        mask = right_padded(rng, 3, 7)
        ids = rng.integers(5, len(tiny.VOCABULARY), size=mask.shape) * mask
        check_states(student, kind, int(rng.integers(10**6)), ids, mask)


@HIDDEN.part("L1.2")
def vectors(student, rng):
    """Padding on the right, on the left, and on both sides."""
    mask = right_padded(rng, 4, 8)
    for real in (mask, mask[:, ::-1].copy(), np.roll(mask, 1, axis=1) * (np.arange(8) > 0)):
        check_vectors(student, rng.normal(size=(4, 8, 5)) + 0.5, real)


@HIDDEN.part("L1.3")
def cone(student, rng):
    """Vectors of any length around a common direction."""
    for count in (2, 5, 40):
        vectors = rng.normal(size=(count, 7)) + rng.uniform(0.2, 2, size=7)
        check_cosine(student, vectors * rng.uniform(0.5, 5, size=(count, 1)))


@HIDDEN.part("L1.4")
def alike(student, rng):
    """Spaces that share much, little, and everything but a rotation and a shift."""
    x = rng.normal(size=(20, 6)) + 1
    turned = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    for y in (x[:, :4] + rng.normal(size=(20, 4)), rng.normal(size=(20, 9)), 3 * x @ turned - 2):
        check_cka(student, x, y)


@HIDDEN.part("L1.5")
def looks(student, rng):
    """Attention to both sides, and causal attention; one text and one head."""
    mask = right_padded(rng, 3, 6)
    scores = rng.normal(size=(3, 4, 6, 6)) * 2
    check_looks(student, attention_of(scores, mask), mask)
    check_looks(student, attention_of(np.where(np.tri(6) > 0, scores, -np.inf), mask), mask)
    check_looks(student, attention_of(scores[:1, :1], mask[:1]), mask[:1])


@HIDDEN.part("L1.6")
def probing(student, rng):
    """Other classes and labels."""
    check_probe(student, rng)
    check_probe(student, rng)
