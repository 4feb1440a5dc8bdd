"""Whose course this is: address, branch and title stand in `_config.yml`, all else follows.

`write_identity` carries them to every file that repeats them; `change` sets them first. Both are
what `course configure` does, and both leave a file alone that is right already.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from course_tools.book import notebooks
from course_tools.checkout import PLACEHOLDER, ROOT, config
from course_tools.shared import with_block

ADDRESS = re.compile(r"https://[\w.-]+(?::\d+)?(?:/[\w.-]+)+")
BRANCH = re.compile(r"(?!.*\.\.)[A-Za-z0-9_][\w./-]*(?<![./])")
TITLED = ("README.md", "book/index.md")  # the first heading is the title
LICENCES = ("Apache-2.0", "CC-BY-4.0")
# The course that forks come from; their licences ask that it stays named.
ORIGINAL_TITLE = "Pre-training Paradigms: BERT, GPT, and T5"
ORIGINAL_AUTHOR = "The course authors"


def change(
    repo: str = "", branch: str = "", title: str = "", author: str = "", root: Path = ROOT
) -> None:
    """Set what is given in `_config.yml`; its comments and all other lines stay.

    Raises ValueError, before anything is written, for what is no address, branch or line of text.
    """
    repo = repo.removesuffix("/").removesuffix(".git")
    if repo and not ADDRESS.fullmatch(repo):
        raise ValueError(f"{repo!r} is no address like {PLACEHOLDER}")
    if branch and not BRANCH.fullmatch(branch):
        raise ValueError(f"{branch!r} is no name of a branch")
    if "\n" in title + author:
        raise ValueError("title and author are one line each")
    path = root / "_config.yml"
    text = path.read_text("utf-8")
    for key, value in {"title": title, "author": author, "  url": repo, "  branch": branch}.items():
        if value:
            plain = value if key.startswith(" ") else json.dumps(value, ensure_ascii=False)
            line = f"{key}: {plain}".replace("\\", "\\\\")  # to `re`, a backslash is special
            text, count = re.subn(rf"^{key}: .*$", line, text, flags=re.MULTILINE)
            if count != 1:
                raise ValueError(f"_config.yml has no single line that begins with {key!r}")
    path.write_text(text, "utf-8")


def write_identity(root: Path = ROOT) -> list[Path]:
    """Bring notebooks, headings, badges and citation file in line; return the files changed."""
    changed = notebooks.configure(root)
    heading = f"# {config(root)['title']}"
    for name in TITLED:
        text = (root / name).read_text("utf-8")
        _put(root / name, re.sub(r"\A# .*", lambda _: heading, text), changed)
    text = (root / "README.md").read_text("utf-8")
    if "<!-- badges -->" in text:  # a README of one's own may have none
        _put(root / "README.md", with_block("badges", badges(root), text), changed)
    _put(root / "CITATION.cff", citation(root), changed)
    return list(dict.fromkeys(changed))


def _put(path: Path, text: str, changed: list[Path]) -> None:
    if not path.exists() or path.read_text("utf-8") != text:
        path.write_text(text, "utf-8")
        changed.append(path)


def badges(root: Path = ROOT) -> str:
    """The README's badges; none while the address is not set, for they would lead nowhere."""
    url = config(root)["repository"]["url"]
    if url == PLACEHOLDER:
        return ""
    lines = [f"[![tests]({url}/actions/workflows/test.yml/badge.svg)]({url}/actions)"]
    if there := first_on_colab(root):
        picture = "https://colab.research.google.com/assets/colab-badge.svg"
        lines.append(f"[![Open in Colab]({picture})]({there})")
    return "\n".join(lines)


def first_on_colab(root: Path = ROOT) -> str:
    """Where Colab opens the first chapter; "" while it cannot: it knows GitHub only."""
    place = config(root)["repository"]
    url, branch = place["url"], place["branch"]
    if url == PLACEHOLDER or not url.startswith("https://github.com/"):
        return ""
    there = url.replace("https://github.com/", "https://colab.research.google.com/github/")
    notebooks = sorted((root / "chapters").glob("*.ipynb"))
    return f"{there}/blob/{branch}/chapters/{notebooks[0].name}" if notebooks else ""


def site(root: Path = ROOT) -> str:
    """Where GitHub Pages shows the book, with a slash at its end; "" while nobody can know.

    Another place than GitHub's is told to `_config.yml` as `html: baseurl:`.
    """
    settings = config(root)
    if told := settings.get("html", {}).get("baseurl", ""):
        return told.removesuffix("/") + "/"
    url = settings["repository"]["url"]
    found = re.fullmatch(r"https://github\.com/([\w.-]+)/([\w.-]+)", url)
    if url == PLACEHOLDER or not found:
        return ""
    owner, name = found[1].lower(), found[2]
    host = f"{owner}.github.io"
    return f"https://{host}/" + ("" if name.lower() == host else f"{name}/")


def citation(root: Path = ROOT) -> str:
    """The text of CITATION.cff (format 1.2.0), which GitHub and reference managers read.

    In a fork with authors of its own the original stands among the references.
    """
    settings = config(root)
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    url = settings["repository"]["url"]
    quoted = {key: json.dumps(settings[key], ensure_ascii=False) for key in ("title", "author")}
    lines = [
        "# Written by `course configure` from _config.yml and pyproject.toml.",
        "cff-version: 1.2.0",
        "message: If you use this course, please cite it as below.",
        "type: software",
        f"title: {quoted['title']}",
        "authors:",
        f"  - name: {quoted['author']}",
        f"version: {project['version']}",
        *([] if url == PLACEHOLDER else [f"repository-code: {url}"]),
        "license:",
        *(f"  - {licence}" for licence in LICENCES),
    ]
    if settings["author"] != ORIGINAL_AUTHOR:
        lines += [
            "references:",
            "  - type: software",
            "    notes: This course is an adaptation of it.",
            f"    title: {json.dumps(ORIGINAL_TITLE)}",
            "    authors:",
            f"      - name: {json.dumps(ORIGINAL_AUTHOR)}",
        ]
    return "\n".join(lines) + "\n"
