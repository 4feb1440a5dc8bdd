"""The proof that the graders grade: banks of wrong and right answers, marked as they deserve.

A bank is a file of `tests/grading/answers/` with a list `BANK` of `wrong(…)` and `right(…)`. Each
is the reference solution with a cell added at its end, which defines some names anew.
"""

from __future__ import annotations

import contextlib
import io
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from course_tools.checkout import load_module
from course_tools.grading.cases import Hidden
from course_tools.grading.grade import Setup
from course_tools.grading.jail import Jail
from course_tools.grading.jailed import START, Jailed, numbered
from course_tools.grading.judge import Mark, judge, judge_again, load_hidden, reference
from course_tools.grading.notebook import Cell
from course_utils.grading.item import Item, Notebook


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
    return load_module(path, f"bank_{item.name}").BANK


def here(
    item: Item, hidden: Hidden, cells: list[str], seed: int = 0, right: Sequence[Cell] = ()
) -> list[Mark]:
    """Judge cells in this process: for our own answers only, never for a student's.

    Lost parts are judged again if there are the cells of a `right` solution.
    """
    student = Notebook({"__name__": "__main__"})
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        patch("course_utils.grading.check", lambda name: 0.0),
    ):
        for number, cell in enumerate(cells):
            run = {"source": cell, "label": f"<cell {number}>"}
            student.session.handle({"do": "run", "with": run})
        marks = judge(item, hidden, student, seed)
        judge_again(item, hidden, student, seed, marks, right)
        return marks


class Copies(Jailed):
    """A reference solution in the jail; each answer is added to a copy of its process.

    So libraries are imported, and the reference is run, once an item, not once an answer.
    """

    def __init__(self, jail: Jail, item: Item, setup: Setup) -> None:
        super().__init__(jail, reference(setup.solutions, item))
        self.item, self.solution = item, self.cells
        self.hidden = load_hidden(setup.solutions / "hidden", item)
        self.seed = secrets.randbits(64) if setup.seed is None else setup.seed

    def marks(self, *added: str) -> list[Mark]:
        """Judge the reference with cells added at its end; a copy judges, and ends."""
        if self.worker is None:  # at first, and when an answer took it along
            self.begin()
            judge(self.item, self.hidden, self, self.seed)  # imports what the checks need
        self.begin(*added)
        first = self.worker
        if first:
            self.request("copy", {}, START)
            for number in range(len(self.solution), len(self.cells)):
                self.run(number)
        marks = judge(self.item, self.hidden, self, self.seed)
        judge_again(self.item, self.hidden, self, self.seed, marks, self.solution)
        if self.worker and self.worker is first:
            self.request("end", {}, START)
        elif self.worker:  # started for this answer alone
            self.end()
        return marks

    def begin(self, *added: str) -> None:
        """Set clock, deaths and cells as they are when a submission begins."""
        self.cells = numbered([*self.solution, *added])
        self.restart_clock()


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
