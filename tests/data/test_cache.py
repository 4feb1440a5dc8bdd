"""What can go wrong between an index and a disk, each time with real processes and files."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pip_index import TEXT, TINY, Index

from course_utils.data import cache
from course_utils.data.cache import SourceError

SCRIPT = """
import sys, resource
sys.path.insert(0, {tests!r})
from pip_index import TINY
from course_utils.data import cache
{before}
try:
    print("got", cache.sha256_of(cache.fetch(TINY)) == TINY.sha256)
except cache.SourceError as error:
    print("refused", error)
"""


@pytest.fixture
def index(monkeypatch, tmp_path):
    """A loopback index and an empty cache."""
    server = Index()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1.6 MB (needs root)."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1600k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not let us mount a small file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def start(before: str = "") -> subprocess.Popen:
    """Start a process that fetches the tiny package."""
    script = SCRIPT.format(tests=str(Path(__file__).parents[1]), before=before)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def in_cache() -> list[str]:
    """Names of all files in the cache, locks left out."""
    root = cache.cache_root()
    return sorted(p.name for p in root.rglob("*") if p.is_file() and p.suffix != ".lock")


def test_fetch_keeps_one_verified_file(index):
    assert cache.state(TINY) == "missing"
    assert cache.fetch(TINY) == TINY.path
    assert cache.read(TINY, "tinytext/data.bin") == TEXT
    assert in_cache() == [TINY.path.name]
    assert index.downloads == 1  # the second use asked nobody


def test_two_processes_download_once(index):
    index.fault = "slow"
    both = [start(), start()]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert said == ["got True\n"] * 2
    assert index.downloads == 1
    assert in_cache() == [TINY.path.name]


def test_half_a_download_leaves_nothing(index):
    index.fault = "half"
    with pytest.raises(SourceError, match="course data fetch tinytext"):
        cache.fetch(TINY)
    assert in_cache() == []
    index.fault = ""
    assert cache.state(TINY) == "missing" and cache.fetch(TINY).is_file()


def test_a_killed_download_leaves_a_sound_cache(index):
    index.fault = "slow"
    process = start()
    deadline = time.time() + 30
    while not index.downloads and time.time() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(cache.cache_root().glob("partial-*"))  # it was in the middle of it
    index.fault = ""
    assert cache.state(TINY) == "missing"
    cache.fetch(TINY)
    assert in_cache() == [TINY.path.name]  # what the dead process left is gone too


def test_a_flipped_byte_on_the_way_is_refused(index):
    index.fault = "flipped"
    with pytest.raises(SourceError, match="checksum is not the one recorded"):
        cache.fetch(TINY)
    assert in_cache() == []


def test_a_flipped_byte_in_the_cache_is_fetched_again(index, capsys):
    flip(cache.fetch(TINY))
    assert cache.state(TINY) == "damaged"
    assert cache.read(TINY, "tinytext/data.bin") == TEXT
    assert "damaged" in capsys.readouterr().out
    assert index.downloads == 2


def test_a_flipped_byte_without_a_network_is_named(index, monkeypatch):
    flip(cache.fetch(TINY))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(SourceError, match=r"damaged.*course data fetch tinytext"):
        cache.read(TINY, "tinytext/data.bin")


def flip(path: Path) -> None:
    """Change one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_no_network_and_nothing_cached(index, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    with pytest.raises(SourceError, match=r"no network.*course data fetch tinytext"):
        cache.fetch(TINY)
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(SourceError, match="COURSE_OFFLINE is set"):
        cache.fetch(TINY)
    assert in_cache() == []


def test_a_write_limit_in_the_middle(index):
    limit = "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    said = start(limit).communicate(timeout=60)[0]
    assert said.startswith("refused tinytext==1.0 needs") and "Make room" in said
    assert in_cache() == []


def test_a_full_disk(index, small_disk, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(small_disk))
    (small_disk / "other").write_bytes(bytes(700_000))
    with pytest.raises(SourceError, match="Make room"):
        cache.fetch(TINY)  # seen before it starts
    assert index.downloads == 0
    modest = cache.Wheel(TINY.package, TINY.version, 1000, TINY.sha256)
    with pytest.raises(SourceError, match="Make room"):
        cache.fetch(modest)  # passes the first look, and meets the end of the disk in pip
    assert index.downloads == 1
    assert in_cache() == ["other"]


def test_a_read_only_cache_is_read(index, small_disk, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(small_disk))
    cache.fetch(TINY)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert cache.read(TINY, "tinytext/data.bin") == TEXT
    other = cache.Wheel("othertext", "1.0", 10, "0" * 64)
    with pytest.raises(SourceError, match=r"cannot be written.*COURSE_CACHE"):
        cache.fetch(other)


def test_a_cache_that_cannot_be_made(index, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(SourceError, match=r"cannot be written.*COURSE_CACHE"):
        cache.fetch(TINY)


def test_unpacked_members_live_only_as_long_as_needed(index):
    with cache.unpacked(TINY, "tinytext/model/") as folder:
        assert [(p.name, p.read_bytes()) for p in folder.iterdir()] == [("a.txt", b"a")]
    assert not folder.exists()


def test_clear_removes_ours_and_nothing_else(index):
    cache.fetch(TINY)
    other = cache.cache_root() / "notes.txt"
    other.write_text("mine")
    assert cache.clear() == TINY.size
    assert in_cache() == ["notes.txt"] and cache.state(TINY) == "missing"


def test_progress_only_when_not_quiet(index, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_QUIET", "1")
    cache.fetch(TINY)
    assert capsys.readouterr() == ("", "")
    cache.clear()
    monkeypatch.delenv("COURSE_QUIET")
    index.fault = "slow"
    cache.fetch(TINY)
    drawn = capsys.readouterr().err
    assert re.search(r"tinytext==1\.0: +[1-9]\d?%", drawn), "nothing between 0 and 100%"
    assert "tinytext==1.0: 100%" in drawn
