"""The checkout that `course_tools` works in: where it is, and the scripts of its `tools/`."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]


def tool(name: str) -> ModuleType:
    """A script of `tools/` as a module. They run before anything is installed, in no package."""
    spec = spec_from_file_location(name, ROOT / f"tools/{name}.py")
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bootstrap = tool("bootstrap")
