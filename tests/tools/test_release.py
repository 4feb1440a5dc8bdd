"""Wheel and source archive of a copy: what is inside, what is not, and the wheel works alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from project_copy import copy_of_project

from course_tools import release
from course_tools.book import assets
from course_tools.checkout import ROOT
from course_utils.data.readers import CHECKPOINTS

CORE_TESTS = (
    "objectives/test_masked_lm.py",
    "objectives/test_causal_lm.py",
    "objectives/test_span_corruption.py",
    "data/test_batches.py",
)


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Both archives, built from a copy."""
    return release.build_archives(copy_of_project(tmp_path_factory.mktemp("release")))


@pytest.mark.slow
def test_both_are_built_and_hold_what_they_should(archives):
    assert [path.suffix for path in archives] == [".whl", ".gz"]
    names = release.members(archives[0])
    there = {p.relative_to(CHECKPOINTS.parent).as_posix() for p in CHECKPOINTS.rglob("*.*")}
    assert {f"course_utils/{name}" for name in there} <= set(names)
    assert all(name.startswith(("course_utils/", "course_utils-")) for name in names)


@pytest.fixture(scope="module")
def installed(archives, tmp_path_factory):
    """For each of the archives, an environment in which it was installed and tried."""
    folders = [tmp_path_factory.mktemp("fresh") for _ in archives]
    for archive, folder in zip(archives, folders, strict=True):
        assert "next:" in release.try_out(archive, folder)
    return folders


def contents(folder: Path) -> dict[str, bytes]:
    """The files of the course in an environment, without what Python compiled."""
    (package,) = folder.glob("lib/*/site-packages/course_utils")
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    return {path.relative_to(package).as_posix(): path.read_bytes() for path in files}


@pytest.mark.slow
def test_each_is_installed_alone_and_both_are_the_same(installed):
    for folder in installed:
        names = {path.name.split("-")[0] for path in folder.glob("lib/*/site-packages/*")}
        assert names == {"course_utils", "beside.pth"}
    wheel, source = map(contents, installed)
    assert wheel == source and len(wheel) > 100


@pytest.mark.slow
def test_what_is_installed_passes_the_tests_of_the_core(installed, tmp_path):
    """The repository's tests, in a folder without its source: they see what was installed."""
    wheel = installed[0]
    for name in CORE_TESTS:
        shutil.copy(ROOT / "tests" / name, tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n    browser\n")
    (tmp_path / "where.py").write_text("import course_utils; print(course_utils.__file__)")
    names = [Path(name).name for name in CORE_TESTS]
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *names]
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    for command in (["where.py"], tests):
        done = subprocess.run(
            [wheel / "bin/python", *command],
            cwd=tmp_path, env=clean, capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
        if command == ["where.py"]:
            assert done.stdout.startswith(str(wheel))


def test_canary_faults(tmp_path):
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in (*release.NEEDED[1:], "course_utils/hidden/t1.py", "course_tools/cli.py"):
            file.writestr(name, "")
    said = release.archive_faults(wheel)
    assert len(said) == 3 and "bert-mini" in said[0] and "hidden/t1.py" in said[1]
    assert "course_tools/cli.py" in said[2]


def test_what_is_bundled_is_in_the_notice():
    notice = (ROOT / "NOTICE").read_text()
    assert all(folder.name in notice for folder in CHECKPOINTS.iterdir())
    for package in (*assets.SITE, *assets.TOOLS):
        assert f"{package.name} {package.version}" in notice
    assert Path(ROOT / "LICENSE-text").is_file()
