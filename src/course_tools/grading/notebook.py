"""Read a handed-in notebook, whatever was done to it: its code, never its metadata or outputs."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from course_utils.grading.item import Item
from course_utils.grading.items import all_items

MAX_FILE = 20_000_000  # bytes; a notebook with many figures has a tenth of it
MAX_CELLS = 2_000
MAX_CODE = 300_000  # characters; parsed, one can take hundreds of bytes
MAX_LINE = 200  # characters of a line that are looked at
# what a line at the margin defines; nothing is parsed here, for that can take hours and gigabytes
DEFINES = re.compile(
    r"(?:>>> |%time )?(?:(?:async )?(?:def|class) +(\w+)|([\w, ]+?) *(?::[^=]+)?=(?!=))"
)
SKIP = "# not run when graded"


class Unreadable(ValueError):
    """A file that holds no notebook in Python; the message says why, to its author."""


class Cell(str):
    """The source of a cell, with its number among the notebook's code cells, from 1 on."""

    number = 0  # 0 where it was no code cell: it runs only if it is Python
    lent: dict | None = None  # cells and names of right answers, where it stands for those

    @classmethod
    def numbered(cls, source: str, number: int) -> Cell:
        """A cell with its number."""
        cell = cls(source)
        cell.number = number
        return cell

    @property
    def where(self) -> str:
        """How to find it: its number and its first line."""
        line = next((line.strip() for line in self.splitlines() if line.strip()), "")
        where = f"Cell {self.number}" if self.number else "A cell of text"
        return f"{where} ({line[:50]})"


@dataclass(frozen=True)
class Submission:
    """The code of a notebook, cell by cell, as it was written."""

    cells: list[Cell]

    @classmethod
    def read(cls, path: Path) -> Submission:
        """Read a file; raises Unreadable."""
        return cls.parse(read_bytes(path))

    @classmethod
    def parse(cls, content: bytes) -> Submission:
        """Take the code cells of a notebook of format 3 or 4; raises Unreadable."""
        book = as_json(content)
        sheets = [book, *(s for s in as_list(book.get("worksheets")) if isinstance(s, dict))]
        cells = [c for s in sheets for c in as_list(s.get("cells")) if isinstance(c, dict)]
        if not cells:
            raise Unreadable("it has no cells: is it a Jupyter notebook (.ipynb)?")
        if len(cells) > MAX_CELLS:
            raise Unreadable(f"it has {len(cells)} cells, more than {MAX_CELLS}")
        code = list(code_cells(cells))
        if sum(map(len, code)) > MAX_CODE:
            raise Unreadable("it has more code than anybody writes; hand in no data within a cell")
        if not any(map(definitions, code)):
            raise Unreadable("no cell of it defines anything in Python")
        return cls(code)

    @property
    def graded(self) -> list[Cell]:
        """The cells that grading runs: all but those that begin with SKIP."""
        return [cell for cell in self.cells if not cell.lstrip().startswith(SKIP)]

    @cached_property
    def names(self) -> set[str]:
        """Every name that some cell defines."""
        return set().union(*map(definitions, self.cells))

    def score(self, item: Item) -> float:
        """The share of the item's names that are defined here."""
        return len(self.names & set(item.names)) / len(item.names)


def read_bytes(path: Path) -> bytes:
    """A regular file's content; raises Unreadable for links, devices and what is too large."""
    if path.is_dir() and not path.is_symlink():
        raise Unreadable("its folder is empty, or cannot be opened")
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe would hang
    except OSError as error:
        raise Unreadable("it is a link or cannot be opened; hand in the file itself") from error
    with os.fdopen(handle, "rb") as file:
        state = os.fstat(file.fileno())
        if not stat.S_ISREG(state.st_mode):
            raise Unreadable("it is no ordinary file")
        if state.st_size > MAX_FILE:
            raise Unreadable(f"it has {state.st_size / 1e6:.0f} MB; {MAX_FILE / 1e6:.0f} are read")
        return file.read(MAX_FILE)


def as_json(content: bytes) -> dict:
    """Parse the file; raises Unreadable when it is empty, cut off, or something else."""
    if not content.strip():
        raise Unreadable("the file is empty")
    try:
        book = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Unreadable("it is no notebook, or was cut off (not valid JSON)") from error
    if not isinstance(book, dict):
        raise Unreadable("it is no notebook (JSON of another kind)")
    return book


def as_list(value: object) -> list:
    """The list itself; an empty one for anything else."""
    return value if isinstance(value, list) else []


def text(cell: dict) -> str:
    """A cell's source: a string, or a list of lines; format 3 calls it `input`."""
    source = cell.get("source", cell.get("input", ""))
    lines = source if isinstance(source, list) else [source]
    joined = "".join(line for line in lines if isinstance(line, str))
    # a lone surrogate is legal in JSON, but no text
    return joined.encode("utf-8", "replace").decode("utf-8").replace("\0", "")


def code_cells(cells: list[dict]) -> Iterator[Cell]:
    """Cells of code, and those that were turned into text by mistake yet define an answer."""
    number, answers = 0, {name for item in all_items().values() for name in item.names}
    for cell in cells:
        source, is_code = text(cell), cell.get("cell_type") == "code"
        number += is_code
        # of a text that holds a picture only the length is looked at
        if source.strip() and (
            is_code or (len(source) <= MAX_CODE and definitions(source) & answers)
        ):
            yield Cell.numbered(source, number if is_code else 0)


def definitions(source: str) -> set[str]:
    """Names that lines at the margin define, as far as that can be seen without parsing."""
    found: set[str] = set()
    margin = re.match(r"\s*?([ \t]*)(?=\S)", source)  # a cell may be indented as a whole
    for line in source.split("\n"):
        if match := DEFINES.match(line.removeprefix(margin[1] if margin else "")[:MAX_LINE]):
            found |= set(re.findall(r"\w+", match[1] or match[2]))
    return found
