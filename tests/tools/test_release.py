"""Wheel and source archive of a copy: what is inside, what is not, and the wheel works alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
import yaml
from project_copy import MINE, copy_of_project

from course_tools import release
from course_tools.book import assets, identity, notebooks
from course_tools.checkout import PLACEHOLDER, ROOT
from course_tools.checkout import repository as repository_of_this
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
    source = archives[0].parents[1] / "src"  # where pip would find the course "installed already"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(source))
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


# -- a release --------------------------------------------------------------------------------

TAG = "term/autumn-2027"
NAME = "course-term-autumn-2027"
PARTS = [f"{NAME}.pdf", f"{NAME}-notebooks.zip", f"{NAME}-site.zip", "CITATION.cff"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A fork in a git repository of its own, with everything committed."""
    root = copy_of_project(tmp_path_factory.mktemp("repository"))
    identity.change(MINE, "main", "Their course", "A. N. Other", root)
    identity.write_identity(root)
    release.git(root, "init", "--quiet", "--initial-branch", "main")
    for key, value in {"user.name": "A. N. Other", "user.email": "a@example.org"}.items():
        release.git(root, "config", key, value)
    release.git(root, "add", "--all")
    release.git(root, "commit", "--quiet", "--message", "Ours")
    return root


def built(tree: Path, pdf: bool) -> None:
    """Stand for the builds, which have tests of their own: small files at their places."""
    for name in ("dist/course_utils-0.1.0-py3-none-any.whl", "_build/html/book/index.html"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).write_text(name)
    if pdf:
        (tree / "_build/pdf").mkdir()
        (tree / "_build/pdf/book.pdf").write_text("%PDF")


@pytest.fixture(scope="module")
def released(repository, tmp_path_factory):
    """The files of a release with its tag."""
    out = tmp_path_factory.mktemp("out") / "new"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(release, "build_release", built)
        files = release.release(TAG, out, tagged=True, root=repository)
    assert sorted(path.name for path in files) == sorted(path.name for path in out.iterdir())
    return out


def test_a_release_is_whole_and_its_checksums_hold(released):
    names = [path.name for path in released.iterdir()]
    assert {*PARTS, ".zenodo.json", "SHA256SUMS"} < set(names) and any(".whl" in n for n in names)
    done = subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=released)
    assert done.returncode == 0
    assert len((released / "SHA256SUMS").read_text().splitlines()) == len(names) - 1


def test_notebooks_of_a_release_install_the_tag_and_hold_no_answers(released):
    with zipfile.ZipFile(released / f"{NAME}-notebooks.zip") as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    rooms = {name.split("/")[1] for name in texts}
    assert rooms == {"chapters", "exercises"} and len(texts) >= 15
    assert all(f"git+{MINE}@{TAG}" in text for text in texts.values())
    with zipfile.ZipFile(released / f"{NAME}-site.zip") as archive:
        assert archive.namelist() == [f"{NAME}-site/book/index.html"]


def test_the_tag_is_frozen_and_the_branch_is_not(released, repository):
    there = release.git(repository, "show", f"{TAG}:_config.yml")
    assert yaml.safe_load(there)["repository"]["branch"] == TAG
    assert release.git(repository, "show", f"{TAG}:.zenodo.json")
    assert release.git(repository, "status", "--porcelain") == ""
    assert "branch: main" in (repository / "_config.yml").read_text()
    assert all(f"@{TAG}" not in p.read_text() for p in notebooks.all_notebooks(repository))
    assert release.git(repository, "worktree", "list").count("\n") == 0
    assert release.git(repository, "log", "--oneline", f"main..{TAG}").count("\n") == 0


def test_who_is_cited_and_who_was_first(released):
    cited = yaml.safe_load((released / "CITATION.cff").read_text())
    assert cited["references"][0]["title"] == identity.ORIGINAL_TITLE
    told = json.loads((released / ".zenodo.json").read_text())
    assert told["creators"] == [{"name": "A. N. Other"}] and told["version"] == TAG
    assert identity.ORIGINAL_TITLE in told["notes"]
    assert told["related_identifiers"][0]["identifier"] == f"{MINE}/tree/{TAG}"
    addressed = "related_identifiers" in release.zenodo("x")
    assert addressed is (repository_of_this()["url"] != PLACEHOLDER)


def test_what_cannot_be_released_is_refused_before_work(released, repository, tmp_path):
    with pytest.raises(RuntimeError, match=f"the tag {TAG} exists"):
        release.release(TAG, tmp_path, root=repository)
    with pytest.raises(ValueError, match="is no name of a branch"):
        release.release("two words", tmp_path, root=repository)
    (repository / "README.md").write_text("changed")
    with pytest.raises(RuntimeError, match=r"commit first.*\n M README.md"):
        release.release("other", tmp_path, root=repository)
    release.git(repository, "checkout", "README.md")
    with pytest.raises(RuntimeError, match=r"git status failed: .*not a git repository"):
        release.release("other", tmp_path, root=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_build_that_fails_leaves_no_release(repository, tmp_path, monkeypatch):
    broken, real = subprocess.CompletedProcess([], 1), subprocess.run

    def run(command, **options):
        return broken if "course_utils" in command else real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(RuntimeError, match="`course book` failed"):
        release.release("broken", tmp_path / "out", pdf=False, root=repository)
    assert not (tmp_path / "out").exists() and not release.git(
        repository, "tag", "--list", "broken"
    )
    assert not (repository / "_build/release").exists()
