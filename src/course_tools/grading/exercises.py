"""Make the students' notebooks from the solutions, with nbgrader's own command."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from course_utils.grading.items import all_items

STUB = "...  # your code here"
CHECK = re.compile(r"^check\(\"([A-Z]\d+\.\d+)\"\);?$")
CONFIG = f"""
from nbconvert.preprocessors import TagRemovePreprocessor
from nbgrader.converters import GenerateAssignment

c = get_config()
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "exercises"
c.ClearSolutions.code_stub = {{"python": {STUB!r}}}
c.TagRemovePreprocessor.enabled = True
c.TagRemovePreprocessor.remove_cell_tags = {{"solution"}}
c.GenerateAssignment.preprocessors = [TagRemovePreprocessor, *GenerateAssignment().preprocessors]
"""
META = {"schema_version": 3, "task": False}  # of nbgrader's third format
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def stamp(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Write nbgrader's metadata from what the cells are: solution cells, and cells that check.

    What running a solution leaves about the interpreter is left out.
    """
    notebook.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
    for cell in notebook.cells:
        part = CHECK.match(cell.source.strip())
        cell.metadata.pop("nbgrader", None)
        if part:
            points = all_items()[part[1].split(".")[0]].parts[part[1]].points
            grading = {"grade": True, "points": points, "solution": False, "locked": True}
            name = f"check-{part[1]}".replace(".", "-")
            cell.metadata["nbgrader"] = {"grade_id": name, **META, **grading}
        elif BEGIN in cell.source:
            identity = hashlib.sha256(cell.id.encode()).hexdigest()[:12]
            grading = {"grade": False, "solution": True, "locked": False}
            cell.metadata["nbgrader"] = {"grade_id": f"answer-{identity}", **META, **grading}
    return notebook


def generate(solutions: Path, exercises: Path) -> list[Path]:
    """Write the blank notebook of every solution into `exercises`; returns those that changed.

    Raises RuntimeError when nbgrader fails; then nothing was written.
    """
    sources = sorted(solutions.glob("*.ipynb"))
    with tempfile.TemporaryDirectory() as place:
        made = convert(sources, Path(place).resolve())
        now = {path.name: path.read_bytes() for path in exercises.glob("*.ipynb")}
        changed = [path for path in made if path.read_bytes() != now.get(path.name)]
        for path in changed:
            shutil.copyfile(path, exercises / path.name)
    return [exercises / path.name for path in changed]


def convert(sources: list[Path], course: Path) -> list[Path]:
    """Let nbgrader make the release of `sources` inside the folder `course`."""
    (course / "solutions/all").mkdir(parents=True)
    (course / "nbgrader_config.py").write_text(CONFIG, "utf-8")
    for path in sources:
        notebook = stamp(nbformat.read(path, as_version=4))
        nbformat.write(notebook, course / "solutions/all" / path.name)
    command = [sys.executable, "-m", "nbgrader", "generate_assignment", "all", "--no-db"]
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        command, cwd=course, capture_output=True, text=True, env={**os.environ, "PATH": programs}
    )
    made = sorted((course / "exercises/all").glob("*.ipynb"))
    if done.returncode or len(made) != len(sources):
        raise RuntimeError(f"nbgrader made {len(made)} of {len(sources)}:\n{done.stderr[-2000:]}")
    return made
