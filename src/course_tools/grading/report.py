"""What comes out of grading: marks, feedback pages, files for Gradescope and Canvas, free texts."""

from __future__ import annotations

import csv
import hashlib
import html
import io
import json
import re
import string
from pathlib import Path

from course_tools.grading.collect import Found
from course_utils.grading.item import Item
from course_utils.writing import write_text

Results = dict[tuple[str, str], dict]
NONE = ("missing", "unreadable", "grader error")  # states without a score
UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
FORMULA = re.compile(r"((?:\A|[;\t\n])[\s'\"]*)(?=[=+\-@|＝＋－＠﹢﹣﹫−])")
PAGE = string.Template(Path(__file__).with_name("feedback.html").read_text("utf-8"))


def write_all(
    out: Path,
    found: list[Found],
    items: dict[str, Item],
    roster: list[str],
    results: Results,
    rubrics: dict[str, str],
) -> bool:
    """Write every report; returns whether all students of all items are graded."""
    merge(out, results)
    tell_older(found, results)
    students = sorted({one.student for one in found} | {who for who, _ in results} | set(roster))
    add_missing(students, found, items, results)
    write_text(out / "marks.csv", table(marks(students, items, results)), private=True)
    write_text(out / "canvas.csv", table(canvas(students, items, results)), private=True)
    write_text(out / "suspicious.csv", table(suspicious_rows(results)), private=True)
    write_text(out / "free_text.csv", table(free_texts(out, items, results, rubrics)), private=True)
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
            blank = {"item": item.name, "max": item.points, "marks": [], "notes": []}
            one = unknown.get(student)
            if one:
                blank |= {"status": "unreadable", "notes": [f"{one.path.name}: {one.fault}."]}
            results.setdefault((student, item.name), {"status": "missing", **blank})


def score(result: dict) -> float | None:
    """The points of a result so far; None where there is nothing to score."""
    if result["status"] in NONE:
        return None
    return sum(mark["earned"] or 0 for mark in result["marks"])


def number(value: float | None) -> str:
    """A number as people write it; nothing for None."""
    return "" if value is None else f"{value:g}"


# -- tables ------------------------------------------------------------------------------------


def table(rows: list[list[str]]) -> str:
    """Rows as CSV; a cell that a spreadsheet would take for a formula is text."""
    file = io.StringIO()
    csv.writer(file).writerows([[cell(text) for text in row] for row in rows])
    return file.getvalue()


def cell(text: str) -> str:
    """Put a quote before what begins like a formula, as spreadsheets themselves do.

    Also where a cell would begin if a spreadsheet split the text at `;`, a tab or a line's end.
    """
    return FORMULA.sub(r"\1'", visible(text)) if text != "-" else text


def visible(text: str) -> str:
    """A text without what no page shows: control characters, and those that turn the writing."""
    return UNSEEN.sub("", text.encode("utf-8", "replace").decode())


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


def suspicious_rows(results: Results) -> list[list[str]]:
    """Lines of code that a person may want to read, by student; they change no mark."""
    rows = [["student", "item", "cell", "kind", "line"]]
    for (student, item), result in sorted(results.items()):
        rows += [[student, item, *found] for found in result.get("suspicious", [])]
    return rows


# -- free text ---------------------------------------------------------------------------------

FREE = ["student", "part", "points", "marks", "comment", "rubric", "text", "key"]


def text_key(student: str, part: str, text: str) -> str:
    """Names one text of one student: another text is another key, and needs another mark."""
    digest = hashlib.sha256(json.dumps([student, part, text]).encode()).hexdigest()[:16]
    return f"text-{digest}"  # never something that a spreadsheet takes for a number, as 12e45


def given(out: Path) -> dict[str, dict[str, str]]:
    """The rows of free_text.csv by their keys, with what people wrote into them so far.

    Raises ValueError, before anything is written, for a table that a spreadsheet has broken.
    """
    path = out / "free_text.csv"
    if not path.exists():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            # a spreadsheet writes the separator that is usual where it is used
            split = max(",;\t", key=file.readline().count)
            file.seek(0)
            read = csv.DictReader(file, delimiter=split)
            rows = list(read)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV in UTF-8: save it as that") from error
    if absent := {"key", "marks", "comment"} - set(read.fieldnames or []):
        raise ValueError(f"{path} has no column {', '.join(sorted(absent))}")
    return {row["key"]: {n: (row.get(n) or "").strip() for n in FREE} for row in rows}


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
                mark |= {"earned": checked(row["marks"], mark, student), "state": "marked"}
                mark["feedback"] = row["comment"] or "Marked by a person."
        if result["status"] == "needs marking":
            open_ = any(mark["state"] == "needs marking" for mark in result["marks"])
            result["status"] = "needs marking" if open_ else "graded"


def checked(value: str, mark: dict, student: str) -> float:
    """A person's mark as a number between 0 and the part's points."""
    try:
        points = float(value.replace(",", "."))
    except ValueError:
        points = -1.0
    if not 0 <= points <= mark["points"]:
        wanted = f"a number from 0 to {mark['points']:g}"
        raise ValueError(f"free_text.csv: {student}, {mark['part']}: {value!r} is not {wanted}")
    return points


# -- pages -------------------------------------------------------------------------------------


def page(student: str, mine: list[dict]) -> str:
    """A student's feedback: escaped, with nothing from elsewhere, no scripts, no hidden values."""
    body = "".join(section(result) for result in mine if result["status"] != "missing")
    if absent := [result["item"] for result in mine if result["status"] == "missing"]:
        body += f"<p>Nothing was handed in for {html.escape(', '.join(absent))}.</p>"
    return PAGE.substitute(student=html.escape(visible(student)), body=visible(body))


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
            "output_format": "text",
        }
        for result in mine
        for mark in result["marks"]
    ]
    notes = [f"{r['item']}: {r['status']}" for r in mine] + [n for r in mine for n in r["notes"]]
    total = sum(score(result) or 0 for result in mine)
    said = visible("\n".join(notes))
    return {"score": total, "output": said, "output_format": "text", "tests": tests}
