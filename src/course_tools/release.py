"""What leaves the project: archives, looked into and tried alone; releases; pins, audited."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

from course_tools.book import identity
from course_tools.checkout import PLACEHOLDER, ROOT, config, load_module

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
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([*install, *options, str(archive)], check=True, env=clean)
    command = [str(python), "-I", "-c", TRIAL]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise RuntimeError(f"what was installed does not work:\n{done.stderr[-3000:]}")
    return done.stdout


def release(
    tag: str, out: Path, pdf: bool = True, tagged: bool = False, root: Path = ROOT
) -> list[Path]:
    """Write to `out` what a release consists of, all pinned to `tag`; return the files.

    Everything is made in a second working tree of the last commit, so this one stays as it is.
    With `tagged`, the pinned files are committed there, and that commit gets the tag.

    Raises RuntimeError when something is not committed, the tag exists, or a part fails.
    """
    if changes := git(root, "status", "--porcelain"):
        raise RuntimeError(f"commit first; these files would not be released:\n{changes}")
    if git(root, "tag", "--list", tag):
        raise RuntimeError(f"the tag {tag} exists; a tag does not move, so take another name")
    tree = root / "_build/release"
    shutil.rmtree(tree, ignore_errors=True)
    git(root, "worktree", "prune")
    git(root, "worktree", "add", "--detach", str(tree), "HEAD")
    try:
        pin(tree, tag)
        if (root / "_build/assets").is_dir():  # scripts of the site: not fetched twice
            shutil.copytree(root / "_build/assets", tree / "_build/assets")
        build_release(tree, pdf)
        out.mkdir(parents=True, exist_ok=True)
        files = gather_release(tree, out, f"course-{tag.replace('/', '-')}")
        if tagged:
            git(tree, "add", "--all")
            git(tree, "commit", "--quiet", "--message", f"Release {tag}")
            git(tree, "tag", "--annotate", tag, "--message", f"Release {tag}")
    finally:
        git(root, "worktree", "remove", "--force", str(tree))
    return files


def git(root: Path, *arguments: str) -> str:
    """Run git in `root` and return what it printed. Raises RuntimeError with git's own words."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.rstrip()


def pin(tree: Path, tag: str) -> None:
    """Make notebooks, buttons and metadata of a working tree those of `tag`."""
    identity.change(branch=tag, root=tree)
    identity.write_identity(tree)
    text = json.dumps(zenodo(tag, tree), indent=2, ensure_ascii=False)
    (tree / ".zenodo.json").write_text(text + "\n", "utf-8")


def zenodo(tag: str, root: Path = ROOT) -> dict:
    """What Zenodo is told of a release; it reads `.zenodo.json` from the tag.

    Source: https://developers.zenodo.org/#representation, "Deposit metadata".
    """
    settings = config(root)
    original = f"{identity.ORIGINAL_TITLE}, by {identity.ORIGINAL_AUTHOR}"
    adapted = settings["author"] != identity.ORIGINAL_AUTHOR
    said = {
        "title": settings["title"],
        "upload_type": "lesson",
        "description": "An executable course chapter on BERT, GPT and T5: notebooks, exercises, "
        "and the package that they import.",
        "creators": [{"name": settings["author"]}],
        "version": tag,
        "access_right": "open",
        "license": "cc-by-4.0",
        "notes": "Text under CC BY 4.0, code under Apache-2.0."
        + (f" An adaptation of: {original}." if adapted else ""),
    }
    url = settings["repository"]["url"]
    if url != PLACEHOLDER:
        place = {"identifier": f"{url}/tree/{tag}", "relation": "isSupplementTo"}
        said["related_identifiers"] = [place]
    return said


def build_release(tree: Path, pdf: bool) -> None:
    """Make site, PDF and archives of a working tree, with its own code."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src")}
    for verb in ("pdf" if pdf else "book", "wheel"):
        command = [sys.executable, "-m", "course_utils", verb]
        if subprocess.run(command, cwd=tree, env=environment).returncode:
            raise RuntimeError(f"`course {verb}` failed for the release; its message is above")


def gather_release(tree: Path, out: Path, name: str) -> list[Path]:
    """Put the parts of a release into `out`, with their checksums; return the files."""
    files = [Path(shutil.copy(path, out)) for path in sorted((tree / "dist").iterdir())]
    files += [Path(shutil.copy(tree / name, out)) for name in ("CITATION.cff", ".zenodo.json")]
    printed = tree / "_build/pdf/book.pdf"
    if printed.exists():
        files.append(Path(shutil.copy(printed, out / f"{name}.pdf")))
    notebooks = [p for room in ("chapters", "exercises") for p in (tree / room).glob("*.ipynb")]
    parts = {"notebooks": (tree, notebooks)}
    site = tree / "_build/html"
    parts["site"] = (site, [path for path in site.rglob("*") if path.is_file()])
    for part, (base, members) in parts.items():
        files.append(out / f"{name}-{part}.zip")
        with zipfile.ZipFile(files[-1], "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(members):
                archive.write(path, f"{name}-{part}/{path.relative_to(base)}")
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files]
    (out / "SHA256SUMS").write_text("".join(sums), "utf-8")
    return [*files, out / "SHA256SUMS"]
