"""Hidden cases of T3: scores, texts and lengths drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.t3 import (
    best_case,
    effect_case,
    overlap_case,
    related_case,
    verdict_case,
)
from course_utils.grading.items.t3 import ITEM

HIDDEN = Hidden(ITEM)


@HIDDEN.part("T3.1")
def paired(rng):
    """Three to eight runs, whose pairs share a height."""
    for count in map(int, rng.integers(3, 9, size=3)):
        heights = rng.uniform(50, 95, size=count)
        yield effect_case(*((heights + rng.normal(size=count)).tolist() for _ in range(2)))


@HIDDEN.part("T3.2")
def verdicts(rng):
    """Effects of any sign and size, of accuracies and losses."""
    for case in range(16):
        error, critical = float(rng.uniform(0.1, 1)), float(rng.uniform(1.9, 4.4))
        size = float(rng.choice([0.5, 0.9, 1.2, 2])) * critical * error
        yield verdict_case(size * (-1) ** case, error, critical, case % 4 < 2)
    for sign in (1, -1):  # an interval that ends at 0, in numbers without rounding
        error = int(rng.integers(1, 9)) / 8
        yield verdict_case(sign * 3 * error, error, 3.0, bool(rng.integers(2)))


@HIDDEN.part("T3.3")
def cue(rng):
    """Texts of a few words, some of them repeated; one of them empty."""
    for sizes in ((9, 4), (3, 12), (0, 5), (6, 6)):
        yield overlap_case(*([f"w{n}" for n in rng.integers(0, 8, size=size)] for size in sizes))


NEAR = [0.5 + n * 1e-7 for n in range(400)]
CUTS = (  # scores and labels; each catches programs that many draws let pass
    ([-2.5, -1.5, 3.5, 4.5, 9.5], [1, 1, 1, 1, 1]),  # only a cut above all is right
    ([-9.5, -2.5, -1.5, 3.5, 9.5], [0, 0, 0, 0, 0]),  # … below all
    ([-9.5, -8.5, -2.5, -1.5], [1, 1, 0, 0]),  # no cut is positive
    (NEAR, [int(n < 211) for n in range(400)]),  # cuts nearer than any grid, no percentile
    ([*NEAR[:9], 50.0, -50.0], [1] * 4 + [0] * 5 + [0, 1]),  # … in a wide range
    ([0.3] * 6, [0, 1, 0, 1, 1, 1]),  # ties, in any order of the labels
    ([0.3] * 6, [1, 1, 1, 0, 1, 0]),
    ([0.7, 0.3, 0.3, 0.3, 0.3, 0.1], [0, 0, 1, 0, 1, 1]),
    ([0.7, 0.3, 0.3, 0.3, 0.3, 0.1], [0, 1, 0, 1, 0, 1]),
)


@HIDDEN.part("T3.4")
def reach(rng):
    """Fixed cases that no shortcut survives; then scores with and without ties, good and bad."""
    for scores, labels in CUTS:
        yield best_case(np.array(scores), np.array(labels))
    for digits, push in ((1, -0.3), (1, 0.0), (8, -0.2), (2, 0.4)):
        labels = rng.integers(0, 2, size=40)
        yield best_case(np.round(rng.uniform(size=40) + push * labels, digits), labels)


@HIDDEN.part("T3.5")
def cost(rng):
    """Parts of any length."""
    for _ in range(4):
        a, b = map(int, rng.integers(2, 300, size=2))
        yield related_case(a, b, float(rng.uniform(0.05, 0.45)))
