"""Seconds a graded submission takes, beside nbgrader; and a class that is killed half-way.

`python tests/grading/bench.py --record` measures anew what the instructor guide shows. It lies
with the tests because they need its classes of known worth, and nothing of the course does.

Every submission is the reference solution of a named student with one answer of the bank at its
end, so that all differ and what each deserves is known. Grading runs as its user runs it: as a
command, in a process of its own.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat

from course_tools.checkout import ROOT
from course_tools.grading import selftest
from course_tools.grading.command import BANKS
from course_tools.grading.jail import memory
from course_tools.shared import conditions, publish
from course_utils.grading.item import Item
from course_utils.grading.items import all_items
from course_utils.writing import markdown_table

REPORTS = ("marks.csv", "canvas.csv", "free_text.csv")
ITEMS = {"T1": 20, "T2": 12}  # without PyTorch, and with it: submissions beside nbgrader
LARGE = 1000  # of the class that is killed half-way, at least, for a record
WAYS = ("1", "2", "nbgrader")  # one worker, two workers, nbgrader
LOOK = 0.2  # seconds between looks at a running command


# -- submissions -------------------------------------------------------------------------------


def hand_in(folder: Path, root: Path, item: Item, count: int) -> dict[str, tuple[float, float]]:
    """Write submissions of `count` students; returns the least and most that each deserves.

    What it loses may earn a share, if only odd cases are wrong.
    """
    reference = nbformat.read(root / f"solutions/{item.notebook}.ipynb", as_version=4)
    bank = [selftest.right("the reference", ""), *selftest.load_bank(root / BANKS, item)]
    parts = [part for part in item.parts.values() if not part.is_text]
    folder.mkdir(parents=True)
    deserved = {}
    for number in range(count):
        answer, student = bank[number % len(bank)], f"student{number:04d}"
        book = nbformat.from_dict(dict(reference))
        mine = [f"# {student}", answer.source]
        book.cells = [*reference.cells, *map(nbformat.v4.new_code_cell, mine)]
        nbformat.write(book, folder / f"{student}.ipynb")
        least = sum(part.points for part in parts if part.name not in answer.loses)
        share = sum(part.points for part in parts if part.name in answer.loses)
        deserved[student] = (least, least + 0.7 * share)
    return deserved


def scores(out: Path, item: Item) -> dict[str, float]:
    """What `marks.csv` gives each student for an item."""
    with (out / "marks.csv").open(encoding="utf-8", newline="") as file:
        return {row["student"]: float(row[item.name]) for row in csv.DictReader(file)}


def fits(found: dict[str, float], deserved: dict[str, tuple[float, float]]) -> bool:
    """Whether every student has what is deserved."""
    between = [low <= found[name] <= high for name, (low, high) in deserved.items()]
    return found.keys() == deserved.keys() and all(between)


# -- commands ----------------------------------------------------------------------------------


def course_grade(folder: Path, out: Path, root: Path, item: Item, jobs: int) -> list[str]:
    """The command that grades a folder."""
    command = [sys.executable, "-m", "course_utils", "grade", str(folder), "--out", str(out)]
    command += ["--item", item.name, "--jobs", str(jobs)]
    return [*command, "--solutions", f"{root}/solutions", "--exercises", f"{root}/exercises"]


def watched(
    command: list[str], root: Path, enough: Callable[[], bool] = lambda: False
) -> dict[str, float]:
    """Run a command, kill it with SIGKILL once there is `enough`; its seconds and peak memory.

    `grader` is the most that the command's own process held, `all` the most that was seen of it
    and all its jails together, in bytes.

    Raises:
        RuntimeError: it was not killed, and failed.
    """
    started, most = time.perf_counter(), {"grader": 0, "all": 0}
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, cwd=root, stdout=said, stderr=said)
        while process.poll() is None:
            most["grader"] = max(most["grader"], held(process.pid))
            most["all"] = max(most["all"], memory(process.pid))
            if enough():
                process.send_signal(signal.SIGKILL)
            time.sleep(LOOK)
        seconds = time.perf_counter() - started
        said.seek(0)
        if process.returncode not in (0, 2, -signal.SIGKILL):  # 2: texts are left to mark
            raise RuntimeError(f"{' '.join(command)} failed: {said.read()[-2000:]}")
    return {"seconds": seconds, "killed": process.returncode < 0, **most}


def held(pid: int) -> int:
    """The most bytes that a process has held so far; 0 once it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return 1024 * int((re.findall(r"VmHWM:\s*(\d+) kB", status) or [0])[0])


def autograde(folder: Path, work: Path, root: Path, item: Item) -> dict[str, float]:
    """Let nbgrader grade the same submissions; only `autograde` itself is timed."""
    from course_tools.grading.exercises import stamp

    (work / "source/all").mkdir(parents=True)
    (work / "nbgrader_config.py").write_text("c = get_config()\n")
    name = f"{item.notebook}.ipynb"
    nbformat.write(stamp(nbformat.read(root / f"solutions/{name}", 4)), work / f"source/all/{name}")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"

    def nbgrader(*words: str) -> float:
        started = time.perf_counter()
        command = [sys.executable, "-m", "nbgrader", *words]
        environment = os.environ | {"PATH": programs, "COURSE_OFFLINE": "1"}
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise RuntimeError(f"nbgrader failed: {done.stderr[-2000:]}")
        return time.perf_counter() - started

    nbgrader("generate_assignment", "all")
    for path in folder.glob("*.ipynb"):
        place = work / "submitted" / path.stem / "all"
        place.mkdir(parents=True)
        nbformat.write(stamp(nbformat.read(path, 4)), place / name)
    seconds = nbgrader("autograde", "all")
    graded = len(list(work.glob("autograded/*/all/*.ipynb")))
    if graded != len(list(folder.glob("*.ipynb"))):
        raise RuntimeError(f"nbgrader graded {graded} submissions only")
    return {"seconds": seconds}


# -- what is measured --------------------------------------------------------------------------


def beside_nbgrader(root: Path, place: Path, item: Item, count: int) -> dict[str, Any]:
    """Seconds for the same submissions: one worker, two workers, nbgrader."""
    folder = place / "in"
    deserved = hand_in(folder, root, item, count)
    row: dict[str, Any] = {"item": item.name, "submissions": count}
    for jobs in (1, 2):
        out = place / f"out{jobs}"
        row[f"{jobs}"] = watched(course_grade(folder, out, root, item, jobs), root)
        if not fits(scores(out, item), deserved):
            raise RuntimeError(f"{item.name}: the marks are not those that are deserved")
    return row | {"nbgrader": autograde(folder, place / "nbgrader", root, item)}


def interrupted(root: Path, place: Path, item: Item, count: int) -> dict[str, Any]:
    """Grade a class with one worker; and with two, killed half-way and resumed: the same marks.

    Raises:
        RuntimeError: the reports differ, or a mark is not what the answer deserves.
    """
    folder, whole, broken = place / "in", place / "whole", place / "broken"
    deserved = hand_in(folder, root, item, count)
    command = course_grade(folder, broken, root, item, 2)

    def done() -> int:
        return len(list((broken / "results" / item.name).glob("[!.]*.json")))

    row: dict[str, Any] = {"item": item.name, "submissions": count}
    row["killed"] = watched(command, root, lambda: done() >= count // 2)
    row["killed_after"] = done()
    if not row["killed"]["killed"] or not count // 2 <= done() < count:
        raise RuntimeError(f"it was to be killed half-way, not after {done()} of {count}")
    row["resumed"] = watched(command, root)
    row["whole"] = watched(course_grade(folder, whole, root, item, 1), root)
    if not fits(scores(whole, item), deserved):
        raise RuntimeError("the marks are not those that are deserved")
    for name in REPORTS:
        if (whole / name).read_bytes() != (broken / name).read_bytes():
            raise RuntimeError(f"{name} is not what it is without the interruption")
    return row


def run(root: Path, large: int, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Measure all: classes of `ITEMS` beside nbgrader, a `large` one that is killed half-way."""
    items, rows, before = all_items(), [], os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="course-bench-") as place:
        for name, count in ITEMS.items():
            small = min(count, large)  # to try it all with a few
            rows.append(beside_nbgrader(root, Path(place, name), items[name], small))
            say(json.dumps(rows[-1]))
        class_row = interrupted(root, Path(place, "class"), items["T1"], large)
        say(json.dumps(class_row))
    where = conditions("nbgrader") | {"load_average": before}
    return {"conditions": where, "rows": rows, "class": class_row}


# -- what is shown -----------------------------------------------------------------------------


def table(record: dict[str, Any]) -> str:
    """The record as a Markdown table and a paragraph; no sentence takes sides."""
    head = ["", "submissions", "1 worker", "2 workers", "nbgrader"]
    head += ["1 worker / 2 workers", "nbgrader / 1 worker"]
    lines = []
    for row in record["rows"]:
        one, two, other = (row[key]["seconds"] / row["submissions"] for key in WAYS)
        cells = [row["item"], str(row["submissions"]), *(f"{s:.2f} s" for s in (one, two, other))]
        lines.append([*cells, f"{one / two:.1f} ×", f"{other / one:.1f} ×"])
    rows = markdown_table(head, lines)
    large, where = record["class"], record["conditions"]
    runs = [large[name] for name in ("whole", "killed", "resumed")]
    alone, *pair = (run["seconds"] / 60 for run in runs)
    grader, everything = (max(run[key] for run in runs) / 2**20 for key in ("grader", "all"))
    return f"""{rows}

{large["submissions"]:,} submissions of {large["item"]} took {alone:.1f} minutes with 1 worker.
With 2 workers, killed (SIGKILL) after {large["killed_after"]:,} and started again, they took
{sum(pair):.1f} minutes in all, and the marks are the same, byte for byte. The grader held
{grader:.0f} MiB at most, {everything:.0f} MiB with all its jails. Measured {where["date"]}
on {where["machine"]} (load average before {where["load_average"]:.1f}), with
nbgrader {where["nbgrader"]}."""


def main() -> None:
    """Measure, show, and with --record write it into the book."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--submissions", type=int, default=LARGE, help="of the class killed")
    parser.add_argument("--record", action="store_true", help="write the result into the book")
    asked = parser.parse_args()
    if asked.record and asked.submissions < LARGE:
        parser.error(f"the book shows a class of {LARGE:,} at least")
    record = run(ROOT, asked.submissions)
    print(f"\n{table(record)}")
    if asked.record:
        place, page = ROOT / "book/records/grading.json", ROOT / "book/instructors.md"
        publish(record, place, "graded", table(record), page)


if __name__ == "__main__":
    main()
