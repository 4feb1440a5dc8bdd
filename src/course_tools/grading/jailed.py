"""A student in the jail: runs the cells in a worker, asks it, and starts anew when it dies."""

from __future__ import annotations

import os
import secrets
import selectors
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from course_tools.grading.cgroup import Group
from course_tools.grading.jail import Jail, NoJail, kill, memory, usage
from course_tools.grading.notebook import Cell, definitions
from course_utils.grading.item import Student, Wrong, answer
from course_utils.grading.plain import MAX_BYTES, NotPlain, dumps, loads

START = 60  # seconds that a worker may take to import what it needs, on a busy machine
TRIES = 3  # workers that are started before the jail is said to be at fault
TICK = 0.05  # seconds between looks at the memory
SPARE = 8  # processes that make the jail itself
FOR_CELLS = 0.5  # share of the total time: the rest is for judging what the cells define


class Died(Exception):
    """The worker is gone; `kind` is "crashed" or "timed out", the message says how."""

    def __init__(self, kind: str, how: str) -> None:
        super().__init__(how)
        self.kind = kind


class Worker:
    """One jailed process and the two pipes to it."""

    def __init__(self, jail: Jail) -> None:
        self.jail = jail
        limits = jail.limits
        self.group = None if jail.unsafe else Group.make(limits.memory, limits.processes + SPARE)
        try:
            self.process = jail.start(group=self.group)
        except OSError:
            if self.group:
                self.group.end()
            raise
        self.began, self.waited = time.monotonic(), 0.0
        assert self.process.stdin and self.process.stdout
        self.requests, self.replies = self.process.stdin.fileno(), self.process.stdout.fileno()
        for pipe in (self.requests, self.replies):
            os.set_blocking(pipe, False)

    def ask(self, do: str, arguments: dict, seconds: float) -> dict:
        """Send a request and wait for the reply to it; raises Died."""
        number = secrets.token_hex(16)
        self.asked, self.seconds, self.before = time.monotonic(), seconds, self.taken()
        try:
            line = dumps({"do": do, "with": arguments, "id": number})
        except NotPlain as error:
            raise Died("crashed", "it is too large") from error
        try:
            self.write(line)
            reply = loads(self.read())
            self.weigh()
        except NotPlain as error:
            raise Died("crashed", "its replies could not be read") from error
        except OSError as error:
            raise self.ended() from error
        if reply.get("id") != number:
            raise Died("crashed", "it sent a reply that was not asked for")
        return reply

    def write(self, line: bytes) -> None:
        """Write a request as the pipe takes it."""
        while line:
            self.wait(self.requests, selectors.EVENT_WRITE)
            line = line[os.write(self.requests, line[:65536]) :]

    def read(self) -> bytes:
        """Read one line of bounded length."""
        parts: list[bytes] = []
        size = 0
        while not parts or not parts[-1].endswith(b"\n"):
            self.wait(self.replies, selectors.EVENT_READ)
            parts.append(os.read(self.replies, 1 << 20))
            size += len(parts[-1])
            if not parts[-1]:
                raise self.ended()
            if size > MAX_BYTES + 1000:
                raise Died("crashed", "it sent more than is read")
        return b"".join(parts)

    def wait(self, pipe: int, event: int) -> None:
        """Wait until a pipe is ready, with an eye on clock and memory."""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            while True:
                self.look()
                if selector.select(TICK):
                    return

    def look(self) -> None:
        """Raise Died if it took too long, or holds too much memory."""
        passed = time.monotonic() - self.asked
        if passed >= self.seconds and self.taken() - self.before >= self.seconds:
            raise Died("timed out", f"it took longer than {self.seconds:.0f} s")
        longest = self.jail.limits.patience * self.seconds
        if passed >= longest:
            raise Died("timed out", f"it had not ended after {longest:.0f} s on a busy machine")
        self.weigh()

    def weigh(self) -> None:
        """Raise Died if all its processes together hold too much memory."""
        if memory(self.process.pid) > self.jail.limits.memory:
            raise Died("crashed", "it used more memory than is allowed")

    def taken(self) -> float:
        """Seconds that it took since its start, without those in which it waited for a processor.

        A machine that is busy with others costs nobody time; who sleeps, or has many processes
        at work at once, pays for it.
        """
        processor, waited = usage(self.process.pid)
        self.waited = max(self.waited, waited)  # what has ended is not seen any more
        return max(processor, time.monotonic() - self.began - self.waited)

    def close(self) -> None:
        """End it and all that it started."""
        kill(self.process)
        if self.group:
            self.group.end()

    def ended(self) -> Died:
        """How a worker that is gone went."""
        if self.group and self.group.ran_out():
            return Died("crashed", "it used more memory than is allowed")
        return Died("crashed", "it ended its own process")


class Jailed(Student, AbstractContextManager):
    """The answers of a handed-in notebook; a context manager."""

    def __init__(self, jail: Jail, cells: Sequence[str]) -> None:
        self.jail, self.cells = jail, numbered(cells)
        self.worker: Worker | None = None
        self.warm: Worker | None = None  # the last one that has made an object
        self.notes: dict[int, str] = {}  # cell → what happened when it ran
        self.fine: set[int] = set()  # cells that ran within their time
        self.cut: set[int] = set()  # cells of which only definitions are taken
        self.skipped: set[int] = set()  # cells of which even those ended a worker
        self.deaths = self.starts = 0
        self.began = time.monotonic()
        self.spent = 0.0  # seconds of all requests
        self.in_cells = 0.0  # … of cells that ran for the first time

    def __exit__(self, *error: object) -> None:
        """End the worker."""
        self.end()

    def end(self) -> None:
        """End the worker."""
        if self.worker:
            self.worker.close()
            self.worker = None

    def left(self) -> float:
        """Seconds that are left of the total; on a busy machine more pass by the clock."""
        limits, passed = self.jail.limits, time.monotonic() - self.began
        return min(limits.total - self.spent, limits.patience * limits.total - passed)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Ask the worker; raises Wrong when the answer fails, dies or takes too long."""
        name = f"`{arguments['name']}`" if "name" in arguments else "The notebook"
        while self.worker is None:
            self.prepare()
        try:
            reply = self.request(do, arguments, self.jail.limits.call + self.warming(arguments))
            if "value" in reply and not fits(do, arguments, reply["value"]):
                raise Died("crashed", "it sent a reply that nobody could have asked for")
        except Died as death:
            self.deaths += 1
            raise Wrong(f"{name} was stopped: {death}.", kind=death.kind) from death
        return answer(self, reply, arguments)

    def need(self, *names: str) -> None:
        """Say of a name that is missing also what stopped the cell that was to define it."""
        try:
            super().need(*names)
        except Wrong as wrong:
            why = [
                f" {cell.where}: {self.notes[number]}."
                for number, cell in enumerate(self.cells)
                if number in self.notes and definitions(cell) & set(names)
            ]
            raise Wrong(wrong.hint + "".join(why), wrong.detail, wrong.kind) from wrong

    def settle(self) -> None:
        """End a worker that is still busy, or has said more than it was asked.

        An answer can forge a reply and go on; what it does then must not cost the next part.
        """
        if self.worker:
            try:
                self.request("has", {"names": []}, self.jail.limits.call)
            except Died:
                self.deaths += 1

    def lend(self, cells: Sequence[str], names: Sequence[str]) -> None:
        """Put right answers in place of the student's; a worker that starts anew gets them, too."""
        cell = Cell("# right answers to earlier parts")
        cell.lent = {"cells": list(cells), "names": list(names)}
        self.cells.append(cell)
        self.run(len(self.cells) - 1)

    def warming(self, arguments: dict) -> float:
        """Seconds that a worker gets once, to import what its first made object needs."""
        made = any(isinstance(a, dict) and "made" in a for a in arguments.get("args", ()))
        if not made or self.worker is self.warm:
            return 0
        self.warm = self.worker
        return START

    def request(self, do: str, arguments: dict, seconds: float) -> dict:
        """Ask within the time that is left; a worker that fails is ended."""
        assert self.worker
        worker, left, before = self.worker, self.left(), self.worker.taken()
        try:
            if left <= 0:
                raise Died("timed out", f"all of it took longer than {self.jail.limits.total:g} s")
            reply = worker.ask(do, arguments, min(seconds, left))
        except BaseException:
            self.spent += worker.taken() - before
            self.end()
            raise
        self.spent += worker.taken() - before
        return reply

    def prepare(self) -> None:
        """Start a worker and run the cells in it, without those that ended an earlier one."""
        late = self.left() <= 0
        if late or self.deaths > self.jail.limits.deaths:
            text = (
                "The notebook took too long."
                if late
                else "The notebook ended its process again and again."
            )
            raise Wrong(text, kind="timed out" if late else "crashed")
        self.worker = self.started()
        todo, again = [n for n in range(len(self.cells)) if n not in self.skipped], False
        while todo:
            failed = [n for n in todo if not self.run(n, again)]
            if self.worker is None or len(failed) == len(todo):
                return
            todo, again = failed, True  # cells in another order: what was missing may be there now

    def started(self) -> Worker:
        """A worker that answers; raises NoJail where none does: that is no fault of a student."""
        began, how = time.monotonic(), ""
        for attempt in range(TRIES):
            time.sleep(attempt)
            try:
                worker = Worker(self.jail)
            except OSError as error:  # no further process, no memory
                how = str(error)
                continue
            try:
                worker.ask("has", {"names": []}, START)
            except Died as death:
                how = str(death)
                worker.close()
                continue
            if self.starts:
                self.spent += worker.taken()
            else:  # its start is not the first cell's time
                self.began += time.monotonic() - began
            self.starts += 1
            return worker
        raise NoJail(f"A worker did not start, {TRIES} times in a row: {how}.")

    def run(self, number: int, again: bool = False) -> bool:
        """Run a cell, or what of it lacked a name before; False if something of it failed."""
        if self.worker is None:
            return True
        limits = self.jail.limits
        new = number not in self.fine | self.cut
        room = FOR_CELLS * limits.total - self.in_cells
        if new and room <= 0:
            self.cut.add(number)
            self.notes[number] = (
                f"only its definitions were taken: the cells before it took {self.in_cells:.0f} s"
            )
        whole = number not in self.cut
        cell = self.cells[number]
        run: dict[str, Any] = {
            "source": cell,
            "label": f"<cell {cell.number or f'of text {number}'}>",
        }
        run |= {"whole": whole, "again": again, "prose": not cell.number}
        before = self.spent
        try:
            seconds = min(limits.cell, room) if new and whole else limits.cell
            reply = self.request("lend" if cell.lent else "run", cell.lent or run, seconds)
        except Died as death:
            (self.cut if whole else self.skipped).add(number)
            what = "only its definitions were taken" if whole else "it was left out"
            self.notes[number] = f"{what}: {death}"
            return True
        finally:
            self.in_cells += self.spent - before if new else 0
        if whole:
            self.fine.add(number)
            self.notes.pop(number, None)
        if "error" in reply:
            kind, text = str(reply.get("type"))[:60], str(reply.get("text"))[:300]
            part = "it" if kind == "SyntaxError" else "a statement of it"
            self.notes.setdefault(number, f"{part} stopped with {kind}: {text}")
        return "error" not in reply


def numbered(cells: Sequence[str]) -> list[Cell]:
    """Cells with numbers, counted where they have none."""
    return [
        cell if isinstance(cell, Cell) else Cell.numbered(cell, index + 1)
        for index, cell in enumerate(cells)
    ]


def fits(do: str, arguments: dict, value: Any) -> bool:
    """Whether a value has the form of a reply to this request: a forged one may have any."""
    if do == "has":
        return type(value) is list and len(value) == len(arguments["names"])
    if arguments.get("keep"):
        return type(value) is dict and type(value.get("kept")) is int
    if arguments.get("after"):
        after = value[1] if type(value) is list and len(value) == 2 else None
        return type(after) is list and len(after) == len(arguments["args"])
    return True
