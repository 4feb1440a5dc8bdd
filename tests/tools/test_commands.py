"""The commands of the README and of the Makefile do what they say, or say what is missing."""

import os
import re
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from importlib import metadata
from pathlib import Path

import pytest
import typer
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from typer.testing import CliRunner

from course_tools import doctor, offline
from course_tools.checkout import PLACEHOLDER, ROOT, bootstrap
from course_tools.cli import app
from course_utils.cli import Command
from course_utils.data import cache

README = (ROOT / "README.md").read_text("utf-8")
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


def course(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "course_utils", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}
    )


# -- README and Makefile ---------------------------------------------------------------------


def test_readme_is_short_and_its_files_exist():
    assert len(README.splitlines()) <= 60
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_readme_targets_exist_and_each_calls_course():
    targets = set(re.findall(r"\bmake ([a-z]+)", README + (ROOT / "CONTRIBUTING.md").read_text()))
    rules = dict(re.findall(r"^([a-z]+): ## .*\n\t@?(.*)$", MAKEFILE, re.M))
    assert {"book", "test", "serve", "quick", "lint", "execute", "doctor"} <= targets <= set(rules)
    commands = {command.name or command.callback.__name__ for command in app.registered_commands}
    for target in targets:
        called = re.search(r"\$\(COURSE\) ([a-z]+)", rules[target])
        assert called and called.group(1) in commands, target


def test_ci_calls_the_test_command_of_the_readme():
    steps = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line.strip()]
    assert steps[-1] == "make test" and "\nmake test\n" in README
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_a_second_make_book_does_nothing_twice():
    assert course("book").returncode == 0
    started = time.monotonic()
    done = course("book")
    assert "unchanged" in done.stdout and "_build/html/index.html" in done.stdout
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("checkout", [True, False])
def test_the_command_has_more_verbs_in_a_checkout(checkout):
    """Who installed the package alone has no `course_tools`; the command works there, too."""
    hidden = "" if checkout else "sys.modules['course_tools'] = None; "
    code = f"import sys; {hidden}sys.argv = ['course', '--help']; import course_utils.__main__"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pretrain" in done.stdout and ("configure" in done.stdout) == checkout


# -- the environment -------------------------------------------------------------------------


def pins() -> dict[str, str]:
    """Name and version of every line of requirements.txt."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "only plain pins: no addresses, no options"
    return {canonical(name): version for name, version in pairs}


def canonical(name: str) -> str:
    """The one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_direct_dependency_is_pinned_within_its_bounds():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [Requirement(text) for text in sum(extras, project["dependencies"])]
    pinned = pins()
    assert len(wanted) > 20
    for requirement in wanted:
        version = pinned.get(canonical(requirement.name))
        assert version and requirement.specifier.contains(version), requirement


def test_every_pin_installs_on_the_first_release_of_each_python():
    """Debian 12, for one, has Python 3.11.2."""
    oldest, newest = bootstrap.OLDEST[1], bootstrap.NEWEST[1]
    pythons = [f"3.{minor}.0" for minor in range(oldest, newest + 1)]
    here = {canonical(found.metadata["Name"]): found for found in metadata.distributions()}
    pinned = [here[n] for n, version in pins().items() if n in here and here[n].version == version]
    for found in pinned:
        needs = SpecifierSet(found.metadata["Requires-Python"] or "")
        assert all(needs.contains(python) for python in pythons), (found.name, str(needs))


@pytest.mark.parametrize(
    ("fault", "named", "command"),
    [
        ("version", "Python 3.11, 3.12 or 3.13 (this is 3.9)", "make book PYTHON="),
        ("venv", "venv module", "sudo apt-get install python3-venv"),
        ("browser", "Chromium", "sudo apt-get install chromium"),
    ],
)
def test_what_is_missing_is_named_before_any_work(
    monkeypatch, tmp_path, capsys, fault, named, command
):
    if fault == "version":
        monkeypatch.setattr(sys, "version_info", (3, 9, 2, "final", 0))
    if fault == "venv":
        find = bootstrap.importlib.util.find_spec
        hidden = lambda name, *rest: None if name == "ensurepip" else find(name, *rest)  # noqa: E731
        monkeypatch.setattr(bootstrap.importlib.util, "find_spec", hidden)
    if fault == "browser":
        monkeypatch.setenv("COURSE_BROWSER", "no-such-browser")
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "--tests"])
    monkeypatch.setattr(bootstrap, "make_venv", lambda: pytest.fail("work was started"))
    assert bootstrap.main() == 1
    said = capsys.readouterr().err
    assert named in said and command in said


def test_nothing_is_missing_here(monkeypatch):
    monkeypatch.delenv("COURSE_BROWSER", raising=False)
    assert bootstrap.missing(tests=False) == []


def test_a_changed_pin_makes_the_environment_again(monkeypatch, tmp_path):
    for name in ("requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_text("a")
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    before = bootstrap.recipe()
    assert before == bootstrap.recipe()
    (tmp_path / "requirements.txt").write_text("b")
    assert before != bootstrap.recipe()


# -- offline ---------------------------------------------------------------------------------


def test_the_network_is_cut_when_it_is_said_to_be():
    state = os.environ.get("COURSE_NETWORK")
    if state != "cut":
        pytest.skip(f"run through `make test` to cut the network (now: {state or 'open'})")
    assert offline.interfaces() == ["lo"]
    with pytest.raises(OSError), socket.create_connection(("1.1.1.1", 443), timeout=3):
        pass


def test_loopback_works_behind_the_cut():
    if not doctor.can_cut():
        pytest.skip("this system does not allow the network to be cut")
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname(), 3); print('loopback works')"
    )
    command = [sys.executable, "-m", "course_tools.offline", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "interfaces lo only" in done.stdout and "loopback works" in done.stdout


def test_a_refused_cut_is_said_and_the_command_still_runs(monkeypatch, capsys):
    def refuse():
        raise PermissionError("not allowed")

    ran = []
    monkeypatch.setattr(offline, "cut_network", refuse)
    monkeypatch.setattr(offline.os, "execvp", lambda *command: ran.append(command))
    monkeypatch.setattr(sys, "argv", ["offline", "pytest"])
    monkeypatch.setenv("COURSE_NETWORK", "")
    offline.main()
    assert "could NOT be cut" in capsys.readouterr().out
    assert ran == [("pytest", ["pytest"])] and os.environ["COURSE_NETWORK"] == "open"


# -- the other commands ----------------------------------------------------------------------


def test_doctor_names_cost_and_remedy():
    missing = doctor.Finding("a thing", False, "this is lost", "install it")
    assert [word in str(missing) for word in ("MISSING", "this is lost", "install it")] == [
        True
    ] * 3
    found = doctor.examine()
    assert all(finding.there or (finding.cost and finding.remedy) for finding in found)
    assert any(PLACEHOLDER in finding.what or "https" in finding.what for finding in found)


def test_doctor_fails_when_something_needed_is_missing(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("x", False, "c", "r")])
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1 and "MISSING" in result.output
    monkeypatch.setattr(doctor, "examine", lambda: [doctor.Finding("x", False, "c", "r", False)])
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 0


def test_serve_shows_the_book():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "course_utils", "serve", "--port", str(port)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        for line in server.stdout:
            if "127.0.0.1" in line:
                break
        page = urllib.request.urlopen(f"http://127.0.0.1:{port}/book/index.html", timeout=10)
        assert b"Pre-training Paradigms" in page.read()
    finally:
        server.terminate()
        server.wait(timeout=10)


def test_serve_on_a_busy_port_says_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        done = course("serve", "--port", str(port))
    assert done.returncode == 1
    assert f"port {port}" in done.stderr and f"--port {port + 1}" in done.stderr


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("the disk is full"),
        OSError("the disk is full"),
        ValueError("the disk is full"),
        FloatingPointError("the disk is full"),
        subprocess.CalledProcessError(3, "the disk is full"),
    ],
)
def test_an_expected_error_is_one_line(monkeypatch, error):
    assert told(monkeypatch, error).exit_code == 1
    said = told(monkeypatch, error).output
    assert said.startswith("Stopped: ") and "the disk is full" in said and said.count("\n") == 1


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("x"), NotImplementedError("x")])
def test_a_fault_of_the_program_shows_where_it_is(monkeypatch, error):
    assert told(monkeypatch, error).exception is error  # which Python prints with its traceback


@pytest.mark.parametrize("code", [0, 2])
def test_a_command_may_end_with_a_code_of_its_own(monkeypatch, code):
    done = told(monkeypatch, typer.Exit(code))
    assert done.exit_code == code and not done.output


def test_every_command_answers_errors_so():
    groups = [app, *(group.typer_instance for group in app.registered_groups)]
    assert len(groups) == 3
    for group in groups:
        assert {command.cls for command in group.registered_commands} == {Command}


def told(monkeypatch, error):
    """What a user gets from a command behind which `error` is raised."""

    def stop():
        raise error

    monkeypatch.setattr(cache, "clear", stop)
    return CliRunner().invoke(app, ["data", "clear"])


def test_execute_of_a_missing_file_says_so(tmp_path: Path):
    done = course("execute", str(tmp_path / "none.ipynb"))
    assert done.returncode == 1 and "none.ipynb" in done.stderr and "Traceback" not in done.stderr
