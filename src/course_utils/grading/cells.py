"""Runs the cells of a notebook as Jupyter does, but one statement after another; in the jail.

What stops a statement stops no other one: a file that is not there, or a question that nobody
answers, must not take away the functions that follow it.
"""

from __future__ import annotations
import __future__

import ast
import importlib
import inspect
import linecache
import re
import sys
import types
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

# magics whose line or body is Python; all others do nothing here
PYTHON = ("time", "timeit", "capture", "prun", "memit", "mprun", "lprun", "debug")
OPTIONS = re.compile(r"(-[a-zA-Z]+\s*[\d.]*\s+|--[\w-]+\s+)*")  # of `%timeit -n 3 f()`
AWAITS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
UNREADABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


class Quiet:
    """Stands for what only matters on a screen: takes everything, does nothing."""

    def __getattr__(self, name: str) -> Quiet:
        """Any attribute is as quiet."""
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Quiet:
        """Any call does nothing."""
        return self


class Shell(Quiet):
    """What `get_ipython()` gives: it runs magics that hold Python, writes files, and no more."""

    def __init__(self, cells: Cells) -> None:
        self.cells = cells

    def __call__(self) -> Shell:
        """`get_ipython` stands for what it returns."""
        return self

    def getoutput(self, command: str) -> list[str]:
        """What a `!` line prints: no lines, for it is not run."""
        return []

    def run_line_magic(self, name: str, line: str, *more: Any) -> Any:
        """Run the Python of a line, as in `%time f = …`, or of the file of a `%run`."""
        if name == "run":
            return self.cells.part(Path(line.split()[0]).read_text("utf-8"))
        return self.cells.part(OPTIONS.sub("", line, count=1)) if name in PYTHON else None

    magic = run_line_magic

    def run_cell_magic(self, name: str, line: str, body: str) -> None:
        """Run the Python of a cell below `%%time`, or write the file of a `%%writefile`."""
        words = line.split()
        if name in ("writefile", "file"):
            with open(words[-1].strip("\"'"), "a" if "-a" in words else "w", encoding="utf-8") as f:
                f.write(body)
            importlib.invalidate_caches()
        if name == "capture":
            self.cells.names |= {word: Quiet() for word in words if word.isidentifier()}
        if name in PYTHON:
            self.cells.part("\n" + body)  # the line of the magic counts


def main_module() -> dict[str, Any]:
    """The names of a fresh `__main__`, where pickle and multiprocessing look for them."""
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    sys.path.append("")  # what `%%writefile` wrote; last, so that it hides nothing
    return vars(module)


class Cells:
    """Runs cells in a namespace, and remembers what of them failed."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.flags = AWAITS  # with those of each `from __future__ import …`, which last
        self.missing: dict[str, list[ast.stmt]] = {}  # cell → statements that lacked a name
        self.errors: dict[str, BaseException] = {}  # cell → what failed for another reason
        self.label, self.whole = "", True
        self.loop: Any = None
        self.inputs, self.outputs = [""], {}  # type: tuple[list[str], dict[int, Any]]
        names |= {"get_ipython": Shell(self), "display": Quiet()}
        names |= {"In": self.inputs, "Out": self.outputs, "_": ""}

    def run(self, source: str, label: str, whole: bool, again: bool, prose: bool) -> None:
        """Run a cell; raises what its first failing statement raised, once all had their turn.

        Args:
            source: what the student wrote.
            label: the cell's file name, in tracebacks and for `inspect`.
            whole: all of it; else only definitions, and assignments without a call.
            again: only the statements that lacked a name before.
            prose: it comes from a cell of text, and counts only if it is Python.
        """
        self.label, self.whole = label, whole
        if again:
            statements = self.missing.pop(label, [])
        else:
            try:
                statements = self.read(source)
            except UNREADABLE as error:
                if prose:
                    return
                self.errors[label] = error.with_traceback(None)
                raise
        work = self.statements(statements)
        if "await" in source or "asyncio" in source:
            self.in_loop(work)
        else:
            finish(work)
        lacking = [NameError(getattr(node, "why", "")) for node in self.missing.get(label, [])]
        for failure in (self.errors.get(label), *lacking):
            if failure:
                raise failure

    def read(self, source: str) -> list[ast.stmt]:
        """Parse a cell, and let `inspect` find its lines."""
        self.inputs.append(source)
        python = python_of(source)
        linecache.cache[self.label] = (len(python), None, python.splitlines(True), self.label)
        return self.parse(python).body

    def parse(self, python: str) -> ast.Module:
        """Parse with what earlier cells imported from the future."""
        return compile(python, self.label, "exec", self.flags | ast.PyCF_ONLY_AST, True)  # type: ignore[return-value]

    def part(self, python: str) -> Any:
        """Run what a magic holds; returns the value of its last line if that is an expression."""
        body = self.parse(python_of(python)).body
        finish(self.statements(body))
        return self.names["_"] if body and isinstance(body[-1], ast.Expr) else None

    async def statements(self, nodes: list[ast.stmt]) -> None:
        """Run statements one by one, also those after one that fails."""
        for node in nodes:
            if not self.whole and not defines(node):
                continue
            try:
                await self.statement(node, node is nodes[-1])
            except NameError as error:
                node.why = str(error)  # type: ignore[attr-defined]
                self.missing.setdefault(self.label, []).append(node)
            except (Exception, SystemExit) as error:
                self.errors.setdefault(self.label, error.with_traceback(None))
                if isinstance(error, SystemExit):  # the author wants the cell to end
                    return

    async def statement(self, node: ast.stmt, last: bool) -> None:
        """Run one statement; the value of a last expression is kept as `_` and in `Out`."""
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            for alias in node.names:
                self.flags |= getattr(__future__, alias.name).compiler_flag
        show = last and isinstance(node, ast.Expr)
        tree = ast.Expression(node.value) if show else ast.Module([node], [])  # type: ignore[attr-defined]
        code = compile(tree, self.label, "eval" if show else "exec", self.flags, True)
        value = eval(code, self.names)
        if code.co_flags & inspect.CO_COROUTINE:
            value = await value
        if show and value is not None:
            self.names["_"] = self.outputs[len(self.inputs) - 1] = value

    def in_loop(self, work: Coroutine) -> None:
        """Run in an event loop that lasts from cell to cell, as in a kernel."""
        import asyncio

        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(work)


def finish(work: Coroutine) -> None:
    """Run what waits for nothing, outside any event loop."""
    try:
        work.send(None)
    except StopIteration:
        return
    work.close()
    raise RuntimeError("`await` needs an event loop")


def python_of(source: str) -> str:
    """A cell as Python: with IPython's own transformations if it is none yet."""
    try:
        compile(source, "<cell>", "exec", AWAITS | ast.PyCF_ONLY_AST, True)
    except UNREADABLE:
        from IPython.core.inputtransformer2 import TransformerManager

        return TransformerManager().transform_cell(source)
    return source if source.endswith("\n") else source + "\n"


def defines(node: ast.AST) -> bool:
    """Whether a statement only defines something: it cannot take long."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return isinstance(node.value, ast.Lambda) or not costly(node)
    if isinstance(node, ast.If):
        return not costly(node.test) and all(map(defines, [*node.body, *node.orelse]))
    if isinstance(node, ast.Try):
        inner = [s for handler in node.handlers for s in handler.body]
        return all(map(defines, [*node.body, *inner, *node.orelse, *node.finalbody]))
    if isinstance(node, ast.Expr):  # a magic that holds Python sees to its own lines
        return isinstance(node.value, ast.Call) and "run_cell_magic" in ast.unparse(node.value.func)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
    return isinstance(node, (*kinds, ast.Pass))


def costly(node: ast.AST) -> bool:
    """Whether an expression calls something, or goes through many values."""
    kinds = (ast.Call, ast.Await, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    return any(isinstance(inner, kinds) for inner in ast.walk(node))
