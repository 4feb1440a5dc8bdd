"""Files that are whole or not there, and tables in Markdown."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def write_text(path: Path, text: str, private: bool = False, new: bool = False) -> Path:
    """Write a file beside its place, then rename it into it: a reader finds the old or the new.

    Makes its folder. What UTF-8 cannot write becomes a question mark. A `private` file is for the
    eyes of its owner alone.

    Raises:
        FileExistsError: it is to be `new`, and there is one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # a short name that no other machine takes, whatever the length of the file's own
    half = path.with_name(f".{secrets.token_hex(8)}.half")
    half.touch(0o600 if private else 0o666)
    try:
        half.write_text(text, "utf-8", "replace", newline="")
        if new:
            os.link(half, path)
        else:
            half.replace(path)
    finally:
        half.unlink(missing_ok=True)  # the disk may be full
    return path


def write_json(path: Path, content: Any) -> Path:
    """Write JSON all at once. Raises ValueError for NaN and infinities, before anything is done."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    return write_text(path, text + "\n")


def read_json(path: Path) -> Any:
    """What `write_json` wrote.

    Raises:
        ValueError: the file is cut or is no JSON; names it.
    """
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        remedy = "delete it, and the command that wrote it writes it anew"
        raise ValueError(f"{path} is damaged ({error}): {remedy}") from error


def raised(number: str) -> str:
    """A number as Python prints it, 3.2e+06, as one writes it: 3.2·10⁶."""
    mantissa, e, exponent = number.partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(RAISED)}" if e else number


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; a vertical bar inside a cell stays text.

    Raises:
        ValueError: a row has more or fewer cells than the header.
    """
    lines = [list(header), ["---"] * len(header), *map(list, rows)]
    if wrong := [line for line in lines if len(line) != len(header)]:
        raise ValueError(f"the header has {len(header)} cells, these rows do not: {wrong}")
    cells = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)
