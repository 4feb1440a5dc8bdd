"""Printing to paper: a small page that uses what the book uses."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from course_tools.book import pdf
from course_tools.book.build import build_book
from course_tools.checkout import ROOT, bootstrap, pages

STYLE = (ROOT / "book/site/style/print.css").read_text()
PAGE = """<!doctype html><html lang="en"><title>A book</title><style media="print">{style}</style>
<main class="bd-article"><section><h1>One</h1><p>Text.</p></section>
<span id="document-two"></span><section id="two"><h1>Two</h1>
<p><a href="other.html#two">there</a> <a href="gone.html">gone</a></p>
<details><summary>Hint</summary>{long}</details></section></main>
<div class="bd-sidebar-primary">{long}</div></html>"""
BROWSER = bootstrap.find_browser()


@pytest.mark.browser
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
@pytest.mark.parametrize(("style", "pages"), [(STYLE, 5), ("", 8)])
def test_what_is_folded_is_opened_and_navigation_stays_away(tmp_path, style, pages):
    """Paragraphs that fill four pages: once on paper, twice where nothing hides the side bar."""
    long = "<p style='height: 40mm'>A paragraph.</p>" * 20
    (tmp_path / "page.html").write_text(PAGE.format(style=style, long=long))
    files = tmp_path / "page.html", tmp_path / "book.pdf"
    with ThreadPoolExecutor() as apart:  # from the browser that other tests may hold open here
        apart.submit(pdf.print_page, *files).result()
    content = (tmp_path / "book.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", content)) == pages
    assert b"/Outlines" in content and b"file:" not in content and b"/StructTreeRoot" in content


def test_the_first_page_leads_to_the_pdf_once_there_is_one(tmp_path):
    (tmp_path / "site/book").mkdir(parents=True)
    (tmp_path / "made.pdf").write_bytes(b"%PDF" + bytes(2_000_000))
    first = tmp_path / "site/book/index.html"
    first.write_text(f"<p>Before.</p>{pdf.PLACE}<p>After.</p>")
    for _ in range(2):  # a second print changes nothing
        pdf.link(tmp_path / "made.pdf", tmp_path / "site", "book/index")
        text = first.read_text()
        assert text.count('<a href="../made.pdf">') == 1 and "2 MB" in text
    assert (tmp_path / "site/made.pdf").exists()


def test_the_built_page_keeps_a_place_for_it():
    page = build_book().parent / f"{pages()[0]}.html"
    assert pdf.PLACE in page.read_text("utf-8") or "book.pdf" in page.read_text("utf-8")
