"""The jail: student code runs in bubblewrap, with no network, no files but its own, and limits.

As root the jailed process is `nobody`, so that limits bind it; because `nobody` cannot look below
a home like /root, what the jail shows is first mounted where it can (in a mount namespace that
ends with the jail). Everything writable is memory of bounded size, and vanishes.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import course_utils
from course_tools.grading import refused
from course_tools.grading.cgroup import Group
from course_utils.data.cache import cache_root

NOBODY = "65534"
WRITABLE = ("/box", "/tmp", "/dev/shm")  # the first is in no ordinary system
INODE, SOCKET = 1_200, 2 * 212_992  # bytes of the kernel for a file, and for what a socket may hold
COUNTED = Path("/proc/self/schedstat").exists()  # whether time spent waiting is counted
PROGRAMS = ("bwrap", "unshare", "setpriv")
REMEDIES = Path(__file__).with_name("remedies.txt").read_text("utf-8").rstrip()
HOW = f"""\
Grading runs handed-in code in a jail (bubblewrap), and the jail does not start here.
{REMEDIES}
Only for notebooks that you have read yourself: --unsafe-no-sandbox"""


class NoJail(RuntimeError):
    """The jail cannot start on this machine; the message says why and what to do."""


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell: float = 60  # seconds for one cell
    call: float = 10  # … for one call of a function
    total: float = 300  # … for all of a submission
    patience: float = 4  # times as long by the clock, if the processor had no time for it
    memory: int = 4 * 2**30  # bytes, all its processes together
    disk: int = 64 * 2**20  # bytes in each of its three writable folders, which are memory
    processes: int = 64
    deaths: int = 4  # new starts after a crash or a time limit


class Jail(contextlib.AbstractContextManager):
    """Makes the command that starts a jailed worker; a context manager."""

    def __init__(self, limits: Limits | None = None, unsafe: bool = False) -> None:
        self.limits = limits or Limits()
        self.unsafe = unsafe
        self.stage = Path(tempfile.mkdtemp(prefix="course-jail-"))
        self.stage.chmod(0o755)
        (self.stage / "refused").write_bytes(refused.program())
        for number in range(len(shown())):
            (self.stage / str(number)).mkdir()

    def __exit__(self, *error: object) -> None:
        """Remove the empty mount points."""
        shutil.rmtree(self.stage, ignore_errors=True)

    def start(self, *program: str, group: Group | None = None) -> subprocess.Popen:
        """Start a worker (or `program`): its standard input takes requests, its output replies."""
        inside = [sys.executable, "-I", *(program or self.worker())]
        with (self.stage / "refused").open("rb") as filter_:
            command = inside if self.unsafe else self.wrapped(inside, filter_.fileno())
            command = group.command(command) if group else command
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if program else subprocess.DEVNULL,
                cwd=self.stage if self.unsafe else "/",
                env=variables() if self.unsafe else {"PATH": os.defpath},
                pass_fds=() if self.unsafe else (filter_.fileno(),),
                start_new_session=True,
            )

    def worker(self) -> list[str]:
        """The arguments of Python that make a worker, of the very package that grades."""
        home = str(Path(course_utils.__file__).resolve().parents[1])
        code = f"import sys; {home!r} in sys.path or sys.path.insert(0, {home!r})\n"
        code += "from course_utils.grading.worker import main; main()"
        return ["-c", code, json.dumps(asdict(self.limits) | {"jailed": not self.unsafe})]

    def wrapped(self, inside: list[str], filter_: int) -> list[str]:
        """The whole command: (as root: mount, drop to nobody,) bubblewrap, program."""
        inside = (
            ["--seccomp", str(filter_), "--", *inside] if refused.program() else ["--", *inside]
        )
        if missing := [name for name in PROGRAMS if not shutil.which(name)]:
            raise NoJail(f"Missing: {', '.join(missing)}.\n{HOW}")
        if os.getuid() != 0:
            return [*self.bwrap({path: path for path in shown()}), *inside]
        places = {path: self.stage / str(number) for number, path in enumerate(shown())}
        mounts = [word for path, place in places.items() for word in (str(path), str(place))]
        script = 'while [ "$1" != -- ]; do mount --bind "$1" "$2" && shift 2 || exit 9; done; shift'
        drop = f"exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups -- "
        shell = ["sh", "-c", f'{script}; {drop}"$@"', "sh", *mounts, "--"]
        return ["unshare", "--mount", "--propagation", "private", "--",
                *shell, *self.bwrap(places), *inside]  # fmt: skip

    def bwrap(self, places: dict[Path, Path]) -> list[str]:
        """Bubblewrap with everything unshared; `places` says where each shown path is found."""
        command = "bwrap --unshare-all --unshare-user --disable-userns --die-with-parent"
        command += " --new-session --cap-drop ALL --hostname jail --clearenv"
        words = command.split()
        for name, value in variables().items():
            words += ["--setenv", name, value]
        for system in ("/bin", "/sbin", "/lib", "/lib32", "/lib64"):
            if os.path.islink(system):
                words += ["--symlink", os.readlink(system), system]
            else:
                words += ["--ro-bind-try", system, system]
        words += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ld.so.cache"]
        words += ["/etc/ld.so.cache", "--proc", "/proc", "--dev", "/dev"]
        size = ["--size", str(self.limits.disk), "--tmpfs"]
        words += [*size, "/dev/shm", "--remount-ro", "/dev", *size, "/tmp", *size, "/box"]
        for path, place in places.items():  # after the tmpfs: they may lie below one
            words += ["--ro-bind", str(place), str(path)]
        return [*words, "--chdir", "/box", "--remount-ro", "/"]

    def probe(self) -> None:
        """Start a jail and see that it holds; raises NoJail with the remedy."""
        code = "import os, socket; assert not os.path.exists('/etc/passwd'); print('jailed')"
        process = self.start("-c", code)
        try:
            said, error = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            said, error = b"", b"it did not answer"
        finally:
            kill(process)
        if b"jailed" not in said and not self.unsafe:
            raise NoJail(f"{error.decode(errors='replace').strip()[-500:]}\n{HOW}")


def shown() -> list[Path]:
    """What the jail shows of this machine besides the system: Python, this package, its data."""
    package = Path(course_utils.__file__).resolve().parent
    wanted: list[str | Path] = [sys.base_prefix, sys.prefix, package, cache_root()]
    paths = [Path(path) for path in wanted if Path(path).exists()]
    inside = lambda path: any(path != p and path.is_relative_to(p) for p in [Path("/usr"), *paths])  # noqa: E731
    return [path for path in dict.fromkeys(paths) if not inside(path)]


def exposed(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that lie where the jail shows them: a course kept inside its environment."""
    places = [Path("/usr"), *(path.resolve() for path in shown())]
    return [p for p in paths if any(p.resolve().is_relative_to(place) for place in places)]


def variables() -> dict[str, str]:
    """All the environment that student code sees."""
    return {
        "PATH": "/usr/bin:/bin", "HOME": "/box", "TMPDIR": "/tmp", "USER": "student",
        "LANG": "C.UTF-8", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": "/tmp/mpl",
        "COURSE_OFFLINE": "1", "COURSE_QUIET": "1", "COURSE_CACHE": str(cache_root()),
        "HF_HUB_OFFLINE": "1", "HF_HOME": "/tmp/hf", "TOKENIZERS_PARALLELISM": "false",
    }  # fmt: skip


# -- processes ---------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """A process and all its descendants, as far as they can be seen."""
    found = [pid]
    for parent in found:  # grows while it is walked
        with contextlib.suppress(OSError):
            for task in os.listdir(f"/proc/{parent}/task"):
                children = Path(f"/proc/{parent}/task/{task}/children").read_text().split()
                found += map(int, children)
    return found


def memory(pid: int) -> int:
    """Bytes that a process and its descendants hold: their own, and what the kernel keeps for them.

    That is files in memory, of which an empty one takes some too, and what waits in sockets.
    """
    members = family(pid)
    return sum(map(own_memory, members)) + next(filter(None, map(files_memory, members)), 0)


def own_memory(pid: int) -> int:
    """Bytes of one process, with the most that its sockets can hold."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        links = [os.readlink(entry) for entry in os.scandir(f"/proc/{pid}/fd")]
    except (OSError, IndexError):
        return 0
    sockets = sum(link.startswith("socket:") for link in links)
    return pages * os.sysconf("SC_PAGE_SIZE") + sockets * SOCKET


def files_memory(pid: int) -> int:
    """Bytes of all files that the jail of a process holds; 0 for one outside."""
    held = 0
    with contextlib.suppress(OSError):
        for folder in WRITABLE:
            disk = os.statvfs(f"/proc/{pid}/root{folder}")
            held += (disk.f_blocks - disk.f_bfree) * disk.f_frsize
            held += (disk.f_files - disk.f_ffree) * INODE
    return held


def usage(pid: int) -> tuple[float, float]:
    """Seconds of processor time of a process and its descendants, and seconds in which they wait.

    Those are the ones in which a thread could have run, but other work had the processor; infinite
    where the kernel does not count them, so that only processor time tells.
    """
    ticks, waited = 0, 0.0 if COUNTED else math.inf
    for member in family(pid):
        with contextlib.suppress(OSError, IndexError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
            for thread in Path(f"/proc/{member}/task").glob("*/schedstat") if COUNTED else ():
                waited += int(thread.read_text().split()[1]) / 1e9
    return ticks / os.sysconf("SC_CLK_TCK"), waited


def kill(process: subprocess.Popen) -> None:
    """End a worker and everything it started, and wait for it."""
    if process.poll() is None:  # else its number may be another's by now
        members = family(process.pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        for member in members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream:
            with contextlib.suppress(OSError):
                stream.close()
    process.wait()
