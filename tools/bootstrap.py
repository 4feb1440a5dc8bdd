"""Make `.venv` on a machine that has never seen the project.

Runs on the system's Python before anything is installed, so it uses the standard library only:
`python tools/bootstrap.py [--tests]`. What is missing is named before work starts.
COURSE_DEPS=lowest or newest takes what pyproject.toml allows, in place of requirements.txt.
COURSE_TORCH=cpu or default decides by hand which build of PyTorch comes.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
STAMP = VENV / ".course-ready"
OLDEST, NEWEST = (3, 11), (3, 13)
EXTRAS = "book,test,grade"
CPU_TORCH = "https://download.pytorch.org/whl/cpu"  # 200 MB; the default build for Linux has 3 GB
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "msedge")
BROWSER_PATHS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)


def find_browser():
    """Path of a Chromium-family browser: `COURSE_BROWSER` first, then the usual places; or None."""
    named = os.environ.get("COURSE_BROWSER")
    if named:
        return named if Path(named).exists() else shutil.which(named)
    found = (shutil.which(name) for name in BROWSERS)
    return next(filter(None, found), None) or next(
        (path for path in BROWSER_PATHS if Path(path).exists()), None
    )


def browser_starts():
    """Whether a browser is there and runs: Ubuntu's `chromium-browser` may only name a snap."""
    browser = find_browser()
    if browser is None:
        return False
    if os.name == "nt":
        return True  # there `--version` opens a window
    try:
        done = subprocess.run([browser, "--version"], capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def browser_remedy(release=Path("/etc/os-release")):
    """The command that installs a browser which can open the tests' files."""
    if release.exists() and re.search("^ID=ubuntu", release.read_text(), re.MULTILINE):
        package = "google-chrome-stable_current_amd64.deb"
        return (
            f"curl -O https://dl.google.com/linux/direct/{package} "
            f"&& sudo apt-get install ./{package}   (Ubuntu's chromium is a snap, which cannot "
            "see the files of the tests)"
        )
    return "sudo apt-get install chromium"


def missing(tests=False):
    """What the system lacks, as (what and why, command that installs it), before any work."""
    lacks = []
    if sys.version_info[:2] < OLDEST:
        lacks.append(
            (
                "Python 3.11 or newer (this is {}.{})".format(*sys.version_info[:2]),
                "sudo apt-get install python3 python3-venv   (or a build from python.org), "
                "then: make book PYTHON=/path/to/python3.11",
            )
        )
    elif not (importlib.util.find_spec("venv") and importlib.util.find_spec("ensurepip")):
        lacks.append(
            (
                "Python's venv module, which makes the environment",
                "sudo apt-get install python3-venv",
            )
        )
    if tests and os.environ.get("COURSE_BROWSER") != "none" and not browser_starts():
        lacks.append(
            (
                "Chromium (or Chrome) that starts, in which the tests open every page of the book",
                f"{browser_remedy()}\n"
                "    Leave the browser tests out: COURSE_BROWSER=none make test",
            )
        )
    return lacks


def venv_python():
    """The interpreter inside `.venv` on this system."""
    folder, name = ("Scripts", "python.exe") if os.name == "nt" else ("bin", "python")
    return VENV / folder / name


def recipe():
    """Hash of everything that decides what is in `.venv`."""
    parts = [repr(sys.version_info[:2]), str(ROOT), os.environ.get("COURSE_DEPS", "pinned")]
    parts += [str(wants_cpu_torch())]
    parts += [(ROOT / name).read_text("utf-8") for name in ("requirements.txt", "pyproject.toml")]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def is_ready():
    """True when `.venv` was made from the present pins."""
    return venv_python().exists() and STAMP.exists() and STAMP.read_text() == recipe()


def has_nvidia():
    """Whether this machine shows an NVIDIA device."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def wants_cpu_torch():
    """Whether the CPU build of PyTorch is enough: on Linux, unless a device for the other is there.

    Elsewhere the default build is the one for the CPU.
    """
    setting = os.environ.get("COURSE_TORCH", "auto")
    if setting not in ("auto", "cpu", "default"):
        sys.exit(f"COURSE_TORCH is {setting!r}; it may be auto, cpu or default")
    return setting == "cpu" or (
        setting == "auto" and sys.platform.startswith("linux") and not has_nvidia()
    )


def torch_wanted():
    """The requirement for PyTorch, in the version COURSE_DEPS asks for."""
    which = os.environ.get("COURSE_DEPS", "pinned")
    if which == "pinned":
        return re.search(r"^torch==\S+", (ROOT / "requirements.txt").read_text(), re.M)[0]
    lowest = re.search(r'"torch>=(\S+)"', (ROOT / "pyproject.toml").read_text())[1]
    return f"torch=={lowest}" if which == "lowest" else "torch"


def torch_sources(pip):
    """Ways to get the CPU build, to be tried one after another; none where it is not wanted.

    A wheel on this disk goes before PyTorch's own index: it works without a network.
    """
    if not wants_cpu_torch():
        return []
    install = [*pip, "--no-deps", torch_wanted()]
    return [[*install, "--no-index"], [*install, "--index-url", CPU_TORCH]]


def install_torch(pip, run=subprocess.run):
    """Install PyTorch before all else; where no way works, it comes with the other packages."""
    for command in torch_sources(pip):
        quiet = {"capture_output": True} if "--no-index" in command else {}
        if run(command, **quiet).returncode == 0:
            return
    if wants_cpu_torch():
        print(
            f"The CPU build of PyTorch cannot be had from {CPU_TORCH}: the default one comes, "
            "which has 3 GB for GPUs on Linux. Ctrl-C stops that.",
            file=sys.stderr,
        )


def dependencies(pip):
    """Commands that install what the course needs, in the versions COURSE_DEPS asks for."""
    which = os.environ.get("COURSE_DEPS", "pinned")
    wanted = f"{ROOT}[{EXTRAS}]"
    if which == "pinned":
        return [[*pip, "-r", str(ROOT / "requirements.txt")]]
    if which == "newest":
        return [[*pip, "--upgrade", "--upgrade-strategy=eager", wanted]]
    if which == "lowest":  # pip only knows the newest
        uv = [str(venv_python()), "-m", "uv", "pip", "install", "--python", str(venv_python())]
        return [[*pip, "uv"], [*uv, "--resolution=lowest-direct", "setuptools>=77", wanted]]
    sys.exit(f"COURSE_DEPS is {which!r}; it may be pinned, lowest or newest")


def make_venv():
    """Create `.venv` and install the pinned packages and the course itself into it."""
    started = time.time()
    pip = [str(venv_python()), "-m", "pip", "install", "--disable-pip-version-check"]
    print(f"Making {VENV} (about 2.5 GB; several minutes the first time) …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=True)
    install_torch(pip)
    for command in dependencies(pip):
        subprocess.run(command, check=True)
    course = ["--no-deps", "--no-build-isolation", "--quiet", "-e", str(ROOT)]
    subprocess.run([*pip, *course], check=True)
    STAMP.write_text(recipe())
    print(f"{VENV} is ready ({time.time() - started:.0f} s).", flush=True)


def main():
    """Check the system, then make the environment unless it is there already."""
    if sys.version_info[:2] > NEWEST:
        print(
            "Python {}.{} is newer than those the course was tried with. If a package does not "
            "install: make book PYTHON=/path/to/python{}.{}".format(*sys.version_info[:2], *NEWEST),
            file=sys.stderr,
        )
    lacks = missing(tests="--tests" in sys.argv[1:])
    for what, command in lacks:
        print(f"Missing: {what}.\n    {command}", file=sys.stderr)
    if lacks:
        return 1
    if not is_ready():
        make_venv()
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd[:6]))
        sys.exit(f"Stopped: `{command} …` failed (exit {error.returncode}); its message is above.")
