"""A class of forty: honest, wrong, broken and hostile notebooks, graded by one command."""

import csv
from pathlib import Path

import nbformat
import pytest
from typer.testing import CliRunner

from course_tools.cli import app
from course_tools.grading import selftest
from course_tools.grading.judge import reference
from course_utils.grading.items import all_items

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
T1 = all_items()["T1"]
PARTS = {part.name: part.points for part in T1.parts.values() if not part.is_text}
BROKEN = {
    "empty": b"",
    "cut off": b'{"cells": [{"cell_type": "code", "source": "def clm_sig',
    "no notebook": b'"a string"',
    "binary": bytes(range(256)) * 20,
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(500),
    "no cells": b'{"cells": [], "nbformat": 4}',
    "too deep": b"[" * 100_000,
    "only words": b'{"cells": [{"cell_type": "markdown", "source": "Sorry!"}], "nbformat": 4}',
}
HOSTILE = {  # what is added to a right answer → the parts that it may cost
    "ends": ("import os\nos._exit(0)", set()),
    "raises": ("raise SystemExit('100 points')", set()),
    "ends when asked": ("import os\ndef clm_signals(n): os._exit(0)", {"T1.2"}),
    "patches": ("import numpy\nnumpy.allclose = lambda *a, **k: True\n"
                "def coverage(r, k): return 1.0", {"T1.4"}),
    "equals all": ("class E:\n    __eq__ = lambda s, o: True\ndef clm_signals(n): return E()",
                   {"T1.2"}),
    "looks": ("from pathlib import Path\nstolen = [*Path('/').glob('*/*/hidden/*.py')]\n"
              "def clm_signals(n): return 0 if stolen else n - 1", set()),
    "spreads": ("import os\nfor _ in range(500):\n    try:\n"
                "        if os.fork() == 0: os._exit(0)\n    except OSError: break", set()),
    "injects": ("def coverage(r, k): raise ValueError('<script>alert(1)</script>')", {"T1.4"}),
}  # fmt: skip


def hand_in(folder: Path) -> dict[str, set[str] | None]:
    """Forty files; for each student the parts that are lost, None where nothing can be read."""
    bank = selftest.load_bank(ROOT / "tests/grading/answers", T1)
    cells = reference(ROOT / "solutions", T1)
    wrong = [answer for answer in bank if answer.loses][:20]
    right = [answer for answer in bank if not answer.loses][:4]
    added = {f"answer{n}": (a.source, set(a.loses)) for n, a in enumerate([*wrong, *right])}
    for name, (source, _) in (added | HOSTILE).items():
        book = nbformat.v4.new_notebook()
        book.cells = [nbformat.v4.new_code_cell(cell) for cell in [*cells, source]]
        nbformat.write(book, folder / f"{name}.ipynb")
    for name, content in BROKEN.items():
        (folder / f"{name}.ipynb").write_bytes(content)
    return {name: lost for name, (_, lost) in (added | HOSTILE).items()} | dict.fromkeys(BROKEN)


@pytest.mark.usefixtures("the_jail_starts")
def test_forty_mixed_submissions_come_out_as_they_deserve(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    wanted = hand_in(folder)
    assert len(wanted) == 40
    command = ["grade", str(folder), "--out", str(out), "--jobs", "2", "--item", "T1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2, result.output  # texts to mark, files not read
    with (out / "marks.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows.keys() == wanted.keys()
    for name, lost in wanted.items():
        status, score = rows[name]["T1 status"], rows[name]["T1"]
        if lost is None:
            assert status == "unreadable", name
            continue
        kept = sum(points for part, points in PARTS.items() if part not in lost)
        share = 0.7 * sum(points for part, points in PARTS.items() if part in lost)  # of odd cases
        assert kept <= float(score) <= kept + share, f"{name}: {score} of {kept} ({status})"
        assert status in ("needs marking", "crashed"), name
        assert "<script" not in (out / f"feedback/{name}.html").read_text("utf-8")
