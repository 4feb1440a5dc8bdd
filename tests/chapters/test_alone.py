"""One notebook copied alone into an empty folder, as on Colab: it fetches the course by itself."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import nbformat
import psutil
import pytest
from IPython.core.interactiveshell import InteractiveShell
from nbclient.exceptions import CellExecutionError
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from project_copy import copy_of_project

from course_tools.book import notebooks
from course_tools.checkout import ROOT, load_module, repository
from course_utils import versions

alone = load_module(ROOT / "tools/alone.py", "alone")

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
    return alone.run(notebook, folder, alone.beside(folder / "environment"), **settings)


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
    del notebook.cells[0]
    with pytest.raises(CellExecutionError, match="No module named 'course_utils'"):
        alone.run(notebook, tmp_path, alone.beside(tmp_path / "environment"))


def test_each_notebook_has_an_environment_of_its_own_and_a_failure_stops_no_other(
    monkeypatch, tmp_path, capsys
):
    """The course that one installs would be the next one's, which then installs nothing."""
    here = f"import sys\nassert sys.prefix != {sys.prefix!r}\nimport torch"
    left = tmp_path / "kernel.pid"
    here += f"\nfrom os import getpid\nopen({str(left)!r}, 'w').write(str(getpid()))"
    sources = {"bad": "1 / 0", "good": here}
    for name, source in sources.items():
        cells = [nbformat.v4.new_code_cell(source)]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / f"{name}.ipynb")
    paths = [str(tmp_path / f"{name}.ipynb") for name in sources]
    monkeypatch.setattr(sys, "argv", ["alone.py", *paths])
    with pytest.raises(SystemExit) as end:
        alone.main()
    said = capsys.readouterr().out
    assert end.value.code == 1
    assert re.search(r"bad.ipynb alone: \d+ s, failed$", said, re.MULTILINE)
    assert "division by zero" in said
    assert re.search(r"good.ipynb alone: \d+ s, ran$", said, re.MULTILINE)
    assert not psutil.pid_exists(int(left.read_text()))  # each kernel keeps a gigabyte


# -- what the first cell does on machines that have more or less ----------------------------------


def first_cell_run(monkeypatch, there: set[str]) -> list[str]:
    """Run the first cell where only the packages `there` are found; what it gave to `%pip`."""
    find = importlib.util.find_spec
    hidden = {"course_utils", "torch"} - there
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in hidden else find(name)
    )
    given: list[str] = []
    shell = InteractiveShell()
    shell.register_magic_function(given.append, magic_name="pip")
    shell.run_cell(notebooks.first_cell()).raise_error()
    return given


@pytest.mark.parametrize("there", [set(), {"torch"}, {"torch", "course_utils"}])
def test_the_first_cell_installs_where_the_course_is_missing(monkeypatch, there):
    """Colab and Kaggle have torch, a bare kernel has not, a checkout has both."""
    given = first_cell_run(monkeypatch, there)
    assert bool(given) == ("course_utils" not in there)
    for line in given:
        words = line.split()
        assert ("--no-deps" in words) == ("torch" in there)
        place = repository()
        assert f'"git+{place["url"]}@{place["branch"]}"' in words
        assert not [
            word for word in words if word.startswith(("torch", "transformers", "datasets"))
        ]


COLAB = {  # of 19 August 2026
    "torch": "2.11.0+cu128", "transformers": "5.15.0", "datasets": "4.0.0", "numpy": "2.1.3",
    "ipywidgets": "7.7.1", "ipython": "7.34.0",
}  # fmt: skip


def with_versions(monkeypatch, **installed: str | None) -> None:
    """Let this machine have other versions; None: the package is missing."""
    true = metadata.version

    def version(name: str) -> str:
        if installed.get(name, "") is None:
            raise metadata.PackageNotFoundError(name)
        return installed.get(name) or true(name)

    monkeypatch.setattr(versions.metadata, "version", version)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    monkeypatch.setattr(versions.metadata, "requires", lambda name: project["dependencies"])


def test_colabs_versions_are_accepted(monkeypatch):
    with_versions(monkeypatch, **COLAB)
    versions.check()


def test_colab_has_all_else_that_the_first_cell_does_not_install():
    """What the package needs is on Colab, comes with the first cell, or is a part of these."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = {Requirement(line).name.lower() for line in project["dependencies"]}
    colab = {*COLAB, "tokenizers", "filelock", "safetensors", "accelerate", "matplotlib",
             "scikit-learn", "tqdm", "typer", "platformdirs"}  # fmt: skip
    assert needed - colab == set(notebooks.LACKING.lower().split())


@pytest.mark.parametrize(
    ("installed", "said"),
    [
        (
            {"transformers": "4.57.1"},
            ["transformers is 4.57.1 and must be >=5", '"transformers>=5"'],
        ),
        ({"datasets": None}, ["datasets is missing", '%pip install "datasets>=3"']),
        ({"transformers": "4.9", "numpy": "1.26.4"}, ["transformers is 4.9", "numpy is 1.26.4"]),
    ],
)
def test_one_sentence_says_what_is_too_old(monkeypatch, installed, said):
    with_versions(monkeypatch, **COLAB | installed)
    with pytest.raises(versions.WrongVersions) as caught:
        versions.check()
    (shown,) = caught.value._render_traceback_()
    assert all(words in shown for words in (*said, "restart the kernel")) and "\n" not in shown


def test_no_python_is_locked_out():
    """On the day on which Colab moves to the next Python, an upper bound refuses everybody."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert SpecifierSet(project["requires-python"]).contains("3.15")
