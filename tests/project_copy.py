"""A copy of the project, and its own command run inside it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from course_tools.checkout import PLACEHOLDER, ROOT, repository

MINE = "https://github.com/someone/their-course"
# Lines that a fork may add: bounds on size are about what everybody gets, not about what is added.
ROOM = 0 if repository()["url"] == PLACEHOLDER else 500


def copy_of_project(target: Path) -> Path:
    """All files that git knows or would know, but not those it ignores."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)
    return target


def course(root: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run the `course` command of a copy."""
    environment = {**os.environ, "PYTHONPATH": str(root / "src"), "COURSE_OFFLINE": "1"}
    return subprocess.run(
        [sys.executable, "-m", "course_utils", *arguments],
        cwd=root, env=environment, capture_output=True, text=True,
    )  # fmt: skip
