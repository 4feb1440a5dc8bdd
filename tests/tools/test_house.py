"""Both packages stay small enough to be read. Lower a bound with every simplification."""

from __future__ import annotations

import pytest

from course_tools import house

MOST = {"course_utils": 13_100, "course_tools": 6_000}  # lines; 8,000 of each is the aim


@pytest.mark.parametrize("package", MOST)
def test_a_package_does_not_grow(package):
    paths = [path for name, path in house.modules().items() if f"{name}.".startswith(f"{package}.")]
    lines = sum(len(path.read_text("utf-8").splitlines()) for path in paths)
    assert len(paths) > 40 and lines <= MOST[package]


def test_the_drawing_shows_every_room():
    drawn = house.drawing().splitlines()
    assert len(drawn) > 35 and drawn[1].startswith("  cli ") and "→ bench, book," in drawn[1]
    for name in ("models", "objectives", "training", "data"):
        assert sum(line.startswith(f"  {name} ") for line in drawn) == 1
