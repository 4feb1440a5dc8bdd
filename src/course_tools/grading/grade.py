"""Grade a folder of submissions: one independent task each, results on disk, reports at the end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from course_tools.grading import report, similar
from course_tools.grading.cgroup import HOW, Group
from course_tools.grading.collect import Found, age, collect
from course_tools.grading.jail import Jail, Limits, NoJail, exposed
from course_tools.grading.jailed import TICK, Jailed
from course_tools.grading.judge import Mark, judge, judge_again, load_hidden, reference
from course_tools.grading.notebook import Submission, Unreadable, read_bytes
from course_tools.grading.people import Deadline, blank, rubrics_in
from course_tools.grading.suspicious import suspicious
from course_utils.grading import item as item_module
from course_utils.grading.item import Item, Wrong
from course_utils.grading.items import all_items
from course_utils.writing import write_text

RUN = "run.json"  # in the folder of the marks: what all parts of a run share
FAULTS = 3  # submissions in a row for which no jail started, before the canary is asked again
CODE = (Path(__file__).parent, Path(item_module.__file__).parent)
NEEDED = {"item", "max", "marks", "notes", "status"}  # of a result
MENDED = (
    "The jail has stopped working. What was graded before is kept; mend the machine and run the "
    "same command again: all others are graded then."
)
# from the gravest: a person reads a status from left to right
STATES = ("grader error", "timed out", "crashed", "needs marking")


class Stopped(RuntimeError):
    """Grading cannot begin or go on; nobody's marks were touched."""


@dataclass(frozen=True)
class Setup:
    """Where the checks are, and how a submission is run."""

    solutions: Path
    exercises: Path
    limits: Limits = field(default_factory=Limits)
    unsafe: bool = False
    seed: int | None = None  # of all that is drawn; None: one for each call of `run`


@cache
def fingerprint(hidden: Path, limits: Limits) -> str:
    """Hash of all code that decides about marks: another one grades everything anew."""
    digest = hashlib.sha256(repr(limits).encode())
    files = (p for folder in CODE for p in sorted(folder.rglob("*")))
    for path in [*(p for p in files if p.suffix in (".py", ".json")), hidden]:
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def key(content: bytes, item: Item, setup: Setup) -> str:
    """What a result depends on: the submission and the checks."""
    checks = fingerprint(setup.solutions / f"hidden/{item.name.lower()}.py", setup.limits)
    drawn = f"{checks} {setup.seed}".encode()
    return hashlib.sha256(hashlib.sha256(content).digest() + drawn).hexdigest()


def grade_file(path: Path, item_name: str, setup: Setup) -> dict:
    """Grade one notebook for one item; returns plain data, also when it cannot be read."""
    item, started = all_items()[item_name], time.monotonic()
    result = blank(item, "grader error") | {"file": path.name, "handed": age(path)}
    result |= {"graded": f"{datetime.now():%Y-%m-%d %H:%M}"}
    try:
        content = read_bytes(path)
        result["key"] = key(content, item, setup)
        cells = Submission.parse(content).graded
        result["suspicious"] = suspicious(cells)
        result |= run(item, cells, setup)
    except Unreadable as error:
        result |= {"status": "unreadable", "notes": [f"The file was not read: {error}."]}
    except NoJail as error:
        result |= {"status": "grader error", "no jail": True, "log": str(error)[-4000:]}
    except Exception:
        result |= {"status": "grader error", "log": traceback.format_exc()[-4000:]}
    return result | {"seconds": round(time.monotonic() - started, 3)}


def run(item: Item, cells: Sequence[str], setup: Setup) -> dict:
    """Run the cells in a jail and judge the answers."""
    hidden = load_hidden(setup.solutions / "hidden", item)
    seed = secrets.randbits(64) if setup.seed is None else setup.seed
    with Jail(setup.limits, setup.unsafe) as jail, Jailed(jail, cells) as student:
        marks = judge(item, hidden, student, seed)
        texts = {mark.part: free_text(student, item, mark) for mark in marks}
        notes = [f"{student.cells[n].where}: {t}" for n, t in sorted(student.notes.items())]
        judge_again(item, hidden, student, seed, marks, reference(setup.solutions, item))
    return {
        "status": status(marks),
        "marks": [mark.plain() for mark in marks],
        "texts": {part: text for part, text in texts.items() if text},
        "notes": notes,
        "seed": seed,
    }


def status(marks: list[Mark]) -> str:
    """The gravest state of any part; "graded" if there is none."""
    states = {mark.state for mark in marks}
    return next((state for state in STATES if state in states), "graded")


def free_text(student: Jailed, item: Item, mark: Mark) -> str:
    """What a person is to mark; empty for other parts."""
    if mark.state != "needs marking":
        return ""
    try:
        text = str(student.value(item.parts[mark.part].names[0]))[:20_000]
    except Wrong:
        return "(could not be read again)"
    return text.encode("utf-8", "replace").decode()


# -- the canary --------------------------------------------------------------------------------


def canary(item: Item, setup: Setup, done: str = "Nothing was graded.") -> None:
    """Grade the reference and the blank exercise: all and nothing, or Stopped."""
    for folder, share in ((setup.solutions, 1.0), (setup.exercises, 0.0)):
        path = folder / f"{item.notebook}.ipynb"
        if not path.is_file():
            raise Stopped(f"{path} is missing (make exercises writes the blank ones)")
        result = grade_file(path, item.name, setup)
        parts = [mark for mark in result["marks"] if not item.parts[mark["part"]].is_text]
        wanted = share * sum(mark["points"] for mark in parts)
        if not parts or sum(mark["earned"] or 0 for mark in parts) != wanted:
            lines = [f"  {m['part']}: {m['state']}. {m['feedback']} {m['log']}" for m in parts]
            lines += result["notes"] + [result.get("log", "")]
            kind = "reference solution" if share else "blank exercise"
            raise Stopped(
                f"Canary: the {kind} of {item.name} did not get {wanted:g} points. {done}\n"
                + "\n".join(filter(None, lines))
            )


# -- a class -----------------------------------------------------------------------------------


def grade_folder(
    folder: Path,
    out: Path,
    setup: Setup,
    *,
    jobs: int = 1,
    only: list[str] | None = None,
    roster: list[str] | None = None,
    deadline: Deadline | None = None,
    executor: Executor | None = None,
    share: tuple[int, int] = (0, 1),
    say: Callable[[str], None] = print,
) -> bool:
    """Grade every submission below `folder` and write the reports to `out`.

    With a `share` (k, n) only every n-th submission from the k-th on, and no reports: those are
    for the run that finds all results there.

    Returns whether every student of every item has the status "graded". Raises Stopped before any
    submission is touched when the canary fails, NoJail when there is no jail.
    """
    items = {name: all_items()[name] for name in only or all_items()}
    if seen := [] if setup.unsafe else exposed([setup.solutions, folder, out, CODE[0]]):
        raise Stopped(
            f"The jail shows {', '.join(map(str, seen))} to those who hand in, for it lies where "
            "Python or the course's data lie. Move it somewhere else."
        )
    with Jail(setup.limits, setup.unsafe) as jail:
        jail.probe()
    say(memory_limit(setup))
    setup = replace(setup, seed=run_seed(out, setup.seed))
    found = collect(folder, items, out)
    used = [name for name in items if only or any(f.item == name for f in found)]
    mine = found[share[0] :: share[1]]
    todo = [one for one in mine if one.item and not stored(out, one, setup)]
    due = [name for name in used if any(one.item == name for one in todo)]
    for name in due:
        canary(items[name], setup)
    if due:
        say(f"Canary: reference and blank of {', '.join(due)} get all and nothing.")
    say(f"{len(mine)} submissions, {len(mine) - len(todo)} done before.")
    pool = executor or ThreadPoolExecutor(jobs)
    try:
        tasks, faults = ((one, (one.path, one.item, setup)) for one in todo), 0
        for one, result in tqdm(spread(pool, tasks, 2 * jobs), total=len(todo), disable=None):
            keep(out, one, result, say)
            faults = faults + 1 if "no jail" in result else 0
            if faults == FAULTS:
                canary(items[str(one.item)], setup, MENDED)
                faults = 0
    finally:
        if executor is None:
            pool.shutdown(cancel_futures=True)
    if share[1] > 1:
        return True
    results = {(one.student, str(one.item)): result_of(out, one) for one in found if one.item}
    results |= other_results(out, used)
    graded = {name for _, name in results} | set(used)
    columns = {name: item for name, item in all_items().items() if name in graded}
    rubrics = rubrics_in(setup.solutions / "hidden")
    write_text(out / "similar.html", similar.as_page(found, items, setup.exercises), private=True)
    known = [str(name) for name in remembered(out, "roster.json", roster) or []]
    given = [deadline.due.isoformat(), deadline.penalty] if deadline else None
    if late := remembered(out, "deadline.json", given):
        deadline = Deadline(datetime.fromisoformat(late[0]), late[1])
    return report.write_all(out, found, columns, known, results, rubrics, deadline)


def other_results(out: Path, used: list[str]) -> dict[tuple[str, str], dict]:
    """What lies in `out` of items that are not graded this time: it stays in the reports."""
    paths = sorted((out / "results").glob("*/*.json"))
    rest = all_items().keys() - set(used)
    kept = {(p.stem, p.parent.name): p for p in paths if p.parent.name in rest}
    return {key: result_of(out, Found(key[0], path, key[1])) for key, path in kept.items()}


def remembered(out: Path, name: str, value: Any) -> Any:
    """What is given now, or else was given in an earlier run; kept in a file."""
    if value is not None:
        write_text(out / name, json.dumps(value, indent=1), private=True)
        return value
    with contextlib.suppress(OSError, ValueError):
        return json.loads((out / name).read_text("utf-8"))
    return None


def memory_limit(setup: Setup) -> str:
    """Which limit of memory is in force on this machine."""
    group, how = None if setup.unsafe else Group.make(setup.limits.memory, 1), "the kernel"
    if group:
        group.end()
    else:
        how = f"looks, {1 / TICK:.0f} a second; where systemd runs the kernel can do it: {HOW}"
    return f"Memory: {setup.limits.memory / 2**30:g} GiB for each jail, bounded by {how}"


def spread(pool: Executor, tasks: Iterator, ahead: int) -> Iterator[tuple[Found, dict]]:
    """Run tasks on a pool, few of them waiting at a time; yields results as they come."""
    running: dict[Future, Found] = {}
    for one, arguments in tasks:
        running[pool.submit(grade_file, *arguments)] = one
        if len(running) >= ahead:
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(future), future.result()
    for future in list(running):
        yield running[future], future.result()


def place(out: Path, one: Found) -> Path:
    """Where the result of a submission lies."""
    return out / "results" / str(one.item) / f"{one.student}.json"


def keep(out: Path, one: Found, result: dict, say: Callable[[str], None]) -> None:
    """Write a result; one that cannot be written is told, and costs nobody else."""
    try:
        write_text(
            place(out, one), json.dumps(result | {"student": one.student}, indent=1), private=True
        )
    except OSError as error:
        say(f"{one.student}, {one.item}: the result was not written ({error})")


def result_of(out: Path, one: Found) -> dict:
    """The result on disk; one of the status "grader error" where there is none that can be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        result = json.loads(place(out, one).read_text("utf-8"))
        if isinstance(result, dict) and result.keys() >= NEEDED:
            return result
    return blank(all_items()[str(one.item)], "grader error")


def stored(out: Path, one: Found, setup: Setup) -> bool:
    """Whether there is a result of exactly this file and these checks, and no fault of ours."""
    result = result_of(out, one)
    if result["status"] == "grader error":
        return False
    try:
        content = read_bytes(one.path)
    except Unreadable:
        return False
    return result.get("key") == key(content, all_items()[str(one.item)], setup)


def run_seed(out: Path, wanted: int | None) -> int:
    """The one seed of all that is drawn for a class, drawn once and kept in `out`.

    So equal answers get equal marks, also when a run goes on, or is shared among machines.
    """
    path = out / RUN
    if not path.exists():
        seed = secrets.randbits(64) if wanted is None else wanted
        with contextlib.suppress(FileExistsError):  # another share was faster
            write_text(path, json.dumps({"seed": seed}), private=True, new=True)
    try:
        seed = json.loads(path.read_text("utf-8"))["seed"]
        if type(seed) is not int or wanted not in (None, seed):
            raise ValueError(f"its seed is {seed}, not {wanted}")
    except (ValueError, KeyError, TypeError) as error:
        raise Stopped(
            f"{path} cannot be used ({error}). Delete it, and everybody is graded anew."
        ) from error
    return seed
