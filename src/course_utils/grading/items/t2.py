"""T2: the gradient of the masked and the causal loss with respect to the logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from course_utils.grading.item import Item, Student, array, as_array, compare, require, same

ITEM = Item("T2", "The gradient at a masked position", "T2_logit_gradient")

LOSSES = ["torch.nn.functional:cross_entropy", "torch.nn.functional:nll_loss"]
LOSSES += ["torch._C._nn:cross_entropy_loss", "torch._C._nn:nll_loss_nd"]
AUTOGRAD = [
    "torch.autograd:grad",
    "torch.autograd:backward",
    "torch.autograd.graph:_engine_run_backward",
]

PROBABILITY = "That is the probability of the target; the loss is minus its logarithm."
LOGIT = "That is minus the target's logit; the softmax's normaliser is missing."
BITS = "That is in bits; losses here are in nats: take the natural logarithm."
NEGATIVE = "The sign is the other way round: a loss is never negative."
OVERFLOW = "Large logits overflow `exp`: subtract the largest logit first; the result is the same."
SIGN = "The sign is the other way round: this is the direction that lowers the loss."
NO_TARGET = "That is the softmax itself: the one of the target is not subtracted."
ONLY_TARGET = (
    "Only the target's entry is filled; every other logit has a gradient too, its probability."
)
OF_PROBABILITY = (
    "That is the gradient of the probability; asked for is that of minus its logarithm."
)
PER_ENTRY = "You divided by the size of the vocabulary; the loss is not a mean over it."
IN_PLACE = "Your function changes the logits that it was given; work on a copy."
ALL = "You divide by all positions; the mean is over the masked ones only."
SUM = "You left out the mean: each position weighs 1 / (number of predicted positions)."
UNMASKED = "Positions with label -100 are not predicted: their gradient is zero."
EMPTY = "Without any masked position there is no prediction: the gradient is zero, not NaN."
SHIFT = "Nothing is shifted: position t must predict token t + 1, not the token it reads."
BACK = "Shifted the wrong way: position t predicts token t + 1, not the one before."
WRAP = "The last position predicts nothing; yours is made to predict the first token."
LENGTH = "The mean is over the T - 1 predictions, not over the T positions."


def autograd(loss: Callable, logits: np.ndarray) -> np.ndarray:
    """The gradient of `loss(logits)` as PyTorch finds it."""
    import torch

    leaf = torch.tensor(logits, requires_grad=True)
    return torch.autograd.grad(loss(leaf), leaf)[0].numpy()


def finite(got: Any, hint: str) -> None:
    """Raise Wrong with `hint` when a number is NaN or infinite."""
    numbers = as_array(got)
    require(numbers is None or bool(np.isfinite(numbers).all()), hint)


def check_loss(student: Student, logits: np.ndarray, target: int) -> None:
    """Compare `token_loss` with PyTorch's."""
    import torch
    from torch.nn.functional import cross_entropy

    vector = torch.tensor(logits)
    want = cross_entropy(vector[None], torch.tensor([target])).item()
    got = student.call("token_loss", vector, target, ban=LOSSES)
    finite(got, OVERFLOW)
    mistakes = {
        PROBABILITY: np.exp(-want),
        LOGIT: -logits[target],
        BITS: want / np.log(2),
        NEGATIVE: -want,
    }
    compare(got, want, mistakes, what="token_loss", rtol=1e-4, atol=1e-6)


def check_gradient(student: Student, logits: np.ndarray, target: int) -> None:
    """Compare `logit_gradient` with what autograd finds."""
    import torch
    from torch.nn.functional import cross_entropy

    truth = autograd(lambda z: cross_entropy(z[None], torch.tensor([target])), logits)
    there = np.arange(len(logits)) == target
    softmax = truth + there
    got, after = student.call_after("logit_gradient", torch.tensor(logits), target, ban=AUTOGRAD)
    finite(got, OVERFLOW)
    mistakes = {
        SIGN: -truth,
        NO_TARGET: softmax,
        ONLY_TARGET: truth * there,
        OF_PROBABILITY: -truth * softmax[target],
        PER_ENTRY: truth / len(logits),
    }
    compare(got, truth, mistakes, what="logit_gradient", rtol=1e-4, atol=1e-6)
    require(same(after[0], logits), IN_PLACE)


def check_masked(student: Student, logits: np.ndarray, labels: np.ndarray) -> None:
    """Compare `mlm_gradient` with what autograd finds."""
    import torch
    from torch.nn.functional import cross_entropy

    ids, chosen = torch.tensor(labels), labels != -100
    count, length = max(1, int(chosen.sum())), len(labels)
    truth = autograd(lambda z: cross_entropy(z, ids, reduction="sum") / count, logits)
    got, after = student.call_after("mlm_gradient", torch.tensor(logits), ids, ban=AUTOGRAD)
    finite(got, EMPTY if not chosen.any() else OVERFLOW)
    rows = array(got, "mlm_gradient", logits.shape)
    require(not rows[~chosen].any(), UNMASKED)
    mistakes = {
        ALL: truth * count / length,
        SUM: truth * count,
        SIGN: -truth,
        NO_TARGET: truth + (truth < 0) / count,
    }
    compare(got, truth, mistakes, what="mlm_gradient", rtol=1e-4, atol=1e-6)
    require(same(after[0], logits), IN_PLACE)


def check_causal(student: Student, logits: np.ndarray, ids: np.ndarray) -> None:
    """Compare `clm_gradient` with what autograd finds."""
    import torch
    from torch.nn.functional import cross_entropy

    tokens, length = torch.tensor(ids), len(ids)
    truth = autograd(lambda z: cross_entropy(z[:-1], tokens[1:]), logits)
    mistakes = {
        SHIFT: autograd(lambda z: cross_entropy(z, tokens), logits),
        BACK: autograd(lambda z: cross_entropy(z[1:], tokens[:-1]), logits),
        WRAP: autograd(lambda z: cross_entropy(z, tokens.roll(-1)), logits),
        LENGTH: truth * (length - 1) / length,
        SUM: truth * (length - 1),
        SIGN: -truth,
    }
    got, after = student.call_after("clm_gradient", torch.tensor(logits), tokens, ban=AUTOGRAD)
    finite(got, OVERFLOW)
    compare(got, truth, mistakes, what="clm_gradient", rtol=1e-4, atol=1e-6)
    require(same(after[0], logits), IN_PLACE)


def drawn(*shape: int) -> np.ndarray:
    """Logits for the public checks: always the same."""
    return np.random.default_rng(0).normal(size=shape)


@ITEM.part("T2.1", "The loss at one position", 2, ["token_loss"])
def loss(student: Student) -> None:
    """Check four logits, then the same ones moved far up."""
    check_loss(student, np.array([2.0, -1.0, 0.5, 0.0]), 2)
    check_loss(student, np.array([2.0, -1.0, 0.5, 0.0]) + 1000, 2)


@ITEM.part("T2.2", "Its gradient", 3, ["logit_gradient"])
def gradient(student: Student) -> None:
    """Check four logits, then the same ones moved far up."""
    check_gradient(student, np.array([2.0, -1.0, 0.5, 0.0]), 2)
    check_gradient(student, np.array([2.0, -1.0, 0.5, 0.0]) + 1000, 2)


@ITEM.part("T2.3", "The gradient of the masked loss", 3, ["mlm_gradient"])
def masked(student: Student) -> None:
    """Check six positions of which two are masked, then a sequence without any."""
    check_masked(student, drawn(6, 5), np.array([-100, 3, -100, -100, 1, -100]))
    check_masked(student, drawn(3, 5), np.array([-100, -100, -100]))


@ITEM.part("T2.4", "The gradient of the causal loss", 2, ["clm_gradient"])
def causal(student: Student) -> None:
    """Check six positions."""
    check_causal(student, drawn(6, 5), np.array([2, 3, 0, 4, 1, 3]))


ITEM.text(
    "T2.5",
    "Compare the two",
    2,
    "answer_T2",
    """1 point: at a predicted position both have the same form, probabilities minus one-hot; they
    differ in where it is non-zero (masked positions against all but the last) and in the weight
    1/|M| against 1/(T-1).
    1 point: what the probabilities are conditioned on (both sides against the left only), or that
    the entries sum to zero and lie between -1 and 1, so one position's push is bounded and shrinks
    as the prediction gets right.""",
)
