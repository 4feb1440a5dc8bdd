"""The modules of the data room import downwards only, lazy imports included."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

from course_utils.data import cache

FOLDER = Path(cache.__file__).parent


def imported(path: Path) -> set[str]:
    """Names of the modules of this room that a module imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "") == "course_utils.data":
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            here = node.level or node.module.startswith("course_utils.data.")
            found |= {node.module.rpartition(".")[2]} if here else set()
    return found


def test_there_is_no_circle():
    order = [*TopologicalSorter({p.stem: imported(p) for p in FOLDER.glob("*.py")}).static_order()]
    places = [order.index(name) for name in ("cache", "tokenizers", "readers", "hub", "sources")]
    assert places == sorted(places)
