"""What `course grade` does: a folder of submissions, or the proof that the graders grade."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from course_utils.grading import selftest
from course_utils.grading.collect import safe
from course_utils.grading.grade import Setup, Stopped, grade_folder
from course_utils.grading.item import Item
from course_utils.grading.items import all_items
from course_utils.grading.jail import Jail

BANKS = Path("tests/answers")


def chosen(names: list[str] | None) -> dict[str, Item]:
    """The items of these names, all if none is given; raises Stopped for an unknown one."""
    items = all_items()
    if unknown := [name for name in names or [] if name not in items]:
        raise Stopped(f"there is no item {', '.join(unknown)}; there are {', '.join(items)}")
    return {name: items[name] for name in names or items}


def grade(
    folder: Path,
    out: Path,
    setup: Setup,
    names: list[str] | None,
    roster: Path | None,
    jobs: int,
    dask: str,
) -> bool:
    """Grade a folder and say where everything lies; returns whether all are graded."""
    if not folder.is_dir():
        raise Stopped(f"there is no folder {folder}")
    students = (
        [safe(line.strip()) for line in roster.read_text("utf-8").splitlines() if line.strip()]
        if roster
        else []
    )
    only = list(chosen(names)) if names else None
    executor = None
    if dask:
        from distributed import Client

        executor = Client(dask).get_executor()
    done = grade_folder(
        folder, out, setup, jobs=jobs, only=only, roster=students, executor=executor
    )
    print(f"{out / 'marks.csv'}, {out / 'feedback'}, gradescope, canvas.csv, free_text.csv")
    if not done:
        print("Not all are graded: see the status columns of marks.csv.")
    return done


def self_test(setup: Setup, names: list[str] | None, jobs: int) -> bool:
    """Grade every bank in the jail and print the table; returns whether all came out right."""
    with Jail(setup.limits, setup.unsafe) as jail:
        jail.probe()
    rows, faults = [], []
    for item in chosen(names).values():
        row, found = test_item(item, setup, jobs)
        rows.append(row)
        faults += found
    print("| item | points | wrong answers | caught | right answers | full marks |")
    print("|---|---|---|---|---|---|")
    print("\n".join(rows))
    print("\n".join(faults) or "Every answer got what it deserves.")
    return not faults


def test_item(item: Item, setup: Setup, jobs: int) -> tuple[str, list[str]]:
    """Grade the bank of one item; returns its row of the table, and what came out wrong."""
    cells = selftest.reference(setup.solutions, item)
    bank = selftest.load_bank(BANKS, item)

    def judged(answer: selftest.Answer) -> list[str]:
        return selftest.faults(answer, selftest.in_jail(item, setup, [*cells, answer.source]))

    with ThreadPoolExecutor(jobs) as pool:
        found = dict(zip([a.name for a in bank], pool.map(judged, bank), strict=True))
    counts = []
    for group in ([a for a in bank if a.loses], [a for a in bank if not a.loses]):
        counts += [len(group), sum(not found[a.name] for a in group)]
    row = f"| {item.name} | {item.points:g} | " + " | ".join(map(str, counts)) + " |"
    return row, [f"{item.name}, {name}: {text}" for name, texts in found.items() for text in texts]
