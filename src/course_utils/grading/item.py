"""What a graded item is: parts with points, the answers they look for by name, and their checks."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_utils.grading.plain import Kept, NotPlain, decode, encode
from course_utils.grading.session import Session


class Wrong(Exception):
    """An answer that is not right.

    Args:
        hint: what is wrong, in words that hold no value of a hidden input.
        detail: more, with values; shown for public checks only.
        kind: "wrong", "missing" (not defined), "crashed" or "timed out".
    """

    def __init__(self, hint: str, detail: str = "", kind: str = "wrong") -> None:
        super().__init__(hint)
        self.hint, self.detail, self.kind = hint, detail, kind


class Student:
    """A student's answers, asked for by name; every value that comes back is plain.

    In a notebook `ask` goes to the notebook's own names, in grading to a jailed worker.
    """

    def ask(self, do: str, **arguments: Any) -> Any:
        """Send a request and return its decoded value; raises Wrong when the answer fails."""
        raise NotImplementedError

    def settle(self) -> None:
        """Come to rest before another part is judged, so that it pays for no other's deeds."""

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of `names` that are not defined, or still `...`."""
        return [n for n, there in zip(names, self.ask("has", names=list(names)), strict=True)
                if not there]  # fmt: skip

    def value(self, name: str) -> Any:
        """A plain value by name: a number, string, list, dictionary or array."""
        self.need(name)
        return self.ask("value", name=name)

    def call(self, name: str, *args: Any, ban: Sequence[str] = (), **kwargs: Any) -> Any:
        """Call a function of the answer; tensors come back as numpy arrays.

        Args:
            name: the function, or ".method" of the first argument (a kept object).
            args: plain values, tensors, `made(…)` or kept objects.
            ban: functions it may not use, as "torch.nn.functional:cross_entropy".
            kwargs: named arguments.
        """
        return something(name, self._call(name, args, kwargs, ban=ban))

    def keep(self, name: str, *args: Any, **kwargs: Any) -> Kept:
        """Call a function and leave what it returns where it is, for later calls."""
        return Kept(self._call(name, args, kwargs, keep=True)["kept"])

    def call_after(
        self, name: str, *args: Any, ban: Sequence[str] = (), **kwargs: Any
    ) -> tuple[Any, list]:
        """Like `call`; returns the result and what the arguments are afterwards."""
        result, after = self._call(name, args, kwargs, ban=ban, after=True)
        return something(name, result), after

    def _call(
        self, name: str, args: Sequence, kwargs: Mapping, *, ban=(), keep=False, after=False
    ) -> Any:
        if not name.startswith("."):
            self.need(name)
        codes, named = [encode(arg) for arg in args], encode(dict(kwargs))
        return self.ask(
            "call", name=name, args=codes, kwargs=named, ban=list(ban), keep=keep, after=after
        )

    def need(self, *names: str) -> None:
        """Raise Wrong unless all names are defined."""
        if absent := self.missing(names):
            listed = ", ".join(f"`{name}`" for name in absent)
            few = ("is", "it", "its") if len(absent) == 1 else ("are", "them", "their")
            text = "{} {} not defined. Write {}, and run {} cell before this one."
            text = text.format(listed, *few)
            raise Wrong(text, kind="missing")

    def failed(self, reply: dict, name: str, ban: Sequence[str]) -> Wrong:
        """Put a reply that holds an error into words; of the answer's own, only in the detail."""
        text, kind = str(reply.get("text", ""))[:300], reply.get("error")
        if kind == "banned":
            known = text if text in {path.split(":")[-1] for path in ban} else "a function"
            return Wrong(f"`{name}` calls `{known}`, which it is to replace.")
        if kind == "not plain":
            return Wrong(
                f"`{name}` gives something that is no number, string, list or array.",
                f"It gave {text}.",
            )
        what = str(reply.get("type"))
        what = what if isinstance(getattr(builtins, what, None), type) else "an error"
        return Wrong(f"`{name}` stopped with {what}.", text)


def something(name: str, result: Any) -> Any:
    """The result itself; raises Wrong for None, which a stub returns."""
    if result is None:
        raise Wrong(f"`{name}` returns nothing (None): is the stub still there?")
    return result


class Notebook(Student):
    """The answers of the notebook that calls `check`."""

    def __init__(self, names: dict[str, Any]) -> None:
        self.session = Session(names)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Ask this process's own names."""
        reply = self.session.handle({"do": do, "with": arguments})
        return answer(self, reply, arguments)


def answer(student: Student, reply: dict, arguments: dict) -> Any:
    """Decode a reply, or raise Wrong for the error in it."""
    name = str(arguments.get("name", "the answer"))
    if "value" not in reply:
        raise student.failed(reply, name, arguments.get("ban", ()))
    value = reply["value"]
    if arguments.get("keep"):
        return value
    try:
        return decode(value)
    except NotPlain as error:
        raise Wrong(f"`{name}` gives {error}.") from error


@dataclass(frozen=True)
class Part:
    """One marked part of an item; `text` parts are marked by people along the rubric."""

    name: str
    title: str
    points: float
    names: tuple[str, ...]
    public: Callable[[Student], None] | None = None
    rubric: str = ""

    @property
    def is_text(self) -> bool:
        """Whether a person marks it."""
        return self.public is None


@dataclass
class Item:
    """An exercise: its name ("T1"), title, the stem of its notebook, and its parts."""

    name: str
    title: str
    notebook: str
    parts: dict[str, Part] = field(default_factory=dict)

    @property
    def points(self) -> float:
        """The sum over all parts."""
        return sum(part.points for part in self.parts.values())

    @property
    def names(self) -> list[str]:
        """Every name that an answer defines, in order."""
        return list(dict.fromkeys(name for part in self.parts.values() for name in part.names))

    def part(self, name: str, title: str, points: float, names: Sequence[str]) -> Callable:
        """Decorate the public check of a part: `check(student)` raises Wrong, or all is well."""

        def add(public: Callable[[Student], None]) -> Callable[[Student], None]:
            self.parts[name] = Part(name, title, points, tuple(names), public)
            return public

        return add

    def text(self, name: str, title: str, points: float, answer: str, rubric: str) -> None:
        """Add a part that is free text in the variable `answer`."""
        self.parts[name] = Part(name, title, points, (answer,), None, rubric)


class Hidden:
    """The hidden checks of an item, `check(student, rng)`; lives in the instructors' folder."""

    def __init__(self, item: Item) -> None:
        self.item = item
        self.checks: dict[str, Callable[[Student, np.random.Generator], None]] = {}

    def part(self, name: str) -> Callable:
        """Decorate the hidden check of the part of that name."""
        if self.item.parts[name].is_text:
            raise ValueError(f"{name} is marked by a person")

        def add(check: Callable) -> Callable:
            self.checks[name] = check
            return check

        return add


# -- comparing ---------------------------------------------------------------------------------


def compare(
    got: Any,
    want: Any,
    mistakes: Mapping[str, Any] | None = None,
    *,
    what: str = "the result",
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> None:
    """Return if `got` equals `want`; else raise Wrong, with the hint of the mistake that it shows.

    Args:
        got: a plain value from the student.
        want: the truth: a number, string, boolean, list, dictionary or array.
        mistakes: hint → the value that this mistake gives.
        what: names the value in the general message.
        rtol: relative tolerance of numbers.
        atol: absolute tolerance of numbers.
    """
    if same(got, want, rtol, atol):
        return
    detail = f"{what}: {short(got)}; expected: {short(want)}"
    for hint, wrong in (mistakes or {}).items():
        if not same(wrong, want, rtol, atol) and same(got, wrong, rtol, atol):
            raise Wrong(hint, detail)
    raise Wrong(difference(got, want, what), detail)


def same(got: Any, want: Any, rtol: float = 1e-5, atol: float = 1e-8) -> bool:
    """Equality of plain values: numbers within a tolerance, `True` is no number, NaN only NaN."""
    if want is None or isinstance(want, (str, bool, np.bool_)):
        return (type(got) is type(want) and got == want) or is_bool(got, want)
    if isinstance(want, dict):
        keys = isinstance(got, dict) and got.keys() == want.keys()
        return keys and all(same(got[key], want[key], rtol, atol) for key in want)
    left, right = as_array(got), as_array(want)
    if right is None:  # a list of different things
        return (
            isinstance(got, list)
            and len(got) == len(want)
            and all(same(g, w, rtol, atol) for g, w in zip(got, want, strict=True))
        )
    if left is None or left.shape != right.shape or (left.dtype == bool) != (right.dtype == bool):
        return False
    if right.dtype.kind in "biu":  # whole numbers are equal or not; 19.0 equals 19
        return np.array_equal(left, right)
    return bool(np.allclose(left, right, rtol=rtol, atol=atol, equal_nan=True))


def is_bool(got: Any, want: Any) -> bool:
    """Whether both are the same truth value, also as arrays of one element."""
    values = [as_array(value) for value in (got, want)]
    if any(v is None or v.dtype != bool or v.size != 1 for v in values):
        return False
    return bool(values[0].item() == values[1].item())  # type: ignore[union-attr]


def as_array(value: Any) -> np.ndarray | None:
    """Numbers or booleans as an array; a single number has shape (), also from shape (1,)."""
    if mixed(value):
        return None
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # ragged
        return None
    if array.dtype.kind == "O" and isinstance(value, int):  # larger than 64 bits
        array = np.asarray(float(value) if abs(value) < 1e300 else np.inf)
    if array.dtype.kind not in "biuf":
        return None
    return array.reshape(()) if array.shape == (1,) else array


def mixed(value: Any) -> bool:
    """Whether a list mixes numbers with other things; numpy would make them all one type."""
    if not isinstance(value, list):
        return False
    kinds = {bool if isinstance(x, bool) else float if isinstance(x, int) else type(x)
             for x in value}  # fmt: skip
    return len(kinds) > 1 or any(mixed(item) for item in value)


def difference(got: Any, want: Any, what: str) -> str:
    """Name the kind of difference, without any value."""
    left, right = as_array(got), as_array(want)
    if right is not None and left is None:
        return f"{what} is not made of numbers."
    if left is None or right is None:
        return f"{what} is not right."
    if (left.dtype == bool) != (right.dtype == bool):
        return f"{what} is {'True or False, not a number' if left.dtype == bool else 'no bool'}."
    if left.shape != right.shape:
        return f"{what} has the wrong shape or length."
    if left.dtype.kind == "f" and not np.isfinite(left).all() and np.isfinite(right).all():
        return f"{what} is not finite (NaN or infinity)."
    return f"{what} is not right."


def short(value: Any) -> str:
    """A value in at most 120 characters."""
    if isinstance(value, np.ndarray):
        flat = ", ".join(f"{x:.4g}" for x in value.reshape(-1)[:6].astype(float))
        return f"shape {value.shape}: [{flat}{', …' if value.size > 6 else ''}]"
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 120 else text[:119] + "…"


def array(got: Any, what: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Return a value as an array of finite numbers, of that shape; raises Wrong if it is none.

    Call it before you compute with what a student returned: it may be anything.
    """
    numbers = as_array(got)
    if numbers is None or numbers.dtype == bool:
        raise Wrong(f"{what} is not made of numbers.", f"{what}: {short(got)}")
    if shape is not None and np.shape(got) != shape:
        raise Wrong(f"{what} has the wrong shape.", f"{what}: {np.shape(got)}; expected: {shape}")
    if not np.isfinite(numbers).all():
        raise Wrong(f"{what} is not finite (NaN or infinity).")
    return numbers.reshape(np.shape(got))


def require(condition: bool, hint: str, detail: str = "") -> None:
    """Raise Wrong with `hint` unless the condition holds."""
    if not condition:
        raise Wrong(hint, detail)
