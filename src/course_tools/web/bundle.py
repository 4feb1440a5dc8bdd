"""Many readable modules become one classic script.

A page opened from disk may load scripts, but neither modules nor workers from files. So each module
becomes a function that is called once and gives what it exports; they stand in the order in which
they need each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.{1,2}/[^"]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const|let)\s+([\w$]+))", re.MULTILINE)


def bundle(entry: Path) -> str:
    """Text of one script that does what the module `entry` does.

    Raises ValueError for what this simple way cannot do: an import or export of another form than
    `import { a } from "./b.js"` and `export function a`, or a name that is not exported.
    """
    paths = list(ordered(entry.resolve(), []))
    body = "\n".join(wrapped(path, paths) for path in paths)
    return f'(() => {{\n"use strict";\n{body}\n}})();\n'


def ordered(path: Path, seen: list[Path]) -> Iterator[Path]:
    """Each module once, after those it imports."""
    if path in seen:
        return
    seen.append(path)
    for _, source in IMPORT.findall(path.read_text("utf-8")):
        yield from ordered((path.parent / source).resolve(), seen)
    yield path


def wrapped(path: Path, paths: list[Path]) -> str:
    """One module as a function; `moduleN` is what module number N exports."""

    def taken(match: re.Match) -> str:
        wanted = [name.strip() for name in match[1].split(",") if name.strip()]
        source = (path.parent / match[2]).resolve()
        if absent := set(wanted) - set(exports(source.read_text("utf-8"))):
            raise ValueError(f"{path.name}: {match[2]} does not export {', '.join(absent)}")
        return f"const {{ {', '.join(wanted)} }} = module{paths.index(source)};\n"

    text = path.read_text("utf-8")
    names = ", ".join(exports(text))
    text = EXPORT.sub(r"\1", IMPORT.sub(taken, text))
    if left := re.search(r"^(?:import|export)\b.*", text, re.MULTILINE):
        raise ValueError(f"{path.name}: cannot bundle {left.group()!r}")
    head = f"// {path.name}\nconst module{paths.index(path)} = (() => {{"
    return f"{head}\n{text}\nreturn {{ {names} }};\n}})();"


def exports(text: str) -> list[str]:
    """Names that a module exports."""
    return [name for _, name in EXPORT.findall(text)]
