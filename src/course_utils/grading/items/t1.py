"""T1: why masked language modeling predicts 15% of the positions, and what that costs."""

from course_utils.grading.item import Item, Student, compare

ITEM = Item("T1", "How many gradient signals does an example give?", "T1_gradient_signals")

ALL = "Masked language modeling predicts only the chosen positions; you count every one."
EVEN = "Python's `round` takes halves to the even neighbour (4.5 → 4). BERT rounds halves up."
CUT = "You cut the fraction off; BERT rounds to the nearest whole number, halves up."
UP = "You round up always; BERT rounds to the nearest whole number, halves up."
NONE = "A short sequence ends with no position at all; BERT takes at least one."
FRACTION = "A sequence has a whole number of predicted positions: round."
FIRST = "The first token has nothing before it: no position predicts it."
MASKED = "Causal modeling chooses no positions: the rate plays no part."
TWO = "One position predicts nothing: the last. All others have a next token in the sequence."
WHOLE = "The last sequence is read whole or not at all: round the number of sequences up."
SPARE = "The rest of the corpus that fills no sequence is dropped: round that number down."
PER_TOKEN = "You divided the tokens by the masked signals; a causal sequence has one signal fewer."
SWAPPED = "The order is (causal, masked): yours is the other way round."
EQUAL = "Both numbers are equal: a masked sequence gives fewer signals, so it takes more of them."
LINEAR = "You added the rates of the passes; a position chosen twice is counted twice."
NEVER = "That is the share that is never predicted; asked for is its complement."
STATIC = "Each pass draws new positions; yours sees the same ones in every pass."
ALWAYS = "That is the share predicted in every pass; asked for is: in at least one."


@ITEM.part("T1.1", "Predictions of a masked sequence", 2, ["mlm_signals"])
def mlm_signals(student: Student) -> None:
    """Check three lengths at 15%: one plain, one that ends in a half, one short."""
    for length, want, mistakes in (
        (128, 19, {ALL: 128, UP: 20, FRACTION: 19.2}),
        (12, 2, {CUT: 1, FRACTION: 1.8}),
        (14, 2, {UP: 3, FRACTION: 2.1}),
        (30, 5, {EVEN: 4, FRACTION: 4.5}),
        (2, 1, {NONE: 0, FRACTION: 0.3}),
    ):
        got = student.call("mlm_signals", length, 0.15)
        compare(got, want, mistakes, what=f"mlm_signals({length}, 0.15)")


@ITEM.part("T1.2", "Predictions of a causal sequence", 1, ["clm_signals"])
def clm_signals(student: Student) -> None:
    """Check an ordinary sequence and the shortest."""
    got = student.call("clm_signals", 128)
    compare(got, 127, {FIRST: 128, MASKED: 19, TWO: 126}, what="clm_signals(128)")
    compare(student.call("clm_signals", 1), 0, {FIRST: 1}, what="clm_signals(1)")


@ITEM.part("T1.3", "Examples for equal signals", 3, ["examples_needed"])
def examples_needed(student: Student) -> None:
    """Check a corpus of 10,000 tokens in sequences of 128, of which 19 are predicted."""
    got = student.call("examples_needed", 10_000, 128, 19)
    mistakes = {
        SWAPPED: [522, 78],
        EQUAL: [78, 78],
        WHOLE: [78, 521],
        SPARE: [79, 529],
        PER_TOKEN: [78, 526],
    }
    compare(got, [78, 522], mistakes, what="examples_needed(10_000, 128, 19)")


@ITEM.part("T1.4", "Positions reached in several passes", 2, ["coverage"])
def coverage(student: Student) -> None:
    """Check one pass, and forty at 15%."""
    compare(student.call("coverage", 0.15, 1), 0.15, {NEVER: 0.85}, what="coverage(0.15, 1)")
    mistakes = {LINEAR: 0.3, NEVER: 0.7225, STATIC: 0.15, ALWAYS: 0.0225}
    compare(student.call("coverage", 0.15, 2), 0.2775, mistakes, what="coverage(0.15, 2)")


ITEM.text(
    "T1.5",
    "Why not predict every position?",
    2,
    "answer_T1",
    """1 point: the masked tokens are missing from the input, so every further prediction takes
    context away from the others; at 100% nothing is left to read (or: an encoder that sees all
    tokens would only copy). A causal model hides the future by its mask, hence can predict all.
    1 point: fewer signals per example are paid for with more examples, and each signal sees both
    sides; names that 15% is a choice (later work masks up to 40%), not a law.""",
)
