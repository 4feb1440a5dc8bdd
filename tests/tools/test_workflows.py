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
SHELL = {".ci/run"}  # besides make


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
    if "uses" in job:  # another workflow of this folder, whose jobs stand here, too
        assert (ROOT / job["uses"]).is_file()
        return
    for command in (step["run"] for step in job["steps"] if "run" in step):
        words = command.split()
        assert command in SHELL or words[0] == "make", command
        if words[0] == "make":
            assert {word for word in words[1:] if "=" not in word} <= TARGETS
        if command == ".ci/run":
            assert (ROOT / command).is_file()
    assert job["timeout-minutes"] <= 120


def test_all_supported_pythons_are_tested():
    """The ends at each push, with what is pinned; the rest, and other versions, once a week."""
    pushed = WORKFLOWS["test"]["jobs"]["pinned"]["strategy"]["matrix"]["python"]
    weekly = WORKFLOWS["weekly"]["jobs"]
    others = {
        (row["which"], row["python"]) for row in weekly["others"]["strategy"]["matrix"]["include"]
    }
    oldest, newest = bootstrap.OLDEST[1], bootstrap.NEWEST[1]
    pinned = {*pushed, *(python for which, python in others if which == "pinned")}
    assert pinned == {f"3.{minor}" for minor in range(oldest, newest + 1)}
    assert pushed == [f"3.{oldest}", f"3.{newest}"] and ("newest", f"3.{newest}") in others
    assert weekly["lowest"]["env"]["COURSE_DEPS"] == "lowest"


def triggers(workflow: str) -> dict:
    """What starts a workflow; YAML 1.1 reads the key `on` as true."""
    return WORKFLOWS[workflow][True]


def test_a_push_makes_few_environments_and_keeps_what_pip_fetched():
    """PyTorch is in each of them."""
    pushed = [WORKFLOWS[name]["jobs"] for name in WORKFLOWS if "push" in triggers(name)]
    environments = 1  # that of publish.yml, which is called
    for job in (job for jobs in pushed for job in jobs.values() if "steps" in job):
        environments += len(job.get("strategy", {}).get("matrix", {}).get("python", [1]))
    assert environments <= 3
    for step in (step for job in JOBS for step in job.values[0].get("steps", [])):
        if step.get("with", {}).get("python-version", "").startswith("${{"):
            assert step["with"]["cache"] == "pip"


def test_publishing_waits_for_the_tests_and_for_nobody_in_a_private_repository():
    assert set(triggers("publish")) == {"workflow_call", "workflow_dispatch"}
    called = WORKFLOWS["test"]["jobs"]["publish"]
    assert called["needs"] == "pinned" and called["uses"].endswith("/publish.yml")
    assert "push" in called["if"] and "!github.event.repository.private" in called["if"]
    for job in WORKFLOWS["publish"]["jobs"].values():  # a called workflow cannot take more
        assert (job.get("permissions") or {}).items() <= called["permissions"].items()


def test_where_the_jail_must_work_its_absence_is_an_error():
    """Tests that skip are green: Ubuntu 24.04 would prove nothing about the jail for years."""
    for jobs in (content["jobs"].values() for content in WORKFLOWS.values()):
        for job in jobs:
            if any(step.get("run") == ".ci/run" for step in job.get("steps", [])):
                assert job["env"] == {"COURSE_NEEDS_JAIL": 1, "COURSE_NEEDS_CUT": 1}
    assert "apparmor_restrict_unprivileged_userns" in (ROOT / ".ci/run").read_text()


def test_updates_come_together():
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    assert {each["package-ecosystem"] for each in updates} == {"pip", "github-actions"}
    assert all(
        [group["patterns"] for group in each["groups"].values()] == [["*"]] for each in updates
    )


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
