"""What makes pages found, shared, edited and reached without a mouse, all from the one address."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup

from course_tools.book import identity, notebooks
from course_tools.checkout import PLACEHOLDER, ROOT, bootstrap, config

MINE, THERE = "https://github.com/Someone/their-course", "https://someone.github.io/their-course/"
TEXT = "A first paragraph with a formula $a < b$, long enough to tell what this page is about."
PAGE = (
    f'# One & "two"\n\n{{ref}}`x <place>`\n\n{TEXT}\n\nA second one that nobody asks for, at all.\n'
)


TITLE = config()["title"]  # a fork has its own


def write_settings(root: Path, url: str, branch: str = "main") -> Path:
    """Write the real settings with another address below `root`; returns the file."""
    shutil.copy(ROOT / "_config.yml", root)
    identity.change(repo=url, branch=branch, root=root)
    return root / "_config.yml"


@pytest.fixture(scope="module", params=[MINE, PLACEHOLDER], ids=["configured", "not yet"])
def small(request, tmp_path_factory):
    """A book of two pages with the real settings and extensions: address and folder of its site."""
    root = tmp_path_factory.mktemp("small")
    write_settings(root, request.param, "term/2027")
    (root / "_toc.yml").write_text(
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/other\n- file: book/run\n"
    )
    shutil.copytree(ROOT / "book/site", root / "book/site")
    shutil.copy(ROOT / "book/references.bib", root / "book")
    (root / "_build/assets").mkdir(parents=True)
    (root / "book/index.md").write_text("(place)=\n" + PAGE + "\n[Play](run.ipynb)<!-- colab -->\n")
    (root / "chapters").mkdir()
    (root / "chapters/09_1_first.ipynb").touch()
    (root / "book/other.md").write_text("# Other\n\nToo short.\n")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Run")])
    notebooks.name_language(notebook)
    nbformat.write(notebook, root / "book/run.ipynb")
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()"]
    done = subprocess.run([*command, "build", str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return request.param, root / "_build/html"


def head(site, name: str) -> dict[str, str]:
    """Meta tags of a page by name or property, and its canonical address."""
    soup = BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")
    tags = {t.get("name") or t.get("property"): t.get("content") for t in soup.find_all("meta")}
    canonical = soup.find("link", rel="canonical")
    return tags | {"canonical": canonical and canonical["href"]}


@pytest.mark.slow
def test_the_button_for_colab_is_there_once_it_leads_somewhere(small):
    url, site = small
    soup = BeautifulSoup((site / "book/index.html").read_text("utf-8"), "html.parser")
    found = [a["href"] for a in soup.find_all("a", string="Run on Colab")]
    there = f"{url.replace('github.com', 'colab.research.google.com/github')}/blob/term/2027"
    assert found == ([f"{there}/chapters/09_1_first.ipynb"] if url == MINE else [])


@pytest.mark.slow
def test_description_and_preview(small):
    url, site = small
    tags = head(site, "book/index")
    assert tags["description"] == tags["og:description"]
    assert tags["description"].startswith("A first paragraph with a formula")
    assert (
        tags["og:title"] == "One & \N{LEFT DOUBLE QUOTATION MARK}two\N{RIGHT DOUBLE QUOTATION MARK}"
    )
    assert tags["og:site_name"] == TITLE
    assert "description" not in head(site, "book/other")  # nothing to say
    if url == MINE:
        assert tags["og:image"] == f"{THERE}social.png"
        assert tags["og:image:alt"] == tags["og:site_name"]
        assert tags["og:url"] == tags["canonical"] == f"{THERE}book/index.html"
    else:
        assert not {"og:image", "og:url"} & set(tags) and tags["canonical"] is None


@pytest.mark.slow
def test_the_picture_of_the_preview(small):
    picture = (small[1] / "social.png").read_bytes()
    width, height = struct.unpack(">II", picture[16:24])
    assert picture.startswith(b"\x89PNG") and (width, height) == (1200, 630)
    assert len(picture) < 300_000


@pytest.mark.slow
def test_sitemap(small):
    url, site = small
    if url == PLACEHOLDER:
        assert not (site / "sitemap.xml").exists()
        return
    namespace = "{http://www.sitemaps.org/schemas/sitemap/0.9}"
    tree = ET.parse(site / "sitemap.xml").getroot()
    assert tree.tag == f"{namespace}urlset"
    found = [node.text for node in tree.iter(f"{namespace}loc")]
    assert found == [f"{THERE}book/index.html", f"{THERE}book/other.html", f"{THERE}book/run.html"]


@pytest.mark.slow
def test_buttons_follow_the_one_address_or_are_not_there(small):
    """Edit, report, show the source, open on Colab."""
    url, site = small
    pages = [(site / f"book/{name}.html").read_text("utf-8") for name in ("other", "run")]
    if url == PLACEHOLDER:
        assert not any("OWNER" in page or "colab" in page for page in pages)
        return
    links = {
        a["href"]
        for page in pages
        for a in BeautifulSoup(page, "html.parser").find_all("a", href=True)
    }
    assert {url, f"{url}/edit/term/2027/book/other.md"} <= links
    assert any(link.startswith(f"{url}/issues/new?title=") for link in links)
    there = url.replace("https://github.com", "https://colab.research.google.com/github")
    assert f"{there}/blob/term/2027/book/run.ipynb" in links


@pytest.mark.parametrize(
    ("url", "more", "there"),
    [
        (MINE, "", THERE),
        ("https://github.com/me/me.github.io", "", "https://me.github.io/"),
        (PLACEHOLDER, "", ""),
        ("https://git.example.org/me/mine", "", ""),
        (PLACEHOLDER, "  baseurl: https://example.org/nlp\n", "https://example.org/nlp/"),
    ],
)
def test_where_the_site_is(tmp_path, url, more, there):
    path = write_settings(tmp_path, url)
    path.write_text(path.read_text("utf-8").replace("html:\n", "html:\n" + more), "utf-8")
    assert identity.site(tmp_path) == there


@pytest.mark.browser
@pytest.mark.slow
@pytest.mark.skipif(bootstrap.find_browser() is None, reason="no Chromium")
def test_the_first_tab_skips_to_the_text(browser, small):
    page = browser.new_page()
    page.goto((small[1] / "book/other.html").as_uri())
    page.keyboard.press("Tab")
    link = page.locator(":focus")
    assert "Skip to main content" in link.inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("location.hash") == "#main-content"
    page.close()
