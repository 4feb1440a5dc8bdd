"""What comes out of grading: marks, feedback pages, files for Gradescope and Canvas, free texts."""

from __future__ import annotations

import html
import json
import re
import string
from collections import Counter
from pathlib import Path

from course_tools.grading import people
from course_tools.grading.collect import Found
from course_tools.grading.people import Deadline, Results, number, score, table, visible
from course_utils.grading.item import Item
from course_utils.writing import write_text

PAGE = string.Template(Path(__file__).with_name("feedback.html").read_text("utf-8"))


def write_all(
    out: Path,
    found: list[Found],
    items: dict[str, Item],
    roster: list[str],
    results: Results,
    rubrics: dict[str, str],
    deadline: Deadline | None = None,
) -> bool:
    """Write every report; returns whether all students of all items are graded."""
    people.merge(out, results)
    tell_older(found, results)
    students = sorted({one.student for one in found} | {who for who, _ in results} | set(roster))
    add_missing(students, found, items, results)
    excused = people.override(out, results)
    people.lateness(results, deadline, excused)
    rows = marks(students, items, results)
    for line in people.history(out, rows)[:20]:
        print(f"Changed: {line}")
    tables = {
        "marks": rows,
        "canvas": canvas(students, items, results),
        "statistics": statistics(items, results),
        "suspicious": suspicious_rows(results),
        "free_text": people.free_texts(out, items, results, rubrics),
    }
    for name, lines in tables.items():
        write_text(out / f"{name}.csv", table(lines), private=True)
    whole = all(results[s, i]["status"] == "graded" for s in students for i in items)
    for student in students:
        mine = [results[student, item] for item in items]
        scope = json.dumps(gradescope(mine), indent=1)
        try:
            write_text(out / "feedback" / f"{student}.html", page(student, mine), private=True)
            write_text(out / "gradescope" / f"{student}/results.json", scope, private=True)
        except OSError as error:
            print(f"{student}: the feedback was not written ({error})")
            whole = False
    return whole


def tell_older(found: list[Found], results: Results) -> None:
    """Say in a result which files of the student it replaces."""
    for one in found:
        if one.older and one.item:
            text = f"{one.path.name} is the newest file and counts, not {', '.join(one.older)}."
            results[one.student, one.item]["notes"].append(text)


def add_missing(
    students: list[str], found: list[Found], items: dict[str, Item], results: Results
) -> None:
    """Give every student a result for every item: missing, or a file that tells of no item."""
    unknown = {one.student: one for one in found if one.item is None}
    for student in students:
        for item in items.values():
            one = unknown.get(student)
            told = ("unreadable", f"{one.path.name}: {one.fault}.") if one else ("missing",)
            results.setdefault((student, item.name), people.blank(item, *told))


# -- tables ------------------------------------------------------------------------------------


def marks(students: list[str], items: dict[str, Item], results: Results) -> list[list[str]]:
    """A row for each student: score and status of every item, and the total."""
    rows = [["student", *(f"{i}{w}" for i in items for w in ("", " status")), "total"]]
    for student in students:
        mine = [results[student, item] for item in items]
        cells = [text for r in mine for text in (number(score(r)), r["status"])]
        rows.append([student, *cells, number(sum(score(r) or 0 for r in mine))])
    return rows


def canvas(students: list[str], items: dict[str, Item], results: Results) -> list[list[str]]:
    """Canvas's gradebook format; a score only where everything is marked."""
    head = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section"]
    rows = [[*head, *(f"{item.name} {item.title}" for item in items.values())]]
    rows.append(
        ["    Points Possible", "", "", "", "", *(number(i.points) for i in items.values())]
    )
    for student in students:
        lms = re.fullmatch(r"(.+)_([0-9]+)(~[0-9a-f]{8})?", student)  # see `safe` for the last
        mine = [results[student, item] for item in items]
        scores = [number(score(r)) if r["status"] == "graded" else "" for r in mine]
        rows.append([lms[1] if lms else student, lms[2] if lms else "", "", "", "", *scores])
    return rows


def statistics(items: dict[str, Item], results: Results) -> list[list[str]]:
    """A row for each part: how many answers, their mean, and which mistake how often."""
    rows = [["part", "title", "points", "answers", "mean", "full marks", "mistakes"]]
    for part in (part for item in items.values() for part in item.parts.values()):
        given = [m for r in results.values() for m in r["marks"] if m["part"] == part.name]
        earned = [mark["earned"] for mark in given if mark["earned"] is not None]
        mean = sum(earned) / len(earned) if earned else None
        common = Counter(hint for mark in given for hint in mistakes(mark)).most_common(6)
        told = " | ".join(f"{count} × {hint}" for hint, count in common)
        full = sum(value >= part.points for value in earned)
        row = [number(part.points), str(len(given)), number(mean), str(full), told]
        rows.append([part.name, part.title, *row])
    return rows


def mistakes(mark: dict) -> list[str]:
    """The hints of a part: one for each group of cases that failed, or what else is said."""
    if mark["state"] in ("right", "marked", "needs marking"):
        return []
    return [hint for hint in mark.get("groups", {}).values() if hint] or [mark["feedback"]]


def suspicious_rows(results: Results) -> list[list[str]]:
    """Lines of code that a person may want to read, by student; they change no mark."""
    rows = [["student", "item", "cell", "kind", "line"]]
    for (student, item), result in sorted(results.items()):
        rows += [[student, item, *found] for found in result.get("suspicious", [])]
    return rows


# -- pages -------------------------------------------------------------------------------------


def page(student: str, mine: list[dict]) -> str:
    """A student's feedback: escaped, with nothing from elsewhere, no scripts, no hidden values."""
    body = "".join(section(result) for result in mine if result["status"] != "missing")
    if absent := [result["item"] for result in mine if result["status"] == "missing"]:
        body += f"<p>Nothing was handed in for {html.escape(', '.join(absent))}.</p>"
    got, most = sum(score(r) or 0 for r in mine), sum(r["max"] for r in mine)
    when = max(result.get("graded", "") for result in mine)
    total = f"{got:g} of {most:g} points in all, as graded {when}."
    return PAGE.substitute(student=html.escape(visible(student)), total=total, body=visible(body))


def section(result: dict) -> str:
    """One item of a feedback page."""
    points = score(result)
    got = f"{points:g} of {result['max']:g} points" if points is not None else "no score"
    text = f"<h2>{html.escape(result['item'])}: {got}, {html.escape(result['status'])}</h2>"
    if result["status"] == "grader error":
        text += "<p>The grader failed, not you. The teaching staff will look at it.</p>"
    text += "".join(article(mark) for mark in result["marks"])
    if result["notes"]:
        notes = html.escape("\n".join(result["notes"]))
        text += f"<h3>What happened to your notebook</h3><pre>{notes}</pre>"
    return f"<section>{text}</section>"


def article(mark: dict) -> str:
    """One part of a feedback page."""
    kind = {"right": "right", "marked": "right", "needs marking": "open"}.get(mark["state"], "")
    earned = "open" if mark["earned"] is None else f"{mark['earned']:g}"
    head = f"{mark['part']} {mark['title']}: {earned} of {mark['points']:g}"
    said = html.escape(mark["feedback"])
    return f'<article class="{kind}"><h3>{html.escape(head)}</h3><p>{said}</p></article>'


def gradescope(mine: list[dict]) -> dict:
    """Gradescope's results.json: a test for each part."""
    tests = [
        {
            "name": f"{mark['part']} {mark['title']}",
            "score": mark["earned"] or 0,
            "max_score": mark["points"],
            "output": visible(mark["feedback"]),
        }
        for result in mine
        for mark in result["marks"]
    ]
    notes = [f"{r['item']}: {r['status']}" for r in mine] + [n for r in mine for n in r["notes"]]
    total = sum(score(result) or 0 for result in mine)
    return {"score": total, "output": visible("\n".join(notes)), "tests": tests}
