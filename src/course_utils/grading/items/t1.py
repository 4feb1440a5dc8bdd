"""T1: why masked language modeling predicts 15% of the positions, and what that costs."""

from course_utils.grading.item import Item

ITEM = Item("T1", "How many gradient signals does an example give?", "T1_gradient_signals")

PACKAGE = ["course_utils.objectives.masked_lm:fixed_count"]
ITEM.calls("T1.1", "Predictions of a masked sequence", 2, "mlm_signals", ban=PACKAGE)
ITEM.calls("T1.2", "Predictions of a causal sequence", 1, "clm_signals")
ITEM.calls("T1.3", "Examples for equal signals", 3, "examples_needed")
ITEM.calls("T1.4", "Positions reached in several passes", 2, "coverage")
ITEM.text("T1.5", "Why not predict every position?", 2, "answer_T1")
