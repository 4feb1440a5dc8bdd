"""The public cases: what students' answers are tried on, with stored right and mistaken results.

`course exercises` writes one file an item below the folder `cases`; nothing here computes a truth.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from course_utils.grading.item import Case, Part
from course_utils.grading.plain import Made, revive

FOLDER = Path(__file__).with_name("cases")


def public(part: Part) -> list[Case]:
    """The cases of a part's public check; an empty one for a record that needs none."""
    found = stored(part.name.split(".")[0])
    return found.get(part.name, [{}]) if part.is_record else found[part.name]


@cache
def stored(item: str) -> dict[str, list[Case]]:
    """All public cases of an item by part; raises FileNotFoundError."""
    path = FOLDER / f"{item.lower()}.json"
    if not path.is_file():
        raise FileNotFoundError(f"{item} has no public cases: `course exercises` writes {path}")
    coded: dict[str, list[dict]] = json.loads(path.read_text("utf-8"))
    return {
        part: [{key: revive(code, Made) for key, code in case.items()} for case in cases]
        for part, cases in coded.items()
    }
