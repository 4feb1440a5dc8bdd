"""The house as its imports draw it: rooms, how large they are, and which of them each needs."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from course_tools.checkout import ROOT

Graph = dict[str, set[str]]


def modules(src: Path = ROOT / "src") -> dict[str, Path]:
    """Every module of both packages by its dotted name."""
    files = {path: path.relative_to(src).with_suffix("") for path in src.glob("course_*/**/*.py")}
    return {".".join(f.parts).removesuffix(".__init__"): path for path, f in files.items()}


def imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """The known modules that one imports, inside its functions too."""
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            wanted = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            here = package.rsplit(".", node.level - 1)[0] if node.level else ""
            start = ".".join(part for part in (here, node.module) if part)
            inside = [f"{start}.{alias.name}" for alias in node.names]
            wanted = [module if module in known else start for module in inside]
        else:
            continue
        yield from (module for module in wanted if module in known and module != name)


def imports(src: Path = ROOT / "src") -> Graph:
    """Module → modules that it imports."""
    known = modules(src)
    return {name: set(imported(name, path, known)) for name, path in known.items()}


def room(module: str) -> str:
    """The folder of a package that a module lies in, or the module itself beside the folders."""
    return ".".join(module.split(".")[:2])


def drawing(src: Path = ROOT / "src") -> str:
    """A line a room, `name, lines → what it imports`; whoever imports stands above."""
    sizes: Counter[str] = Counter()
    needs: Graph = {}
    for name, path in modules(src).items():
        sizes[room(name)] += len(path.read_text("utf-8").splitlines())
    for name, others in imports(src).items():
        needs.setdefault(room(name), set()).update({room(m) for m in others} - {room(name)})
    drawn = []
    for package in ("course_tools", "course_utils"):
        mine = [name for name in needs if name.startswith(f"{package}.")]
        drawn.append(f"{package}, {sum(sizes[name] for name in mine):,} lines")
        for name in sorted(mine, key=lambda name: (-len(reach(name, needs)), name)):
            # of the other package its name is enough
            below = sorted({n.removeprefix(f"{package}.").partition(".")[0] for n in needs[name]})
            arrow = f"→ {', '.join(below)}" if below else ""
            drawn.append(
                f"  {name.removeprefix(f'{package}.'):16} {sizes[name]:5,} {arrow}".rstrip()
            )
    return "\n".join(drawn)


def reach(name: str, needs: Graph) -> set[str]:
    """All that a room needs, at first or at last hand."""
    found, new = set(), {name}
    while new:
        found |= new
        new = {other for one in new for other in needs[one]} - found
    return found
