"""Hidden cases of T1: numbers drawn when it is graded."""

import math

from course_tools.grading.cases import Hidden
from course_tools.grading.references.t1 import clm_case, coverage_case, examples_case, mlm_case
from course_utils.grading.items.t1 import ITEM

HIDDEN = Hidden(ITEM)
RATES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


@HIDDEN.part("T1.1")
def mlm_signals(rng):
    """Random lengths and rates; halves and short sequences among them."""
    for _ in range(6):
        yield mlm_case(int(rng.integers(20, 2000)), float(rng.choice(RATES)))
    yield mlm_case(20 * int(rng.integers(1, 60)) + 2, 0.25)
    yield mlm_case(4 * int(rng.integers(9, 60)) + 1, 0.5)
    yield mlm_case(int(rng.integers(1, 4)), 0.1)


@HIDDEN.part("T1.2")
def clm_signals(rng):
    """Random lengths."""
    for length in map(int, rng.integers(2, 5000, size=4)):
        yield clm_case(length)


@HIDDEN.part("T1.3")
def examples_needed(rng):
    """Random corpora, one without a rest; the last so large that division of floats goes wrong."""
    yield examples_case(7 * int(rng.integers(50, 90)), 7, 3)
    for largest in (10**6, 10**7, 10**8, 10**18):
        yield examples_case(*corpus(rng, largest))


def corpus(rng, largest):
    """A number of tokens, a length, and the predictions of a masked sequence."""
    while True:
        tokens, length = int(rng.integers(largest // 2, largest)), int(rng.integers(100, 700))
        per, signals = int(rng.integers(3, 99)), tokens // length * (length - 1)
        if largest < 2**53 or math.ceil(signals / per) != -(-signals // per):
            return tokens, length, per


@HIDDEN.part("T1.4")
def coverage(rng):
    """Random rates and passes."""
    for _ in range(4):
        yield coverage_case(float(rng.uniform(0.05, 0.6)), int(rng.integers(2, 30)))
