"""Tables that people read and fill in: free texts, overrides, deadlines; and what changed.

They are written so that a spreadsheet runs nothing, and read as a spreadsheet saves them.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from course_tools.grading.judge import Mark
from course_utils.grading.item import Item
from course_utils.grading.items import all_items
from course_utils.writing import write_text

Results = dict[tuple[str, str], dict]
NONE = ("missing", "unreadable", "grader error")  # states without a score
OVERRIDES = ["student", "part", "points", "comment"]
HISTORY = ["when", "student", "what", "before", "after"]
FREE = ["student", "part", "points", "marks", "comment", "rubric", "text", "key"]
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
FORMULA = re.compile(r"((?:\A|[;\t\n])[\s'\"]*)(?=[=+\-@|＝＋－＠﹢﹣﹫−])")


def number(value: float | None) -> str:
    """A number as people write it; nothing for None."""
    return "" if value is None else f"{value:g}"


def table(rows: list[list[str]]) -> str:
    """Rows as CSV; a cell that a spreadsheet would take for a formula is text."""
    file = io.StringIO()
    csv.writer(file).writerows([[cell(text) for text in row] for row in rows])
    return file.getvalue()


def cell(text: str) -> str:
    """Put a quote before what begins like a formula, as spreadsheets themselves do.

    Also where a cell would begin if a spreadsheet split the text at `;`, a tab or a line's end.
    """
    quoted = FORMULA.sub(lambda found: found[1].removesuffix("'") + "'", visible(text))
    return text if text == "-" else quoted


def visible(text: str) -> str:
    """A text without what no page shows: control characters, and those that turn the writing."""
    return UNSEEN.sub("", text.encode("utf-8", "replace").decode())


def read_table(path: Path, columns: set[str]) -> list[dict[str, str]]:
    """The rows of a table that people may have filled in; none where there is no file.

    Raises ValueError, before anything is written, for one that a spreadsheet has broken.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # a spreadsheet writes the separator that is usual where it is used
            split = max(",;\t", key=file.readline().count)
            file.seek(0)
            read = csv.DictReader(file, delimiter=split)
            rows = [{n: (row.get(n) or "").strip() for n in read.fieldnames or []} for row in read]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV in UTF-8: save it as that") from error
    if absent := columns - set(read.fieldnames or []):
        raise ValueError(f"{path} has no column {', '.join(sorted(absent))}")
    return rows


# -- free text ---------------------------------------------------------------------------------


def blank(item: Item, status: str, *notes: str) -> dict:
    """A result without any mark."""
    empty = {"marks": [], "notes": [*notes], "status": status}
    return {"item": item.name, "max": item.points, **empty}


def text_key(student: str, part: str, text: str) -> str:
    """Names one text of one student: another text is another key, and needs another mark."""
    digest = hashlib.sha256(json.dumps([student, part, text]).encode()).hexdigest()[:16]
    return f"text-{digest}"  # never something that a spreadsheet takes for a number, as 12e45


def given(out: Path) -> dict[str, dict[str, str]]:
    """The rows of free_text.csv by their keys, with what people wrote into them so far."""
    rows = read_table(out / "free_text.csv", {"key", "marks", "comment"})
    return {row["key"]: {name: row.get(name, "") for name in FREE} for row in rows}


def rubrics_in(hidden: Path) -> dict[str, str]:
    """The rubric of each free text, by its part, from the instructors' folder."""
    text = (hidden / "rubrics.md").read_text("utf-8")
    pieces = re.split(r"^## (\S+)$", text, flags=re.MULTILINE)[1:]
    return {part: rubric.strip() for part, rubric in zip(pieces[::2], pieces[1::2], strict=True)}


def free_texts(
    out: Path, items: dict[str, Item], results: Results, rubrics: dict[str, str]
) -> list[list[str]]:
    """Every free text with its rubric, and the mark if a person gave one.

    Marks of texts that are not graded this time stay at the end: a person's work is not deleted.
    """
    done, rows = given(out), [FREE]
    for (student, item), result in sorted(results.items()):
        for part, text in result.get("texts", {}).items():
            code, about = text_key(student, part, text), items[item].parts[part]
            row = done.pop(code, {})
            mark = [row.get("marks", ""), row.get("comment", "")]
            rows.append(
                [student, part, number(about.points), *mark, rubrics.get(part, ""), text, code]
            )
    kept = [row for row in done.values() if row["marks"] or row["comment"]]
    return rows + [[row[name] for name in FREE] for row in kept]


def merge(out: Path, results: Results) -> None:
    """Put the marks that people gave into the results; raises ValueError for a wrong one."""
    done = given(out)
    for (student, _), result in results.items():
        for mark in result["marks"]:
            text = result.get("texts", {}).get(mark["part"])
            row = done.get(text_key(student, mark["part"], text or ""), {})
            if text and row.get("marks"):
                earned = checked(row["marks"], mark, f"free_text.csv: {student}")
                mark |= {"earned": earned, "state": "marked"}
                mark["feedback"] = row["comment"] or "Marked by a person."
        settle(result)


def settle(result: dict) -> None:
    """Call a result graded once no part of it waits for a person any more."""
    if result["status"] == "needs marking":
        waits = any(mark["state"] == "needs marking" for mark in result["marks"])
        result["status"] = "needs marking" if waits else "graded"


def checked(value: str, mark: dict, where: str) -> float:
    """A person's mark as a number between 0 and the part's points."""
    try:
        points = float(value.replace(",", "."))
    except ValueError:
        points = -1.0
    if not 0 <= points <= mark["points"]:
        wanted = f"a number from 0 to {mark['points']:g}"
        raise ValueError(f"{where}, {mark['part']}: {value!r} is not {wanted}")
    return points


# -- what the staff decides ----------------------------------------------------------------------


@dataclass(frozen=True)
class Deadline:
    """Until when to hand in, in local time, and the share of points that each day begun costs."""

    due: datetime
    penalty: float = 0.0


def override(out: Path, results: Results) -> dict[tuple[str, str], float]:
    """Put points and comments of overrides.csv into the results, and keep in them what was there.

    A row whose part is a whole item, as "T1", has days that count as late for points: returned.
    """
    path, days = out / "overrides.csv", {}
    if not path.exists():
        write_text(path, table([OVERRIDES]), private=True)
    for row in read_table(path, set(OVERRIDES)):
        student, name, where = row["student"], row["part"], f"overrides.csv: {row['student']}"
        item = all_items().get(name.split(".")[0])
        result = results.get((student, item.name)) if item else None
        if not item or not result or name not in [item.name, *item.parts]:
            raise ValueError(f"{where} has no part {name!r}; names are those of marks.csv")
        if name == item.name:
            days[student, name] = checked(row["points"], {"part": name, "points": 999}, where)
            continue
        if not result["marks"]:  # nothing could be read: a person marks it all
            result["status"] = "graded"
            result["marks"] = [Mark(p.name, p.title, p.points).plain() for p in item.parts.values()]
        mark = next(mark for mark in result["marks"] if mark["part"] == name)
        said = row["comment"]
        if row["points"]:
            was = "open" if mark["earned"] is None else number(mark["earned"])
            said = f"Set by the teaching staff (it was {was}). {said}"
            mark |= {"earned": checked(row["points"], mark, where), "state": "marked"}
        mark["feedback"] = f"{said} {mark['feedback']}".strip()
        settle(result)
    return days


def lateness(
    results: Results, deadline: Deadline | None, excused: dict[tuple[str, str], float]
) -> None:
    """Note what lateness costs each result; its file tells when it was handed in.

    Who is `excused` is late for so many days, whatever the file tells.
    """
    for key, result in results.items():
        if deadline and "handed" in result:
            handed = datetime.fromtimestamp(result["handed"])
            begun = max(0, math.ceil((handed - deadline.due) / timedelta(days=1)))
            days = excused.get(key, begun)
            result["off"] = min(1.0, days * deadline.penalty)
            late = f"{days:g} days late, {result['off']:.0%} off" if days else "in time"
            result["notes"].append(f"Handed in {handed:%Y-%m-%d %H:%M}: {late}.")


def score(result: dict) -> float | None:
    """The points of a result so far, less what is late; None where there is nothing to score."""
    if result["status"] in NONE:
        return None
    points = sum(mark["earned"] or 0 for mark in result["marks"])
    return round(points * (1 - result.get("off", 0)), 2)


def history(out: Path, rows: list[list[str]]) -> list[str]:
    """Note in history.csv which cells of marks.csv are about to change; returns them as lines."""
    head, *new = [[cell(text) for text in row] for row in rows]
    try:
        old = {row["student"]: row for row in read_table(out / "marks.csv", {"student"})}
    except ValueError:  # saved by somebody in another way
        return []
    changes = []
    for student, *values in new:
        for name, value in zip(head[1:-1], values, strict=False):
            before = old.get(student, {}).get(name, value)
            changes += [[student, name, before, value]] if before != value else []
    path, now = out / "history.csv", f"{datetime.now():%Y-%m-%d %H:%M}"
    kept = [list(row.values()) for row in read_table(path, set(HISTORY))]
    write_text(path, table([HISTORY, *kept, *([now, *c] for c in changes)]), private=True)
    return [f"{who}, {what}: {was or '–'} → {value or '–'}" for who, what, was, value in changes]
