"""The proof that the graders grade: banks of wrong and right answers, marked as they deserve.

A bank is a file `tests/answers/item.py` with a list `BANK` of `wrong(…)` and `right(…)`. Each is
the reference solution with a cell added at its end, which defines some names anew.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from course_utils.grading.grade import Setup, run
from course_utils.grading.item import Hidden, Item, Notebook
from course_utils.grading.judge import Mark, judge
from course_utils.grading.notebook import Submission
from course_utils.grading.session import judged_names


@dataclass(frozen=True)
class Answer:
    """An answer whose worth is known: the parts that it loses, and words of their hints."""

    name: str
    source: str
    loses: dict[str, str] = field(default_factory=dict)


def wrong(name: str, source: str, loses: dict[str, str]) -> Answer:
    """A wrong answer: `loses` maps each part it must lose to words that the hint must hold."""
    if not loses or not all(loses.values()):
        raise ValueError(f"{name}: say which parts it loses, and what the hint says")
    return Answer(name, source, loses)


def right(name: str, source: str) -> Answer:
    """A right answer written differently: it must get every mark."""
    return Answer(name, source)


def load_bank(folder: Path, item: Item) -> list[Answer]:
    """Read the bank of an item; raises FileNotFoundError."""
    path = folder / f"{item.name.lower()}.py"
    if not path.is_file():
        raise FileNotFoundError(f"{item.name} has no bank of answers: {path} is missing")
    spec = importlib.util.spec_from_file_location(f"bank_{item.name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.BANK


def here(item: Item, hidden: Hidden, cells: list[str], seed: int = 0) -> list[Mark]:
    """Judge cells in this process: for our own answers only, never for a student's."""
    student = Notebook(judged_names())
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        patch("course_utils.grading.check", lambda name: 0.0),
    ):
        for number, cell in enumerate(cells):
            run = {"source": cell, "label": f"<cell {number}>"}
            student.session.handle({"do": "run", "with": run})
        return judge(item, hidden, student, seed)


def in_jail(item: Item, setup: Setup, cells: list[str]) -> list[Mark]:
    """Judge cells in a jail, as a submission is."""
    return [Mark(**mark) for mark in run(item, cells, setup)["marks"]]


def faults(answer: Answer, marks: list[Mark]) -> list[str]:
    """How the marks of an answer differ from what it deserves; none if they are right."""
    found = []
    for mark in marks:
        words = answer.loses.get(mark.part)
        lost = mark.state not in ("right", "needs marking")
        if lost and words is None:
            found.append(f"{mark.part} lost ({mark.state}: {mark.feedback} {mark.log})")
        if not lost and words is not None:
            found.append(f"{mark.part} passed")
        if lost and words and words not in mark.feedback:
            found.append(f"{mark.part}: the hint says {mark.feedback!r}")
    return found


def reference(solutions: Path, item: Item) -> list[str]:
    """The cells of the reference solution that grading runs."""
    return Submission.read(solutions / f"{item.notebook}.ipynb").graded
