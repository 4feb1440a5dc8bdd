"""Hidden cases of L1: models, masks, spaces and classes drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.l1 import (
    attention_of,
    cka_case,
    cosine_case,
    crosswise_case,
    looks_case,
    probe_case,
    states_case,
    vectors_cases,
)
from course_utils.grading import tiny
from course_utils.grading.items.l1 import ITEM

HIDDEN = Hidden(ITEM)


def right_padded(rng, texts, length):
    """A mask with at least one full and one short text."""
    counts = rng.integers(2, length, size=texts)
    counts[0] = length
    return (np.arange(length) < counts[:, None]).astype(int)


@HIDDEN.part("L1.1")
def states(rng):
    """Other texts, other weights."""
    for kind in ("bert", "gpt"):
        mask = right_padded(rng, 3, 7)
        ids = rng.integers(5, len(tiny.VOCABULARY), size=mask.shape) * mask
        yield states_case(kind, int(rng.integers(10**6)), ids, mask)


@HIDDEN.part("L1.2")
def vectors(rng):
    """Padding on the right, on the left, and on both sides."""
    mask = right_padded(rng, 4, 8)
    for real in (mask, mask[:, ::-1].copy(), np.roll(mask, 1, axis=1) * (np.arange(8) > 0)):
        yield from vectors_cases(rng.normal(size=(4, 8, 5)) + 0.5, real)


@HIDDEN.part("L1.3")
def cone(rng):
    """Vectors of any length around a common direction."""
    for count in (2, 5, 40):
        vectors = rng.normal(size=(count, 7)) + rng.uniform(0.2, 2, size=7)
        yield cosine_case(vectors * rng.uniform(0.5, 5, size=(count, 1)))


@HIDDEN.part("L1.4")
def alike(rng):
    """Spaces that share much, little, and everything but a rotation and a shift."""
    x = rng.normal(size=(20, 6)) + 1
    turned = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    for y in (x[:, :4] + rng.normal(size=(20, 4)), rng.normal(size=(20, 9)), 3 * x @ turned - 2):
        yield cka_case(x, y)


@HIDDEN.part("L1.5")
def looks(rng):
    """Attention to both sides, and causal attention; one text and one head."""
    mask = right_padded(rng, 3, 6)
    scores = rng.normal(size=(3, 4, 6, 6)) * 2
    yield looks_case(attention_of(scores, mask), mask)
    yield looks_case(attention_of(np.where(np.tri(6) > 0, scores, -np.inf), mask), mask)
    yield looks_case(attention_of(scores[:1, :1], mask[:1]), mask[:1])


@HIDDEN.part("L1.6")
def probing(rng):
    """Other classes and labels."""
    yield probe_case(rng)
    yield probe_case(rng)
    yield crosswise_case(rng)
