"""Build the web book, and show it."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from course_tools.book import assets
from course_tools.checkout import PLACEHOLDER, ROOT, pages, repository

SOURCES = ("_config.yml", "_toc.yml", "requirements.txt", "book", "chapters", "exercises", "src")
# name: [width, height, [other names], "letter", path or paths]
ICON = re.compile(r'([\w-]+|"[\w-]+"):\[\d+,\d+,\[([^\]]*)\],"\w*",(?:"[^"]*"|\[[^\]]*\])\],?')
INDEX = r"_static/searchtools|_static/language_data|searchindex"
SEARCH = re.compile(rf" *<script src=.[./]*({INDEX})\.js.></script>\n")
IGNORED = {"__pycache__", ".ipynb_checkpoints", ".DS_Store", "course_utils.egg-info"}


def book_fingerprint(root: Path = ROOT) -> str:
    """Hash of all that the pages are made of: an equal one means nothing has to be built."""
    digest = hashlib.sha256()
    for top in (root / name for name in SOURCES):  # pages show the package's own source
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and not IGNORED & set(path.parts):
                digest.update(f"{path.relative_to(root)}\0".encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def build_book(root: Path = ROOT) -> Path:
    """Build the site with warnings as errors, unless nothing has changed; returns its first page.

    Raises RuntimeError when Jupyter Book fails or a page of the table of contents is missing.
    """
    site, stamp, now = root / "_build/html", root / "_build/.fingerprint", book_fingerprint(root)
    if stamp.exists() and stamp.read_text() == now and not unbuilt(site, root):
        print("The book is unchanged.")
        return site / "index.html"
    from course_tools.web.export import export  # torch: not for a book that is unchanged

    started = time.time()
    assets.install(assets.SITE, root / "_build/assets")
    export(root / "book/site/live", root / "_build/assets/live")
    for old in (site, root / "_build/.doctrees"):  # else: stale side bars, warnings said once
        shutil.rmtree(old, ignore_errors=True)
    stamp.unlink(missing_ok=True)
    jupyter_book(root)
    if absent := unbuilt(site, root):
        raise RuntimeError(f"Jupyter Book ended without these pages: {', '.join(absent)}")
    remove_unused(site)
    trim_icons(site)
    trim_search(site)
    stamp.write_text(now)
    report(site, time.time() - started, root)
    return site / "index.html"


def jupyter_book(root: Path, *options: str) -> None:
    """Run Jupyter Book in `root`: warnings are errors, and all of them are shown."""
    program = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    command = [*program, "build", str(root), "-W", "--keep-going", *options]
    if subprocess.run(command, cwd=root).returncode:
        raise RuntimeError("The book did not build; the warnings and errors are above.")


def unbuilt(site: Path, root: Path = ROOT) -> list[str]:
    """Pages of the table of contents that have no file in `site`."""
    return [page for page in ("index", *pages(root)) if not (site / f"{page}.html").exists()]


def remove_unused(site: Path) -> None:
    """Drop what no page loads: source maps, and fonts in formats that browsers left behind."""
    static = site / "_static"
    for pattern in ("**/*.map", "vendor/**/*.ttf"):
        for path in static.glob(pattern):
            path.unlink()


def trim_icons(site: Path) -> None:
    """Leave only those of the theme's 2,000 icons that a page names: half of a page's weight."""
    script = site / "_static/scripts/fontawesome.js"
    texts = (
        path.read_text("utf-8", "ignore")
        for pattern in ("**/*.html", "**/*.js")
        for path in site.glob(pattern)
        if path != script and "html-manager" not in path.parts
    )
    named = {name for text in texts for name in re.findall(r"\bfa-([a-z0-9-]+)", text)}

    def kept(icon: re.Match[str]) -> str:
        names = {icon[1].strip('"'), *re.findall(r'"([^"]+)"', icon[2])}
        return icon[0] if names & named else ""

    script.write_text(ICON.sub(kept, script.read_text("utf-8")), "utf-8")


def trim_search(site: Path) -> None:
    """Leave the index of all words to the page that searches; others only waited for it."""
    for path in site.rglob("*.html"):
        if path.name != "search.html":
            path.write_text(SEARCH.sub("", path.read_text("utf-8")), "utf-8")


def report(site: Path, seconds: float, root: Path) -> None:
    """Say what was built, how long it took, how large it is, and what is still to be set."""
    size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
    print(f"Built {len(pages(root))} pages in {seconds:.0f} s, {size / 1e6:.1f} MB.")
    if repository(root)["url"] == PLACEHOLDER:
        print("Without buttons for Colab and the repository, until: course configure --repo URL")


def serve(port: int = 8000, root: Path = ROOT) -> None:
    """Show the built book on this machine only, until interrupted.

    Raises OSError when the port is taken.
    """
    handler = partial(SimpleHTTPRequestHandler, directory=str(root / "_build/html"))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise OSError(f"port {port}: {error}. Try: course serve --port {port + 1}") from error
    with server:
        print(f"The book is at http://127.0.0.1:{server.server_port} (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
