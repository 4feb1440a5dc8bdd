"""A student in the jail: runs the cells in a worker, asks it, and starts anew when it dies."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import time
from typing import Any, Self

from course_tools.grading.jail import Jail, kill, memory, used
from course_utils.grading.item import Student, Wrong, answer
from course_utils.grading.plain import MAX_BYTES, NotPlain, dumps, loads

START = 60  # seconds that a worker may take to import what it needs, on a busy machine
TICK = 0.2  # seconds between looks at the memory


class Died(Exception):
    """The worker is gone; `kind` is "crashed" or "timed out", the message says how."""

    def __init__(self, kind: str, how: str) -> None:
        super().__init__(how)
        self.kind = kind


class Worker:
    """One jailed process and the two pipes to it."""

    def __init__(self, jail: Jail) -> None:
        self.jail = jail
        self.process = jail.start()
        assert self.process.stdin and self.process.stdout
        self.requests, self.replies = self.process.stdin.fileno(), self.process.stdout.fileno()
        for pipe in (self.requests, self.replies):
            os.set_blocking(pipe, False)

    def ask(self, do: str, arguments: dict, seconds: float) -> dict:
        """Send a request and wait for the reply to it; raises Died."""
        number = secrets.token_hex(16)
        self.asked, self.seconds, self.before = time.monotonic(), seconds, used(self.process.pid)
        try:
            line = dumps({"do": do, "with": arguments, "id": number})
        except NotPlain as error:
            raise Died("crashed", "it is too large") from error
        try:
            self.write(line)
            reply = loads(self.read())
        except NotPlain as error:
            raise Died("crashed", "its replies could not be read") from error
        except OSError as error:
            raise Died("crashed", "it ended its own process") from error
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
                raise Died("crashed", "it ended its own process")
            if size > MAX_BYTES + 1000:
                raise Died("crashed", "it sent more than is read")
        return b"".join(parts)

    def wait(self, pipe: int, event: int) -> None:
        """Wait until a pipe is ready, with an eye on clock and memory."""
        with selectors.DefaultSelector() as selector:
            selector.register(pipe, event)
            while True:
                if self.late():
                    raise Died("timed out", f"it took longer than {self.seconds:.0f} s")
                if selector.select(TICK):
                    return
                if memory(self.process.pid) > self.jail.limits.memory:
                    raise Died("crashed", "it used more memory than is allowed")

    def late(self) -> bool:
        """Whether the time is up: by the clock, unless a busy machine gave it too little of it."""
        passed = time.monotonic() - self.asked
        if passed < self.seconds:
            return False
        spent = used(self.process.pid) - self.before
        return spent >= self.seconds or passed >= self.jail.limits.patience * self.seconds

    def close(self) -> None:
        """End it and all that it started."""
        kill(self.process)


class Jailed(Student):
    """The answers of a handed-in notebook; a context manager."""

    def __init__(self, jail: Jail, cells: list[str]) -> None:
        self.jail, self.cells = jail, cells
        self.worker: Worker | None = None
        self.warm: Worker | None = None  # the last one that has made an object
        self.notes: dict[int, str] = {}  # cell → what happened when it ran
        self.skipped: set[int] = set()  # cells that ended a worker
        self.deaths = 0
        self.restart_clock()

    def __enter__(self) -> Self:
        """Return itself; nothing runs before it is asked for."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the worker."""
        if self.worker:
            self.worker.close()

    def restart_clock(self) -> None:
        """Give it all of its time again."""
        self.started, self.spent = time.monotonic(), 0.0
        if self.worker:
            self.spent -= used(self.worker.process.pid)

    def left(self) -> float:
        """Seconds that are left of the total; of a busy machine only processor time counts."""
        limits, passed = self.jail.limits, time.monotonic() - self.started
        spent = self.spent + (used(self.worker.process.pid) if self.worker else 0.0)
        patient = min(limits.total - spent, limits.patience * limits.total - passed)
        return max(limits.total - passed, patient)

    def ask(self, do: str, **arguments: Any) -> Any:
        """Ask the worker; raises Wrong when the answer fails, dies or takes too long."""
        name = str(arguments.get("name", "the answer"))
        while self.worker is None:
            self.prepare()
        try:
            reply = self.request(do, arguments, self.jail.limits.call + self.warming(arguments))
        except Died as death:
            raise Wrong(f"`{name}` was stopped: {death}.", kind=death.kind) from death
        return answer(self, reply, arguments)

    def settle(self) -> None:
        """End a worker that is still busy, or has said more than it was asked.

        An answer can forge a reply and go on; what it does then must not cost the next part.
        """
        if self.worker:
            with contextlib.suppress(Died):
                self.request("has", {"names": []}, self.jail.limits.call)

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
        left = self.left()
        try:
            if left <= 0:
                raise Died("timed out", f"all of it took longer than {self.jail.limits.total:g} s")
            return self.worker.ask(do, arguments, min(seconds, left))
        except BaseException:
            self.spent += used(self.worker.process.pid)
            self.worker.close()
            self.worker = None
            self.deaths += 1
            raise

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
        self.worker = Worker(self.jail)
        with contextlib.suppress(Died):  # its start is not the first cell's time
            self.request("has", {"names": []}, START)
        todo = [n for n in range(len(self.cells)) if n not in self.skipped]
        while todo:
            failed = [n for n in todo if not self.run(n)]
            if self.worker is None or len(failed) == len(todo):
                return
            todo = failed  # cells in another order: what was missing may be there now

    def run(self, number: int) -> bool:
        """Run a cell; False if it failed because a name was missing."""
        if self.worker is None:
            return True
        run = {"source": self.cells[number], "label": f"<cell {number + 1}>"}
        try:
            reply = self.request("run", run, self.jail.limits.cell)
        except Died as death:
            self.skipped.add(number)
            self.notes[number] = f"it was left out: {death}"
            return True
        self.notes.pop(number, None)
        if "error" in reply:
            kind, text = str(reply.get("type"))[:60], str(reply.get("text"))[:300]
            self.notes[number] = f"it stopped with {kind}: {text}"
        return reply.get("type") != "NameError"
