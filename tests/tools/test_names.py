"""Same word, same thing: no two public functions of a package share a name by accident."""

from __future__ import annotations

import ast
from collections import defaultdict

import pytest

from course_tools import house

# What every module of a kind must have, under one name.
INTERFACES = {
    "course_utils": {"corrupt", "loss", "settings", "main"},  # objectives; programs
    "course_tools": {"trials", "measure", "summarise", "verdict"},  # experiments
}
# Two meanings that are still there. A name leaves this list and does not come back.
LEFT: dict[str, set[str]] = {
    "course_utils": {
        "Corpus", "check", "describe", "difference", "encode", "load", "require", "same", "say",
        "split", "written",
    },
    "course_tools": set(),
}  # fmt: skip
# each file of these grades one exercise, and is read by itself
ITEMS = ("course_utils.grading.items.", "course_tools.grading.references.")


def public(tree: ast.Module) -> set[str]:
    """Functions and classes that others may use. A command has the name of its verb."""
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    commands = {n.name for n in found for d in n.decorator_list if ".command(" in ast.unparse(d)}
    return {node.name for node in found if not node.name.startswith("_")} - commands


def shared_names(package: str) -> dict[str, list[str]]:
    """Names that several modules define, with the modules."""
    found = defaultdict(list)
    for module, path in house.modules().items():
        if module.startswith(f"{package}.") and not module.startswith(ITEMS):
            for name in public(ast.parse(path.read_text("utf-8"))):
                found[name].append(module)
    return {name: places for name, places in found.items() if len(places) > 1}


@pytest.mark.parametrize("package", INTERFACES)
def test_a_name_means_one_thing(package):
    allowed = INTERFACES[package] | LEFT[package]
    assert {n: p for n, p in shared_names(package).items() if n not in allowed} == {}


def test_what_is_public():
    text = "@app.command()\ndef a(): pass\ndef b():\n    def c(): pass\nclass D: pass\n"
    assert public(ast.parse(text + "def _e(): pass\n")) == {"b", "D"}
