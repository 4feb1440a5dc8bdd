"""Read a handed-in notebook, whatever was done to it: its code, never its metadata or outputs."""

from __future__ import annotations

import ast
import json
import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from course_utils.grading.item import Item
from course_utils.grading.session import plain_python

MAX_FILE = 20_000_000  # bytes; a notebook with many figures has a tenth of it
MAX_CELLS = 2_000
MAX_CODE = 300_000  # characters; parsed, one can take hundreds of bytes
SKIP = "# not run when graded"


class Unreadable(ValueError):
    """A file that holds no notebook in Python; the message says why, to its author."""


@dataclass(frozen=True)
class Submission:
    """The code of a notebook, cell by cell, as Python that knows no IPython."""

    cells: list[str]

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
        sources = [text(cell) for cell in cells if is_code(cell)]
        if sum(map(len, sources)) > MAX_CODE:
            raise Unreadable("it has more code than anybody writes; hand in no data within a cell")
        code = [plain_python(source) for source in sources]
        if not any(map(definitions, code)):
            raise Unreadable("no cell of it defines anything in Python")
        return cls([cell for cell in code if cell.strip()])

    @property
    def graded(self) -> list[str]:
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


def is_code(cell: dict) -> bool:
    """A code cell, or one that was turned into text by mistake yet defines something."""
    if cell.get("cell_type") == "code":
        return True
    source = text(cell)  # of a text that holds a picture only the length is looked at
    return len(source) <= MAX_CODE and bool(definitions(source))


def definitions(source: str) -> set[str]:
    """Names that a cell defines at its top level; a stub of `...` defines nothing."""
    try:
        tree = ast.parse(plain_python(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
    return found
