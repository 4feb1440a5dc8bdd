"""Give the chapter another number, where this course is one chapter of a larger one.

Renumbered are the files of `chapters/`, the title above them, sections (9.2, 9.2.1), equations,
figures and tables with their anchors, and whatever refers to one of these: in text, code, tests,
and in what cells have printed. What only looks alike stays: versions, sizes, measured numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from course_tools.checkout import ROOT

PLACES = ("book", "chapters", "exercises", "solutions", "src", "tests")
FILES = ("_toc.yml", "README.md", "CONTRIBUTING.md")
SUFFIXES = (".md", ".ipynb", ".py", ".yml", ".txt", ".js")
SEALED = {"records", "checkpoints", "__pycache__"}  # what was measured is not edited


def chapter_number(root: Path = ROOT) -> int:
    """The chapter's number: the first two digits of the files in `chapters/`."""
    return int(min(path.name for path in (root / "chapters").glob("[0-9][0-9]_*.ipynb"))[:2])


def renumber(number: int, root: Path = ROOT) -> list[Path]:
    """Make the chapter number `number`; returns the files that changed.

    Raises ValueError for a number that has no two digits.
    """
    if not 1 <= number <= 99:
        raise ValueError(f"chapter {number}: the number is one of 1 to 99")
    old = chapter_number(root)
    if old == number:
        return []
    changed = []
    for path in texts(root):
        text = path.read_text("utf-8")
        if (new := renumbered(text, old, number)) != text:
            path.write_text(new, "utf-8")
            changed.append(path)
    for path in sorted(root.rglob(f"*{old:02}_[1-9]_*")):
        if path.is_file() and "_build" not in path.relative_to(root).parts[:1]:
            path.rename(path.with_name(path.name.replace(f"{old:02}_", f"{number:02}_", 1)))
    return changed


def texts(root: Path) -> Iterator[Path]:
    """All files in which the number may stand."""
    yield from (root / name for name in FILES if (root / name).exists())
    for place in PLACES:
        for path in sorted((root / place).rglob("*")):
            if path.suffix in SUFFIXES and not SEALED & set(path.parts):
                yield path


def renumbered(text: str, old: int, new: int) -> str:
    """A text in which chapter `old` is chapter `new`.

    A bare 9.2 may be any number. It is a section's, an equation's or a figure's after such a word,
    as a heading, in a tag, at the end of a link's text, and as a whole string; 9.2.1 is one unless
    a sign of a version stands before it.
    """
    point = r"\\{0,2}\."  # in a regular expression it is escaped
    label = rf"(?<![\d.]){old}(?={point}[1-9](?:{point}[1-9])?(?![\d%]))"
    word = r"\b(?:[Ss]ection|[Ee]quation|[Ff]igure|[Tt]able|Eq|Fig)s?\.? "
    one = rf"\[?{old}{point}[1-9][\d.]*(?:\]\([^)]*\))?"  # plain, or the text of a link
    several = rf"{word}(?:{one}(?:, | and | to |–)?)+"
    text = re.sub(
        several, lambda found: re.sub(rf"{old}(?={point}[1-9])", str(new), found[0]), text
    )
    patterns = [
        rf"(?<![\d.]){old:02}(?=_(?:[1-9](?:_|\b)|[^\w\s]))",
        rf"(?<=[Cc]hapter ){old}\b",
        rf"(?<=\beq-){old}(?=-\d)",
        rf'(?<="){old}(?=-[1-9]")',
        rf"(?<![\d.=<>~v-]){old}(?={point}[1-9]{point}[1-9](?![\d.]\d))",
        rf"(?<=\\tag{{){label}",
        rf"(?<=# ){label}",
        rf'(?<="){label}(?={point}[1-9](?:{point}[1-9])?\\?")',
        rf'(?<="""){label}',
        rf"{label}(?=[\d.]+\]\()",
    ]
    for number, pattern in enumerate(patterns):
        text = re.sub(pattern, f"{new:02}" if number == 0 else str(new), text)
    return text
