"""The checkout that `course_tools` works in: where it is, its settings, its pages, its scripts."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLACEHOLDER = "https://github.com/OWNER/REPOSITORY"


def config(root: Path = ROOT) -> dict:
    """The book's settings, `_config.yml`."""
    return yaml.safe_load((root / "_config.yml").read_text("utf-8"))


def repository(root: Path = ROOT) -> dict[str, str]:
    """URL and branch of the repository: the one place is `repository:` in `_config.yml`."""
    return config(root)["repository"]


def pages(root: Path = ROOT) -> list[str]:
    """Every page of the table of contents, as a path without suffix, in reading order."""
    contents = yaml.safe_load((root / "_toc.yml").read_text("utf-8"))

    def files(node: object) -> Iterator[str]:
        if isinstance(node, dict):
            yield from (node[key] for key in ("root", "file") if key in node)
            for value in node.values():
                yield from files(value)
        elif isinstance(node, list):
            for value in node:
                yield from files(value)

    return list(files(contents))


def load_module(path: Path, name: str) -> ModuleType:
    """Run a Python file that belongs to no package, and return it as a module."""
    spec = spec_from_file_location(name, path)
    assert spec and spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# runs before anything is installed, so it is in no package
bootstrap = load_module(ROOT / "tools/bootstrap.py", "bootstrap")
