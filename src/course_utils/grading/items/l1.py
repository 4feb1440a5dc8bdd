"""L1: BERT and GPT as frozen feature extractors."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils.grading.item import (
    Case,
    Item,
    Student,
    Wrong,
    array,
    called,
    compare,
    require,
    same,
)
from course_utils.grading.recorded import drawn_rows, guesses, number, record, share

ITEM = Item("L1", "Frozen features", "L1_frozen_features")

HOWS = ("first", "mean", "last")
DROPOUT = "Two calls differ: dropout is on. Put the model into evaluation mode."
STACKED = "`layer_states` gives one tensor: stack the states of the layers."
GRADIENT = "The states still carry a gradient: compute them under `torch.no_grad()`."
BY_NAME = "Name the arguments (`attention_mask=…`): their order is not the same in all models."

WEAK = "It misses easy labels that a probe finds: standardise training and test features alike."
OWN = "The answer for a text depends on the other test texts: scale by the *training* features."
BENT = "It tells apart what no straight line divides: use a linear classifier."
INDEX = "Those are numbers of classes, 0, 1, …; asked for are the labels as they were given."
SCORES = "Return one label a test text, not probabilities or an accuracy."

KEYS = [f"{model} {how}" for model in ("bert", "gpt") for how in HOWS]
CHANCE = "None is better than always answering the most frequent class: is the probe at work?"
SMALL = 500  # test questions where the record is compared with their true labels
LABELS = "'guesses' holds for each probe the labels that it gave: copy all of what was printed."
IMPOSSIBLE = "No probe gives the labels of 'gpt first': run the cell again, and copy its line."
EQUAL = "All are equal; different features cannot all give the same accuracy."


@ITEM.part("L1.1", "All layers of a frozen model", 2, ["layer_states"])
def check_states(student: Student, case: Case) -> None:
    """Compare states at the real tokens of a tiny model that was left in training mode."""
    try:
        found = called(student, "layer_states", case)
        got = array(found, "`layer_states`")
    except Wrong as wrong:
        require("AttributeError" not in wrong.hint, BY_NAME, wrong.detail)
        raise
    shape, states = case["expected"]
    compare(list(got.shape), shape["expected"], shape["mistakes"], what=shape["what"])
    require(isinstance(found, np.ndarray), STACKED)
    again = array(student.call("layer_states", *case["args"]), "`layer_states`", got.shape)
    real = case["args"][2].numpy().astype(bool)
    require(same(got := got[:, real], again[:, real]), DROPOUT)
    tell = {"what": states["what"], "rtol": 1e-4, "atol": 1e-5}
    compare(got, states["expected"], states["mistakes"], **tell)
    kept = student.keep("layer_states", *case["args"])
    require(works(student, ".__array__", kept) or not works(student, ".detach", kept), GRADIENT)


def works(student: Student, method: str, kept: Any) -> bool:
    """Whether a method of a kept object runs; `__array__` of a tensor with a gradient does not."""
    try:
        student.call(method, kept)
    except Wrong:
        return False
    return True


NEAR = {"rtol": 1e-4, "atol": 1e-5}  # vectors come in single precision, as a model's
ITEM.calls("L1.2", "One vector a text", 3, "text_vectors", **NEAR)
ITEM.calls("L1.3", "How narrow the cone is", 2, "mean_cosine", **NEAR)
ITEM.calls("L1.4", "How alike two spaces are", 3, "linear_cka", **NEAR)
ITEM.calls("L1.5", "Where attention goes", 2, "where_it_looks", **NEAR)


@ITEM.part("L1.6", "A probe", 3, ["probe"])
def check_probe(student: Student, case: Case) -> None:
    """Count the right labels of easy test texts, answered together and in three groups.

    Of two classes that lie crosswise, a linear classifier finds about half.
    """
    x, y, new = case["args"]
    truth, classes = case["labels"], case["classes"]
    got = array(called(student, "probe", case), "`probe`")
    require(got.shape == truth.shape, SCORES)
    if case["crosswise"]:
        require(float((got == truth).mean()) < 0.8, BENT)
        return
    require(not same(got, classes) or same(truth, classes), INDEX)
    require(float((got == truth).mean()) >= 0.9, WEAK)
    for group in np.split(np.arange(len(new)), 3):
        require(same(student.call("probe", x, y, new[group]), got[group]), OWN)


@ITEM.part("L1.7", "What you measured", 2, ["recorded_L1"], is_record=True)
def check_record(student: Student, case: Case) -> None:
    """The record of the probes: complete, possible, and not all the same."""
    found = record(student, "recorded_L1", [*KEYS, "majority", "test_texts", "guesses"])
    count = int(number(found["test_texts"], "'test_texts'", 50))
    values = [share(found[key], repr(key), count) for key in KEYS]
    majority = share(found["majority"], "'majority'", count)
    require(max(values) > majority, CHANCE)
    require(len(set(values)) > 1, EQUAL)
    labels, tested = found["guesses"], drawn_rows("questions", "test", SMALL)
    require(isinstance(labels, dict) and set(KEYS) <= set(labels), LABELS)
    if count != SMALL:  # those of full size are other questions
        return
    pairs = list(zip(KEYS, values, strict=True))
    given = {k: guesses(labels[k], f"{k!r} of 'guesses'", tested["label"], v) for k, v in pairs}
    require(odd_ones(given["gpt first"], tested["text"]) < 0.02 * count, IMPOSSIBLE)


def odd_ones(labels: list[int], texts: list[str]) -> int:
    """How many labels differ from what most texts with the same first piece are given.

    A vector that has read nothing but the first piece gives all of them the same.
    """
    from course_utils.data.tokenizers import load_tokenizer

    ids = load_tokenizer("course")(texts, add_special_tokens=False)["input_ids"]
    groups: dict[int, list[int]] = {}
    for row, label in zip(ids, labels, strict=True):
        groups.setdefault(row[0], []).append(label)
    return sum(len(group) - max(map(group.count, group)) for group in groups.values())


ITEM.text("L1.8", "What the spaces hold", 3, "answer_L1")
