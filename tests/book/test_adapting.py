"""The page for those who adapt the course: what it says is done, word by word, in a copy."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest
import yaml
from hub_client import Client
from hub_content import card, labelled, parquet
from hub_server import Hub
from project_copy import MINE, copy_of_project, course

from course_tools.book import notebooks
from course_tools.book.build import unbuilt
from course_tools.checkout import ROOT, pages

BLOCK = re.compile(
    r"^( *)```\{code-block\} \w+\n *:caption: ([^\n]+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL
)


def blocks(heading: str) -> list[tuple[str, str]]:
    """Captions and contents of the code in one section of the page."""
    text = (ROOT / "book/adapting.md").read_text("utf-8")
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    found = []
    for indent, caption, content in BLOCK.findall(section):
        lines = [line.removeprefix(indent) for line in content.splitlines()]
        found.append((caption.replace("\\", ""), "\n".join(lines) + "\n"))
    return found


def follow(root: Path, heading: str) -> None:
    """Do what one section of the page says, in the copy at `root`."""
    for caption, content in blocks(heading):
        name, _, anchor = caption.partition(", below ")
        path = root / name
        if anchor:
            text = path.read_text("utf-8")
            (line,) = [line for line in text.splitlines(keepends=True) if anchor in line]
            path.write_text(text.replace(line, line + content), "utf-8")
        elif path.suffix == ".ipynb":
            nbformat.write(jupytext.reads(content, "py:percent"), path)
        else:
            path.write_text(content, "utf-8")


@pytest.fixture
def copy(tmp_path):
    """A copy of the course."""
    return copy_of_project(tmp_path / "copy")


def succeeded(done: subprocess.CompletedProcess) -> str:
    """What a command printed; fails with its words if it failed."""
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_page_has_all_sections():
    found = {name: len(blocks(f"Add {name}")) for name in
             ("a section", "an exercise", "a data source", "an objective")}  # fmt: skip
    assert found == {"a section": 1, "an exercise": 5, "a data source": 1, "an objective": 2}


@pytest.mark.slow
def test_a_section(copy):
    follow(copy, "Add a section")
    other = nbformat.read(copy / "chapters/09_3_gpt.ipynb", 4)
    first = next(cell for cell in other.cells if "%pip" in cell.source)
    cells = [
        nbformat.v4.new_markdown_cell("# 9.6 Further"),
        first,
        nbformat.v4.new_code_cell("print(6 * 7)"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=other.metadata)
    nbformat.write(notebook, copy / "chapters/09_6_further.ipynb")
    succeeded(course(copy, "execute", "chapters/09_6_further.ipynb"))
    succeeded(course(copy, "configure", "--repo", MINE))
    made = nbformat.read(copy / "chapters/09_6_further.ipynb", 4)
    assert made.cells[2].outputs[0].text == "42\n" and MINE in made.cells[1].source
    assert (
        pages(copy)[pages(copy).index("chapters/09_5_comparing_paradigms") + 1]
        == "chapters/09_6_further"
    )
    assert copy / "chapters/09_6_further.ipynb" in notebooks.all_notebooks(copy)
    assert unbuilt(copy / "_build/html", copy).count("chapters/09_6_further") == 1


@pytest.mark.slow
def test_an_exercise(copy):
    follow(copy, "Add an exercise")
    assert "X1_perplexity" in succeeded(course(copy, "exercises"))
    blank = (copy / "exercises/X1_perplexity.ipynb").read_text("utf-8")
    assert "your code here" in blank and "math.exp(loss)" not in blank
    succeeded(course(copy, "configure", "--repo", MINE))
    assert f"git+{MINE}@main" in (copy / "exercises/X1_perplexity.ipynb").read_text("utf-8")
    assert "exercises/X1_perplexity" in pages(copy)
    said = succeeded(course(copy, "grade", "--self-test", "--item", "X1", "--unsafe-no-sandbox"))
    assert "| X1 | 2 | 1 | 1 | 1 | 1 |" in said and "Every answer got what it deserves." in said


@pytest.mark.slow
def test_a_data_source(copy, tmp_path, monkeypatch):
    follow(copy, "Add a data source")
    names = ["sadness", "joy", "love", "anger", "fear", "surprise"]
    splits = {split: f"split/{split}-00000-of-00001.parquet" for split in ("train", "test")}
    files = {path: parquet(labelled(30, salt=split), label=names) for split, path in splits.items()}
    hub = Hub({"datasets/dair-ai/emotion": {"README.md": card({"split": splits}), **files}})
    monkeypatch.setenv("PYTHONPATH", str(copy / "src"))
    client = Client(hub.address, tmp_path)
    found = client.load("load_dataset", "emotion", COURSE_MODELS="hub")
    refused = client.load("load_dataset", "emotion", COURSE_MODELS="offline")
    client.close()
    hub.close()
    assert found["where"] == "hub" and set(found["rows"]) == {"train", "validation", "test"}
    assert "emotion cannot be had" in refused["error"]


@pytest.mark.slow
def test_an_objective(copy, monkeypatch):
    follow(copy, "Add an objective")
    table = copy / "src/course_utils/objectives/__init__.py"
    text = table.read_text("utf-8")
    table.write_text(text.replace("masked_lm, mixture,", "masked_lm, mixture, prefix_lm,"), "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(copy / "src"))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/objectives/test_objective_table.py",
    ]
    said = succeeded(
        subprocess.run(
            [*command, "-k", "prefix_lm or equations"], cwd=copy, capture_output=True, text=True
        )
    )
    assert "3 passed" in said


def test_the_page_is_in_the_book():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    assert "book/adapting" in str(contents)
