"""What the course promises to teach, item by item, and where a reader meets it: no hole is left.

    pytest tests/book/test_coverage.py -s        prints the table

A row of coverage.txt is `item | what | page | heading | words`. A `*` after the item says that
something is run there: a cell with outputs must stand below the heading. Several headings are
parted by `;`, and so are words that must be found below them, in the text or in what cells show.
"""

import json
import re
from pathlib import Path

import pytest
from chapter import FINISHED, ROOT, shown

ITEMS = Path(__file__).with_name("coverage.txt")
EXERCISES = ("T1", "T2", "T3", "T4", "P1", "P2", "P3", "P4", "P5", "P6", "L1")


def rows() -> list[tuple[str, bool, str, str, list[str], list[str]]]:
    """(item, run, what, page, headings, words) of each line."""
    found = []
    for line in ITEMS.read_text("utf-8").splitlines():
        item, what, page, *lists = (part.strip() for part in line.split(" | "))
        places, words = ([x.strip() for x in part.split(";")] for part in [*lists, ""][:2])
        found.append((item.rstrip("*"), item.endswith("*"), what, page, places, words))
    return found


def sections(page: str) -> dict[str, tuple[str, bool]]:
    """Heading → (what stands below it up to the next one, whether a cell shows something there)."""
    if not page.startswith("09_"):
        text = (ROOT / "book" / f"{page}.md").read_text("utf-8")
        parts = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
        return {head: (body, False) for head, body in zip(parts[1::2], parts[2::2], strict=True)}
    (path,) = (ROOT / "chapters").glob(f"{page}*.ipynb")
    found: dict[str, tuple[str, bool]] = {}
    heading = ""
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "code":
            body, ran = found.get(heading, ("", False))
            output = "\n".join(shown(cell))
            found[heading] = (body + output, bool(cell["outputs"]) or ran)
            continue
        parts = re.split(r"^#{1,4} (.*)$", text, flags=re.MULTILINE)
        for head, body in [(heading, parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]:
            before, ran = found.get(head, ("", False))
            found[head], heading = (before + body, ran), head
    return found


def anchor(heading: str) -> str:
    """The id that the built page gives a heading."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")


def address(page: str, heading: str) -> str:
    """Where on the site."""
    folder = "chapters" if page.startswith("09_") else "book"
    (path,) = (ROOT / folder).glob(f"{page}*")
    return f"{folder}/{path.stem}.html#{anchor(heading)}"


@pytest.mark.parametrize("item,run,what,page,places,words", rows(), ids=[r[0] for r in rows()])
def test_item_is_taught_where_the_table_says(item, run, what, page, places, words):
    if page.startswith("09_") and page not in FINISHED:
        pytest.skip(f"{page} is in preparation")
    there = sections(page)
    for place in places:
        assert place in there, f"{item} ({what}): no heading {place!r} on {page}"
        assert there[place][0].strip(), f"{item}: nothing below {place!r}"
    below = " ".join(there[place][0] for place in places)
    assert not [word for word in words if word not in below], item
    if run:
        assert any(there[place][1] for place in places), (
            f"{item} ({what}): nothing is run on {page}"
        )


@pytest.mark.parametrize("name", EXERCISES)
def test_exercise_is_there_with_its_solution(name):
    found = [list((ROOT / folder).glob(f"{name}_*.ipynb")) for folder in ("exercises", "solutions")]
    assert all(found), f"{name} lacks its exercise or its solution"


def test_no_item_is_missing_or_twice():
    items = [row[0] for row in rows()]
    assert len(set(items)) == len(items)
    wanted = {f"A{i}" for i in range(1, 7)} | {f"B{i}" for i in range(1, 13)}
    wanted |= {f"D{i}" for i in range(1, 14)} | {f"E{i}" for i in range(1, 37)}
    wanted |= {f"E38{c}" for c in "abcdef"} | {f"F{i}" for i in range(1, 8)}
    wanted |= {f"EQ{i}" for i in range(1, 9)} | {f"O{i}" for i in range(1, 5)}
    assert not wanted - set(items)


def test_a_hole_is_found():
    there = sections("09_2")
    assert "Equation 9.1" in there and there["Equation 9.1"][1]
    assert "Equation 9.9" not in there


def test_print_the_table(capsys):
    lines = [
        f"{item:5} {what:76} {address(page, place)}"
        for item, _, what, page, places, _ in rows()
        for place in places
    ]
    with capsys.disabled():
        print("", *lines, sep="\n")
    assert len(lines) >= len(rows())
