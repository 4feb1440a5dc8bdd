"""T4: how many bits masked and causal language modeling take from an example."""

import numpy as np

from course_utils.grading.item import Case, Item, Student, array, check_call, require

ITEM = Item("T4", "How many bits does an example give?", "T4_bits_per_example")
BAN = ["course_utils.data.known_entropy:MarkovSource"]

SCALE = "The proportions are right, but probabilities sum to 1."


@ITEM.part("T4.1", "How often each symbol occurs", 1, ["stationary"])
def check_stationary(student: Student, case: Case) -> None:
    """Compare probabilities; those that are right but for a factor get their own hint."""
    want = case["expected"]
    got = student.call("stationary", *case["args"], ban=BAN)
    values = array(got, "`stationary`", want.shape)
    if abs(values.sum()) > 1e-9 and not np.isclose(values.sum(), 1):
        require(not np.allclose(values / values.sum(), want, rtol=1e-4), SCALE)
    check_call(student, case, "stationary", ban=BAN, rtol=1e-4, atol=1e-6)


NEAR = {"rtol": 1e-4, "atol": 1e-6}
ITEM.calls("T4.2", "What n steps leave unknown", 2, "remaining_bits", ban=BAN, **NEAR)
ITEM.calls("T4.3", "Bits that a causal model takes", 1, "clm_bits")
ITEM.calls("T4.4", "One hole, both sides", 2, "two_sided_bits", atol=1e-7)
ITEM.calls("T4.5", "Bits that a masked model is asked for", 3, "mlm_bits", atol=1e-6)
ITEM.calls("T4.6", "Bits that are really there", 2, "joint_bits", atol=1e-6)
ITEM.calls("T4.7", "A long text at a masking rate", 2, "mlm_bits_per_token", rtol=1e-4)

ITEM.text("T4.8", "What the bits mean", 2, "answer_T4")
