"""The built web book as files: complete, links alive, pictures described, nothing from outside.

Each check is a function that returns what it found wrong; the canaries at the end put one fault
of each kind into a page and see it found.
"""

import gzip
import re
import shutil
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

from course_tools.book import assets, build
from course_tools.book.build import build_book, unbuilt
from course_tools.checkout import PLACEHOLDER, ROOT, pages, repository

SECTIONS = {
    "09_1_pretraining_revolution": ["9.1.1", "9.1.2", "9.1.3"],
    "09_2_bert": ["9.2.1", "9.2.2", "9.2.3", "9.2.4"],
    "09_3_gpt": ["9.3.1", "9.3.2", "9.3.3", "9.3.4"],
    "09_4_t5": ["9.4.1", "9.4.2", "9.4.3"],
    "09_5_comparing_paradigms": ["9.5.1", "9.5.2", "9.5.3"],
}
LOADED = re.compile(r"https?://[^\s\"'`<>\\)]+\.(?:m?js|css|woff2?|ttf|wasm|json)\b")
CSS_URL = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)")


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site; built here if it is not up to date."""
    return build_book().parent


@cache
def parse(path: Path) -> BeautifulSoup:
    """One page, read once."""
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def html_pages(site: Path) -> list[Path]:
    """Every page a reader can open."""
    return [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]


def dead_links(page: Path) -> list[str]:
    """Links and fragments inside the site that lead nowhere."""
    soup, dead = parse(page), []
    for tag, name in (("a", "href"), ("link", "href"), ("img", "src"), ("script", "src")):
        for node in soup.find_all(tag, **{name: True}):
            target = urlsplit(node[name])
            if target.scheme or target.netloc:
                continue
            path = (page.parent / unquote(target.path)).resolve() if target.path else page
            if not path.is_file() or (target.fragment and not has_anchor(path, target.fragment)):
                dead.append(node[name])
    return dead


def has_anchor(path: Path, fragment: str) -> bool:
    """Tell whether a page has the element that a fragment names."""
    if path.suffix != ".html":
        return False
    soup, name = parse(path), unquote(fragment)
    return bool(soup.find(id=name) or soup.find("a", attrs={"name": name}))


def undescribed(page: Path) -> list[str]:
    """Pictures without alternative text."""
    images = [img for img in parse(page).find_all("img") if not (img.get("alt") or "").strip()]
    drawings = [
        svg
        for svg in parse(page).find_all("svg")
        if not (svg.get("aria-label") or svg.find("title") or svg.get("aria-hidden"))
    ]
    return [str(node)[:120] for node in images + drawings]


def outside(page: Path) -> list[str]:
    """Addresses on other sites that a page would load; links a reader may follow are not loads."""
    soup = parse(page)
    found = []
    for node in soup.find_all(["script", "img", "iframe", "source", "video", "audio", "embed"]):
        found += [node[name] for name in ("src", "srcset", "poster") if node.get(name)]
    links = [node for node in soup.find_all("link", href=True) if node["rel"] != ["canonical"]]
    found += [node["href"] for node in links]
    found = [address for address in found if re.match(r"(https?:)?//", address)]
    for node in soup.find_all(["script", "style"]):
        found += LOADED.findall(node.string or "") + CSS_URL.findall(node.string or "")
    return found


IS_CONFIGURED = repository()["url"] != PLACEHOLDER  # else there is nowhere to lead to
CONFIGURED = pytest.mark.skipif(not IS_CONFIGURED, reason="the course is nobody's yet")
FURNITURE = {
    "language": 'html[lang="en"]',
    "description": 'meta[name="description"]',
    "preview": 'meta[property="og:title"]',
    "style for paper": 'link[media="print"][href*="print.css"]',
    "link that skips": '#pst-skip-link a[href="#main-content"]',
    "search": "form.bd-search",
}
if IS_CONFIGURED:
    FURNITURE["edit this page"] = 'a[href*="/edit/"]'
    FURNITURE["report a problem"] = 'a[href*="/issues/new"]'


def lacking(page: Path) -> list[str]:
    """What every page of the book should have and this one has not."""
    return [what for what, place in FURNITURE.items() if not parse(page).select_one(place)]


def test_every_page_of_the_contents_is_there(site):
    assert unbuilt(site) == []
    assert len(pages()) >= 19


def test_sections_are_those_of_the_syllabus(site):
    for name, numbers in SECTIONS.items():
        soup = parse(site / f"chapters/{name}.html")
        titles = [title.get_text() for title in soup.find_all(["h2", "h3"])]
        found = [m.group() for title in titles if (m := re.match(r"\d+\.\d+\.\d+", title))]
        assert found == numbers, name


def test_links_and_fragments_lead_somewhere(site):
    dead = {page.name: links for page in html_pages(site) if (links := dead_links(page))}
    assert dead == {}


def test_pictures_have_alternative_text(site):
    bare = {page.name: found for page in html_pages(site) if (found := undescribed(page))}
    assert bare == {}


def test_folded_code_says_what_it_is_the_code_of(site):
    page = (site / "chapters/09_2_bert.html").read_text("utf-8")
    for what in ("this figure", "this table", "these questions"):
        assert f"Code of {what}" in page
    assert not re.search("(Show|Hide) code cell source", page)


def test_every_page_can_be_found_printed_edited_and_reported(site):
    bare = {page: found for page in pages() if (found := lacking(site / f"{page}.html"))}
    assert bare == {}


def test_pages_load_nothing_from_outside(site):
    loads = {page.name: found for page in html_pages(site) if (found := outside(page))}
    assert loads == {}
    styles = [p for p in site.rglob("*.css") if CSS_URL.search(p.read_text("utf-8", "replace"))]
    assert styles == []


def test_a_plain_page_is_light(site):
    page = site / "book/index.html"
    soup, paths = parse(page), {page}
    for node in soup.find_all(["script", "link", "img"]):
        if target := urlsplit(node.get("src") or node.get("href") or "").path:
            paths.add((page.parent / target).resolve())
    paths = {path for path in paths if path.suffix != ".html"} | {page}
    assert sum(len(gzip.compress(path.read_bytes())) for path in paths) <= 1.2e6


def test_no_link_leads_to_an_address_that_is_not_set(site):
    """A reader meets no dead button while the course is nobody's; the fork's tests see the rest."""
    links = {a["href"] for page in html_pages(site) for a in parse(page).find_all("a", href=True)}
    assert not [link for link in links if link.startswith(PLACEHOLDER) or "OWNER" in link]


@CONFIGURED
def test_each_chapter_opens_on_colab_from_the_one_address(site):
    place = repository()
    where = place["url"].removeprefix("https://github.com/")
    for name in SECTIONS:
        links = [a.get("href", "") for a in parse(site / f"chapters/{name}.html").find_all("a")]
        assert any(f"{where}/blob/{place['branch']}/chapters/{name}.ipynb" in url for url in links)


def test_each_chapter_can_be_downloaded(site):
    for name in SECTIONS:
        links = [a.get("href", "") for a in parse(site / f"chapters/{name}.html").find_all("a")]
        assert any(url.endswith(f"{name}.ipynb") and "://" not in url for url in links)


def test_cited_works_are_listed(site):
    listed = parse(site / "book/bibliography.html").get_text()
    assert "Devlin" in listed and "Raffel" in listed
    assert listed.count("URL:") > 60


# -- the build -------------------------------------------------------------------------------


def running_text(page: Path) -> list[tuple[str, str]]:
    """The strings of a chapter's prose in their order, each with where it links to."""
    closed = ["h1", "h2", "h3", "h4", "pre", "code", "script", "button", "summary"]
    found = []
    for text in parse(page).find("article").find_all(string=True):
        shown = text.find_parent(class_=re.compile(r"^(cell_output|math|live|headerlink|caption)$"))
        if not shown and not text.find_parent(closed):
            link = text.find_parent("a")
            found.append((str(text), link.get("href", "") if link else ""))
    return found


@pytest.mark.parametrize("name", SECTIONS)
def test_first_use_of_each_term_links_to_the_glossary(site, name):
    entries = {dt.find(string=True).strip(): dt["id"] for dt in
               parse(site / "book/glossary.html").select("dl.glossary dt[id]")}  # fmt: skip
    text, late = running_text(site / f"chapters/{name}.html"), {}
    for term, anchor in entries.items():
        spelled = re.escape(term).replace(r"\ ", r"[\s-]+")
        looks = re.compile(rf"(?<![\w–-]){spelled}(?:e?s)?(?![\w–-])", re.IGNORECASE)
        uses = [link for words, link in text if looks.search(words)]
        plain_or_term = [link for link in uses if not link or "glossary.html#" in link]
        heads_of_attention = term == "head"  # the same word for another thing
        if (
            plain_or_term
            and not heads_of_attention
            and not plain_or_term[0].endswith(f"glossary.html#{anchor}")
        ):
            late[term] = plain_or_term[0]
        assert sum(link.endswith(f"glossary.html#{anchor}") for _, link in text) <= 1, term
    assert not late
    assert sum("glossary.html#term-" in link for _, link in text) > 20


def test_every_term_of_the_glossary_is_linked_from_a_chapter(site):
    entries = {dt["id"] for dt in parse(site / "book/glossary.html").select("dl.glossary dt[id]")}
    texts = [running_text(site / f"chapters/{name}.html") for name in SECTIONS]
    links = [link for text in texts for _, link in text if "glossary.html#" in link]
    linked = {link.split("#")[1] for link in links}
    assert entries == linked


@pytest.fixture
def small(tmp_path):
    """A book of one page with the real settings and site assets."""
    shutil.copy(ROOT / "_config.yml", tmp_path)
    shutil.copytree(ROOT / "book/site", tmp_path / "book/site")
    shutil.copy(ROOT / "book/references.bib", tmp_path / "book")
    shutil.copytree(ROOT / "_build/assets", tmp_path / "_build/assets")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/index\n")
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "book/index.md").write_text("# Title\n\nWell.\n")
    return tmp_path


@pytest.fixture
def built(small):
    """Build `small`."""
    return lambda: build_book(small)


def test_an_unchanged_book_is_not_built_twice(site, small, built, capsys):
    first = built()
    stamp = first.stat().st_mtime_ns
    assert built() == first and first.stat().st_mtime_ns == stamp
    assert "unchanged" in capsys.readouterr().out
    (small / "book/index.md").write_text("# Title\n\nBetter.\n")
    built()
    assert "Better." in (small / "_build/html/book/index.html").read_text("utf-8")


def test_a_warning_is_an_error_every_time(site, small, built):
    (small / "book/index.md").write_text("# Title\n\n```{nosuch}\n```\n")
    for _ in range(2):  # a second try must not take the first one's pages for granted
        with pytest.raises(RuntimeError, match="did not build"):
            built()


def test_a_missing_page_is_an_error(small, built, monkeypatch):
    monkeypatch.setattr(build, "jupyter_book", lambda root: None)  # as version 2: ends with 0
    with pytest.raises(RuntimeError, match="without these pages: index, book/index"):
        built()


# -- what the site carries -------------------------------------------------------------------


def test_a_changed_download_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    package = assets.SITE[0]
    path = tmp_path / "npm" / package.file_name
    path.parent.mkdir()
    path.write_bytes(b"not the package")
    with pytest.raises(RuntimeError, match="not the file that is pinned"):
        assets.fetch(package)
    assert not path.exists()


def test_members_and_mends_must_be_there(tmp_path):
    package = assets.SITE[1]
    archive = assets.fetch(package)
    wrong = assets.Package(package.name, package.version, package.sha512, (("gone.js", "x.js"),))
    with pytest.raises(RuntimeError, match=r"no member gone\.js"):
        assets.unpack(wrong, archive, tmp_path)
    wrong = assets.Package(
        package.name, package.version, package.sha512, package.members, (("nowhere", ""),)
    )
    with pytest.raises(RuntimeError, match="does not occur once"):
        assets.unpack(wrong, archive, tmp_path)


# -- canaries: each fault is found -----------------------------------------------------------

FAULTS = {
    "dead page": (dead_links, '<a href="gone.html">x</a>'),
    "dead fragment": (dead_links, '<a href="#gone">x</a>'),
    "dead picture": (dead_links, '<img src="gone.png" alt="x">'),
    "no alt": (undescribed, '<img src="data:,">'),
    "blank alt": (undescribed, '<img src="data:," alt=" ">'),
    "bare drawing": (undescribed, "<svg></svg>"),
    "script": (outside, '<script src="https://example.org/x.js"></script>'),
    "style": (outside, '<link rel="stylesheet" href="//example.org/x.css">'),
    "picture": (outside, '<img src="http://example.org/x.png" alt="x">'),
    "import": (outside, '<style>@import "https://example.org/x.css";</style>'),
    "inline": (outside, '<script>load("https://example.org/lib/x.js")</script>'),
}


@pytest.mark.parametrize("name", FAULTS)
def test_canary(name, tmp_path):
    check, fault = FAULTS[name]
    page = tmp_path / "page.html"
    page.write_text(
        '<p id="here">fine <a href="#here">x</a> <a href="https://a.org/x.js">y</a></p>'
    )
    assert check(page) == []
    assert lacking(page) == list(FURNITURE)
    broken = tmp_path / "broken.html"
    broken.write_text(page.read_text() + fault)
    assert check(broken)
