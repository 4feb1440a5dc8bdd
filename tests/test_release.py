"""Wheel and source archive of a copy: what is inside, what is not, and the wheel works alone."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from test_fork import copy_of_project

from course_utils import assets, release
from course_utils.book import ROOT
from course_utils.data.readers import CHECKPOINTS


@pytest.fixture(scope="module")
def archives(tmp_path_factory):
    """Both archives, built from a copy."""
    return release.build(copy_of_project(tmp_path_factory.mktemp("release")))


@pytest.mark.slow
def test_both_are_built_and_hold_what_they_should(archives):
    assert [path.suffix for path in archives] == [".whl", ".gz"]
    names = release.members(archives[0])
    there = {p.relative_to(CHECKPOINTS.parent).as_posix() for p in CHECKPOINTS.rglob("*.*")}
    assert {f"course_utils/{name}" for name in there} <= set(names)
    assert all(name.startswith(("course_utils/", "course_utils-")) for name in names)


@pytest.mark.slow
def test_the_wheel_works_in_an_environment_of_its_own(archives, tmp_path):
    assert "next:" in release.try_out(archives[0], tmp_path / "fresh")
    installed = {path.name for path in (tmp_path / "fresh").glob("lib/*/site-packages/*")}
    assert {name.split("-")[0] for name in installed} == {"course_utils", "beside.pth"}


def test_canary_faults(tmp_path):
    wheel = tmp_path / "some.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        for name in (*release.NEEDED[1:], "course_utils/hidden/t1.py"):
            file.writestr(name, "")
    said = release.faults(wheel)
    assert len(said) == 2 and "bert-mini" in said[0] and "hidden/t1.py" in said[1]


def test_what_is_bundled_is_in_the_notice():
    notice = (ROOT / "NOTICE").read_text()
    assert all(folder.name in notice for folder in CHECKPOINTS.iterdir())
    for package in (*assets.SITE, *assets.TOOLS):
        assert f"{package.name} {package.version}" in notice
    assert Path(ROOT / "LICENSE-text").is_file()
