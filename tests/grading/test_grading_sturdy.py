"""The grader is just to everybody, whatever the machine or a classmate does."""

import builtins
import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
import unicodedata
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest

from course_tools.grading import cgroup, command, jailed, people, report
from course_tools.grading.collect import collect, safe
from course_tools.grading.grade import (
    RUN,
    Setup,
    Stopped,
    grade_file,
    grade_folder,
    run,
    run_seed,
)
from course_tools.grading.jail import Jail, Limits, NoJail
from course_tools.grading.jailed import Jailed
from course_tools.grading.notebook import Cell, Submission
from course_tools.grading.suspicious import suspicious
from course_utils.grading.items import all_items

pytestmark = pytest.mark.usefixtures("the_jail_starts")
ROOT = Path(__file__).resolve().parents[2]
T1 = all_items()["T1"]
ALL = {"T1.1", "T1.2", "T1.3", "T1.4"}
FAST = Limits(cell=6, call=6, total=60)
SETUP = Setup(ROOT / "solutions", ROOT / "exercises", FAST)
GOOD = [
    "import math\ndef mlm_signals(n, r): return max(1, math.floor(n * r + 0.5 + 1e-9))",
    "def clm_signals(n): return n - 1",
    "def examples_needed(D, n, m): return D // n, -(-(D // n * (n - 1)) // m)",
    "def coverage(r, k): return 1 - (1 - r) ** k",
    "answer_T1 = 'The mask hides the future.'",
]


def hand_in(folder, name, cells=GOOD):
    """Write a notebook of code cells."""
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nbformat.writes(book), "utf-8")
    return path


def table(out):
    """The rows of marks.csv by student."""
    with (out / "marks.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def course_grade(folder, out, *more):
    """The command that grades a folder."""
    words = [sys.executable, "-m", "course_utils", "grade", folder, "--out", out, "--item", "T1"]
    return [*words, "--solutions", ROOT / "solutions", "--exercises", ROOT / "exercises", *more]


# -- the machine fails -----------------------------------------------------------------------------


@pytest.mark.skipif(os.getuid() != 0, reason="as a user the limit would bind the grader, too")
def test_a_jail_that_fails_half_way_stops_the_run_and_costs_nobody_marks(tmp_path):
    for number in range(8):
        hand_in(tmp_path / "in", f"s{number}.ipynb", [*GOOD, f"x = {number}"])
    command = course_grade(tmp_path / "in", tmp_path / "out")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    process = subprocess.Popen(command, **pipes)
    results = tmp_path / "out/results/T1"
    while len(list(results.glob("s*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    subprocess.run(["prlimit", "--pid", str(process.pid), "--nproc=1:1"], check=True)
    said = process.communicate()[0]
    assert process.returncode == 1 and "The jail has stopped working" in said
    states = [json.loads(path.read_text())["status"] for path in results.glob("s*.json")]
    assert states.count("grader error") == 3 and set(states) <= {"grader error", "needs marking"}
    assert subprocess.run(command, capture_output=True).returncode == 2  # texts are left to mark
    assert [row["T1"] for row in table(tmp_path / "out").values()] == ["8"] * 8


def test_a_worker_that_does_not_start_is_tried_again(monkeypatch):
    start, failures = Jail.start, [1, 2]

    def unlucky(self, *program, group=None):
        return start(self, "-c", "1 / 0") if failures and failures.pop() else start(self, *program)

    monkeypatch.setattr(Jail, "start", unlucky)
    monkeypatch.setattr(jailed.time, "sleep", lambda seconds: None)
    with Jail(FAST) as place, Jailed(place, ["x = 3"]) as student:
        assert student.value("x") == 3 and student.deaths == 0
        student.end()
        failures[:] = [1, 2, 3]
        with pytest.raises(NoJail, match="3 times in a row"):
            student.value("x")


def test_one_result_that_cannot_be_written_costs_one_student(tmp_path):
    for name in ("ann", "bob"):
        hand_in(tmp_path / "in", f"{name}.ipynb")
    (tmp_path / "out/results/T1/ann.json").mkdir(parents=True)
    (tmp_path / "out/feedback/bob.html").mkdir(parents=True)
    said = []
    assert not grade_folder(tmp_path / "in", tmp_path / "out", SETUP, only=["T1"], say=said.append)
    rows = table(tmp_path / "out")
    assert rows["ann"]["T1 status"] == "grader error" and rows["bob"]["T1"] == "8"
    assert any("ann" in line and "not written" in line for line in said)


@pytest.mark.parametrize("content", ["[]", "", "{}", "[" * 10_000, '{"status": "graded"}', "\0"])
def test_a_broken_result_is_graded_anew(tmp_path, content):
    hand_in(tmp_path / "in", "ann.ipynb")
    (tmp_path / "out/results/T1").mkdir(parents=True)
    (tmp_path / "out/results/T1/ann.json").write_text(content)
    grade_folder(tmp_path / "in", tmp_path / "out", SETUP, only=["T1"])
    assert table(tmp_path / "out")["ann"]["T1"] == "8"


def test_names_of_any_length_and_script_are_file_names(tmp_path):
    names = ["👩‍🔬" * 20, "ж" * 126, "x" * 250, "名" * 80]
    for name in names[:3]:
        hand_in(tmp_path / "in", f"{name[:60]}/a.ipynb")
    (tmp_path / "students.txt").write_text("\n".join(names), "utf-8")
    command.grade(
        tmp_path / "in", tmp_path / "out", SETUP, ["T1"], tmp_path / "students.txt", 1, ""
    )
    assert len(table(tmp_path / "out")) == 6
    assert all(len(safe(name).encode()) < 140 for name in names)
    assert len({safe(name + end) for name in names for end in "ab"}) == 8


# -- equal answers, equal marks --------------------------------------------------------------------


def test_equal_answers_get_equal_marks_in_one_run(tmp_path):
    """A wrong answer that passes with some draws: all that hand it in have the same luck."""
    lucky = "def clm_signals(n): return n - 1 if n % 2 == 0 or n == 1 else 7"
    for number in range(10):
        hand_in(tmp_path / "in", f"s{number}.ipynb", [*GOOD, lucky])
    grade_folder(tmp_path / "in", tmp_path / "out", SETUP, only=["T1"], jobs=2)
    assert len({row["T1"] for row in table(tmp_path / "out").values()}) == 1
    seeds = {json.loads(p.read_text())["seed"] for p in (tmp_path / "out/results/T1").iterdir()}
    assert seeds == {json.loads((tmp_path / "out" / RUN).read_text())["seed"]}
    hand_in(tmp_path / "in", "late.ipynb", [*GOOD, lucky])
    grade_folder(tmp_path / "in", tmp_path / "out", SETUP, only=["T1"])
    assert len({row["T1"] for row in table(tmp_path / "out").values()}) == 1, "also when resumed"
    again = grade_file(tmp_path / "in/s3.ipynb", "T1", replace(SETUP, seed=seeds.pop()))
    kept = json.loads((tmp_path / "out/results/T1/s3.json").read_text())
    assert again["marks"] == kept["marks"], "recoverable for a student"


def test_the_seed_of_a_run_is_drawn_once_and_kept(tmp_path):
    seed = run_seed(tmp_path, None)
    assert run_seed(tmp_path, None) == run_seed(tmp_path, seed) == seed
    with pytest.raises(Stopped, match="everybody is graded anew"):
        run_seed(tmp_path, seed + 1)
    (tmp_path / RUN).write_text("[]")
    with pytest.raises(Stopped, match="cannot be used"):
        run_seed(tmp_path, None)


# -- honest notebooks ------------------------------------------------------------------------------


def graded(*cells, limits=FAST):
    """Grade cells as a submission to T1."""
    return run(T1, list(cells), replace(SETUP, limits=limits))


def passed(result):
    """Names of the parts that earned their points."""
    return {mark["part"] for mark in result["marks"] if mark["state"] == "right"}


def test_what_fails_in_a_cell_takes_nothing_of_it_along():
    cells = ["import nowhere\n1 / 0\n" + "\n".join(GOOD[:4]) + "\nundefined", GOOD[4]]
    result = graded(*cells)
    assert passed(result) == ALL and "ModuleNotFoundError" in result["notes"][0]


def test_a_cell_before_the_one_that_it_needs():
    assert passed(graded("x = helper(3)\ny = x + 1\ndef clm_signals(n): return y - 4 + n",
                         "def helper(n): return n - 1", GOOD[0], *GOOD[2:])) == ALL  # fmt: skip


def test_slow_cells_cost_only_their_own_values():
    """Six of them: their functions are kept, and so is time to judge."""
    slow = "\nimport time\nwhile True: time.sleep(0.01)"
    cells = [cell + slow for cell in [*GOOD, "def other(): pass"]]
    result = graded(*cells, limits=Limits(cell=1, call=4, total=40))
    assert passed(result) == ALL and result["status"] == "needs marking"
    assert len(result["notes"]) == 6
    assert all("only its definitions were taken" in note for note in result["notes"])


def test_where_cells_take_all_their_time_the_rest_gives_its_definitions():
    slow = "import time\nstop = time.process_time() + 3\nwhile time.process_time() < stop: pass"
    result = graded(slow, slow + "\n", *GOOD, limits=Limits(cell=6, call=4, total=10))
    assert passed(result) == ALL  # which note says why depends on how busy the machine is


def test_a_missing_name_is_told_with_the_reason():
    result = graded(GOOD[0], "def clm_signals(n) return n", GOOD[2])
    (hint,) = [mark["feedback"] for mark in result["marks"] if mark["part"] == "T1.2"]
    assert "Cell 2 (def clm_signals(n) return n): it stopped with SyntaxError" in hint


def test_cells_have_the_numbers_of_the_notebook(tmp_path):
    cells = ["", "# not run when graded\nx = 1", "1 / 0", *GOOD]
    result = grade_file(hand_in(tmp_path, "ann.ipynb", cells), "T1", SETUP)
    assert result["notes"] == [
        "Cell 3 (1 / 0): a statement of it stopped with ZeroDivisionError: division by zero"
    ]


HARD = {  # each took gigabytes or minutes of the grader's own process
    "nested": "".join(" " * n + "try:\n" + " " * (n + 1) + "pass\n" + " " * n + "finally:\n"
                      for n in range(18)) + " " * 18 + "pass",
    "brackets": "x = " + "(" * 50_000 + ")" * 50_000,
    "prose": "# Title\n" + "mlm_signals = a\n" + "(" * 100_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HARD)
def test_no_code_is_parsed_in_the_process_that_grades(tmp_path, monkeypatch, name):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in GOOD])
    book.cells.insert(0, nbformat.v4.new_markdown_cell(HARD[name]))
    book.cells.insert(1, nbformat.v4.new_code_cell(HARD[name]))
    (tmp_path / "in").mkdir()
    (tmp_path / "in/eve.ipynb").write_text(nbformat.writes(book))
    (found,) = collect(tmp_path / "in", {"T1": T1})
    compiled, compile_ = [], builtins.compile

    def watched(source, name, *more, **named):
        compiled.append(name)
        return compile_(source, name, *more, **named)

    monkeypatch.setattr(builtins, "compile", watched)
    started = time.process_time()
    result = grade_file(found.path, "T1", SETUP)
    assert passed(result) == ALL, result["notes"]
    assert not [name for name in compiled if "cell" in str(name) or "unknown" in str(name)]
    assert time.process_time() - started < 5


# -- replies that nobody could have asked for ------------------------------------------------------

FORGE = """import json, os, sys
def forge(value):
    frame = sys._getframe()
    while "replies" not in frame.f_locals: frame = frame.f_back
    number = frame.f_locals["request"]["id"]
    line = json.dumps({"value": value, "id": number}).encode() + b"\\n"
    os.write(frame.f_locals["replies"], line)
    os._exit(0)
def clm_signals(n): forge(VALUE)
"""


@pytest.mark.parametrize(
    "value",
    [
        '{"array": ["float32"], "shape": [1], "data": ""}',
        '{"array": "float32", "shape": [0, 9999999, 9999999, 9999999], "data": ""}',
        '{"array": "float32", "shape": [9999999] * 8, "data": ""}',
        '"\\ud800"',
        '{"dict": [["\\udfff", "\\ud800"], [[], 1]]}',
        '{"kept": "x"}',
    ],
)
def test_no_reply_is_a_fault_of_the_grader(value):
    result = graded(*GOOD, FORGE.replace("VALUE", value))
    assert passed(result) == ALL - {"T1.2"}
    assert result["status"] != "grader error", result["marks"]


@pytest.mark.parametrize(
    ("do", "arguments", "value", "fit"),
    [
        ("has", {"names": ["a"]}, [True], True),
        ("has", {"names": ["a"]}, [], False),
        ("has", {"names": ["a"]}, 3, False),
        ("call", {"keep": True}, {"kept": 0}, True),
        ("call", {"keep": True}, [0], False),
        ("call", {"after": True, "args": [1]}, [2, [1]], True),
        ("call", {"after": True, "args": [1]}, [2, []], False),
        ("call", {"after": True, "args": [1]}, 2, False),
    ],
)
def test_a_reply_has_the_form_that_was_asked_for(do, arguments, value, fit):
    assert jailed.fits(do, arguments, value) is fit


# -- who handed in, and what comes out -------------------------------------------------------------


def test_grading_one_item_anew_keeps_the_others_marks(tmp_path):
    hand_in(tmp_path / "in", "ann.ipynb")
    for name in ("T1", "T2"):
        shutil.copy(ROOT / f"solutions/{all_items()[name].notebook}.ipynb",
                    tmp_path / f"in/bob_{name}.ipynb")  # fmt: skip
    setup = replace(SETUP, limits=Limits())
    grade_folder(tmp_path / "in", tmp_path / "out", setup, roster=["ann", "bob", "eve"])
    before = (tmp_path / "out/marks.csv").read_bytes()
    assert b"T2" in before and b"eve" in before
    grade_folder(tmp_path / "in", tmp_path / "out", setup, only=["T1"])
    assert (tmp_path / "out/marks.csv").read_bytes() == before


def test_two_exercises_in_one_notebook_are_both_found(tmp_path):
    both = [Submission.read(ROOT / f"solutions/{all_items()[n].notebook}.ipynb").cells
            for n in ("T1", "T3")]  # fmt: skip
    hand_in(tmp_path, "ann.ipynb", [*both[0], *both[1]])
    hand_in(tmp_path, "bob.ipynb", [*GOOD, "def overlap(a, b): return 0"])  # a helper's name
    found = [(one.student, one.item) for one in collect(tmp_path, all_items())]
    assert found == [("ann", "T1"), ("ann", "T3"), ("bob", "T1")]
    assert [one.item for one in collect(tmp_path, {"T3": all_items()["T3"]})] == ["T3"]


def test_students_as_an_lms_names_them(tmp_path):
    for name in ("Ann Lee_77_assignsubmission_file_T1.ipynb", "submissions/doe_12_34_T1.ipynb",
                 "Ann Lee_77_assignsubmission_file_T3 final.ipynb",
                 "Bo Ek_78_assignsubmission_file_/x.ipynb", "Cy_79_assignsubmission_file/x.ipynb",
                 "submissions/roe_LATE_13_35_T1.ipynb"):  # fmt: skip
        hand_in(tmp_path, name)
    students = {one.student for one in collect(tmp_path, all_items())}
    assert students == {"Ann Lee_77", "Bo Ek_78", "Cy_79", "doe_12", "roe_13"}


def test_nobody_vanishes_and_nobody_appears(tmp_path):
    hand_in(tmp_path / "in", "ann.ipynb")
    (tmp_path / "in/empty").mkdir()
    for name in ("Thumbs.db", "README.txt", "desktop.ini", "index.html"):
        (tmp_path / "in" / name).write_text("x")
    for _ in range(2):  # the second time the marks lie there
        grade_folder(tmp_path / "in", tmp_path / "in/marks", SETUP, only=["T1"])
        rows = table(tmp_path / "in/marks")
        assert {name: row["T1 status"] for name, row in rows.items()} == {
            "ann": "needs marking", "empty": "unreadable"}  # fmt: skip


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
def test_a_roster_from_any_editor(tmp_path, code):
    path = tmp_path / "students.txt"
    bom = "\ufeff" if code == "utf-16-le" else ""
    path.write_bytes((bom + "Zoë\nann\r\n\n").encode(code))
    assert command.names_in(path) == ["Zoë", "ann"]


@pytest.mark.parametrize("content", ["Zoë".encode("cp1252"), "ann".encode("utf-16-le"), b"\xff"])
def test_a_roster_that_cannot_be_read_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "students.txt"
    path.write_bytes(content)
    with pytest.raises(Stopped, match=r"students\.txt.*UTF-8"):
        command.names_in(path)


def test_canvas_keeps_its_numbers():
    name = safe("name" * 40 + ":_123")
    results = {(who, "T1"): {"status": "graded", "marks": []} for who in ("doe_12", name, "ann")}
    rows = report.canvas(["doe_12", name, "ann"], {"T1": T1}, results)
    assert [row[:2] for row in rows[2::2]] == [["doe", "12"], ["ann", ""]]


@pytest.mark.parametrize(
    "text",
    ["=1+1", " =1", "\u00a0=1", "\ufeff=1", "＝1", "\u00a0＋1", "a;=1+1", "a\n=1", "a\t@x", '"=1',
     "\u200b=1", "a; +1", "－1", "\x1b=1"],
)  # fmt: skip
def test_no_cell_of_a_table_begins_a_formula(text):
    for part in re.split(r"[;\t\n]", people.cell(text)):
        start = unicodedata.normalize("NFKC", part).strip(" '\"\u00a0")[:1]
        assert part.lstrip(' \u00a0"').startswith("'") or start not in tuple("=+-@|"), part


@pytest.mark.parametrize("text", ["Zoë", "O'Brien", "a = b; c", "3.5", "-", "T1 status", "x-y"])
def test_other_cells_stay_as_they_are(text):
    assert people.cell(text) == text


def test_reports_hold_no_control_characters(tmp_path):
    cell = "raise ValueError('\\x1b[31m\\x00\\u202e\\u2066\\x9b\\ufeff shown')"
    hand_in(tmp_path / "in", "eve.ipynb", [cell, *GOOD[:4], "answer_T1 = 'a\\x1b\\u202eb'"])
    grade_folder(tmp_path / "in", tmp_path / "out", SETUP, only=["T1"])
    for name in ("feedback/eve.html", "free_text.csv", "gradescope/eve/results.json"):
        text = (tmp_path / "out" / name).read_text("utf-8")
        text = str(json.loads(text)) if name.endswith("json") else text
        assert not set("\x1b\x00\u202e\u2066\x9b\ufeff") & set(text), name
    assert "shown" in (tmp_path / "out/feedback/eve.html").read_text("utf-8")


# -- memory ----------------------------------------------------------------------------------------

HOLDERS = {
    "processes": """import os, time
for _ in range(4):
    if os.fork() == 0:
        hold = bytearray(b"x" * 200_000_000)
        time.sleep(60)
time.sleep(2)""",
    "empty files": """for n in range(450_000): open(f"/tmp/{n}", "w").close()""",
    "sockets": """import os, socket, time
for _ in range(20):
    if os.fork() == 0:
        hold = [socket.socketpair() for _ in range(60)]
        time.sleep(60)
time.sleep(2)""",
}


@pytest.mark.parametrize("name", HOLDERS)
def test_what_many_processes_hold_together_is_bounded(name):
    limits = Limits(cell=60, call=6, total=200, memory=500_000_000)
    result = graded(*GOOD, HOLDERS[name], limits=limits)
    assert passed(result) == ALL
    assert any("more memory than is allowed" in note for note in result["notes"]), result["notes"]


def fake_groups(root, controllers="cpu memory pids", inside=""):
    """A folder like that of a machine where groups may be made."""
    (root / "user").mkdir(parents=True)
    for folder in (root, root / "user"):
        (folder / "cgroup.controllers").write_text(controllers)
        (folder / "cgroup.subtree_control").write_text(inside)


def test_a_group_bounds_a_jail_where_one_may_be_made(tmp_path, monkeypatch):
    """On files that look like the kernel's: it says what is written, and into which group."""
    fake_groups(tmp_path, inside="memory pids")
    monkeypatch.setattr(cgroup, "own_groups", lambda: "3:cpu:/x\n0::/user\n")
    group = cgroup.Group.make(500, 9, tmp_path)
    assert group.path.parent == tmp_path / "user"
    assert (group.path / "memory.max").read_text() == "500"
    assert (group.path / "pids.max").read_text() == "9"
    subprocess.run(group.command(["true"]), check=True)
    assert (group.path / "cgroup.procs").read_text().strip().isdigit()
    assert not group.ran_out()
    (group.path / "memory.events").write_text("low 0\noom_kill 1\n")
    assert group.ran_out()
    monkeypatch.setattr(cgroup, "own_groups", lambda: "0::/user/course-grader\n")
    assert cgroup.Group.make(500, 9, tmp_path).path.parent == tmp_path / "user"


def test_the_grader_moves_into_a_group_of_its_own(tmp_path, monkeypatch):
    fake_groups(tmp_path)
    assert cgroup.delegated(tmp_path / "user") == tmp_path / "user"
    moved = (tmp_path / "user/course-grader/cgroup.procs").read_text()
    assert moved == str(os.getpid())
    assert (tmp_path / "user/cgroup.subtree_control").read_text() == "+memory +pids"


@pytest.mark.parametrize("groups", ["", "0::/user\n", "0::/nowhere\n"])
def test_there_is_no_group_where_none_may_be_made(tmp_path, monkeypatch, groups):
    fake_groups(tmp_path, controllers="cpu")
    monkeypatch.setattr(cgroup, "own_groups", lambda: groups)
    assert cgroup.Group.make(500, 9, tmp_path) is None
    assert not list(tmp_path.rglob("course-*"))


# -- for the teacher -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    ["y = torch.ops.aten.cross_entropy_loss(z, t)", "f = getattr(torch.nn.functional, name)",
     "import threading", "from rouge_score import rouge_scorer; rouge_scorer._lcs_table(a, b)",
     "with fwAD.dual_level(): import torch.autograd.forward_ad", "sys._getframe(1).f_locals"],
)  # fmt: skip
def test_a_walk_round_a_ban_is_shown_to_the_teacher(line):
    (found,) = suspicious([Cell.numbered(f"import torch\n{line}", 4)])
    assert found[0] == "Cell 4" and found[2] == line


def test_the_reference_solutions_are_hardly_suspicious():
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        assert len(suspicious(Submission.read(path).cells)) <= 2, path.name


def test_what_is_suspicious_stands_in_a_table_and_changes_no_mark(tmp_path):
    hand_in(tmp_path / "in", "eve.ipynb", [*GOOD, "import subprocess"])
    grade_folder(tmp_path / "in", tmp_path / "out", SETUP, only=["T1"])
    with (tmp_path / "out/suspicious.csv").open(encoding="utf-8", newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["student"] == "eve" and row["line"] == "import subprocess"
    assert table(tmp_path / "out")["eve"]["T1"] == "8"
