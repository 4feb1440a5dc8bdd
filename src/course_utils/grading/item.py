"""What a graded item is: parts with points, the answers they look for by name, and their checks."""

from __future__ import annotations

import builtins
import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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

    def lend(self, cells: Sequence[str], names: Sequence[str]) -> None:
        """Put answers in place of the student's: what these cells define under these names."""
        with contextlib.suppress(Wrong):
            self.ask("lend", cells=list(cells), names=list(names))

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
        raise Wrong(f"`{name}` returns nothing (None): is the stub still there, or no `return`?")
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


# What a part is judged by: "args" of a call, "expected", "mistakes" (pairs of a hint and the value
# that this mistake gives), and what else its judging function reads.
Case = Mapping[str, Any]
Judge = Callable[["Student", Case], None]


@dataclass(frozen=True)
class Part:
    """One marked part of an item; `text` parts are marked by people along the rubric.

    `judge(student, case)` raises Wrong, or all is well. It computes no truth: that is in the case.
    A record, what the student's own run gave, has no hidden cases, and may need no case at all.
    """

    name: str
    title: str
    points: float
    names: tuple[str, ...]
    judge: Judge | None = None
    is_record: bool = False

    @property
    def is_text(self) -> bool:
        """Whether a person marks it."""
        return self.judge is None


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

    def calls(
        self, name: str, title: str, points: float, function: str, by: Any = None, **how: Any
    ) -> None:
        """Add a part judged by calls of one function; `how` goes to `check_call`, or to `by`."""
        judge = partial(by or check_call, function=function, **how)
        self.parts[name] = Part(name, title, points, (function,), judge)

    def part(
        self, name: str, title: str, points: float, names: Sequence[str], is_record: bool = False
    ) -> Callable:
        """Decorate the function `check(student, case)` that judges a part by one case.

        A record is what the student's own run gave: no other inputs are tried.
        """

        def add(judge: Judge) -> Judge:
            self.parts[name] = Part(name, title, points, tuple(names), judge, is_record)
            return judge

        return add

    def text(self, name: str, title: str, points: float, answer: str) -> None:
        """Add a part that is free text in the variable `answer`; its rubric lies elsewhere."""
        self.parts[name] = Part(name, title, points, (answer,))


# -- judging a call ----------------------------------------------------------------------------

IN_PLACE = "Your function changes what it was given; work on a copy."
SHARED = "Every call returns the very same list, filled anew; make a new one in each call."
NO_GRADIENT = "No way leads back to the logits: leave out `.item()`, `.detach()` and numpy."


def check_call(
    student: Student,
    case: Case,
    function: str,
    *,
    ban: Sequence[str] = (),
    again: str = "",
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> None:
    """Compare what `function` returns for a case's arguments, which must stay as they are.

    Args:
        student: whose function it is.
        case: "args", "expected" and "mistakes"; with "otherwise", the hint that is said of
            whatever else goes wrong in this case. "calls" holds the arguments of several calls,
            whose results are compared together.
        function: its name.
        ban: functions it may not use.
        again: the hint if a second call gives something else.
        rtol: relative tolerance of numbers, unless the case has its own.
        atol: absolute tolerance of numbers, likewise.
    """
    rtol, atol = case.get("rtol", rtol), case.get("atol", atol)
    with otherwise(case):
        got = called(student, function, case, ban=ban, again=again)
        call = f"{function}, all calls" if "calls" in case else call_of(function, case["args"])
        want, mistakes, what = case["expected"], case["mistakes"], f"`{function}`"
        compare(got, want, mistakes, what=what, call=call, rtol=rtol, atol=atol)


def called(
    student: Student, function: str, case: Case, *, ban: Sequence[str] = (), again: str = ""
) -> Any:
    """What `function` returns for a case's arguments; raises Wrong if it changes one of them."""
    if "calls" in case:
        return [student.call(function, *args, ban=ban) for args in case["calls"]]
    args = case["args"]
    got, after = student.call_after(function, *args, ban=ban)
    if again:
        require(same(got, student.call(function, *args, ban=ban), 1e-4), again)
    for argument, left in zip(args, after, strict=True):  # left is None where it is not plain
        require(left is None or same(left, decode(encode(argument)), 0, 0), IN_PLACE)
    return got


def check_gradient(student: Student, case: Case, function: str) -> None:
    """Raise Wrong unless what `function` returns has a gradient by its first argument."""
    first, *rest = case["args"]
    kept = student.keep(function, first.clone().requires_grad_(), *rest)
    try:
        student.keep(".retain_grad", kept)
    except Wrong as wrong:
        if wrong.kind != "wrong":
            raise
        raise Wrong(NO_GRADIENT, wrong.detail) from wrong


def check_fresh(student: Student, function: str, args: Sequence) -> None:
    """Raise Wrong if a call with other arguments changes what the call before it returned."""
    kept = student.keep(function, *args)
    before = student.call(".__str__", kept)
    student.call(function, *(arg[::-1] if isinstance(arg, list) else arg for arg in args))
    require(student.call(".__str__", kept) == before, SHARED)


def check_lists(
    student: Student, case: Case, function: str, keys: Sequence[str] = (), equal: str = ""
) -> None:
    """Compare two flat lists, given as a pair or under these keys; each call makes new ones.

    With a hint `equal` they must have the same length.
    """
    got, what = called(student, function, case), f"`{function}`"
    if isinstance(got, dict) and set(keys) <= got.keys():
        got = [got[key] for key in keys]
    got = got.tolist() if isinstance(got, np.ndarray) else got
    require(isinstance(got, list) and len(got) == 2, f"{what} gives no pair of lists.")
    pair = [array(part, what) for part in got]
    require(all(part.ndim == 1 for part in pair), f"{what} gives no pair of flat lists.")
    require(not equal or len(pair[0]) == len(pair[1]), equal)
    lists, call = [part.tolist() for part in pair], call_of(function, case["args"])
    compare(lists, case["expected"], case["mistakes"], what=what, call=call)
    check_fresh(student, function, case["args"])


def check_loss(student: Student, case: Case, function: str) -> None:
    """Compare a loss, which training must be able to follow."""
    check_call(student, case, function, rtol=1e-4, atol=1e-6)
    check_gradient(student, case, function)


@contextlib.contextmanager
def otherwise(case: Case) -> Iterator[None]:
    """Say the hint that a case has for everything but its mistakes."""
    try:
        yield
    except Wrong as wrong:
        hint = case.get("otherwise")
        simulated = any(wrong.hint == mistake for mistake, _ in case.get("mistakes", ()))
        if not hint or simulated or wrong.kind != "wrong":
            raise
        raise Wrong(hint, wrong.detail or wrong.hint) from wrong


def call_of(function: str, args: Sequence) -> str:
    """A call as a student writes it, with `…` for what is long."""
    plain = (bool, int, float, str, list, tuple)
    texts = [repr(arg) if isinstance(arg, plain) else "…" for arg in args]
    return f"{function}({', '.join(text if len(text) <= 24 else '…' for text in texts)})"


def compare_pieces(
    got: Any, pieces: Sequence[Case], rtol: float = 1e-5, atol: float = 1e-8
) -> None:
    """Compare one by one what a function returns together; each piece has a "what" of its own."""
    for value, piece in zip(got, pieces, strict=True):
        want, mistakes, what = piece["expected"], piece["mistakes"], piece["what"]
        compare(value, want, mistakes, what=what, rtol=rtol, atol=atol)


# -- comparing ---------------------------------------------------------------------------------


def compare(
    got: Any,
    want: Any,
    mistakes: Iterable[Sequence] | None = None,
    *,
    what: str = "The result",
    call: str = "",
    rtol: float = 1e-5,
    atol: float = 1e-8,
) -> None:
    """Return if `got` equals `want`; else raise Wrong, with the hint of the mistake that it shows.

    Args:
        got: a plain value from the student.
        want: the truth: a number, string, boolean, list, dictionary or array.
        mistakes: pairs of a hint and the value that this mistake gives.
        what: names the value in the general message, without any number.
        call: names it in the detail, which only public checks show.
        rtol: relative tolerance of numbers.
        atol: absolute tolerance of numbers.
    """
    if same(got, want, rtol, atol):
        return
    detail = f"{call or what}{both(got, want)}"
    for hint, wrong in mistakes or ():
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
        exact = left.dtype.kind != "f" or bool((np.abs(left) < 2**53).all())
        return exact and np.array_equal(left, right)
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


def both(got: Any, want: Any) -> str:
    """What came and what was expected, as texts that differ."""
    left, right = as_array(got), as_array(want)
    one_array = isinstance(got, np.ndarray) != isinstance(want, np.ndarray)
    if one_array and left is not None and right is not None and left.ndim and right.ndim:
        got, want = left, right
    if left is not None and right is not None and left.shape == right.shape and left.size > 6:
        gap = np.abs(left.astype(float) - right.astype(float))
        place = np.unravel_index(np.argmax(np.nan_to_num(gap, nan=np.inf)), gap.shape)
        at = [int(index) for index in place]
        return (
            f"{at if len(at) > 1 else f'[{at[0]}]'}{both(left[place].item(), right[place].item())}"
        )
    for digits in (6, 9, 17):
        one, other = short(got, digits), short(want, digits)
        if one != other:
            break
    return f": {one}; expected: {other}"


def short(value: Any, digits: int = 6) -> str:
    """A value in at most 120 characters."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if isinstance(value, np.ndarray):
        flat = ", ".join(f"{x:.{digits}g}" for x in value.reshape(-1)[:6].astype(float))
        return f"shape {value.shape}: [{flat}{', …' if value.size > 6 else ''}]"
    text = f"{value:.{digits}g}" if isinstance(value, float) else repr(value)
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
