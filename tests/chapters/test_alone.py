"""One notebook copied alone into an empty folder, as on Colab: it fetches the course by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from project_copy import copy_of_project

from course_tools import release
from course_tools.checkout import ROOT, tool

alone = tool("alone")

VERSIONS = """
import torch, course_utils
print("TORCH", torch.__version__, torch.__file__)
print("COURSE", course_utils.__file__)"""


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A bare repository with the course as it is now, as pip wants its address."""
    work = copy_of_project(tmp_path_factory.mktemp("work"))
    bare = tmp_path_factory.mktemp("bare") / "course.git"
    who = "-c user.name=a -c user.email=a@example.org -c commit.gpgsign=false"
    for command in ("init -q -b main", "add -f .", f"{who} commit -qm all"):
        subprocess.run(["git", *command.split()], cwd=work, check=True, capture_output=True)
    subprocess.run(["git", "clone", "-q", "--bare", work, bare], check=True, capture_output=True)
    return f"git+file://{bare}@main"


def run_alone(path: Path, address: str, folder: Path) -> str:
    """Run a notebook, and a cell that says whose torch it was."""
    notebook = alone.prepared(path, address)
    notebook.cells.append(nbformat.v4.new_code_cell(VERSIONS))
    settings = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "COURSE_OFFLINE": "1"}
    return alone.run(notebook, folder, release.beside(folder / "environment"), **settings)


def assert_only_the_course_was_installed(said: str, folder: Path) -> None:
    """The torch that was there is the one that was used, and nothing else was put beside it."""
    import torch

    assert f"TORCH {torch.__version__} {torch.__file__}" in said
    assert f"COURSE {folder}" in said
    inside = (folder / "environment").glob("lib/*/site-packages/*")
    assert {path.name.split("-")[0] for path in inside} == {"course_utils", "beside.pth"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "name", ["chapters/09_1_pretraining_revolution", "exercises/T1_gradient_signals"]
)
def test_a_notebook_runs_whole(address, tmp_path, name):
    said = run_alone(ROOT / f"{name}.ipynb", address, tmp_path)
    assert_only_the_course_was_installed(said, tmp_path)


@pytest.mark.slow
def test_canary_without_its_first_cell_there_is_no_course(address, tmp_path):
    notebook = alone.prepared(ROOT / "chapters/09_3_gpt.ipynb", address, cells=2)
    del notebook.cells[1]
    with pytest.raises(CellExecutionError, match="No module named 'course_utils'"):
        alone.run(notebook, tmp_path, release.beside(tmp_path / "environment"))


def test_every_first_cell_leaves_torch_alone():
    for path in sorted(
        [*(ROOT / "chapters").glob("*.ipynb"), *(ROOT / "exercises").glob("*.ipynb")]
    ):
        installs = [c.source for c in nbformat.read(path, 4).cells if "%pip" in c.source]
        for source in installs:
            assert "--no-deps" in source and '"google.colab" in sys.modules' in source
            assert "torch" not in source.partition("%pip")[2]
