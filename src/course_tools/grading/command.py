"""What `course grade` does: a folder of submissions, or the proof that the graders grade."""

from __future__ import annotations

import codecs
import contextlib
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from course_tools.grading import selftest
from course_tools.grading.collect import safe
from course_tools.grading.grade import Setup, Stopped, grade_folder, run
from course_tools.grading.jail import Jail
from course_tools.grading.judge import Mark, reference
from course_tools.grading.people import Deadline
from course_tools.grading.selftest import Answer
from course_utils.grading.item import Item
from course_utils.grading.items import all_items

BANKS, BLIND = Path("tests/grading/answers"), Path("tests/grading/blind")
COLUMNS = (
    *("Exercise", "Marks", "Wrong answers", "Caught", "Right answers", "Full marks"),
    *("Blind answers", "Caught", "Mistake named", "Place named"),
)
HEAD = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def chosen(names: list[str] | None) -> dict[str, Item]:
    """The items of these names, all if none is given; raises Stopped for an unknown one."""
    items = all_items()
    if unknown := [name for name in names or [] if name not in items]:
        raise Stopped(f"there is no item {', '.join(unknown)}; there are {', '.join(items)}")
    return {name: items[name] for name in names or items}


def names_in(roster: Path) -> list[str]:
    """The students of a roster, one a line; raises Stopped where it is no text."""
    content = roster.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    text = content.decode("utf-16" if wide else "utf-8-sig", "replace")
    if {"\0", "\ufffd"} & set(text):
        raise Stopped(f"{roster} is not in UTF-8: save it as text in UTF-8, one student a line")
    return [safe(line.strip()) for line in text.splitlines() if line.strip()]


def grade(
    folder: Path,
    out: Path,
    setup: Setup,
    names: list[str] | None,
    roster: Path | None,
    jobs: int,
    dask: str,
    share: str = "0/1",
    deadline: Deadline | None = None,
) -> bool:
    """Grade a folder and say where everything lies; returns whether all are graded."""
    if not folder.is_dir():
        raise Stopped(f"there is no folder {folder}")
    part = re.fullmatch(r"(\d+)/(\d+)", share)
    if not part or int(part[1]) >= int(part[2]):
        raise Stopped(f"a share is 0/4, 1/4, 2/4 or 3/4, for example; not {share!r}")
    students = names_in(roster) if roster else None
    only = list(chosen(names)) if names else None
    with contextlib.ExitStack() as stack:
        executor = None
        if dask:
            from distributed import Client

            executor = stack.enter_context(Client(dask)).get_executor()
        done = grade_folder(
            folder,
            out,
            setup,
            jobs=jobs,
            only=only,
            roster=students,
            deadline=deadline,
            executor=executor,
            share=(int(part[1]), int(part[2])),
        )
    if int(part[2]) > 1:
        print(f"Share {share} is in {out / 'results'}; reports are written without --share.")
        return done
    print(f"{out / 'marks.csv'}, {out / 'feedback'}, gradescope, canvas.csv, free_text.csv")
    if not done:
        print("Not all are graded: see the status columns of marks.csv.")
    return done


def self_test(setup: Setup, names: list[str] | None, jobs: int) -> bool:
    """Grade every bank in the jail and print the table; returns whether all came out right."""
    with Jail(setup.limits, setup.unsafe) as jail:
        jail.probe()
    print(HEAD)
    faults = []
    for item in chosen(names).values():
        row, found = test_item(item, setup, jobs)
        print(row, flush=True)
        faults += found
    print("\n".join(faults) or "Every answer got what it deserves.")
    return not faults


def test_item(item: Item, setup: Setup, jobs: int) -> tuple[str, list[str]]:
    """Grade the answers to one item; returns its row of the table, and what came out wrong."""
    bank, blind = selftest.load_bank(BANKS, item), selftest.load_blind(BLIND, item)
    answers = [selftest.right("the reference", ""), *bank, *blind]
    solution = reference(setup.solutions, item)

    def judged(answer: selftest.Answer) -> list[str]:
        result = run(item, [*solution, answer.source], setup)
        found = selftest.faults(answer, [Mark(**mark) for mark in result["marks"]])
        return [f"{item.name}, {answer.name}: {text} (seed {result['seed']})" for text in found]

    with ThreadPoolExecutor(jobs) as pool:
        faults = list(pool.map(judged, answers))
    good = [answer for answer, found in zip(answers, faults, strict=True) if not found]
    return row_of(item, bank, blind, good), [text for found in faults for text in found]


def row_of(item: Item, bank: list[Answer], blind: list[Answer], good: list[Answer]) -> str:
    """The row of the table for the answers to one item, of which `good` got what they deserve."""
    wrong = [answer for answer in bank if answer.loses]
    right = [answer for answer in bank if not answer.loses]
    named = [answer for answer in blind if answer.hint == "right"]
    placed = [answer for answer in blind if answer.hint == "generic"]
    pairs = [n for some in (wrong, right, blind) for n in (len(some), count(some, good))]
    cells = [item.name, f"{item.points:g}", *pairs, count(named, good), count(placed, good)]
    return f"| {' | '.join(map(str, cells))} |"


def count(some: list[Answer], good: list[Answer]) -> int:
    """How many of some answers are among the good ones."""
    return sum(any(answer is other for other in good) for answer in some)
