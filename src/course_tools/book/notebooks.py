"""The project's notebooks: run them again in place, and keep their addresses right."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbformat import NotebookNode

from course_tools.book.build import ROOT, repository

FOLDERS = ("chapters", "exercises", "solutions")
WIDGET = "application/vnd.jupyter.widget-view+json"
ADDRESS = re.compile(r"git\+https://[^\s\"'@]+(?:@[^\s\"']+)?")


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


def install_line(root: Path = ROOT) -> str:
    """What pip installs on Colab: the repository of `_config.yml`, at its branch."""
    place = repository(root)
    return f"git+{place['url']}@{place['branch']}"


def configure(root: Path = ROOT) -> list[Path]:
    """Put the repository's address into every notebook that names one; returns those changed."""
    changed = []
    for path in all_notebooks(root):
        notebook = nbformat.read(path, as_version=4)
        before = [cell.source for cell in notebook.cells]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source = ADDRESS.sub(install_line(root), cell.source)
        if before != [cell.source for cell in notebook.cells]:
            nbformat.write(notebook, path)
            changed.append(path)
    return changed
