"""Both packages stay small enough to be read. Lower a bound with every simplification."""

from __future__ import annotations

from collections import Counter

import pytest
from project_copy import ROOM, ROOT

from course_tools import house

MOST = {"course_utils": 12_950, "course": 24_815}  # lines; 8,000 and 16,000 are the aims


@pytest.mark.parametrize("packages", MOST)
def test_the_packages_do_not_grow(packages):
    paths = [path for name, path in house.modules().items() if name.startswith(packages)]
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in paths)
    assert len(paths) > 40 and lines <= MOST[packages] + ROOM


def test_the_drawing_shows_every_room():
    drawn = house.drawing().splitlines()
    assert len(drawn) > 35 and drawn[1].startswith("  cli ") and "→ bench, book," in drawn[1]
    for name in ("models", "objectives", "training", "data"):
        assert sum(line.startswith(f"  {name} ") for line in drawn) == 1


def test_two_files_of_tests_never_have_one_name():
    """Python keeps modules by name: a second `test_training.py` cannot be collected."""
    names = Counter(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(names) > 60 and not [name for name, count in names.items() if count > 1]
