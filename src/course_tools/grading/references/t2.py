"""T2: losses and their gradients as PyTorch finds them, and those of mistakes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from course_tools.grading.cases import case
from course_tools.grading.references.common import NEGATIVE, POSITIONS, log_softmax, single, softmax

PROBABILITY = "That is the probability of the target; the loss is minus its logarithm."
LOGIT = "That is minus the target's logit; the softmax's normaliser is missing."
BITS = "That is in bits; losses here are in nats: take the natural logarithm."
TWICE = "The softmax is applied twice; the logarithm of one softmax is enough."
EVERY = "That is the loss of every token; asked for is that of `target` alone."
OVERFLOW = "Large logits overflow `exp`, small probabilities become 0: write it with log-sum-exp."
SIGN = "The sign is the other way round: this is the direction that lowers the loss."
NO_TARGET = "That is the softmax itself: the one of the target is not subtracted."
ONLY_TARGET = "Only the target's entry is filled; each other logit's is its probability."
EACH_ONE = "The one is subtracted at the target only, not from every entry."
OF_PROBABILITY = "That is the gradient of the probability, not of minus its logarithm."
NUMERIC = "Entries of very unlikely tokens are off: write the formula, no differences of losses."
PER_ENTRY = "You divided by the size of the vocabulary; the loss is not a mean over it."
ALL = "You divide by all positions; the mean is over the masked ones only."
SUM = "You left out the mean: each position weighs 1 / (number of predicted positions)."
EMPTY = "Without any masked position there is no prediction: the gradient is zero, not NaN."
TOKEN_ZERO = "Token 0 is a token like any other: what is not predicted has the label -100."
SHIFT = "Nothing is shifted: position t must predict token t + 1, not the token it reads."
BACK = "Shifted the wrong way: position t predicts token t + 1, not the one before."
WRAP = "The last position predicts nothing; yours is made to predict the first token."
NO_ROW = "The last position has a row as well, of zeros: the shape is that of the logits."
LENGTH = "The mean is over the T - 1 predictions, not over the T positions."


def autograd(loss: Callable[[Tensor], Tensor], logits: Tensor) -> np.ndarray:
    """The gradient of `loss(logits)` as PyTorch finds it, in double precision."""
    leaf = logits.double().requires_grad_()
    return torch.autograd.grad(loss(leaf), leaf)[0].numpy()


def extreme(logits: np.ndarray) -> dict[str, str]:
    """The hint that logits need whose exponentials overflow, or vanish."""
    return {"otherwise": OVERFLOW} if np.abs(logits).max() > 500 else {}


def small(one: dict) -> dict:
    """A case in which also the smallest entries must be right; differences of losses lose them."""
    return one | {"otherwise": NUMERIC, "group": "", "rtol": 1e-2, "atol": 0.0}


def loss_case(logits: np.ndarray, target: int) -> dict:
    """A case of `token_loss`."""
    vector = single(logits)
    want = cross_entropy(vector.double()[None], torch.tensor([target])).item()
    mistakes = [
        (PROBABILITY, float(np.exp(-want))),
        (LOGIT, float(-vector[target])),
        (BITS, want / float(np.log(2))),
        (NEGATIVE, -want),
        (TWICE, float(-log_softmax(softmax(logits))[target])),
        (EVERY, -log_softmax(logits)),
    ]
    return case(vector, target, expected=want, mistakes=mistakes, **extreme(logits))


def gradient_case(logits: np.ndarray, target: int) -> dict:
    """A case of `logit_gradient`."""
    vector = single(logits)
    truth = autograd(lambda z: cross_entropy(z[None], torch.tensor([target])), vector)
    there = np.arange(len(logits)) == target
    chances = truth + there
    mistakes = [
        (SIGN, -truth),
        (NO_TARGET, chances),
        (ONLY_TARGET, truth * there),
        (OF_PROBABILITY, -truth * chances[target]),
        (PER_ENTRY, truth / len(logits)),
        (EACH_ONE, chances - 1),
    ]
    return case(vector, target, expected=truth, mistakes=mistakes, **extreme(logits))


def masked_case(logits: np.ndarray, labels: np.ndarray) -> dict:
    """A case of `mlm_gradient`."""
    rows, ids, chosen = single(logits), torch.tensor(labels), labels != -100
    count, length = max(1, int(chosen.sum())), len(labels)
    truth = autograd(lambda z: cross_entropy(z, ids, reduction="sum") / count, rows)
    without_zero = truth * (labels > 0)[:, None] * count / max(1, int((labels > 0).sum()))
    mistakes = [
        (ALL, truth * count / length),
        (SUM, truth * count),
        (SIGN, -truth),
        (NO_TARGET, truth + (truth < 0) / count),
        (TOKEN_ZERO, without_zero),
        (POSITIONS, truth + over_positions(rows, chosen) / count),
    ]
    empty = {} if chosen.any() else {"otherwise": EMPTY}
    return case(rows, ids, expected=truth, mistakes=mistakes, **empty)


def over_positions(logits: Tensor, chosen: np.ndarray) -> np.ndarray:
    """What a softmax over the positions adds to the chosen rows of one over the vocabulary."""
    return chosen[:, None] * (logits.double().softmax(0) - logits.double().softmax(1)).numpy()


def causal_case(logits: np.ndarray, ids: np.ndarray) -> dict:
    """A case of `clm_gradient`."""
    rows, tokens, length = single(logits), torch.tensor(ids), len(ids)
    truth = autograd(lambda z: cross_entropy(z[:-1], tokens[1:]), rows)
    mistakes = [
        (SHIFT, autograd(lambda z: cross_entropy(z, tokens), rows)),
        (SHIFT, autograd(lambda z: cross_entropy(z[:-1], tokens[:-1]), rows)),
        (BACK, autograd(lambda z: cross_entropy(z[1:], tokens[:-1]), rows)),
        (WRAP, autograd(lambda z: cross_entropy(z, tokens.roll(-1)), rows)),
        (LENGTH, truth * (length - 1) / length),
        (SUM, truth * (length - 1)),
        (NO_ROW, truth[:-1]),
        (POSITIONS, truth + over_positions(rows, np.arange(length) < length - 1) / (length - 1)),
        (SIGN, -truth),
    ]
    return case(rows, tokens, expected=truth, mistakes=mistakes)


def public() -> dict[str, list[dict]]:
    """Four logits, also far up and far apart; six positions, and a sequence without any mask."""
    few, apart = np.array([2.0, -1.0, 0.5, 0.0]), np.array([900.0, -3.0, 0.0])
    draw = np.random.default_rng(0)
    six, three = draw.normal(size=(6, 5)), draw.normal(size=(3, 5))
    return {
        "T2.1": [loss_case(few, 2), loss_case(few + 1000, 2), loss_case(apart, 1)],
        "T2.2": [
            gradient_case(few, 2),
            gradient_case(few + 1000, 2),
            small(gradient_case(np.append(few, -50.0), 2)),
        ],
        "T2.3": [
            masked_case(six, np.array([-100, 3, -100, -100, 0, -100])),
            masked_case(three, np.array([-100, -100, -100])),
        ],
        "T2.4": [causal_case(six, np.array([2, 3, 0, 4, 1, 3]))],
    }
