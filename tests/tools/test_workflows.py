"""The definitions for GitHub Actions: valid, careful, and nothing but calls of the make targets."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from course_tools.checkout import ROOT, bootstrap

GITHUB = ROOT / ".github"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in GITHUB.glob("workflows/*.yml")}
JOBS = [
    pytest.param(job, id=f"{workflow}-{name}")
    for workflow, content in WORKFLOWS.items()
    for name, job in content["jobs"].items()
]
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SHELL = {".ci/run", "cp -r _build/pdf/. _build/html/"}  # besides make


def lint(folder: Path) -> subprocess.CompletedProcess:
    """Run zizmor, which knows the schema of workflows and how they are attacked."""
    program = Path(sys.executable).with_name("zizmor")
    command = [
        str(program) if program.exists() else "zizmor",
        "--offline",
        "--no-progress",
        "--strict-collection",
    ]
    return subprocess.run([*command, str(folder)], capture_output=True, text=True)


def test_the_linter_finds_nothing():
    done = lint(GITHUB)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("runs-on:", "run-on:"),  # no such key
        ("contents: read", "contents: sometimes"),
        ("actions/checkout@v5", "someone/checkout@v5"),  # neither GitHub's nor pinned
        ("make lint", "echo ${{ github.head_ref }}"),  # a stranger's text in a shell
        ("persist-credentials: false", "fetch-depth: 1"),  # the token stays in the folder
    ],
)
def test_canary_the_linter_finds_what_is_wrong(tmp_path, right, wrong):
    shutil.copytree(GITHUB, tmp_path / ".github")
    path = tmp_path / ".github/workflows/test.yml"
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    assert lint(tmp_path / ".github").returncode != 0


@pytest.mark.parametrize("job", JOBS)
def test_every_step_is_a_make_target(job):
    for command in (step["run"] for step in job["steps"] if "run" in step):
        words = command.split()
        assert command in SHELL or words[0] == "make", command
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS
        if command == ".ci/run":
            assert (ROOT / command).is_file()
    assert job["timeout-minutes"] <= 120


def test_all_supported_pythons_are_tested():
    pinned = WORKFLOWS["test"]["jobs"]["pinned"]["strategy"]["matrix"]["python"]
    oldest, newest = bootstrap.OLDEST[1], bootstrap.NEWEST[1]
    assert pinned == [f"3.{minor}" for minor in range(oldest, newest + 1)]
    loose = WORKFLOWS["test"]["jobs"]["loose"]["strategy"]["matrix"]["include"]
    assert {(row["which"], row["python"]) for row in loose} == {
        ("lowest", f"3.{oldest}"), ("newest", f"3.{newest}"),
    }  # fmt: skip


def test_dependencies_are_pinned_newest_or_lowest(monkeypatch):
    said = {}
    for which in ("pinned", "newest", "lowest"):
        monkeypatch.setenv("COURSE_DEPS", which)
        said[which] = " ".join(word for line in bootstrap.dependencies(["pip"]) for word in line)
    assert "requirements.txt" in said["pinned"] and "--upgrade" in said["newest"]
    assert "--resolution=lowest-direct" in said["lowest"]
    monkeypatch.setenv("COURSE_DEPS", "oldest")
    with pytest.raises(SystemExit, match="pinned, lowest or newest"):
        bootstrap.dependencies(["pip"])
