"""Pairs of submissions with many lines in common, side by side: a person looks and decides."""

from __future__ import annotations

import html
import keyword
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

from course_tools.grading.collect import Found
from course_tools.grading.notebook import Submission
from course_utils.grading.item import Item

SHORT, LONG = 5, 400  # a line of fewer tokens tells nothing; of a longer one only the start is read
PAIRS, IDIOM = 40, 12  # pairs that are shown; a line that more people wrote is an idiom
TOKEN, CODE = re.compile(r"\w+|[^\s\w]"), re.compile(r"[=()\[\]]")
PAGE = Path(__file__).with_name("similar.html")


def shape(line: str) -> str:
    """A line without comment and spaces; in code all names are alike. Empty for a short one."""
    text = line.split("#")[0][:LONG]
    tokens = TOKEN.findall(text)
    if CODE.search(text):
        named = [token.isidentifier() and not keyword.iskeyword(token) for token in tokens]
        tokens = ["name" if name else token for name, token in zip(named, tokens, strict=True)]
    return " ".join(tokens) if len(tokens) >= SHORT else ""


def pairs(codes: dict[str, str], blank: str) -> list[tuple[float, tuple[str, str], set[str]]]:
    """The share of the smaller one that is common, the students, the shapes; the closest first.

    What stands in the `blank` exercise, and what many wrote, does not count.
    """
    owners = defaultdict(set)
    for student, code in codes.items():
        for found in {shape(line) for line in code.splitlines()} - {""}:
            owners[found].add(student)
    for found in map(shape, blank.splitlines()):
        owners.pop(found, None)
    few = max(3, min(IDIOM, len(codes) // 5))
    own = {found: sorted(names) for found, names in owners.items() if len(names) <= few}
    size, common = Counter(name for names in own.values() for name in names), defaultdict(set)
    for found, names in own.items():
        for pair in combinations(names, 2):
            common[pair].add(found)
    rows = [(len(c) / min(size[a], size[b]), (a, b), c) for (a, b), c in common.items()]
    return sorted(rows, key=lambda row: (-row[0], -len(row[2]), row[1]))[:PAIRS]


def as_page(found: Iterable[Found], items: dict[str, Item], exercises: Path) -> str:
    """The closest pairs of each exercise as a page."""
    codes: dict[str, dict[str, str]] = defaultdict(dict)
    for one in found:
        if one.item and not one.fault:
            codes[one.item][one.student] = "\n".join(Submission.read(one.path).graded)
    shown = []
    for item, mine in codes.items():
        blank = "\n".join(Submission.read(exercises / f"{items[item].notebook}.ipynb").cells)
        for share, both, common in pairs(mine, blank):
            head = f"{item}: {' and '.join(both)}, {share:.0%} of the smaller one"
            columns = "".join(f"<pre>{marked(mine[one], common)}</pre>" for one in both)
            title = f"<summary>{html.escape(head)}</summary>"
            shown.append(f"<details>{title}<div>{columns}</div></details>")
    return PAGE.read_text("utf-8").replace("$pairs", "".join(shown))


def marked(code: str, common: set[str]) -> str:
    """Code as HTML, with the lines marked that are common."""
    lines = [(html.escape(line), shape(line) in common) for line in code.splitlines()]
    return "\n".join(f"<mark>{line}</mark>" if shared else line for line, shared in lines)
