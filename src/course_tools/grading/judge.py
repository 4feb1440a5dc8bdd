"""Judge the answers of one student to one item: public check, hidden check, points, feedback."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from course_tools.checkout import load_module
from course_tools.grading.cases import Hidden
from course_tools.grading.jail import NoJail
from course_utils.grading.item import Case, Item, Part, Student, Wrong
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
    hidden: Hidden = load_module(path, f"hidden_{item.name}").HIDDEN
    if bare := hidden.lacking():
        raise ValueError(f"{path.name} has no hidden check for {', '.join(bare)}")
    return hidden


def judge(item: Item, hidden: Hidden, student: Student, seed: int) -> list[Mark]:
    """Judge every part by itself: what one does leaves the others' marks alone.

    All public checks come first: what an answer says of them is shown to its author, and by then
    it has seen no hidden number that it could say.
    """
    marks = [Mark(part.name, part.title, part.points) for part in item.parts.values()]
    pairs = list(zip(marks, item.parts.values(), strict=True))
    for mark, part in pairs:
        student.settle()
        guarded(mark, partial(judge_public, mark, part, student))
    for index, (mark, part) in enumerate(pairs):
        if mark.state == "right" and part.name in hidden.draws:
            student.settle()
            draw = partial(hidden.cases, part.name, seed, index)
            guarded(mark, partial(judge_hidden, mark, part, student, draw))
    return marks


def guarded(mark: Mark, work: Callable[[], None]) -> None:
    """Do the work; an exception is a fault of ours, since the student's are all Wrong."""
    try:
        work()
    except NoJail:  # nothing can be judged: not this part, and no other
        raise
    except Exception:
        mark.state, mark.earned = "grader error", None
        mark.feedback = "The grader failed here, not you. The teaching staff will look at it."
        mark.log = traceback.format_exc()[-4000:]


def judge_public(mark: Mark, part: Part, student: Student) -> None:
    """Fill in the mark of one part as far as the public check tells."""
    if fault := public_fault(part, student):
        mark.state, mark.feedback = fault.kind, f"{fault.hint} {fault.detail}".strip()
    elif part.is_text:
        mark.state, mark.earned = "needs marking", None
        mark.feedback = "A person reads this answer."
    else:
        mark.state, mark.earned, mark.feedback = "right", part.points, "All points."


def judge_hidden(
    mark: Mark, part: Part, student: Student, draw: Callable[[], Iterable[Case]]
) -> None:
    """Take the points away unless the answer is right in the hidden cases, too."""
    assert part.judge
    try:
        for case in draw():
            part.judge(student, case)
    except Wrong as wrong:  # without its detail, which may hold hidden numbers
        mark.state, mark.earned = wrong.kind, 0.0
        mark.feedback = ELSEWHERE + wrong.hint
