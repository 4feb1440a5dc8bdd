"""The proof that the graders grade: banks of wrong and right answers, marked as they deserve.

A bank is a file of `tests/grading/answers/` with a list `BANK` of `wrong(…)` and `right(…)`. Each
is the reference solution with a cell added at its end, which defines some names anew.

Whoever writes a bank knows the checks. So there are blind answers, too: wrong ones by somebody who
had seen the students' notebook only, each with what its hint is worth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from course_tools.checkout import load_module
from course_tools.grading.judge import Mark
from course_utils.grading.item import Item


@dataclass(frozen=True)
class Answer:
    """An answer whose worth is known: the parts that it loses, and words of their hints.

    A hint is "right" if it names the mistake, "generic" if it says only where or what differs.
    """

    name: str
    source: str
    loses: dict[str, str] = field(default_factory=dict)
    hint: str = "right"


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


def load_blind(folder: Path, item: Item) -> list[Answer]:
    """Read the blind answers to an item; none without a file."""
    path = folder / f"{item.name.lower()}.yml"
    rows = yaml.safe_load(path.read_text("utf-8")) if path.is_file() else []
    return [
        Answer(row["wrong"], row["code"], {row["part"]: row["words"]}, row["hint"]) for row in rows
    ]


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
