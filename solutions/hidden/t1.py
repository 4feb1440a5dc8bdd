"""Hidden checks of T1: numbers drawn when it is graded."""

import math

from course_utils.grading.item import Hidden, compare
from course_utils.grading.items.t1 import (
    ALL,
    ALWAYS,
    CUT,
    EQUAL,
    EVEN,
    FIRST,
    FRACTION,
    ITEM,
    LINEAR,
    MASKED,
    NEVER,
    NONE,
    PER_TOKEN,
    SPARE,
    STATIC,
    SWAPPED,
    TWO,
    UP,
    WHOLE,
)

HIDDEN = Hidden(ITEM)
RATES = (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)


def predictions(length, rate):
    """BERT's rule."""
    return max(1, math.floor(rate * length + 0.5 + 1e-9))


@HIDDEN.part("T1.1")
def mlm_signals(student, rng):
    """Random lengths and rates; halves and short sequences among them."""
    cases = [(int(rng.integers(20, 2000)), float(rng.choice(RATES))) for _ in range(6)]
    halves = [(20 * int(rng.integers(1, 60)) + 2, 0.25), (4 * int(rng.integers(9, 60)) + 1, 0.5)]
    short = [(int(rng.integers(1, 4)), 0.1)]
    for length, rate in cases + halves + short:
        mistakes = {
            ALL: length,
            NONE: 0,
            EVEN: round(rate * length),
            CUT: int(rate * length),
            UP: math.ceil(rate * length),
            FRACTION: rate * length,
        }
        got = student.call("mlm_signals", length, rate)
        compare(got, predictions(length, rate), mistakes, what="mlm_signals")


@HIDDEN.part("T1.2")
def clm_signals(student, rng):
    """Random lengths."""
    for length in map(int, rng.integers(2, 5000, size=4)):
        mistakes = {FIRST: length, MASKED: predictions(length, 0.15), TWO: length - 2}
        compare(student.call("clm_signals", length), length - 1, mistakes, what="clm_signals")


@HIDDEN.part("T1.3")
def examples_needed(student, rng):
    """Random corpora; the last so large that division of floats goes wrong."""
    for largest in (10**6, 10**7, 10**8, 10**18):
        tokens, length, per = corpus(rng, largest)
        sequences = tokens // length
        signals = sequences * (length - 1)
        full = math.ceil(tokens / length)
        mistakes = {
            SWAPPED: [-(-signals // per), sequences],
            EQUAL: [sequences, sequences],
            WHOLE: [sequences, signals // per],
            SPARE: [full, -(-full * (length - 1) // per)],
            PER_TOKEN: [sequences, -(-sequences * length // per)],
        }
        got = student.call("examples_needed", tokens, length, per)
        compare(got, [sequences, -(-signals // per)], mistakes, what="examples_needed")


def corpus(rng, largest):
    """A number of tokens, a length, and the predictions of a masked sequence."""
    while True:
        tokens, length = int(rng.integers(largest // 2, largest)), int(rng.integers(100, 700))
        per, signals = int(rng.integers(3, 99)), tokens // length * (length - 1)
        if largest < 2**53 or math.ceil(signals / per) != -(-signals // per):
            return tokens, length, per


@HIDDEN.part("T1.4")
def coverage(student, rng):
    """Random rates and passes."""
    for _ in range(4):
        rate, passes = float(rng.uniform(0.05, 0.6)), int(rng.integers(2, 30))
        mistakes = {
            LINEAR: rate * passes,
            NEVER: (1 - rate) ** passes,
            STATIC: rate,
            ALWAYS: rate**passes,
        }
        got = student.call("coverage", rate, passes)
        compare(got, 1 - (1 - rate) ** passes, mistakes, what="coverage")
