"""T1: why masked language modeling predicts 15% of the positions, and what that costs."""

from course_utils.grading.item import Item

ITEM = Item("T1", "How many gradient signals does an example give?", "T1_gradient_signals")

ITEM.calls("T1.1", "Predictions of a masked sequence", 2, "mlm_signals")
ITEM.calls("T1.2", "Predictions of a causal sequence", 1, "clm_signals")
ITEM.calls("T1.3", "Examples for equal signals", 3, "examples_needed")
ITEM.calls("T1.4", "Positions reached in several passes", 2, "coverage")
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
