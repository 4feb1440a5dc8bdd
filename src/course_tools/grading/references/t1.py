"""T1: right counts of gradient signals, and mistaken ones."""

import math

import numpy as np

from course_tools.grading.cases import case

ALL = "Masked language modeling predicts only the chosen positions; you count every one."
EVEN = "Python's `round` takes halves to the even neighbour (4.5 → 4). BERT rounds halves up."
CUT = "You cut the fraction off; BERT rounds to the nearest whole number, halves up."
UP = "You round up always; BERT rounds to the nearest whole number, halves up."
NONE = "A short sequence ends with no position at all; BERT takes at least one."
FRACTION = "A sequence has a whole number of predicted positions: round."
FIXED = "The rate is an argument of the function; yours takes 15% whatever it is."
FIRST = "The first token has nothing before it: no position predicts it."
MASKED = "Causal modeling chooses no positions: the rate plays no part."
TWO = "One position predicts nothing: the last. All others have a next token in the sequence."
WHOLE = "The last sequence is read whole or not at all: round the number of sequences up."
SPARE = "The rest of the corpus that fills no sequence is dropped: round that number down."
PER_TOKEN = "You divided the tokens by the masked signals; a causal sequence has one signal fewer."
REST = "Where the signals are divided without a rest no further sequence is read: round up."
BEYOND = "So many tokens are beyond what a float holds exactly: divide whole numbers by `//`."
SWAPPED = "The order is (causal, masked): yours is the other way round."
EQUAL = "Both numbers are equal: a masked sequence gives fewer signals, so it takes more of them."
LINEAR = "You added the rates of the passes; a position chosen twice is counted twice."
NEVER = "That is the share that is never predicted; asked for is its complement."
STATIC = "Each pass draws new positions; yours sees the same ones in every pass."
ALWAYS = "That is the share predicted in every pass; asked for is: in at least one."


def predictions(length: int, rate: float) -> int:
    """BERT's rule for the number of predicted positions."""
    return max(1, math.floor(rate * length + 0.5 + 1e-9))


def mlm_case(length: int, rate: float) -> dict:
    """A case of `mlm_signals`."""
    mistakes = [
        (ALL, length),
        (NONE, 0),
        (EVEN, round(rate * length)),
        (CUT, int(rate * length)),
        (UP, math.ceil(rate * length)),
        (FRACTION, rate * length),
        (FIXED, predictions(length, 0.15)),
    ]
    odd = "short" if rate * length < 0.5 else "half" if np.isclose(rate * length % 1, 0.5) else ""
    return case(length, rate, expected=predictions(length, rate), mistakes=mistakes, group=odd)


def clm_case(length: int) -> dict:
    """A case of `clm_signals`."""
    mistakes = [(FIRST, length), (MASKED, predictions(length, 0.15)), (TWO, length - 2)]
    return case(length, expected=length - 1, mistakes=mistakes)


def examples_case(tokens: int, length: int, per: int) -> dict:
    """A case of `examples_needed`, in whole numbers: floats are wrong beyond 2 to the 53."""
    sequences = tokens // length
    signals = sequences * (length - 1)
    full = -(-tokens // length)
    mistakes = [
        (SWAPPED, [-(-signals // per), sequences]),
        (EQUAL, [sequences, sequences]),
        (WHOLE, [sequences, signals // per]),
        (REST, [sequences, signals // per + 1]),
        (SPARE, [full, -(-full * (length - 1) // per)]),
        (PER_TOKEN, [sequences, -(-sequences * length // per)]),
    ]
    expected = [sequences, -(-signals // per)]
    if tokens > 2**53:  # what a float loses may look like any mistake
        return case(tokens, length, per, expected=expected, otherwise=BEYOND)
    odd = "" if signals % per else "no rest"
    return case(tokens, length, per, expected=expected, mistakes=mistakes, group=odd)


def coverage_case(rate: float, passes: int) -> dict:
    """A case of `coverage`."""
    mistakes = [
        (LINEAR, rate * passes),
        (NEVER, (1 - rate) ** passes),
        (STATIC, rate),
        (ALWAYS, rate**passes),
    ]
    return case(rate, passes, expected=1 - (1 - rate) ** passes, mistakes=mistakes)


def public() -> dict[str, list[dict]]:
    """A plain length, halves, a short one; a usual corpus, one without a rest; one pass and two."""
    lengths = (128, 12, 14, 30, 2)
    return {
        "T1.1": [mlm_case(length, 0.15) for length in lengths],
        "T1.2": [clm_case(128), clm_case(1)],
        "T1.3": [examples_case(10_000, 128, 19), examples_case(5_100, 51, 25)],
        "T1.4": [coverage_case(0.15, 1), coverage_case(0.15, 2)],
    }
