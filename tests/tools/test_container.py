"""The container: what the image installs, who runs in it, and what the page about it says."""

import json
import re

import pytest

from course_tools.checkout import ROOT
from course_tools.grading.jail import REMEDIES

STEPS = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
STAGES = [stage.splitlines() for stage in re.split(r"^FROM ", STEPS, flags=re.MULTILINE)[1:]]
DEV = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text("utf-8"))
PAGE = (ROOT / "book/container.md").read_text("utf-8")
JAILED = re.search(r"docker run (--init .*?) …", REMEDIES, re.S)[1].replace("\\", "").split()


def test_the_image_has_what_ci_installs():
    wanted = set()
    for words in re.findall(r"lacks\+=\((.*?)\)", (ROOT / ".ci/run").read_text("utf-8")):
        wanted |= set(words.split())
    (packages,) = re.findall(r"--no-install-recommends(.*?)&&", STEPS)
    assert wanted <= set(packages.split())


def test_nothing_of_the_course_runs_as_root():
    system, course = STAGES
    assert [line for line in system if line.startswith(("COPY", "CMD"))] == []
    steps = [line for line in course if re.match("[A-Z]+ ", line)]
    assert steps[0] == "USER course" and not any("root" in step for step in steps)
    assert all("--chown=course" in step for step in steps if step.startswith("COPY"))


def test_the_environment_is_made_before_what_changes_often_is_copied():
    course = STAGES[1]
    made, copied = (
        course.index("RUN python3 tools/bootstrap.py"),
        course.index("COPY --chown=course . ."),
    )
    assert made < copied
    before = " ".join(course[:made])
    assert all(name in before for name in ("requirements.txt", "pyproject.toml", "tools"))


def test_what_git_ignores_stays_out_of_the_image():
    kept_out = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    names = {line.strip("/").removeprefix("**/") for line in kept_out}
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {line.strip("/") for line in ignored if line and line[0] != "#"} <= names


def test_the_dev_container_is_the_same_system_with_a_jail():
    assert (ROOT / ".devcontainer" / DEV["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert f"AS {DEV['build']['target']}" in STEPS and DEV["remoteUser"] == "course"
    assert DEV["init"] and [word.replace("=", " ", 1) for word in DEV["runArgs"]] == [
        f"--security-opt {word}" for word in JAILED if "=" in word
    ]


@pytest.mark.parametrize("verb", ["grade", "doctor"])
def test_the_page_starts_graders_with_what_the_jail_needs(verb):
    commands = re.findall(r"docker run (?:[^\n]*\\\n)*[^\n]*", PAGE)
    graders = [command for command in commands if f"course {verb}" in command]
    assert graders and all(word in command for command in graders for word in JAILED)
    assert all("-v" in command for command in commands if "grade" in command)
