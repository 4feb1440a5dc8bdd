"""P2: a pre-trained encoder fine-tuned on sentiment, against a random one of the same size."""

from __future__ import annotations

import secrets
from functools import cache
from typing import Any

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import Item, Student, Wrong, array, compare, require, same
from course_utils.grading.plain import made
from course_utils.grading.recorded import numbers, record

ITEM = Item("P2", "Fine-tuning against a random start", "P2_finetuning_against_random")

TWIN_SAME = "The weights are those of the model you were given: a copy is no random twin."
TWIN_SIZE = "The twin has another number of parameters: build it from the model's own `config`."
TWIN_SHAPE = "A matrix of the twin has another shape: build it from the model's own `config`."
TWIN_SHUFFLED = "Your weights are as large as the trained ones: shuffled or perturbed, not fresh."
TWIN_ZERO = "All weights are equal: such units can never become different from each other."
TWIN_CHANGED = "Your function changes the model that it was given; make a new one."
TWIN_KIND = "`random_twin` gives no model of the same class, or nothing at all."

BATCHES = "You averaged the batches; the last one is smaller: every text counts the same."
TRAINING = "Dropout was on: put the model into evaluation mode before you measure."
TOTAL = "Those are sums; divide by the number of texts."
PERCENT = "An accuracy is a share between 0 and 1, not a percentage."
WRONG_SHARE = "That is the share of wrong answers."
LAST = "Only the last batch counts in yours."
ORDER = "The order is (loss, accuracy): yours is the other way round."

NO_ZERO = "Gradients of earlier steps are added to yours: set them to zero before `backward`."
NO_STEP = "The weights did not move: call `optimizer.step()`."
EVALUATING = "Dropout was off: put the model into training mode before the step."
SUMMED = "Your loss is a sum over the batch; it is the mean."
AFTER = "That is the loss after the step; give the one that the step was made for."
UPHILL = "The weights moved the wrong way: the loss grows."
TWICE = "The weights moved twice: one step a call."

NO_WARMUP = "The rate has to rise first: from 0 to the peak over `warmup` steps."
NO_DECAY = "After the warm-up the rate falls, to 0 at the last step."
FROM_START = "The fall begins at the peak: count its steps from the end of the warm-up."
LATE = "Steps are counted from 1: after step `warmup` the peak is reached, not one step later."
COSINE = "The fall is a straight line, not a cosine."

CURVES = ("train_loss", "validation_loss", "validation_accuracy")
POINTS = "The curves of a run have as many points as `steps`, at least five."
STEPS = "`steps` begins at 0, before any training, and grows."
SAME_STEPS = "Both runs are measured at the same steps."
START = "Before training a classifier of two labels guesses: its loss is near ln 2."
SAME_CURVES = "Training and validation loss are the same numbers: measure on different texts."
GUESSES = "`guesses` is a string of 200 characters, 0 or 1: the label of each validation text."
DISAGREE = "The last accuracy is not that of `guesses`: copy both from one run."
FLAT = "The training loss of the pre-trained model does not fall: did it train?"
SWAPPED = "The random model is the better one: are the two swapped?"
WEAK = "The pre-trained model is hardly better than guessing: check parts 1 to 4, train again."
TEXTS = 200  # validation sentences


# -- what is right ---------------------------------------------------------------------------------


def batches_of(rng: np.random.Generator, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """Batches of random ids, padded at random, with labels."""
    import torch

    found = []
    for size in sizes:
        ids = rng.integers(5, len(tiny.VOCABULARY), size=(size, 6))
        mask = (np.arange(6) < rng.integers(2, 7, size=(size, 1))).astype(np.int64)
        batch = {"input_ids": ids * mask, "attention_mask": mask}
        batch["labels"] = rng.integers(0, 2, size=size)
        found.append({name: torch.tensor(value) for name, value in batch.items()})
    return found


def losses(model: Any, batch: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Loss of every text, and whether its label is right, in the mode the model is in."""
    import torch
    from torch.nn.functional import cross_entropy

    with torch.no_grad():
        logits = model(batch["input_ids"], batch["attention_mask"])
        each = cross_entropy(logits, batch["labels"], reduction="none")
        return each.numpy(), (logits.argmax(-1) == batch["labels"]).numpy()


def trained(
    seed: int, batches: list[dict[str, Any]], rate: float, fault: str = ""
) -> tuple[np.ndarray, list[float]]:
    """All weights after a step a batch, and the losses; `fault` names what is done wrongly."""
    import torch
    from torch.nn.functional import cross_entropy

    model = tiny.classifier(seed).train(fault != EVALUATING)
    step = torch.optim.SGD(model.parameters(), rate, maximize=fault == UPHILL)
    seen = []
    for batch in batches:
        if fault != NO_ZERO:
            step.zero_grad()
        logits = model(batch["input_ids"], batch["attention_mask"])
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
        seen.append(loss.item())
    return flat(dict(model.named_parameters())), seen


def flat(parameters: dict[str, Any]) -> np.ndarray:
    """All numbers of named tensors or arrays, end to end, by name."""
    values = (np.asarray(p.detach() if hasattr(p, "detach") else p)
              for _, p in sorted(parameters.items()))  # fmt: skip
    return np.concatenate([value.reshape(-1) for value in values])


def rate_at(step: int, steps: int, warmup: int, peak: float) -> float:
    """Up to the peak in `warmup` steps, then down to 0 at the last."""
    return peak * (step / warmup if step <= warmup else (steps - step) / (steps - warmup))


@cache
def validation_labels() -> np.ndarray:
    """The true labels of the sentences that the record is about."""
    import contextlib
    import io
    import os
    from unittest.mock import patch

    from course_utils.data.sources import load_dataset

    quiet = contextlib.redirect_stdout(io.StringIO())
    with quiet, patch.dict(os.environ, {"COURSE_MODELS": "offline"}):
        rows = load_dataset("movies")["validation"].shuffle(seed=0)[:TEXTS]
    return np.array(rows["label"])


# -- checks ----------------------------------------------------------------------------------------

MATRIX = "encoder.layer.0.attention.self.query.weight"
WORDS = "embeddings.word_embeddings.weight"


def check_twin(student: Student, seed: int, layers: int, hidden: int) -> None:
    """Compare `random_twin` with what a fresh model of the same configuration must be."""
    given = made("course_utils.grading.tiny:same", secrets.token_hex(8), "bert", seed, 0.0, layers,
                 hidden)  # fmt: skip
    twin = student.keep("random_twin", given)

    def ask(thing: Any, name: str, *args: Any) -> Any:
        try:
            return student.call(name, thing, *args)
        except Wrong as wrong:
            if wrong.kind != "wrong":
                raise
            raise Wrong(TWIN_KIND, wrong.detail) from wrong

    old = tiny.bert(seed, 0.0, layers, hidden)
    size = ask(twin, ".num_parameters")
    require(same(size, old.num_parameters()), TWIN_SIZE)
    for name in (MATRIX, WORDS):
        before = old.get_parameter(name).detach().numpy()
        require(same(ask(given, ".get_parameter", name), before), TWIN_CHANGED)
        after = array(ask(twin, ".get_parameter", name), name)
        require(after.shape == before.shape, TWIN_SHAPE)
        require(not same(after, before), TWIN_SAME)
        require(after.std() > 1e-4, TWIN_ZERO)
        require(after.std() < 0.1, TWIN_SHUFFLED)


def check_evaluate(student: Student, seed: int, batches: list[dict[str, Any]]) -> None:
    """Compare `evaluate` with the mean over all texts, dropout off."""
    model = tiny.classifier(seed)
    each, right = zip(*(losses(model.eval(), batch) for batch in batches), strict=True)
    noisy, noisy_right = zip(*(losses(model.train(), batch) for batch in batches), strict=True)
    loss, hit = np.concatenate(each), np.concatenate(right)
    got = student.call("evaluate", made("course_utils.grading.tiny:classifier", seed), batches)
    pair = array(got, "evaluate(model, batches)", (2,)).tolist()
    want = [float(loss.mean()), float(hit.mean())]
    if same(pair, want[::-1], 1e-4):
        raise Wrong(ORDER)
    mistakes = {
        BATCHES: float(np.mean([part.mean() for part in each])),
        TRAINING: float(np.concatenate(noisy).mean()),
        TOTAL: float(loss.sum()),
        TOTAL + " ": float(sum(part.mean() for part in each)),
        LAST: float(each[-1].mean()),
    }
    compare(pair[0], want[0], mistakes, what="The loss", rtol=1e-4)
    mistakes = {
        PERCENT: 100 * want[1],
        WRONG_SHARE: 1 - want[1],
        TOTAL: float(hit.sum()),
        BATCHES: float(np.mean([part.mean() for part in right])),
        TRAINING: float(np.concatenate(noisy_right).mean()),
        LAST: float(right[-1].mean()),
    }
    compare(pair[1], want[1], mistakes, what="The accuracy", rtol=1e-4)


def check_step(student: Student, seed: int, batches: list[dict[str, Any]], rate: float) -> None:
    """Compare weights and losses after a `train_step` a batch, from a model in evaluation mode."""
    key = secrets.token_hex(8)  # the same model in all calls, and in no other check
    model = made("course_utils.grading.tiny:same", key, "resting", seed)
    optimizer = made("course_utils.grading.tiny:sgd_of", key, "resting", seed, rate)
    got = [student.call("train_step", model, optimizer, batch) for batch in batches]
    names = [name for name, _ in tiny.classifier(seed).named_parameters()]
    weights = flat({name: student.call(".get_parameter", model, name) for name in names})
    want, want_losses = trained(seed, batches, rate)
    faults = (NO_ZERO, NO_STEP, EVALUATING, SUMMED, UPHILL, TWICE)
    mistakes = {fault: trained(seed, batches, rate, fault)[0] for fault in faults}
    compare(weights, want, mistakes, what="The weights after the steps", rtol=1e-3, atol=1e-5)
    mistakes = {AFTER: trained(seed, batches, rate, AFTER)[1]}
    mistakes[SUMMED] = trained(seed, batches, rate, SUMMED)[1]
    compare(got, want_losses, mistakes, what="What `train_step` returns", rtol=1e-3)


def check_rate(student: Student, steps: int, warmup: int, peak: float) -> None:
    """Compare `learning_rate` at every step."""
    at = range(1, steps + 1)
    got = [student.call("learning_rate", step, steps, warmup, peak) for step in at]
    here = np.array(at)
    rise, fall = here / warmup, (steps - here) / (steps - warmup)
    mistakes = {
        NO_WARMUP: peak * np.minimum(1, fall),
        NO_WARMUP + " ": peak * (steps - here) / steps,
        NO_DECAY: peak * np.minimum(1, rise),
        FROM_START: peak * np.where(here <= warmup, rise, (steps - here) / steps),
        LATE: peak * np.where(here <= warmup, (here - 1) / warmup, (steps - here + 1) / (
            steps - warmup)),
        COSINE: peak * np.where(here <= warmup, rise, (1 + np.cos(np.pi * (1 - fall))) / 2),
    }  # fmt: skip
    want = np.array([rate_at(step, steps, warmup, peak) for step in at])
    what = f"learning_rate(1 … {steps}, {steps}, {warmup}, {peak:g})"
    compare(got, want, mistakes, what=what, rtol=1e-5, atol=1e-12)


def check_record(student: Student, rng: Any = None) -> None:
    """The record of both runs: complete, possible, in agreement with itself."""
    found = record(student, "recorded_P2", ["pretrained", "random"])
    runs = {name: check_run(found[name], name) for name in ("pretrained", "random")}
    require(same(runs["pretrained"]["steps"], runs["random"]["steps"]), SAME_STEPS)
    ends = {name: run["validation_accuracy"][-1] for name, run in runs.items()}
    require(ends["pretrained"] > ends["random"], SWAPPED)
    require(ends["pretrained"] >= 0.6, WEAK)
    loss = runs["pretrained"]["train_loss"]
    require(loss[-1] < loss[0] - 0.05, FLAT)


def check_run(run: Any, name: str) -> dict[str, np.ndarray]:
    """One run of the record; returns its curves."""
    keys = ["steps", *CURVES, "guesses"]
    fits = isinstance(run, dict) and set(keys) <= run.keys()
    require(fits, f"The record of {name!r} is a dictionary with {', '.join(keys)}.")
    curves = {key: numbers(run[key], f"{key!r} of {name!r}") for key in keys[:-1]}
    steps = curves["steps"]
    require(len(steps) >= 5 and len({len(curve) for curve in curves.values()}) == 1, POINTS)
    require(steps[0] == 0 and bool((np.diff(steps) > 0).all()), STEPS)
    require(abs(curves["validation_loss"][0] - np.log(2)) < 0.25, START)
    require(not same(curves["train_loss"], curves["validation_loss"]), SAME_CURVES)
    guesses = run["guesses"]
    fits = isinstance(guesses, str) and len(guesses) == TEXTS and set(guesses) <= {"0", "1"}
    require(fits, GUESSES)
    right = np.mean(np.array([int(guess) for guess in guesses]) == validation_labels())
    accuracy = curves["validation_accuracy"]
    require(bool(((accuracy >= 0) & (accuracy <= 1)).all()), PERCENT)
    require(abs(accuracy[-1] - right) < 1e-3, DISAGREE)
    return curves


# -- parts -----------------------------------------------------------------------------------------


def drawn(*sizes: int) -> list[dict[str, Any]]:
    """Batches for the public checks: always the same."""
    return batches_of(np.random.default_rng(0), sizes)


@ITEM.part("P2.1", "A random twin", 2, ["random_twin"])
def twin(student: Student) -> None:
    """Check a small encoder."""
    check_twin(student, 0, 2, 16)


@ITEM.part("P2.2", "Loss and accuracy", 3, ["evaluate"])
def evaluation(student: Student) -> None:
    """Check three batches, the last one small."""
    check_evaluate(student, 1, drawn(8, 8, 3))


@ITEM.part("P2.3", "One training step", 3, ["train_step"])
def training(student: Student) -> None:
    """Check three steps."""
    check_step(student, 2, drawn(4, 4, 4), 0.2)


@ITEM.part("P2.4", "The learning rate", 2, ["learning_rate"])
def rate(student: Student) -> None:
    """Check twelve steps."""
    check_rate(student, 12, 4, 2e-4)


ITEM.part("P2.5", "What you measured", 3, ["recorded_P2"])(check_record)

ITEM.text(
    "P2.6",
    "What the curves say",
    3,
    "answer_P2",
    """1 point: reads the curves with numbers: where the pre-trained model starts to generalise,
    what the random one does meanwhile (training loss against validation loss), and names
    overfitting where the two part.
    1 point: explains the gap: same architecture, data, steps and optimiser, so what differs is what
    the weights knew; the labels are too few to learn words from.
    1 point: a limit: one seed, 200 validation texts (an interval of about seven points either way),
    the rate was chosen for one of the two, or the random model would need more data and steps.""",
)
