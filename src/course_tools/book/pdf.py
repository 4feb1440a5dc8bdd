"""The whole book as one PDF: all pages in one, printed by the browser with the print style."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from course_tools.book.build import build_book, jupyter_book
from course_tools.checkout import ROOT, pages
from course_tools.shared import chromium

# Formulas are drawn, pictures are loaded, and hints are opened, for paper cannot unfold.
# A link to another page of the book leads to its place in this one, never to a file on this disk.
READY = """async () => {
  for (const link of document.querySelectorAll("a[href]")) {
    if (new URL(link.href).protocol !== "file:") continue;
    const page = link.pathname.replace(/^.*\\/singlehtml\\//, "").replace(/\\.html$/, "");
    const places = [link.hash.slice(1), `document-${page}`];
    const place = places.find((id) => document.getElementById(id));
    if (place) link.setAttribute("href", `#${place}`);
    else link.removeAttribute("href");
  }
  await window.MathJax?.startup?.promise;
  for (const folded of document.querySelectorAll("details")) folded.open = true;
  for (const picture of document.images) picture.loading = "eager";
  await Promise.all([...document.images].map((picture) => picture.decode().catch(() => {})));
}"""
PLACE = "<!-- pdf -->"
FOOT = """<div style="width: 100%; font: 8pt sans-serif; color: #555; text-align: center">
<span class="pageNumber"></span></div>"""
MARGIN: Any = {"top": "18mm", "bottom": "20mm", "left": "20mm", "right": "20mm"}


def print_book(root: Path = ROOT) -> Path:
    """Build `_build/pdf/book.pdf`, with an outline and page numbers; returns its path.

    Raises RuntimeError when the book does not build or there is no browser.
    """
    build_book(root)  # its scripts and parsed pages serve here too
    jupyter_book(root, "--builder", "singlehtml")
    target = root / "_build/pdf/book.pdf"
    target.parent.mkdir(parents=True, exist_ok=True)
    single = root / "_build/singlehtml"
    shutil.copy(single / f"{pages(root)[0]}.html", single / "index.html")  # so its links hold
    print_page(single / "index.html", target)
    link(target, root / "_build/html", pages(root)[0])
    return target


def link(printed: Path, site: Path, first: str) -> None:
    """Put the PDF into the site, and name it on the first page, where that keeps a place for it."""
    shutil.copy(printed, site / printed.name)
    page = site / f"{first}.html"
    up = "../" * first.count("/")
    size = f"{printed.stat().st_size / 1e6:.0f} MB"
    said = f'<p><a href="{up}{printed.name}">The whole book as one PDF</a> ({size})</p>'
    page.write_text(page.read_text("utf-8").replace(PLACE, said), "utf-8")


def print_page(page: Path, target: Path) -> None:
    """Print one page from disk to A4, in light colours, once everything on it is drawn."""
    with chromium() as browser:
        sheet = browser.new_page(color_scheme="light", viewport={"width": 800, "height": 1100})
        sheet.set_default_timeout(0)  # a whole book on a busy machine takes minutes
        sheet.goto(page.resolve().as_uri(), wait_until="load")
        sheet.emulate_media(media="print")
        sheet.evaluate(READY)
        sheet.wait_for_timeout(1000)  # widgets draw themselves after all of this
        sheet.pdf(
            path=target,
            format="A4",
            margin=MARGIN,
            print_background=True,
            display_header_footer=True,
            header_template="<span></span>",
            footer_template=FOOT,
            outline=True,
            tagged=True,
        )
