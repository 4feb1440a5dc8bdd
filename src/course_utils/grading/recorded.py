"""Records: what a student's own run measured, written down in the notebook as a dictionary.

Grading repeats no training. Of a record it can be checked that nothing is missing, that each
number can be what it is called, and that the numbers agree with each other.
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Sequence
from functools import cache
from typing import Any
from unittest.mock import patch

import numpy as np

from course_utils.grading.item import Student, Wrong, as_array, require, short

OTHER_RUN = "the record gives another accuracy than these labels have: copy both from one run."
PERCENT = "An accuracy is a share between 0 and 1, not a percentage."


def record(student: Student, name: str, keys: Sequence[str]) -> dict[str, Any]:
    """The dictionary `name`; raises Wrong when it is none, or lacks one of the keys."""
    found = student.value(name)
    if not isinstance(found, dict):
        raise Wrong(f"`{name}` is no dictionary: copy what the cell above printed.")
    if absent := [key for key in keys if key not in found]:
        raise Wrong(f"`{name}` lacks {', '.join(map(repr, absent))}: copy all of what was printed.")
    return found


def number(value: Any, what: str, low: float = 0.0, high: float = np.inf) -> float:
    """A finite number between `low` and `high`, both included."""
    array = as_array(value)
    fits = array is not None and array.dtype != bool and array.shape == ()
    require(fits, f"{what} is not a number.", short(value))
    found = float(array)  # type: ignore[arg-type]
    hint = f"{what} is to lie between {low:g} and {high:g}." if np.isfinite(high) else ""
    hint = hint or f"{what} is to be at least {low:g}."
    require(np.isfinite(found) and low <= found <= high, hint, f"It is {found:g}.")
    return found


def share(value: Any, what: str, count: int) -> float:
    """A share of `count` examples: between 0 and 1, and a whole number of them."""
    found = number(value, what)
    require(found <= 1, f"{what}: {PERCENT}", f"It is {found:g}.")
    hint = f"{what} is no share of that many examples: do not round it further than printed."
    require(abs(found * count - round(found * count)) <= count * 6e-4, hint, f"It is {found:g}.")
    return found


def numbers(value: Any, what: str, length: int | None = None) -> np.ndarray:
    """A list of finite numbers, of that length."""
    array = as_array(value)
    fits = array is not None and array.dtype != bool and np.ndim(array) == 1 and array.size
    require(bool(fits), f"{what} is not a list of numbers.", short(value))
    found = np.asarray(array, dtype=float)
    require(length in (None, len(found)), f"{what} is to hold {length} numbers.")
    require(bool(np.isfinite(found).all()), f"{what} holds a number that is not finite.")
    return found


@cache
def drawn_rows(name: str, split: str, count: int) -> dict[str, list]:
    """The examples that a record is about, as the notebook draws them on every machine."""
    from course_utils.data.sources import load_dataset

    quiet = contextlib.redirect_stdout(io.StringIO())
    with quiet, patch.dict(os.environ, {"COURSE_MODELS": "offline"}):
        return load_dataset(name)[split].shuffle(seed=0)[:count]


def guesses(value: Any, what: str, truth: Sequence[int], accuracy: float) -> list[int]:
    """Labels that a run gave, a digit a text; raises Wrong unless so many of them are right."""
    known = {str(label) for label in truth}
    fits = isinstance(value, str) and len(value) == len(truth) and set(value) <= known
    require(fits, f"{what} is a string with one digit, the label, for each of the texts.")
    found = [int(digit) for digit in value]
    right = np.mean([guess == label for guess, label in zip(found, truth, strict=True)])
    require(abs(float(right) - accuracy) < 1e-3, f"{what}: {OTHER_RUN}")
    return found
