"""Imports go down only: the house has layers, and nothing below knows what stands above."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter

import pytest

from course_tools import house

# The lowest first. A module belongs to the longest name that it begins with, and imports from its
# own room, or from rooms that stand before it. A new room gets a line here.
LAYERS = (
    "course_utils.checks",
    "course_utils.attention_masks",
    "course_utils.writing",
    "course_utils.show",
    "course_utils.cost",
    "course_utils.evaluation",
    "course_utils.versions",
    "course_utils.data.batches",  # rows of ids: knows no source
    "course_utils.models",
    "course_utils.objectives",
    "course_utils.speed",
    "course_utils.data",  # sources, hub, cache, tokenizers
    "course_utils.scale",
    "course_utils.records",
    "course_utils.comparison",
    "course_utils.counting",
    "course_utils.figures",
    "course_utils.stacks",
    "course_utils.overview",
    "course_utils.widgets",
    "course_utils.code_length",
    "course_utils.sentence_scores",
    "course_utils.training",
    "course_utils.recipes",
    "course_utils.pretrain",
    "course_utils.minis",
    "course_utils.prompting",
    "course_utils.grading",
    "course_utils.cli",
    "course_utils.__main__",
    "course_tools.checkout",
    "course_tools.shared",
    "course_tools.offline",
    "course_tools.house",
    "course_tools.bench",
    "course_tools.full_size",
    "course_tools.gpu",
    "course_tools.experiments",
    "course_tools.grading",
    "course_tools.doctor",  # it starts a jail
    "course_tools.web",
    "course_tools.book",
    "course_tools.release",
    "course_tools.cli",
)
APART = [("course_utils.objectives", "course_utils.models"), ("course_utils", "course_tools")]
PACKAGES = {"course_utils", "course_tools"}
GRAPH = {name: others - PACKAGES for name, others in house.imports().items()}


def layer(module: str) -> str:
    """The room of a module."""
    rooms = [room for room in LAYERS if f"{module}.".startswith(f"{room}.")]
    assert rooms, f"{module} is in no layer: say in LAYERS where it stands"
    return max(rooms, key=len)


def test_imports_go_down_only():
    height = {room: number for number, room in enumerate(LAYERS)}
    pairs = [(name, other) for name, others in GRAPH.items() for other in others if "." in name]
    up = [pair for pair in pairs if height[layer(pair[1])] > height[layer(pair[0])]]
    assert len(pairs) > 200 and not up


@pytest.mark.parametrize(("room", "other"), APART)
def test_these_do_not_know_each_other(room, other):
    inside = [name for name in GRAPH if name.startswith(f"{room}.")]
    assert len(inside) > 5
    assert not [(name, o) for name in inside for o in GRAPH[name] if o.startswith(f"{other}.")]


def test_every_layer_is_there():
    assert set(LAYERS) == {layer(name) for name in GRAPH if "." in name}


def circle(graph: house.Graph) -> list[str]:
    """Modules that import each other in a round; none if there is no such round."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def test_no_circle_not_even_among_imports_in_functions():
    assert circle(GRAPH) == []


def test_what_counts_as_an_import(tmp_path):
    room = tmp_path / "course_utils/room"
    room.mkdir(parents=True)
    (tmp_path / "course_utils/__init__.py").touch()
    (room / "__init__.py").write_text("from .a import x\n")
    (room / "a.py").write_text("def f():\n    from course_utils import b\n")
    (tmp_path / "course_utils/b.py").write_text("import os\nimport course_utils.room.a\n")
    graph = house.imports(tmp_path)
    assert graph["course_utils.room"] == {"course_utils.room.a"}
    assert graph["course_utils.room.a"] == {"course_utils.b"}
    assert graph["course_utils.b"] == {"course_utils.room.a"}
    assert set(circle(graph)) == {"course_utils.b", "course_utils.room.a"}
    drawn = house.drawing(tmp_path).splitlines()
    assert "  room                 3 → b" in drawn and "  b                    2 → room" in drawn
