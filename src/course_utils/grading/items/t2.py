"""T2: the gradient of the masked and the causal loss with respect to the logits."""

from __future__ import annotations

from course_utils.grading.item import Case, Item, Student, array, check_call, require

ITEM = Item("T2", "The gradient at a masked position", "T2_logit_gradient")

LOSSES = ["torch.nn.functional:cross_entropy", "torch.nn.functional:nll_loss"]
LOSSES += ["torch._C._nn:cross_entropy_loss", "torch._C._nn:nll_loss_nd"]
AUTOGRAD = [
    "torch.autograd:grad",
    "torch.autograd:backward",
    "torch.autograd.graph:_engine_run_backward",
]
UNMASKED = "Positions with label -100 are not predicted: their gradient is zero."

# logits come in single precision, as a model's; those of a thousand leave four digits for the rest
ROUGH = {"rtol": 1e-3, "atol": 3e-4}
FINE = {"rtol": 1e-3, "atol": 1e-5}

ITEM.calls("T2.1", "The loss at one position", 2, "token_loss", ban=LOSSES, **ROUGH)
ITEM.calls("T2.2", "Its gradient", 3, "logit_gradient", ban=AUTOGRAD, **FINE)


@ITEM.part("T2.3", "The gradient of the masked loss", 3, ["mlm_gradient"])
def check_masked(student: Student, case: Case) -> None:
    """Compare a gradient; a position that is not predicted has none, whatever else is wrong."""
    logits, labels = case["args"]
    got = student.call("mlm_gradient", logits, labels, ban=AUTOGRAD)
    if labels.max() >= 0:
        rows = array(got, "`mlm_gradient`", tuple(logits.shape))
        require(not rows[labels.numpy() == -100].any(), UNMASKED)
    check_call(student, case, "mlm_gradient", ban=AUTOGRAD, **FINE)


ITEM.calls("T2.4", "The gradient of the causal loss", 2, "clm_gradient", ban=AUTOGRAD, **FINE)

ITEM.text("T2.5", "Compare the two", 2, "answer_T2")
