"""P4: fine-tuning curves over model sizes."""

from __future__ import annotations

from typing import Any

import numpy as np

from course_utils.grading.item import Case, Item, Student, array, require
from course_utils.grading.recorded import number, numbers, record, share

ITEM = Item("P4", "Fine-tuning curves over model sizes", "P4_model_sizes")

ACCURACIES = "The accuracy is to be a list with one curve for each seed (two or more)."
GROWING = "The models are to stand from the smallest to the largest."
EXAMPLES = "The numbers of examples rise from point to point, and are the same for all curves."
MORE = "Two models of different size cannot have cost the same."

ITEM.calls("P4.1", "Counting parameters", 2, "model_size")
ITEM.calls("P4.2", "What a fine-tuning costs", 2, "finetuning_flops")
ITEM.calls("P4.3", "Warm-up and decay", 2, "warmup_rate", atol=1e-12)
ITEM.calls("P4.4", "Curves of several seeds", 2, "mean_and_sd")
ITEM.calls("P4.5", "How fast it converges", 3, "examples_to_reach", rtol=1e-6)
ITEM.calls("P4.6", "Which sizes are worth their price", 3, "frontier")
ITEM.calls("P4.7", "Is the difference real?", 2, "paired_difference")


@ITEM.part("P4.8", "What you measured", 2, ["recorded_P4"], is_record=True)
def check_record(student: Student, case: Case) -> None:
    """The record of two or more sizes: complete, possible, and in order."""
    found = record(student, "recorded_P4", ["models", "test_texts"])
    count = int(number(found["test_texts"], "'test_texts'", 50))
    models = found["models"]
    require(isinstance(models, list) and len(models) >= 2, "'models' lists two sizes or more.")
    sizes, costs = [], []
    for row in models:
        keys = ("name", "parameters", "flops", "seconds", "examples", "accuracy")
        fits = isinstance(row, dict) and set(keys) <= set(row)
        require(fits, f"Each model needs {', '.join(keys)}.")
        sizes.append(number(row["parameters"], "'parameters'", 1e4))
        costs.append(number(row["flops"], "'flops'", 1.0))
        number(row["seconds"], "'seconds'", 1e-3)
        examples = numbers(row["examples"], "'examples'")
        require(bool((np.diff(examples) > 0).all()), EXAMPLES)
        check_curves(row["accuracy"], len(examples), count)
    require(sizes == sorted(sizes), GROWING)
    require(len(set(costs)) == len(costs), MORE)


def check_curves(curves: Any, points: int, count: int) -> None:
    """One curve a seed, as many points as examples."""
    require(isinstance(curves, (list, np.ndarray)) and np.size(curves) > 0, ACCURACIES)
    table = array(curves, "'accuracy'")
    require(table.ndim == 2 and len(table) >= 2, ACCURACIES)
    require(table.shape[1] == points, EXAMPLES)
    for value in table.ravel():
        share(value, "An accuracy", count)


ITEM.text("P4.9", "What size buys", 3, "answer_P4")
