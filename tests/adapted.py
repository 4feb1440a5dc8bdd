"""What *Adapt the course* says, done word by word in a copy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
from project_copy import course

from course_tools.checkout import ROOT

BLOCK = re.compile(
    r"^( *)```\{code-block\} \w+\n *:caption: ([^\n]+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL
)
COMMANDS = re.compile(r"^( *)```bash\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SECTIONS = ("a section", "an exercise", "a data source", "an objective")


def section(name: str) -> str:
    """The text of one section of the page."""
    text = (ROOT / "book/adapting.md").read_text("utf-8")
    (found,) = re.findall(rf"^## Add {name}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found


def blocks(name: str) -> list[tuple[str, str]]:
    """Captions and contents of the files in one section of the page."""
    found = []
    for indent, caption, content in BLOCK.findall(section(name)):
        lines = [line.removeprefix(indent) for line in content.splitlines()]
        found.append((caption.replace("\\", ""), "\n".join(lines) + "\n"))
    return found


def write_files(root: Path, name: str) -> None:
    """Write what one section of the page shows: a file, or lines of one, in the copy at `root`."""
    for caption, content in blocks(name):
        place, _, where = caption.partition(", ")
        path = root / place
        if where:
            line = where.removeprefix("below ").removeprefix("in place of ")
            (old,) = [old for old in path.read_text("utf-8").splitlines(True) if line in old]
            new = old + content if where.startswith("below ") else content
            path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        elif path.suffix == ".ipynb":
            nbformat.write(jupytext.reads(content, "py:percent"), path)
        else:
            path.write_text(content, "utf-8")


def commands(name: str) -> list[list[str]]:
    """The calls of `course` in one section of the page, as words."""
    lines = "".join(content for _, content in COMMANDS.findall(section(name))).splitlines()
    return [words[1:] for words in map(str.split, lines) if words[:1] == ["course"]]


def add(root: Path, name: str) -> str:
    """Do what one section says, files and commands; returns what the commands printed."""
    write_files(root, name)
    return "".join(succeeded(course(root, *words)) for words in commands(name))


def succeeded(done: subprocess.CompletedProcess) -> str:
    """What a command printed; fails with its words if it failed."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def run_tests(root: Path, *words: str) -> subprocess.CompletedProcess:
    """Run tests of the copy with its own package; git knows its files, as after a commit."""
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "COURSE_OFFLINE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *words]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
