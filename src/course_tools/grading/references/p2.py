"""P2: what training tiny classifiers gives, and what mistakes make of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from course_tools.grading.cases import case, piece
from course_tools.grading.references.common import SOFTMAX
from course_utils.grading import tiny
from course_utils.grading.plain import made
from course_utils.grading.recorded import PERCENT

BATCHES = "You averaged the batches; the last one is smaller: every text counts the same."
TRAINING = "Dropout was on: put the model into evaluation mode before you measure."
MEANS_ADDED = (
    "`cross_entropy` gives a mean: ask for the sum, or multiply by the texts of the batch."
)
TOTAL = "Those are sums; divide by the number of texts."
WRONG_SHARE = "That is the share of wrong answers."
LAST = "Only the last batch counts in yours."

NO_ZERO = "Gradients of earlier steps are added to yours: set them to zero before `backward`."
LEFT_OVER = "The parameters may come with gradients: set them to zero *before* `backward`."
NO_STEP = "The weights did not move: zero the gradients before `backward`, then `optimizer.step()`."
EVALUATING = "Dropout was off: put the model into training mode before the step."
SUMMED = "Your loss is a sum over the batch; it is the mean."
AFTER = "That is the loss after the step; give the one that the step was made for."
UPHILL = "The weights moved the wrong way: the loss grows."
TWICE = "The weights moved twice: one step a call."

NO_WARMUP = "The rate has to rise first: from 0 to the peak over `warmup` steps."
NO_DECAY = "After the warm-up the rate falls, to 0 at the last step."
FROM_START = "The fall begins at the peak: count its steps from the end of the warm-up."
LATE = "Steps are counted from 1: after step `warmup` the peak is reached, not one step later."
LATE_FALL = "The fall is a step late: its line goes through 1 at `warmup`, through 0 at `steps`."
NO_PEAK = "The rate is a share of `peak` in yours: multiply by it."
COSINE = "The fall is a straight line, not a cosine."


def batches_of(rng: np.random.Generator, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Batches of random ids, padded at random, with labels."""
    found = []
    for size in sizes:
        ids = rng.integers(5, len(tiny.VOCABULARY), size=(size, 6))
        mask = (np.arange(6) < rng.integers(2, 7, size=(size, 1))).astype(np.int64)
        batch = {"input_ids": ids * mask, "attention_mask": mask}
        batch["labels"] = rng.integers(0, 2, size=size)
        found.append({name: torch.tensor(value) for name, value in batch.items()})
    return found


def losses(model: Any, batch: dict[str, Any], twice: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Loss of every text, and whether its label is right, in the mode the model is in.

    The softmax may be applied `twice`, as some do.
    """
    with torch.no_grad():
        logits = model(batch["input_ids"], batch["attention_mask"])
        logits = logits.softmax(-1) if twice else logits
        each = cross_entropy(logits, batch["labels"], reduction="none")
        return each.numpy(), (logits.argmax(-1) == batch["labels"]).numpy()


def trained(
    seed: int, batches: list[dict[str, Any]], rate: float, fault: str = ""
) -> tuple[np.ndarray, list[float]]:
    """All weights after a step a batch, and the losses; `fault` names what is done wrongly."""
    model = tiny.resting(seed).train(fault != EVALUATING)
    step = torch.optim.SGD(model.parameters(), rate, maximize=fault == UPHILL)
    seen = []
    for batch in batches:
        if fault not in (NO_ZERO, LEFT_OVER):
            step.zero_grad()
        logits = model(batch["input_ids"], batch["attention_mask"])
        logits = logits.softmax(-1) if fault == SOFTMAX else logits
        reduction = "sum" if fault == SUMMED else "mean"
        loss = cross_entropy(logits, batch["labels"], reduction=reduction)
        loss.backward()
        for _ in range({NO_STEP: 0, TWICE: 2}.get(fault, 1)):
            step.step()
        if fault == AFTER:
            with torch.no_grad():
                loss = cross_entropy(
                    model(batch["input_ids"], batch["attention_mask"]), batch["labels"]
                )
        if fault == LEFT_OVER:
            step.zero_grad()
        seen.append(loss.item())
    return flat(dict(model.named_parameters())), seen


def flat(parameters: dict[str, Any]) -> np.ndarray:
    """All numbers of named tensors, end to end, by name."""
    return np.concatenate([p.detach().numpy().ravel() for _, p in sorted(parameters.items())])


def twin_case(seed: int, layers: int, hidden: int) -> dict:
    """A case of `random_twin`: which tiny encoder it is given."""
    return {"seed": seed, "layers": layers, "hidden": hidden}


def evaluate_case(seed: int, batches: list[dict[str, Any]]) -> dict:
    """A case of `evaluate`."""
    model = tiny.classifier(seed)
    each, right = zip(*(losses(model.eval(), batch) for batch in batches), strict=True)
    noisy, noisy_right = zip(*(losses(model.train(), batch) for batch in batches), strict=True)
    squashed = [losses(model.eval(), batch, twice=True)[0] for batch in batches]
    loss, hit = np.concatenate(each), np.concatenate(right)
    of_losses = [
        (BATCHES, float(np.mean([part.mean() for part in each]))),
        (TRAINING, float(np.concatenate(noisy).mean())),
        (TOTAL, float(loss.sum())),
        (TOTAL, float(sum(part.mean() for part in each))),
        (LAST, float(each[-1].mean())),
        (SOFTMAX, float(np.concatenate(squashed).mean())),
        (MEANS_ADDED, float(sum(part.mean() for part in each) / len(loss))),
    ]
    accuracy = float(hit.mean())
    of_accuracies = [
        (PERCENT, 100 * accuracy),
        (WRONG_SHARE, 1 - accuracy),
        (TOTAL, float(hit.sum())),
        (BATCHES, float(np.mean([part.mean() for part in right]))),
        (TRAINING, float(np.concatenate(noisy_right).mean())),
        (LAST, float(right[-1].mean())),
    ]
    pieces = [
        piece("The loss", float(loss.mean()), of_losses),
        piece("The accuracy", accuracy, of_accuracies),
    ]
    return case(made("course_utils.grading.tiny:classifier", seed), batches, expected=pieces)


def step_case(seed: int, batches: list[dict[str, Any]], rate: float) -> dict:
    """A case of `train_step`: one call a batch."""
    weights, seen = trained(seed, batches, rate)
    faults = (NO_ZERO, LEFT_OVER, NO_STEP, EVALUATING, SUMMED, UPHILL, TWICE, SOFTMAX)
    of_weights = [(fault, trained(seed, batches, rate, fault)[0]) for fault in faults]
    of_losses = [(fault, trained(seed, batches, rate, fault)[1]) for fault in (AFTER, SUMMED)]
    return {
        "seed": seed,
        "rate": rate,
        "batches": batches,
        "parameters": sorted(name for name, _ in tiny.classifier(seed).named_parameters()),
        "expected": [
            piece("The weights after the steps", weights, of_weights),
            piece("What `train_step` returns", seen, of_losses),
        ],
    }


def rate_case(steps: int, warmup: int, peak: float) -> dict:
    """A case of `learning_rate`, at every step."""
    here = np.arange(1, steps + 1)
    rise, fall = here / warmup, (steps - here) / (steps - warmup)
    warming = here <= warmup
    late = np.where(warming, (here - 1) / warmup, (steps - here + 1) / (steps - warmup))
    mistakes = [
        (NO_WARMUP, peak * np.minimum(1, fall)),
        (NO_WARMUP, peak * (steps - here) / steps),
        (NO_DECAY, peak * np.minimum(1, rise)),
        (FROM_START, peak * np.where(warming, rise, (steps - here) / steps)),
        (LATE, peak * late),
        (LATE_FALL, peak * np.where(warming, rise, (steps - here + 1) / (steps - warmup))),
        (NO_PEAK, np.where(warming, rise, fall)),
        (COSINE, peak * np.where(warming, rise, (1 + np.cos(np.pi * (1 - fall))) / 2)),
    ]
    want = peak * np.where(warming, rise, fall)
    calls = [[int(step), steps, warmup, peak] for step in here]
    return {**case(expected=want, mistakes=mistakes), "calls": calls}


def public() -> dict[str, list[dict]]:
    """A small encoder; three batches, the last one small; three steps; a schedule."""
    draw = np.random.default_rng
    return {
        "P2.1": [twin_case(0, 2, 16)],
        "P2.2": [evaluate_case(1, batches_of(draw(0), (8, 8, 3)))],
        "P2.3": [step_case(2, batches_of(draw(0), (4, 4, 4)), 0.2)],
        "P2.4": [rate_case(12, 4, 2e-4)],
    }
