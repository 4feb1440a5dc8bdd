"""`check("T1.1")`: the public check of a part, in the student's own notebook."""

from __future__ import annotations

import sys
from typing import Any

from course_utils.grading import cases
from course_utils.grading.item import Item, Notebook, Part, Student, Wrong
from course_utils.grading.items import all_items


def check(name: str) -> float:
    """Check a part ("T1.1") or a whole item ("T1"); prints pass or a hint, returns the points.

    Never raises, whatever the answer does. Answers are found by name in the notebook that calls.
    """
    try:
        return look(str(name), Notebook(sys._getframe(1).f_globals))
    except Exception as error:  # a student must not be stopped by a fault of ours
        print(f"{name}: the check itself failed ({type(error).__name__}: {error}). Please report.")
        return 0.0


def look(name: str, student: Student) -> float:
    """Check what `name` names, and print; returns the points earned."""
    parts = find(name)
    if not parts:
        print(f"There is no {name!r}. There are: {', '.join(all_items())}, and parts like T1.1.")
        return 0.0
    earned = 0.0
    for part in parts:
        fault = public_fault(part, student)
        earned += 0.0 if fault or part.is_text else part.points
        print(line(part, fault))
    if len(parts) > 1:
        print(f"{name}: {earned:g} of {sum(part.points for part in parts):g} points so far.")
    return earned


def find(name: str) -> list[Part]:
    """The parts that a name stands for; none if it stands for nothing."""
    item: Item | None = all_items().get(name.split(".")[0])
    if item is None:
        return []
    return list(item.parts.values()) if name == item.name else [
        part for part in item.parts.values() if part.name == name
    ]  # fmt: skip


def public_fault(part: Part, student: Student) -> Wrong | None:
    """Run the public check of a part; returns what is wrong, or None."""
    try:
        student.need(*part.names)
        if part.judge:
            for case in cases.public(part):
                part.judge(student, case)
        elif not written(student.value(part.names[0])):
            return Wrong(f"`{part.names[0]}` is empty.", kind="missing")
    except Wrong as wrong:
        return wrong
    return None


def written(text: Any) -> bool:
    """Whether a free-text answer says anything."""
    return isinstance(text, str) and any(character.isalnum() for character in text)


def line(part: Part, fault: Wrong | None) -> str:
    """What `check` prints for a part."""
    head = f"{part.name} {part.title}"
    unit = "point" if part.points == 1 else "points"
    if fault is None and part.is_text:
        return f"✎ {head}: written. A person marks it ({part.points:g} {unit})."
    if fault is None:
        return f"✓ {head}: {part.points:g} of {part.points:g} {unit}."
    detail = f"\n  {fault.detail}" if fault.detail else ""
    return f"✗ {head}: 0 of {part.points:g} {unit}.\n  Hint: {fault.hint}{detail}"
