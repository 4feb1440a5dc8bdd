"""Cases with their truth: built by the references, stored for students, drawn for grading."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from course_utils.grading import cases as stored_cases
from course_utils.grading.item import Case, Item, same
from course_utils.grading.plain import decode, encode

Draw = Callable[[np.random.Generator], Iterable[Case]]


class Hidden:
    """The hidden cases of an item, drawn when it is graded; lives in the instructors' folder."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.draws: dict[str, Draw] = {}
        self.last: dict[str, tuple[tuple[int, ...], list[Case]]] = {}

    def part(self, name: str) -> Callable[[Draw], Draw]:
        """Decorate the function of a random generator that gives the cases of that part."""
        part = self.item.parts[name]
        if part.is_text or part.is_record:
            raise ValueError(f"{name} is {'marked by a person' if part.is_text else 'a record'}")

        def add(draw: Draw) -> Draw:
            self.draws[name] = draw
            return draw

        return add

    def cases(self, part: str, *seed: int) -> list[Case]:
        """The cases that a seed gives; the last ones are kept, for a bank asks for them again."""
        known, cases = self.last.get(part, ((), []))
        if known != seed:
            cases = list(self.draws[part](np.random.default_rng(seed)))
            self.last[part] = seed, cases
        return cases

    def lacking(self) -> list[str]:
        """The parts that need hidden cases and have none."""
        parts = self.item.parts.values()
        return [p.name for p in parts if not (p.is_text or p.is_record or p.name in self.draws)]


def case(
    *args: Any, expected: Any, mistakes: Iterable[tuple[str, Any]] = (), **more: Any
) -> dict[str, Any]:
    """A case of a call: its arguments, what is right, and what each mistake gives.

    Args:
        args: what the function is called with: plain values, tensors, `made(…)`.
        expected: what it is to return.
        mistakes: pairs of a hint and a value; one that gives the right value tells nothing.
        more: what else the judging function reads.
    """
    return {"args": list(args), **piece("", expected, mistakes), **more}


def piece(what: str, expected: Any, mistakes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """One of several values that a function returns together; `what` names it in hints."""
    telling = [[hint, value] for hint, value in mistakes if not same(value, expected, 1e-9, 1e-12)]
    return {**({"what": what} if what else {}), "expected": expected, "mistakes": telling}


def public(item: Item) -> dict[str, list[Case]]:
    """The public cases of an item as its reference makes them now."""
    reference = importlib.import_module(f"course_tools.grading.references.{item.name.lower()}")
    made: dict[str, list[Case]] = reference.public()
    wanted = {p.name for p in item.parts.values() if not (p.is_text or p.is_record)}
    if not wanted <= made.keys() <= item.parts.keys():
        raise ValueError(f"{item.name} needs public cases of {', '.join(sorted(wanted))}")
    return made


def text_of(cases: dict[str, list[Case]]) -> str:
    """The file that holds public cases: JSON, a line a case."""
    parts = []
    for name, some in cases.items():
        lines = [
            json.dumps({key: encode(value) for key, value in one.items()}, ensure_ascii=False)
            for one in some
        ]
        parts.append(f"{json.dumps(name)}: [\n" + ",\n".join(lines) + "\n]")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def write_public(item: Item, folder: Path = stored_cases.FOLDER) -> Path | None:
    """Write the public cases of an item; returns the file, or None if it says the same already.

    Another machine may differ in the last digits of a number: that is the same.
    """
    path, text = folder / f"{item.name.lower()}.json", text_of(public(item))
    if path.is_file() and agree(json.loads(path.read_text("utf-8")), json.loads(text)):
        return None
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def agree(old: Any, new: Any) -> bool:
    """Whether two codes hold the same values but for rounding."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        if "array" in old:
            same_kind = old["array"] == new["array"] and old.get("torch") == new.get("torch")
            return same_kind and same(decode(old), decode(new), 1e-4, 1e-6)
        return all(agree(old[key], new[key]) for key in old)
    if isinstance(old, list) and isinstance(new, list):
        pairs: Iterator = zip(old, new, strict=False)
        return len(old) == len(new) and all(agree(a, b) for a, b in pairs)
    if isinstance(old, float) or isinstance(new, float):
        return type(old) is type(new) and bool(np.isclose(old, new, 1e-6, 1e-9, equal_nan=True))
    return type(old) is type(new) and old == new
