"""P2: a pre-trained encoder fine-tuned on sentiment, against a random one of the same size."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import (
    Case,
    Item,
    Student,
    Wrong,
    array,
    called,
    compare,
    compare_pieces,
    require,
    same,
)
from course_utils.grading.plain import made
from course_utils.grading.recorded import PERCENT, drawn_rows, guesses, numbers, record

ITEM = Item("P2", "Fine-tuning against a random start", "P2_finetuning_against_random")

TWIN_SAME = "The weights are those of the model you were given: a copy is no random twin."
TWIN_SIZE = "The twin has another number of parameters: build it from the model's own `config`."
TWIN_SHAPE = "A matrix of the twin has another shape: build it from the model's own `config`."
TWIN_SHUFFLED = "Your weights are as large as the trained ones: shuffled or perturbed, not fresh."
TWIN_LARGE = "Fresh weights are small (about 0.02): build the twin from the model's own `config`."
TWIN_ZERO = "All weights are equal: such units can never become different from each other."
TWIN_NORM = "Fresh norms are 1 and biases 0: build the twin from the model's own `config`."
TWIN_CHANGED = "Your function changes the model that it was given; make a new one."
TWIN_KIND = "`random_twin` gives no model of the same class, or nothing at all."
ORDER = "The order is (loss, accuracy): yours is the other way round."

TEXTS = 200  # validation sentences that the record is about
CURVES = ("train_loss", "validation_loss", "validation_accuracy")
POINTS = "The curves of a run have as many points as `steps`, at least five."
STEPS = "`steps` begins at 0, before any training, and grows."
SAME_STEPS = "Both runs are measured at the same steps."
START = "Before training a classifier of two labels guesses: its loss is near ln 2."
SAME_CURVES = "Training and validation loss are the same numbers: measure on different texts."
FLAT = "The training loss of the pre-trained model does not fall: did it train?"
SWAPPED = "The random model is the better one: are the two swapped?"
WEAK = "The pre-trained model is hardly better than guessing: check parts 1 to 4, train again."


@ITEM.part("P2.1", "A random twin", 2, ["random_twin"])
def check_twin(student: Student, case: Case) -> None:
    """Look at what a fresh model of the same configuration must be."""
    sizes = case["seed"], 0.0, case["layers"], case["hidden"]
    given = made("course_utils.grading.tiny:same", secrets.token_hex(8), "bert", *sizes)
    twin = student.keep("random_twin", given)

    def ask(thing: Any, name: str, *args: Any) -> Any:
        try:
            return student.call(name, thing, *args)
        except Wrong as wrong:
            if wrong.kind != "wrong":
                raise
            raise Wrong(TWIN_KIND, wrong.detail) from wrong

    old = tiny.bert(*sizes)
    require(same(ask(twin, ".num_parameters"), old.num_parameters()), TWIN_SIZE)
    for name, parameter in old.named_parameters():
        before = parameter.detach().numpy()
        require(same(ask(given, ".get_parameter", name), before), TWIN_CHANGED)
        after = array(ask(twin, ".get_parameter", name), name)
        require(after.shape == before.shape, TWIN_SHAPE)
        if before.ndim < 2:  # a norm or a bias
            require(bool(np.abs(after - ("norm.weight" in name.lower())).max() < 0.05), TWIN_NORM)
            continue
        require(not same(after, before), TWIN_SAME)
        require(after.std() > 1e-4, TWIN_ZERO)
        require(after.std() < 2 * before.std(), TWIN_LARGE)
        require(after.std() < 0.1, TWIN_SHUFFLED)


@ITEM.part("P2.2", "Loss and accuracy", 3, ["evaluate"])
def check_evaluate(student: Student, case: Case) -> None:
    """Compare the mean over all texts, dropout off."""
    pair = array(called(student, "evaluate", case), "`evaluate`", (2,)).tolist()
    require(not same(pair, [piece["expected"] for piece in case["expected"]][::-1], 1e-4), ORDER)
    compare_pieces(pair, case["expected"], rtol=1e-4)


@ITEM.part("P2.3", "One training step", 3, ["train_step"])
def check_step(student: Student, case: Case) -> None:
    """Compare weights and losses after a step a batch, from a model in evaluation mode."""
    key = secrets.token_hex(8)  # the same model in all calls, and in no other check
    model = made("course_utils.grading.tiny:same", key, "resting", case["seed"])
    optimizer = made("course_utils.grading.tiny:sgd_of", key, "resting", case["seed"], case["rate"])
    losses = [student.call("train_step", model, optimizer, batch) for batch in case["batches"]]
    weights = [
        np.ravel(array(student.call(".get_parameter", model, name), name))
        for name in case["parameters"]
    ]
    after, returned = case["expected"]
    tell = {"what": after["what"], "rtol": 1e-3, "atol": 1e-5}
    compare(np.concatenate(weights), after["expected"], after["mistakes"], **tell)
    compare(losses, returned["expected"], returned["mistakes"], what=returned["what"], rtol=1e-3)


ITEM.calls("P2.4", "The learning rate", 2, "learning_rate", atol=1e-12)


@ITEM.part("P2.5", "What you measured", 3, ["recorded_P2"], is_record=True)
def check_record(student: Student, case: Case) -> None:
    """The record of both runs: complete, possible, in agreement with itself."""
    found = record(student, "recorded_P2", ["pretrained", "random"])
    truth = drawn_rows("films", "validation", TEXTS)["label"]
    runs = {name: check_run(found[name], name, truth) for name in ("pretrained", "random")}
    require(same(runs["pretrained"]["steps"], runs["random"]["steps"]), SAME_STEPS)
    ends = {name: run["validation_accuracy"][-1] for name, run in runs.items()}
    require(ends["pretrained"] > ends["random"], SWAPPED)
    require(ends["pretrained"] >= 0.6, WEAK)
    loss = runs["pretrained"]["train_loss"]
    require(loss[-1] < loss[0] - 0.05, FLAT)


def check_run(run: Any, name: str, truth: list[int]) -> dict[str, np.ndarray]:
    """One run of the record, with guesses of labels whose `truth` is known; returns its curves."""
    keys = ["steps", *CURVES, "guesses"]
    fits = isinstance(run, dict) and set(keys) <= run.keys()
    require(fits, f"The record of {name!r} is a dictionary with {', '.join(keys)}.")
    curves = {key: numbers(run[key], f"{key!r} of {name!r}") for key in keys[:-1]}
    steps = curves["steps"]
    require(len(steps) >= 5 and len({len(curve) for curve in curves.values()}) == 1, POINTS)
    require(steps[0] == 0 and bool((np.diff(steps) > 0).all()), STEPS)
    require(abs(curves["validation_loss"][0] - np.log(2)) < 0.25, START)
    require(not same(curves["train_loss"], curves["validation_loss"]), SAME_CURVES)
    accuracy = curves["validation_accuracy"]
    require(bool(((accuracy >= 0) & (accuracy <= 1)).all()), PERCENT)
    guesses(run["guesses"], f"'guesses' of {name!r}", truth, accuracy[-1])
    return curves


ITEM.text("P2.6", "What the curves say", 3, "answer_P2")
