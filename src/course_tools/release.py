"""What leaves the project: archives, looked into and tried alone; pins, audited."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

from course_tools.checkout import ROOT, load_module

alone = load_module(ROOT / "tools/alone.py", "alone")

NEEDED = (
    "course_utils/checkpoints/bert-mini/model.safetensors",
    "course_utils/checkpoints/gpt-mini/model.safetensors",
    "course_utils/checkpoints/minilm-mlm/trained.safetensors",
    "course_utils/checkpoints/tokenizer/tokenizer.json",
    "course_utils/grading/cases/t1.json",
    "course_utils/models/huggingface.toml",
    "LICENSE",
    "NOTICE",
)
PRIVATE = re.compile(r"(^|/)(solutions|hidden|tests|exercises|course_tools|references)/")
TRIAL = """
import course_utils, sys
from pathlib import Path
from course_utils.data.sources import load_pretrained
assert Path(course_utils.__file__).is_relative_to(sys.prefix), course_utils.__file__
mini = load_pretrained("gpt-mini")
ids = mini.tokenizer("The people of the United", return_tensors="pt")["input_ids"]
print("next:", mini.tokenizer.decode(mini.model(ids).logits[0, -1].argmax()))
"""


def build_archives(root: Path = ROOT) -> list[Path]:
    """Build both archives into `dist/` and look at what is inside; return them.

    Raises RuntimeError when a build fails, a needed file is missing or a private one is inside.
    """
    out = root / "dist"
    shutil.rmtree(out, ignore_errors=True)
    for left in (root / "build", root / "src/course_utils.egg-info"):  # old files would go in
        shutil.rmtree(left / "lib", ignore_errors=True)
        (left / "SOURCES.txt").unlink(missing_ok=True)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(root)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"the build failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
    archives = sorted(out.iterdir())
    if wrong := [fault for archive in archives for fault in archive_faults(archive)]:
        raise RuntimeError("; ".join(wrong))
    return archives


def members(archive: Path) -> list[str]:
    """Names of the files in a wheel or source archive."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as file:
            return file.namelist()
    with tarfile.open(archive) as file:
        return file.getnames()


def archive_faults(archive: Path) -> list[str]:
    """What is missing in an archive, and what should not be in it."""
    names = members(archive)
    missing = [need for need in NEEDED if not any(name.endswith(need) for name in names)]
    private = [name for name in names if PRIVATE.search(name)]
    said = [f"{archive.name} lacks {need}" for need in missing]
    return said + [f"{archive.name} holds {name}, which is not for readers" for name in private]


def audit(root: Path = ROOT) -> None:
    """Run pip-audit over requirements.txt, in an environment of its own.

    Raises CalledProcessError when a pinned version has a known vulnerability, or nothing could be
    asked.
    """
    folder = root / "_build/audit"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "pip-audit"], check=True)
    options = ["--requirement", str(root / "requirements.txt"), "--no-deps", "--disable-pip"]
    subprocess.run([python, "-m", "pip_audit", *options], check=True)


def try_out(archive: Path, folder: Path) -> str:
    """Install an archive into a new environment in `folder`, use it, return what it printed.

    Dependencies are those of this interpreter, seen but not touched: as on Colab, nothing that is
    there already is replaced.
    """
    python = alone.beside(folder)
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--no-deps"]
    options = ["--no-index", "--no-build-isolation", "--quiet"]
    subprocess.run([*install, *options, str(archive)], check=True)
    command = [str(python), "-I", "-c", TRIAL]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"what was installed does not work:\n{done.stderr[-3000:]}")
    return done.stdout
