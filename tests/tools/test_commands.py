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
from course_tools.grading.jail import HOW, REMEDIES, Jail, NoJail
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
    assert len(README.splitlines()) <= 64  # a fork has badges
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    for target in (one for one in targets if "://" not in one):
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


PINNED_TORCH = pins()["torch"]


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
        ("version", "Python 3.11 or newer (this is 3.9)", "make book PYTHON="),
        ("venv", "venv module", "sudo apt-get install python3-venv"),
        ("browser", "Chromium", bootstrap.browser_remedy()),
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


def test_a_newer_python_is_warned_not_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 15, 0, "final", 0))
    monkeypatch.setattr(bootstrap, "is_ready", lambda: True)
    monkeypatch.setattr(sys, "argv", ["bootstrap.py"])
    assert bootstrap.main() == 0
    said = capsys.readouterr().err
    assert "Python 3.15 is newer" in said and "python3.13" in said


def test_a_browser_that_does_not_start_is_missing(monkeypatch, tmp_path):
    """Ubuntu's `chromium-browser` without its snap: a file that only says so, and fails."""
    stub = tmp_path / "chromium-browser"
    stub.write_text("#!/bin/sh\necho requires the chromium snap >&2\nexit 1\n")
    stub.chmod(0o755)
    monkeypatch.setenv("COURSE_BROWSER", str(stub))
    assert bootstrap.find_browser() and not bootstrap.browser_starts()
    (what, _), *_ = bootstrap.missing(tests=True)
    assert "that starts" in what
    stub.write_text("#!/bin/sh\necho Chromium 140\n")
    assert bootstrap.browser_starts()


@pytest.mark.parametrize(("system", "word"), [("ubuntu", "chrome"), ("debian", "chromium")])
def test_the_remedy_for_the_browser_exists_on_that_system(tmp_path, system, word):
    (tmp_path / "os-release").write_text(f'NAME="X"\nID={system}\nVERSION_ID="24.04"\n')
    assert word in bootstrap.browser_remedy(tmp_path / "os-release").partition("(")[0]


# -- which PyTorch ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("platform", "nvidia", "setting", "cpu"),
    [
        ("linux", False, None, True),  # an ordinary machine: the default has gigabytes for a GPU
        ("linux", True, None, False),
        ("linux", True, "cpu", True),
        ("linux", False, "default", False),
        ("darwin", False, None, False),  # there the default is the CPU build
        ("win32", False, None, False),
    ],
)
def test_which_build_of_pytorch(monkeypatch, platform, nvidia, setting, cpu):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(bootstrap, "has_nvidia", lambda: nvidia)
    monkeypatch.delenv("COURSE_TORCH", raising=False)
    if setting:
        monkeypatch.setenv("COURSE_TORCH", setting)
    assert bootstrap.wants_cpu_torch() is cpu
    assert bool(bootstrap.torch_sources(["pip"])) is cpu


def test_a_wrong_setting_for_pytorch_is_refused(monkeypatch):
    monkeypatch.setenv("COURSE_TORCH", "gpu")
    with pytest.raises(SystemExit, match="auto, cpu or default"):
        bootstrap.wants_cpu_torch()


@pytest.mark.parametrize(
    ("which", "wanted"),
    [("pinned", f"torch=={PINNED_TORCH}"), ("lowest", "torch==2.6"), ("newest", "torch")],
)
def test_a_wheel_on_this_disk_goes_before_pytorchs_index(monkeypatch, capsys, which, wanted):
    monkeypatch.setenv("COURSE_DEPS", which)
    monkeypatch.setenv("COURSE_TORCH", "cpu")
    for works, tried in (("--no-index", 1), ("--index-url", 2), ("nothing", 2)):
        ran: list[list[str]] = []

        def run(command, works=works, ran=ran, **options):
            ran.append(command)
            return subprocess.CompletedProcess(command, int(works not in command))

        bootstrap.install_torch(["pip", "install"], run)
        assert len(ran) == tried and all(wanted in command for command in ran)
        assert "--no-index" in ran[0] and bootstrap.CPU_TORCH not in ran[0]
        assert bootstrap.CPU_TORCH in ran[-1] or tried == 1
        assert ("3 GB" in capsys.readouterr().err) is (works == "nothing")


def test_the_set_up_page_tells_the_size_of_this_environment():
    page = (ROOT / "book/setup.md").read_text("utf-8")
    told = float(re.search(r"environment in `\.venv` \| ([\d.]+) GB", page)[1])
    folders = os.walk(Path(sys.prefix).resolve())
    files = (Path(folder) / name for folder, _, names in folders for name in names)
    size = sum(path.lstat().st_size for path in files) / 1e9
    packages = {p.metadata["Name"].lower() for p in metadata.distributions()}
    if any("nvidia" in name for name in packages):
        pytest.skip(f"not the CPU build: {size:.1f} GB")
    print(f"environment in `.venv` | {size:.1f} GB")
    assert told == pytest.approx(size, rel=0.2)


def test_no_pin_is_for_a_gpu_only():
    pins = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    names = [line.partition("==")[0].lower() for line in pins if "==" in line]
    assert len(names) > 150 and not [n for n in names if re.match("nvidia|cuda|triton", n)]


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
    if why := offline.refusal():
        pytest.skip(f"this system does not allow the network to be cut: {why}")
    done = behind_the_cut()
    assert "interfaces lo only" in done.stdout and "loopback works" in done.stdout


def behind_the_cut(**environment: str) -> subprocess.CompletedProcess:
    """Let a program whose network was cut, or could not be, talk to itself."""
    code = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname(), 3); print('loopback works')"
    )
    command = [sys.executable, "-m", "course_tools.offline", sys.executable, "-c", code]
    settings = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=settings)


HALF_REFUSED = """
import os, pathlib
write = pathlib.Path.write_text
def write_text(path, *rest, **more):
    if str(path) == "/proc/self/uid_map":
        raise PermissionError(1, "Operation not permitted", str(path))
    return len(str(rest)) if "/proc/self/" in str(path) else write(path, *rest, **more)
pathlib.Path.write_text = write_text
os.getuid = lambda: 1000
"""


def test_a_cut_that_is_refused_half_way_leaves_the_network_as_it_was(tmp_path):
    """Ubuntu 24.04: `unshare` succeeds, `uid_map` is denied. The namespace has no loopback."""
    (tmp_path / "sitecustomize.py").write_text(HALF_REFUSED)
    places = {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT / 'src'}"}
    done = behind_the_cut(**places)
    assert "could NOT be cut" in done.stdout and "uid_map" in done.stdout
    assert "loopback works" in done.stdout, done.stderr
    refused = behind_the_cut(**places, COURSE_NEEDS_CUT="1")
    assert refused.returncode and "COURSE_NEEDS_CUT" in refused.stderr and not refused.stdout


def test_a_refused_cut_is_said_and_the_command_still_runs(monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(offline, "refusal", lambda: "not allowed")
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


def test_doctor_starts_a_jail_instead_of_looking_for_a_file(monkeypatch):
    """Ubuntu 24.04 has the program, and refuses it what it needs."""

    def refuse(jail):
        raise NoJail(f"bwrap: setting up uid map: Permission denied\n{HOW}")

    monkeypatch.setattr(Jail, "probe", refuse)
    (found,) = (finding for finding in doctor.examine() if "jail" in finding.what)
    assert not found.there and "uid map: Permission denied" in found.cost
    assert "apt-get install bubblewrap" in str(found) and "/etc/apparmor.d/bwrap" in str(found)


def test_the_setup_page_has_the_profile_to_paste():
    (profile,) = re.findall(r"sudo tee.*parser -r \S+\n", REMEDIES, re.DOTALL)
    assert profile in (ROOT / "book/setup.md").read_text("utf-8")


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
    assert {group.name for group in app.registered_groups} == {"data", "web", "gpu"}
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
