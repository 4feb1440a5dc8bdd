"""The project's notebooks: run them again in place, and keep their addresses right."""

from __future__ import annotations

import copy
import os
import re
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from course_tools.checkout import ROOT, repository

FOLDERS = ("chapters", "exercises", "solutions")
WIDGET = "application/vnd.jupyter.widget-view+json"
INSTALLS = re.compile(r"^\s*%pip install .*\bgit\+", re.MULTILINE)
LACKING = "jupyterquiz vaderSentiment rouge-score gguf"  # needed, and not there on Colab
FIRST_CELL = """\
# Where the course's package is missing (Colab, Kaggle, …) this installs it; torch stays as it is.
from importlib.util import find_spec

if not find_spec("course_utils"):
    deps = "--no-deps" if find_spec("torch") else ""
    %pip install --quiet $deps "{address}" {lacking}

from course_utils import versions

versions.check()"""


def all_notebooks(root: Path = ROOT) -> list[Path]:
    """Every notebook of the project, in reading order."""
    return [path for folder in FOLDERS for path in sorted((root / folder).glob("*.ipynb"))]


def executed(root: Path = ROOT) -> list[Path]:
    """Notebooks that are committed with outputs: all but the students' blank exercises."""
    return [path for path in all_notebooks(root) if path.parent.name != "exercises"]


def execute(path: Path) -> None:
    """Run one notebook in its own folder and write the outputs back; tags and ids stay.

    Raises RuntimeError with the failing cell's message; the file is then left as it was.
    """
    notebook = nbformat.read(path, as_version=4)
    if not any(cell.cell_type == "code" for cell in notebook.cells):
        return
    started = time.time()
    print(f"Running {path.name} …", flush=True)
    os.environ["COURSE_OFFLINE"] = "1"
    os.environ["COURSE_STILL"] = "1"  # pages have no kernel that could answer a slider
    client = NotebookClient(
        notebook,
        timeout=900,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise RuntimeError(f"{path.name} failed and was left as it was:\n{error}") from error
    nbformat.write(printed_whole(without_widgets(notebook)), path)
    print(f"{path.name}: {time.time() - started:.0f} s", flush=True)


def without_widgets(notebook: NotebookNode) -> NotebookNode:
    """The notebook less its ipywidgets, progress bars mostly: where no kernel is, they are dead."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if WIDGET not in out.get("data", {})]
    return notebook


def printed_whole(notebook: NotebookNode) -> NotebookNode:
    """What a cell prints in one output, as far as nothing else stands between.

    A kernel sends it in pieces that depend on how busy the machine is.
    """
    for cell in notebook.cells:
        whole: list[NotebookNode] = []
        for out in cell.get("outputs", []):
            if whole and "name" in out and out.name == whole[-1].get("name"):
                whole[-1].text += out.text
            else:
                whole.append(out)
        if cell.cell_type == "code":
            cell.outputs = whole
    return notebook


def first_cell(root: Path = ROOT) -> str:
    """The first code cell of every notebook: it installs the course where that is missing."""
    place = repository(root)
    return FIRST_CELL.format(address=f"git+{place['url']}@{place['branch']}", lacking=LACKING)


def configure(root: Path = ROOT) -> list[Path]:
    """Write the first code cell of every notebook, and its language; returns those changed."""
    changed = []
    for path in all_notebooks(root):
        notebook = nbformat.read(path, as_version=4)
        before = copy.deepcopy(notebook)
        put_first(notebook, first_cell(root))
        name_language(notebook)
        if notebook != before:
            nbformat.write(notebook, path)
            changed.append(path)
    return changed


def put_first(notebook: NotebookNode, source: str) -> None:
    """Make `source` the first code cell, in place of one that installs, if there is one.

    A notebook without code stays without.
    """
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if not code or code[0].source == source:
        return
    if INSTALLS.search(code[0].source):
        code[0].source = source
    else:
        cell = nbformat.v4.new_code_cell(source, id="first-cell")
        notebook.cells.insert(notebook.cells.index(code[0]), cell)


def name_language(notebook: NotebookNode) -> None:
    """Say that a notebook is Python where it does not: the book does not build without."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata.setdefault("kernelspec", kernel)
    notebook.metadata.setdefault("language_info", {"name": "python", "pygments_lexer": "ipython3"})
