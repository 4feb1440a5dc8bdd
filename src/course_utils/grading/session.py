"""The names of a notebook: runs its cells, calls its functions, reads its values.

The same code serves `check()` in a student's kernel and the worker in the jail, so that a public
check sees an answer as the grader will. What it returns is plain, also when the answer fails.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

from course_utils.grading.cells import Cells
from course_utils.grading.plain import NotPlain, encode, revive


class Banned(RuntimeError):
    """The answer called what it is to replace."""


class Session:
    """One namespace of answers; `handle` turns a request into a reply and never raises."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.names = names
        self.cells: Cells | None = None
        self.kept: list[Any] = []

    def handle(self, request: dict) -> dict:
        """Do what is asked: {"value": …}, or {"error": kind, "type": …, "text": …}."""
        try:
            return {"value": getattr(self, "do_" + request["do"])(**request["with"])}
        except KeyboardInterrupt:
            raise
        except NotPlain as error:
            return {"error": "not plain", "type": "", "text": str(error)}
        except Banned as error:
            return {"error": "banned", "type": "", "text": str(error)}
        except BaseException as error:  # whatever an answer raises, also SystemExit
            return {"error": "raised", "type": type_name(error), "text": describe(error)}

    def do_run(
        self, source: str, label: str, whole: bool = True, again: bool = False, prose: bool = False
    ) -> None:
        """Run one cell, or a part of it: see `Cells.run`."""
        self.cells = self.cells or Cells(self.names)
        self.cells.run(source, label, whole, again, prose)

    def do_lend(self, cells: list[str], names: list[str]) -> None:
        """Let names mean what these cells, which run by themselves, define."""
        found: dict[str, Any] = {}
        runner = Cells(found)
        for number, cell in enumerate(cells):
            with contextlib.suppress(Exception):
                runner.run(cell, f"<lent {number}>", True, False, False)
        self.names |= {name: found[name] for name in names if name in found}

    def do_has(self, names: list[str]) -> list[bool]:
        """Tell which names are defined; `...` counts as not."""
        return [self.names.get(name, ...) is not ... for name in names]

    def do_value(self, name: str) -> Any:
        """Read a plain value."""
        return encode(self.names[name])

    def do_call(
        self, name: str, args: list, kwargs: dict, ban: list[str], keep: bool, after: bool
    ) -> Any:
        """Call a function of the answer, or a method ("kept.forward") of a kept object."""
        values, named = [self.resolve(item) for item in args], self.resolve(kwargs)
        function = self.function(name, values)
        with banned(ban, self.names):
            result = function(*values, **named)
        if keep:
            self.kept.append(result)
            return {"kept": len(self.kept) - 1}
        return [encode(result), [or_none(value) for value in values]] if after else encode(result)

    def function(self, name: str, values: list) -> Callable:
        """The function of that name; ".method" is one of the first argument."""
        return getattr(values.pop(0), name[1:]) if name.startswith(".") else self.names[name]

    def resolve(self, code: Any) -> Any:
        """Turn an argument's code into the value, with tensors, made and kept objects."""
        return revive(code, make, self.kept)


def make(path: str, args: list, kwargs: dict) -> Any:
    """Make an object by a function of the installed package, "module:function"."""
    module, name = path.split(":")
    return getattr(importlib.import_module(module), name)(*args, **kwargs)


def or_none(value: Any) -> Any:
    """The code of an argument after the call; None for what is not plain, a model for example."""
    try:
        return encode(value)
    except NotPlain:
        return None


def type_name(error: BaseException) -> str:
    """The exception's type if it is one of Python's own: other names are the answer's words."""
    name = type(error).__name__
    return name if getattr(builtins, name, None) is type(error) else "an error"


def describe(error: BaseException) -> str:
    """The first 300 characters of an exception's message."""
    try:
        return str(error)[:300]
    except BaseException:
        return ""


@contextlib.contextmanager
def banned(paths: list[str], names: dict[str, Any]) -> Iterator[None]:
    """Let what `paths` name ("module:function") raise, under whatever names an answer keeps it.

    Their names are replaced; what an answer put into a list beforehand is seen when it is called.
    """
    changed: list[tuple[dict, str, Any]] = []
    for path in paths:
        module, name = path.split(":")
        space = vars(sys.modules[module]) if module in sys.modules else {}
        if name in space:
            for place in (space, names):
                found = [key for key, thing in place.items() if thing is space[name]]
                changed += [(place, key, space[name]) for key in found]
    for place, key, thing in changed:
        place[key] = refusal(getattr(thing, "__name__", key))
    things = [thing for _, _, thing in changed]
    begins = [vars(thing).get("__init__") if isinstance(thing, type) else thing for thing in things]
    codes = {
        getattr(begin, "__code__", None): thing for begin, thing in zip(begins, things, strict=True)
    }

    def watch(frame: Any, event: str, called: Any) -> None:
        thing = codes.get(frame.f_code) if event == "call" else called
        if event in ("call", "c_call") and any(thing is other for other in things):
            raise Banned(getattr(thing, "__name__", ""))

    before = sys.getprofile()
    if things:
        sys.setprofile(watch)
    try:
        yield
    finally:
        sys.setprofile(before)
        for place, key, thing in changed:
            place[key] = thing


def refusal(name: str) -> Callable:
    """A function that only says that `name` is to be written, not called."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise Banned(name)

    return refuse
