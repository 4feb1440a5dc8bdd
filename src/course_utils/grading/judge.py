"""Judge the answers of one student to one item: public check, hidden check, points, feedback."""

from __future__ import annotations

import importlib.util
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from course_utils.grading.item import Hidden, Item, Part, Student, Wrong
from course_utils.grading.public import public_fault

ELSEWHERE = "Right for the numbers that you can see, but not for others. "


@dataclass
class Mark:
    """What one part earned, and why; `log` is for the teaching staff only."""

    part: str
    title: str
    points: float
    earned: float | None = 0.0
    state: str = "wrong"  # right, wrong, missing, crashed, timed out, needs marking, grader error
    feedback: str = ""
    log: str = ""

    def plain(self) -> dict:
        """As a dictionary, to be written as JSON."""
        return asdict(self)


def load_hidden(folder: Path, item: Item) -> Hidden:
    """Import the hidden checks of an item from the instructors' folder.

    Raises FileNotFoundError without the file, ValueError when a part has no hidden check.
    """
    path = folder / f"{item.name.lower()}.py"
    if not path.is_file():
        raise FileNotFoundError(f"{item.name} has no hidden checks: {path} is missing")
    spec = importlib.util.spec_from_file_location(f"hidden_{item.name}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    hidden: Hidden = module.HIDDEN
    if bare := [
        p.name for p in item.parts.values() if not p.is_text and p.name not in hidden.checks
    ]:
        raise ValueError(f"{path.name} has no hidden check for {', '.join(bare)}")
    return hidden


def judge(item: Item, hidden: Hidden, student: Student, seed: int) -> list[Mark]:
    """Judge every part by itself: what one does leaves the others' marks alone."""
    marks = []
    for index, part in enumerate(item.parts.values()):
        rng = np.random.default_rng([seed, index])
        mark = Mark(part.name, part.title, part.points)
        try:
            judge_part(mark, part, hidden.checks.get(part.name), student, rng)
        except Exception:  # ours: the student's faults are all Wrong
            mark.state, mark.earned = "grader error", None
            mark.feedback = "The grader failed here, not you. The teaching staff will look at it."
            mark.log = traceback.format_exc()[-4000:]
        marks.append(mark)
    return marks


def judge_part(
    mark: Mark, part: Part, hidden: Callable | None, student: Student, rng: np.random.Generator
) -> None:
    """Fill in the mark of one part: all its points, or none."""
    if fault := public_fault(part, student):
        mark.state, mark.feedback = fault.kind, f"{fault.hint} {fault.detail}".strip()
        return
    if part.is_text:
        mark.state, mark.earned = "needs marking", None
        mark.feedback = "A person reads this answer."
        return
    try:
        assert hidden is not None
        hidden(student, rng)
    except Wrong as wrong:  # without its detail, which may hold hidden numbers
        mark.state, mark.feedback = wrong.kind, ELSEWHERE + wrong.hint
        return
    mark.state, mark.earned, mark.feedback = "right", part.points, "All points."
