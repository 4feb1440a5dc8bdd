"""What is loaded needs no package but those that pyproject.toml names, and what these require.

No import in our code tells of gguf: transformers imports it for us.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from course_tools.checkout import ROOT

LOAD = """
import json, sys
from importlib.machinery import PathFinder

absent = set(json.loads(sys.argv[1]))

class Declared(PathFinder):
    @staticmethod
    def find_spec(name, *rest):
        return None if name.split(".")[0] in absent else PathFinder.find_spec(name, *rest)

sys.meta_path[:] = [Declared if finder is PathFinder else finder for finder in sys.meta_path]
from course_utils.data import sources
models = [row for row in sources.rows() if row.kind == "pretrained"]
for name in {row.stand_in or row.shipped: row.name for row in models}.values():
    print(sources.load_pretrained(name).origin.name)
"""


def required(lines: list[str]) -> set[str]:
    """The packages of these lines, those that they require, and so on; extras are left out."""
    waiting, found = [Requirement(line) for line in lines], set()
    while waiting:
        need = waiting.pop()
        name = canonicalize_name(need.name)
        if name in found or (need.marker and not need.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        waiting += [Requirement(line) for line in metadata.requires(name) or ()]
    return found


@pytest.mark.slow
def test_models_load_with_the_declared_packages_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = required(project["dependencies"])
    assert "regex" in declared  # transformers requires it
    here = metadata.packages_distributions()
    absent = [
        module
        for module, packages in here.items()
        if not declared & {canonicalize_name(package) for package in packages}
        and module not in ("course_utils", "course_tools", *sys.stdlib_module_names)
    ]
    assert {"pytest", "nbformat"} <= set(absent)
    command = [sys.executable, "-c", LOAD, json.dumps(absent)]
    settings = {**os.environ, "COURSE_OFFLINE": "1"}
    done = subprocess.run(command, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "SmolLM2" in done.stdout or "smollm2" in done.stdout
