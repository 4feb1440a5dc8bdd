"""Judge the answers of one student to one item: public check, hidden check, points, feedback."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from course_tools.checkout import load_module
from course_tools.grading.cases import Hidden
from course_tools.grading.jail import NoJail
from course_tools.grading.notebook import Cell, Submission, definitions
from course_utils.grading import cases
from course_utils.grading.item import Case, Item, Part, Student, Wrong
from course_utils.grading.public import public_fault

ORDINARY = ""  # the group of most cases
FOLLOWS = "Tried with right answers for {}: a mistake costs one part only."
ELSEWHERE = "Right for the numbers that you can see, but not for others. "


@dataclass
class Mark:
    """What one part earned, and why; `log` is for the teaching staff only."""

    part: str
    title: str
    points: float
    earned: float | None = 0.0
    # right, partly right, wrong, missing, crashed, timed out, needs marking, grader error
    state: str = "wrong"
    feedback: str = ""
    log: str = ""
    reason: str = ""  # what the first case that failed said
    groups: dict[str, str] = field(default_factory=dict)  # of cases → the hint, where one failed

    @property
    def share(self) -> str:
        """In how many groups of cases it is right."""
        passed = sum(not hint for hint in self.groups.values())
        return f"Right in {passed} of {len(self.groups)} groups of cases."

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
    for mark, part in zip(marks, item.parts.values(), strict=True):
        student.settle()
        guarded(mark, partial(judge_public, mark, part, student))
    for index, (mark, part) in enumerate(zip(marks, item.parts.values(), strict=True)):
        guarded(mark, partial(judge_hidden, mark, part, student, hidden, (seed, index)))
    return marks


def judge_again(
    item: Item,
    hidden: Hidden,
    student: Student,
    seed: int,
    marks: list[Mark],
    right: Sequence[Cell],
) -> None:
    """Judge lost parts once more, with right answers to the parts that were lost before them.

    So a mistake costs one part, also where later answers call earlier ones. The cells `right` hold
    the reference solution; of it an answer never meets more than what was judged before. Nothing
    that it says now is shown.
    """
    lost: list[str] = []  # names of right answers that are lent, or to be
    due: list[str] = []
    for index, part in enumerate(item.parts.values()):
        mark = marks[index]
        if part.is_text or mark.state in ("right", "grader error"):
            continue
        if lost and mark.state != "missing":
            if due:
                student.lend(up_to(right, due), due)
                due = []
            again = Mark(part.name, part.title, part.points)
            student.settle()
            guarded(again, partial(judge_public, again, part, student))
            guarded(again, partial(judge_hidden, again, part, student, hidden, (seed, index)))
            if (again.earned or 0) > (mark.earned or 0):
                said = FOLLOWS.format(", ".join(f"`{name}`" for name in lost))
                again.feedback = said if again.state == "right" else f"{said} {again.share}"
                marks[index] = again
        if marks[index].state != "right":
            lost += part.names
            due += part.names


def reference(solutions: Path, item: Item) -> list[Cell]:
    """The cells of the reference solution that grading runs."""
    return Submission.read(solutions / f"{item.notebook}.ipynb").graded


def up_to(cells: Sequence[Cell], names: Iterable[str]) -> list[str]:
    """The cells up to the last one that defines one of these names."""
    last = max((n for n, cell in enumerate(cells) if definitions(cell) & set(names)), default=-1)
    return [str(cell) for cell in cells[: last + 1]]


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
    """Fill in the mark of one part as far as the cases tell that students can see."""
    if part.judge is None:
        fault = public_fault(part, student)
        mark.state, mark.earned = (fault.kind, 0.0) if fault else ("needs marking", None)
        mark.feedback = fault.hint if fault else "A person reads this answer."
        return
    try:
        student.need(*part.names)
    except Wrong as wrong:
        mark.state, mark.feedback = wrong.kind, wrong.hint
        return
    try_cases(mark, part, student, cases.public(part))


def judge_hidden(
    mark: Mark, part: Part, student: Student, hidden: Hidden, seed: tuple[int, int]
) -> None:
    """Try the hidden cases as well; what they tell is said without their numbers."""
    if mark.earned and part.name in hidden.draws:
        student.settle()
        try_cases(mark, part, student, hidden.cases(part.name, *seed), ELSEWHERE)


def try_cases(
    mark: Mark, part: Part, student: Student, some: Iterable[Case], before: str = ""
) -> None:
    """Try cases, and give the share of the groups in which all are right.

    Most cases of a part are ordinary ones; whoever fails in one of them gets nothing. Those with a
    "group" of their own, or a hint of their own for whatever goes wrong, are the odd ones.
    """
    assert part.judge
    for case in some:
        group = case.get("group", case.get("otherwise", ORDINARY))
        if mark.groups.setdefault(group, ""):
            continue
        try:
            part.judge(student, case)
        except Wrong as wrong:
            if not mark.reason:
                mark.state = wrong.kind
                mark.reason = f"{before}{wrong.hint} {'' if before else wrong.detail}".strip()
            mark.groups[group] = wrong.hint
            if group == ORDINARY:
                break
    passed = sum(not hint for hint in mark.groups.values())
    mark.earned = 0.0 if mark.groups.get(ORDINARY) else part.points * passed / len(mark.groups)
    mark.earned, mark.feedback = round(mark.earned, 2), mark.reason
    if passed == len(mark.groups):
        mark.state, mark.feedback = "right", "All points."
    elif mark.earned:
        mark.state = "partly right"
        mark.feedback = f"{mark.share} {mark.reason}"
