"""Every notebook runs from top to bottom, and prints what is committed where it is tagged."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from course_tools.book import notebooks

ROOT = str(Path(__file__).resolve().parents[2])
MACHINE_PATHS = (ROOT, "/tmp/", "/home/", "/root/", "/Users/", "C:\\")


def runnable(path: Path) -> bool:
    """Tell whether a notebook has any code."""
    return any(cell.cell_type == "code" for cell in nbformat.read(path, 4).cells)


NOTEBOOKS = notebooks.all_notebooks()
RUNNABLE = [path for path in NOTEBOOKS if runnable(path)]


def run_and_compare(path: Path) -> subprocess.CompletedProcess:
    """Run a notebook with nbval; cells tagged `nbval-check-output` are compared."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", path.parent]
    command += ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=900", "-o", "addopts="]
    command += ["-o", "filterwarnings=", "-o", "timeout=0", "-q", path]
    return subprocess.run(command, capture_output=True, text=True, cwd=path.parent)


def test_the_chapters_are_found():
    assert len([path for path in NOTEBOOKS if path.parent.name == "chapters"]) >= 5
    assert RUNNABLE


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_notebook_runs_and_prints_what_is_committed(path):
    done = run_and_compare(path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


def test_what_a_cell_prints_is_whole():
    """Kernels send one print in pieces; between other outputs, and for each stream, it is one."""
    new, stream = nbformat.v4, lambda text, name="stdout": {"name": name, "text": text}
    pieces = [stream("a"), stream("b\n"), stream("!", "stderr"), None, stream("c"), stream("d")]
    outputs = [
        new.new_output("stream", **piece) if piece else new.new_output("display_data")
        for piece in pieces
    ]
    cell = new.new_code_cell("print(…)", outputs=outputs)
    notebooks.printed_whole(new.new_notebook(cells=[new.new_markdown_cell("text"), cell]))
    assert [out.get("text") for out in cell.outputs] == ["ab\n", "!", None, "cd"]


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_what_is_committed_is_whole(path):
    notebook = nbformat.read(path, 4)
    assert notebook == notebooks.printed_whole(nbformat.read(path, 4))


def outputs_as_text(cell: nbformat.NotebookNode) -> str:
    """All text a cell printed or showed."""
    texts = [output.get("text", "") for output in cell.outputs]
    texts += [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "\n".join(texts)


@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_notebook_is_committed_as_it_ran(path):
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    filled = [cell for cell in cells if cell.source.strip()]
    if path.parent.name != "exercises":
        counts = [cell.execution_count for cell in filled]
        assert counts == list(range(1, len(filled) + 1)), "run it once, from top to bottom"
    for cell in filled:
        assert not any(output.output_type == "error" for output in cell.outputs), cell.source
        assert not any(place in outputs_as_text(cell) for place in MACHINE_PATHS), cell.source
        assert not any(notebooks.WIDGET in o.get("data", {}) for o in cell.outputs), (
            "dead on a page"
        )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_valid(path):
    nbformat.validate(nbformat.read(path, nbformat.NO_CONVERT))


def small_notebook(path: Path, source: str, printed: str, tags: list[str]) -> Path:
    """A notebook of one cell with a committed output."""
    cell = nbformat.v4.new_code_cell(source, execution_count=1, metadata={"tags": tags})
    cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=printed)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=[cell], metadata=kernel), path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "tags", "passes"),
    [
        ("print(42)", ["nbval-check-output"], True),
        ("print(43)", ["nbval-check-output"], False),
        ("print(43)", [], True),
        ("1 / 0", [], False),
    ],
    ids=["same number", "stale number", "untagged", "raises"],
)
def test_canary_nbval(tmp_path, source, tags, passes):
    path = small_notebook(tmp_path / "small.ipynb", source, "42\n", tags)
    done = run_and_compare(path)
    assert (done.returncode == 0) == passes, done.stdout


@pytest.mark.slow
def test_execute_renews_outputs_and_keeps_tags(tmp_path):
    path = small_notebook(tmp_path / "small.ipynb", "print(6 * 7)", "old", ["keep-me"])
    notebooks.execute(path)
    (cell,) = nbformat.read(path, 4).cells
    assert cell.outputs[0].text == "42\n"
    assert cell.metadata.tags == ["keep-me"] and "execution" not in cell.metadata


@pytest.mark.slow
def test_execute_keeps_no_progress_bar(tmp_path):
    source = "from tqdm.notebook import tqdm\nfor _ in tqdm(range(3)):\n    pass\nprint('done')"
    path = small_notebook(tmp_path / "small.ipynb", source, "old", [])
    notebooks.execute(path)
    notebook = nbformat.read(path, 4)
    (output,) = notebook.cells[0].outputs
    assert output.text == "done\n" and "widgets" not in notebook.metadata


@pytest.mark.slow
def test_execute_leaves_a_failing_notebook_as_it_was(tmp_path):
    path = small_notebook(tmp_path / "small.ipynb", "1 / 0", "old", [])
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        notebooks.execute(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("source", "cells"),
    [
        ('%pip install --no-deps "git+https://example.org/old/old@dev"', 1),  # is replaced
        ("print(6 * 7)", 2),  # stays, below the new one
    ],
)
def test_configure_writes_the_first_cell(tmp_path, source, cells):
    (tmp_path / "chapters").mkdir()
    (tmp_path / "_config.yml").write_text(
        "repository: {url: 'https://example.org/me/mine', branch: main}\n"
    )
    path = small_notebook(tmp_path / "chapters/a.ipynb", source, "", [])
    assert notebooks.configure(tmp_path) == [path]
    written = [cell.source for cell in nbformat.read(path, 4).cells]
    assert written[0] == notebooks.first_cell(tmp_path) and len(written) == cells
    assert '"git+https://example.org/me/mine@main"' in written[0]
    assert nbformat.read(path, 4).metadata.language_info.name == "python"  # the book needs it
    assert notebooks.configure(tmp_path) == []


def test_every_notebook_has_the_one_first_cell():
    for path in notebooks.all_notebooks():
        code = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert code[0].source == notebooks.first_cell(), f"{path.name}: run course configure"
        assert not code[0].outputs
        assert not [cell for cell in code[1:] if "%pip" in cell.source]
