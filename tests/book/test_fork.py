"""Somebody makes the course theirs: in a copy, with the copy's own command."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import yaml
from adapted import succeeded
from bs4 import BeautifulSoup
from project_copy import MINE, copy_of_project, course

from course_tools.book import identity, notebooks
from course_tools.checkout import PLACEHOLDER, ROOT, config, load_module, pages
from course_tools.shared import block

alone = load_module(ROOT / "tools/alone.py", "alone")

TITLE = 'Language Models, "from Scratch": a Course'
SETTINGS = {"repo": MINE + ".git", "branch": "term/2027", "title": TITLE, "author": "A. N. Other"}


def options(**settings: str) -> list[str]:
    """Write settings as the command wants them."""
    return [part for name, value in settings.items() for part in (f"--{name}", value)]


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """A copy that was configured."""
    root = copy_of_project(tmp_path_factory.mktemp("fork"))
    done = course(root, "configure", *options(**SETTINGS))
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def site(fork):
    """The whole book of the copy."""
    done = course(fork, "book")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return fork / "_build/html"


def texts(root: Path) -> dict[str, str]:
    """Every text file, by path."""
    found = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in (".md", ".ipynb", ".yml", ".toml", ".cff", ".py"):
            found[str(path.relative_to(root))] = path.read_text("utf-8")
    return found


def test_no_file_names_the_old_place(fork):
    names = [name for name, text in texts(fork).items() if PLACEHOLDER in text]
    assert names == ["src/course_tools/checkout.py"]  # the code that knows the placeholder


def test_everything_names_the_new_one(fork):
    settings = config(fork)
    assert settings["title"] == TITLE and settings["author"] == "A. N. Other"
    assert settings["repository"]["url"] == MINE
    for path in notebooks.all_notebooks(fork):
        assert f"git+{MINE}@term/2027" in path.read_text("utf-8")
    for name in identity.TITLED:
        assert (fork / name).read_text().startswith(f"# {TITLE}\n")
    readme = (fork / "README.md").read_text()
    assert f"{MINE}/actions/workflows/test.yml/badge.svg" in readme
    assert "colab.research.google.com/github/someone/their-course/blob/term/2027/" in readme


def test_the_citation_file(fork):
    cited = yaml.safe_load((fork / "CITATION.cff").read_text())
    assert cited["cff-version"] == "1.2.0" and cited["title"] == TITLE
    assert cited["repository-code"] == MINE and cited["authors"] == [{"name": "A. N. Other"}]
    assert cited["license"] == ["Apache-2.0", "CC-BY-4.0"]
    (original,) = cited["references"]  # whom the licences ask to name
    assert original["title"] == identity.ORIGINAL_TITLE
    assert original["authors"] == [{"name": identity.ORIGINAL_AUTHOR}]


def test_only_first_cells_of_notebooks_changed(fork):
    for path in notebooks.all_notebooks(fork):
        before = nbformat.read(ROOT / path.relative_to(fork), 4).cells
        for old, new in zip(before, nbformat.read(path, 4).cells, strict=True):
            if "%pip" in new.source:
                assert old.source.count("\n") == new.source.count("\n")
            else:
                assert old == new


@pytest.mark.slow
def test_no_page_of_its_book_names_the_old_place_or_title(site):
    old = html.escape(config()["title"])
    found = {p.relative_to(site).as_posix(): p.read_text("utf-8") for p in site.rglob("*.html")}
    named = [name for name, text in found.items() if PLACEHOLDER in text or old in text]
    assert named == []


@pytest.mark.slow
def test_its_preview_shows_its_title(fork, site, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(fork / "book/site"))
    draw = __import__("findable").draw
    for title in (TITLE, config()["title"]):
        draw(title, tmp_path / "drawn.png")
        same = (tmp_path / "drawn.png").read_bytes() == (site / "social.png").read_bytes()
        assert same == (title == TITLE)


@pytest.mark.slow
def test_its_book_leads_to_the_new_one(fork, site):
    for page in pages(fork):
        soup = BeautifulSoup((site / f"{page}.html").read_text("utf-8"), "html.parser")
        links = {link["href"] for link in soup.find_all("a", href=True)}
        (source,) = (path for path in fork.glob(f"{page}.*") if path.suffix in (".md", ".ipynb"))
        name = source.relative_to(fork).as_posix()
        assert f"{MINE}/edit/term/2027/{name}" in links
        assert any(link.startswith(f"{MINE}/issues/new?title=") for link in links)
        if source.suffix == ".ipynb":
            colab = f"{MINE}/blob/term/2027/{name}".replace("https://github.com", "/github")
            assert f"https://colab.research.google.com{colab}" in links
            assert f"git+{MINE}@term/2027" in soup.get_text()
        there = f"https://someone.github.io/their-course/{page}.html"
        assert soup.find("link", rel="canonical")["href"] == there
        assert f"<loc>{there}</loc>" in (site / "sitemap.xml").read_text("utf-8")
        assert soup.find("meta", property="og:site_name")["content"] == TITLE


def test_the_settings_keep_their_comments(fork):
    comments = [
        [line.partition("#")[2] for line in (root / "_config.yml").read_text().splitlines()]
        for root in (ROOT, fork)
    ]
    assert comments[0] == comments[1]


def test_a_second_time_changes_nothing(fork):
    before = texts(fork)
    done = course(fork, "configure", *options(**SETTINGS))
    assert done.stdout.strip() == "Everything is in line." and texts(fork) == before


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"repo": "github.com/me/mine"}, "is no address"),
        ({"repo": "https://user:secret@github.com/me/mine"}, "is no address"),
        ({"repo": 'https://github.com/me/mine" && true "'}, "is no address"),
        ({"branch": "../x"}, "is no name of a branch"),
        ({"branch": "a b"}, "is no name of a branch"),
        ({"title": "two\nlines"}, "one line each"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(tmp_path, settings, said):
    shutil.copy(ROOT / "_config.yml", tmp_path)
    before = (tmp_path / "_config.yml").read_bytes()
    with pytest.raises(ValueError, match=said):
        identity.change(**settings, root=tmp_path)
    assert (tmp_path / "_config.yml").read_bytes() == before


def test_the_project_itself_is_in_line(tmp_path):
    """What is committed is what `course configure` would write."""
    assert (ROOT / "CITATION.cff").read_text() == identity.citation()
    for name in identity.TITLED:
        assert (ROOT / name).read_text().startswith(f"# {config()['title']}\n")
    assert block("badges", (ROOT / "README.md").read_text("utf-8")).strip() == identity.badges()


# -- who grades: a private repository and a public one --------------------------------------------


def test_what_students_see_holds_no_answers_and_no_history(tmp_path):
    """The instructor guide's own lines, run in a copy."""
    guide = (ROOT / "book/instructors.md").read_text("utf-8")
    (lines,) = re.findall(r"```bash\n(git switch --orphan public.*?)```", guide, re.DOTALL)
    root, public = copy_of_project(tmp_path / "private"), tmp_path / "public.git"
    for name in ("handed-in/ann.ipynb", "marks/marks.csv", "students.txt"):  # as after a term
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("personal")
    who = "git config user.name A && git config user.email a@b.c"
    succeeded(course(root, "configure", "--repo", MINE))
    begin = f"git init -q -b main && {who} && git add -A && git commit -qm all"
    script = f"git init -q --bare {public} && {begin}\n{lines.replace('PUBLIC-URL', str(public))}"
    done = subprocess.run(["bash", "-e", "-c", script], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    def git(*words: str, where: Path = public) -> list[str]:
        command = ["git", "-C", str(where), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()

    names = git("ls-tree", "-r", "--name-only", "main")
    assert "src/course_utils/grading/public.py" in names and len(names) > 200
    private = "solution|hidden|grading/references|answers|^tests/|handed-in|^marks|students.txt"
    assert not [name for name in names if re.search(private, name)]
    assert len(git("log", "--oneline", "main")) == 1
    assert "solutions" in git("ls-tree", "--name-only", "HEAD", where=root)
    publish = yaml.safe_load("\n".join(git("show", "main:.github/workflows/publish.yml")))
    assert publish[True]["push"] == {"branches": ["main"]}  # nothing there could call it
    workflows = {Path(name).name for name in names if name.startswith(".github/workflows/")}
    shown = re.findall(r"workflows/(\w+\.yml)", "\n".join(git("show", "main:README.md")))
    assert workflows == {"publish.yml"} == set(shown)


# -- a frozen term ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_frozen_term_is_not_changed_by_what_is_pushed_later(tmp_path):
    """The instructor guide's own lines, run in a copy; then the package changes on `main`."""
    guide = (ROOT / "book/instructors.md").read_text("utf-8")
    (lines,) = re.findall(r"```bash\n(course configure --branch autumn.*?)```", guide, re.DOTALL)
    root, bare = copy_of_project(tmp_path / "mine"), tmp_path / "mine.git"
    script = f"""
      git init -q --bare -b main {bare} && git init -q -b main
      git config user.name A && git config user.email a@b.c
      git remote add origin {bare} && git add -A && git commit -qm all
      course() {{ {sys.executable} -m course_utils "$@"; }}
      {lines}
      echo 'LATER = True' >> src/course_utils/__init__.py
      git commit -qam later && git push -q origin main"""
    environment = {**os.environ, "PYTHONPATH": str(root / "src")}
    done = subprocess.run(
        ["bash", "-ec", script], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for ref, later in ("autumn-2027", False), ("main", True):
        shown = ["git", "-C", str(bare), "show", f"{ref}:exercises/T1_gradient_signals.ipynb"]
        text = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
        (named,) = set(re.findall(r"git\+https[^@]+@([\w./-]+)", text))
        assert named == "autumn-2027"  # also in what is handed out from `main`
        path = tmp_path / f"{ref}.ipynb"
        path.write_text(text)
        notebook = alone.prepared(path, f"git+file://{bare}@{ref if later else named}", cells=1)
        notebook.cells.append(
            nbformat.v4.new_code_cell("import course_utils; print(vars(course_utils).get('LATER'))")
        )
        python = alone.beside(tmp_path / f"{ref}-environment")
        offline = {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "COURSE_OFFLINE": "1"}
        (tmp_path / ref).mkdir()
        said = alone.run(notebook, tmp_path / ref, python, **offline)
        assert said.split()[-1] == str(True if later else None)  # pip may have said something
