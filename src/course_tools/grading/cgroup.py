"""A control group for each jail, where one may be made: the kernel then bounds all its memory.

Elsewhere the grader looks at the memory of a jail many times a second, and what is taken and given
back between two looks is not seen.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")  # of version 2
GRADER = "course-grader"
HOW = "systemd-run --user --scope -p Delegate=yes course grade …"


class Group:
    """The group of one jail; `make` gives None where none may be made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def make(cls, memory: int, processes: int, root: Path = ROOT) -> Group | None:
        """Make a group below this process's own that holds at most so many bytes and processes."""
        path = None
        try:
            line = next(s for s in own_groups().splitlines() if s.startswith("0::"))
            parent = delegated(root / line.removeprefix("0::").strip().lstrip("/"))
            path = parent / f"course-jail-{secrets.token_hex(8)}"
            path.mkdir()
            (path / "memory.max").write_text(str(memory))
            (path / "memory.oom.group").write_text("1")
            (path / "pids.max").write_text(str(processes))
            with contextlib.suppress(OSError):  # without swap there is no such file
                (path / "memory.swap.max").write_text("0")
        except (OSError, StopIteration):
            if path:
                with contextlib.suppress(OSError):
                    path.rmdir()
            return None
        return cls(path)

    def command(self, inside: list[str]) -> list[str]:
        """A command that enters the group and then becomes `inside`."""
        script = f'echo $$ > "{self.path}/cgroup.procs" && exec "$@"'
        return ["sh", "-c", script, "sh", *inside]

    def ran_out(self) -> bool:
        """Whether the kernel ended a process of the group for want of memory."""
        with contextlib.suppress(OSError):
            events = dict(s.split() for s in (self.path / "memory.events").read_text().splitlines())
            return int(events.get("oom_kill", 0)) > 0
        return False

    def end(self) -> None:
        """End all its processes, and remove it."""
        for _ in range(50):
            with contextlib.suppress(OSError):
                (self.path / "cgroup.kill").write_text("1")
            with contextlib.suppress(OSError):
                self.path.rmdir()
            if not self.path.exists():
                return
            time.sleep(0.02)


def delegated(own: Path) -> Path:
    """The group below which others can be made; raises OSError where that is not allowed.

    A group that has groups below it holds no processes itself: the grader moves into one of them.
    """
    if own.name == GRADER:
        return own.parent
    if "memory" not in (own / "cgroup.controllers").read_text().split():
        raise OSError("memory is not counted here")
    if "memory" not in (own / "cgroup.subtree_control").read_text().split():
        (own / GRADER).mkdir(exist_ok=True)
        (own / GRADER / "cgroup.procs").write_text(str(os.getpid()))
        try:
            (own / "cgroup.subtree_control").write_text("+memory +pids")
        except OSError:  # there are others in it
            (own / "cgroup.procs").write_text(str(os.getpid()))
            (own / GRADER).rmdir()
            raise
    return own


def own_groups() -> str:
    """The groups of this process, as the kernel lists them."""
    return Path(f"/proc/{os.getpid()}/cgroup").read_text()
