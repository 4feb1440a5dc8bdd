"""Every page of the book in Chromium: served and light, from disk and dark, wide and on a phone."""

import functools
import gzip
import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml
from playwright.sync_api import Browser, Page

from course_tools.book import assets
from course_tools.book.build import build_book
from course_tools.checkout import PLACEHOLDER, ROOT, pages, repository

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(os.environ.get("COURSE_BROWSER") == "none", reason="COURSE_BROWSER=none"),
]
PAGES = [*(f"{page}.html" for page in pages()), "search.html", "genindex.html"]
AXE = """axe.run(document, {preload: false, resultTypes: ['violations']}).then(
  (found) => found.violations.filter(v => ['serious', 'critical'].includes(v.impact))
  .map(v => `${v.id}: ${v.nodes.map(n => n.target.join(' ')).slice(0, 3).join(' | ')}`))"""
TOO_WIDE = """() => {
  const page = document.documentElement, edge = page.clientWidth;
  if (page.scrollWidth <= edge) return [];
  const scrolls = (e) => e && (/auto|scroll/.test(getComputedStyle(e).overflowX)
    || scrolls(e.parentElement));
  const out = [...document.querySelectorAll('.bd-main *')].filter(
    (e) => e.getBoundingClientRect().right > edge + 1 && !scrolls(e.parentElement));
  return ['wider than the phone', ...out.map((e) => e.outerHTML.slice(0, 120)).slice(0, 3)];
}"""
SETTLED = """() => document.readyState === 'complete' &&
  (!document.querySelector('script[src*=mathjax]') || window.MathJax?.startup?.promise)"""


@pytest.fixture(scope="session")
def site() -> Path:
    """The built site."""
    return build_book().parent


@pytest.fixture(scope="session")
def address(site, served) -> str:
    """Where the site is served."""
    return served(site)


class Watched:
    """A page that is opened once and remembers all that went wrong meanwhile."""

    def __init__(self, browser: Browser, start: str, name: str, scheme: str = "light"):
        """Open `start`/`name`; `start` is where requests may go."""
        self.start, self.wrong = start, []
        self.page: Page = browser.new_page(
            color_scheme=scheme, viewport={"width": 1280, "height": 900}
        )
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self.asked)
        self.page.on("requestfailed", lambda request: self.wrong.append(f"failed: {request.url}"))
        self.page.goto(f"{start}/{name}")
        self.settle()

    def heard(self, message):
        """Keep errors of the console."""
        if message.type == "error":
            self.wrong.append(f"console: {message.text}")

    def asked(self, request):
        """Keep requests that leave the site."""
        if not request.url.startswith((self.start, "data:", "blob:")):
            self.wrong.append(f"left the site: {request.url}")

    def settle(self):
        """Wait until formulas, quizzes and widgets are drawn."""
        self.page.wait_for_function(SETTLED)
        self.page.evaluate("() => window.MathJax?.startup?.promise")
        drawn = "script[type*='jupyter.widget-view'], .cell_output script"
        self.page.wait_for_timeout(900 if self.page.locator(drawn).count() else 150)

    def __enter__(self):
        """Nothing more to open."""
        return self

    def __exit__(self, *error):
        """Close the page."""
        self.page.close()


@pytest.mark.parametrize(("where", "scheme"), [("served", "light"), ("disk", "dark")])
@pytest.mark.parametrize("name", PAGES)
def test_page(browser, site, address, axe, name, where, scheme):
    with Watched(browser, address if where == "served" else site.as_uri(), name, scheme) as watched:
        page = watched.page
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        if formulas := page.locator(".math").count():
            assert page.locator("mjx-container").count() >= formulas
        assert page.locator("mjx-merror").count() == 0
        page.evaluate(axe)
        assert page.evaluate(AXE) == []
        page.set_viewport_size({"width": 375, "height": 800})
        page.wait_for_timeout(100)
        assert page.evaluate(TOO_WIDE) == []
        if where == "served":
            assert weight(page, site, address) <= 1.2e6
        assert watched.wrong == []


@functools.cache
def compressed(path: Path) -> int:
    """Bytes of a file as a server sends it."""
    return len(gzip.compress(path.read_bytes()))


def weight(page: Page, site: Path, address: str) -> int:
    """Bytes of a page and all that it has loaded by now, compressed."""
    script = "[location.href, ...performance.getEntriesByType('resource').map(r => r.name)]"
    urls = [url for url in page.evaluate(script) if url.startswith(address)]
    names = {url.split("?")[0].split("#")[0] for url in urls}
    return sum(compressed(site / unquote(name.removeprefix(f"{address}/"))) for name in names)


def test_index_leads_to_the_welcome_page(browser, site):
    with Watched(browser, site.as_uri(), "index.html") as watched:
        watched.page.wait_for_url("**/book/index.html")
        title = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["title"]
        assert watched.page.locator(".bd-article h1").inner_text().strip("#") == title


@pytest.mark.parametrize("where", ["served", "disk"])
@pytest.mark.parametrize(
    ("query", "page"),
    [("sentinel", "glossary"), ("80/10/10", "09_2"), ("playground", "playground")],
)
def test_search_finds_pages_and_shows_where_they_say_it(browser, site, address, where, query, page):
    start = address if where == "served" else site.as_uri()
    with Watched(browser, start, f"search.html?q={query}") as watched:
        hit = watched.page.locator(f"#search-results li:has(a[href*='{page}'])").first
        assert query in hit.locator(".context mark").inner_text().lower()
        assert watched.wrong == []


# -- before the page is settled --------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_are_there_before_the_theme_has_come(browser, address, scheme):
    """A slow network: no script of the theme has arrived, and the page already has its colours."""
    page = browser.new_page(color_scheme=scheme)
    page.route("**/pydata-sphinx-theme.js*", lambda route: None)  # never answered
    page.goto(f"{address}/book/glossary.html", wait_until="commit")
    page.locator("article h1").wait_for()
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    page.close()


def test_readers_without_scripts_have_colours(browser, site):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site.as_uri()}/book/glossary.html")
    assert page.locator("html").get_attribute("data-theme") == "light"
    context.close()


SHIFTS = """window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(
  e => window.shift += e.value)).observe({ type: 'layout-shift', buffered: true });"""
MOVED = [
    "book/corpus",
    "book/instructors",
    "book/notation",
    "book/appendix_e_cost",
    "exercises/T2_logit_gradient",
]


@pytest.mark.parametrize("width", [375, 1280])
@pytest.mark.parametrize("name", MOVED)
def test_nothing_moves_while_a_page_comes(browser, address, name, width):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(SHIFTS)
    page.goto(f"{address}/{name}.html")
    page.wait_for_function(SETTLED)
    page.evaluate("() => window.MathJax?.startup?.promise")
    page.wait_for_timeout(300)
    assert page.evaluate("window.shift") < 0.1
    page.close()


# -- other readers ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_no_page_scrolls_sideways_at_320(browser, site, name):
    with Watched(browser, site.as_uri(), name) as watched:
        watched.page.set_viewport_size({"width": 320, "height": 700})
        watched.page.wait_for_timeout(100)
        assert watched.page.evaluate(TOO_WIDE) == []


def test_wide_code_shows_that_it_goes_on(browser, site):
    with Watched(browser, site.as_uri(), "chapters/09_2_bert.html") as watched:
        watched.page.set_viewport_size({"width": 360, "height": 700})
        wide = watched.page.locator("pre.goes-on:visible").first.element_handle()
        assert "gradient" in wide.evaluate("node => getComputedStyle(node).maskImage")
        wide.evaluate("node => node.scrollLeft = node.scrollWidth")
        watched.page.wait_for_timeout(100)
        assert "goes-on" not in wide.get_attribute("class")


def test_the_first_page_leads_on(browser, site):
    with Watched(browser, site.as_uri(), "book/index.html") as watched:
        start = watched.page.locator(".start a").all_inner_texts()
        here = [] if repository()["url"] == PLACEHOLDER else ["Run on Colab"]
        assert start == ["Start with 9.1", "Play", *here, "Exercises"]
        figure = watched.page.locator("article [data-live=paradigms]")
        assert figure.locator(".panel").count() == 3
        assert figure.bounding_box()["y"] < 500  # in view, before anything is scrolled
        numbers = figure.locator(".answer").all_inner_texts()
        assert all(re.search(r"In the gap: “.+” [\d.]+%", text) for text in numbers)
        said = watched.page.locator("article li:has(a[href*='chapters/09_'])").all_inner_texts()
        assert sum(bool(re.search(r"\d+ minutes to read, .* to run", text)) for text in said) == 5
        if repository()["url"] == PLACEHOLDER:
            assert "rocket" not in watched.page.locator("article").inner_text()


def test_mathjax_comes_only_where_formulas_stand(site):
    pages = {path: path.read_text("utf-8") for path in site.rglob("*.html")}
    loading = {path for path, text in pages.items() if "mathjax/tex-chtml" in text}
    formulas = {path for path, text in pages.items() if 'class="math' in text or "MCButton" in text}
    assert loading == formulas and len(loading) < len(pages) - 5


def test_only_the_page_that_searches_loads_the_index(site):
    loading = [p.name for p in site.rglob("*.html") if "searchindex.js" in p.read_text("utf-8")]
    assert loading == ["search.html"]


def test_dark_screens_print_on_white(browser, site):
    with Watched(browser, site.as_uri(), "chapters/09_1_pretraining_revolution.html", "dark") as w:
        w.page.emulate_media(media="print")
        w.page.wait_for_timeout(500)
        colours = "node => [getComputedStyle(node).color, getComputedStyle(node).backgroundColor]"
        ink, _ = w.page.locator("article p").first.evaluate(colours)
        assert max(map(int, re.findall(r"\d+", ink)[:3])) < 90
        assert w.page.locator("body").evaluate(colours)[1] == "rgb(255, 255, 255)"
        w.page.emulate_media(media="screen")
        w.page.wait_for_function("document.documentElement.dataset.theme === 'dark'")


def test_a_sandbox_without_storage_has_its_drawers(browser, address):
    page, wrong = browser.new_page(viewport={"width": 600, "height": 800}), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    source = f"{address}/book/glossary.html"
    page.set_content(f'<iframe sandbox="allow-scripts" src="{source}" width=580 height=780>')
    frame = page.frame_locator("iframe")
    frame.locator(".primary-toggle").click()
    frame.locator("#pst-primary-sidebar-modal[open] a", has_text="Set-up").wait_for()
    assert wrong == []
    page.close()


FORMULAS = """() => [
  ...[...document.querySelectorAll('mjx-merror')].map((e) => e.textContent),
  ...[...document.querySelectorAll('div.math, div.math mjx-container')]
    .filter((e) => e.scrollWidth > e.clientWidth + 1).map((e) => `too wide: ${e.textContent}`)]"""
WITH_FORMULAS = [page for page in PAGES if page.startswith("chapters/") or "equations" in page]


@pytest.mark.parametrize("name", WITH_FORMULAS)
def test_formulas_are_set_and_fit_a_phone(browser, site, name):
    if 'class="math' not in (site / name).read_text("utf-8"):
        pytest.skip("no formula on this page")
    with Watched(browser, site.as_uri(), name) as watched:
        watched.page.set_viewport_size({"width": 375, "height": 800})
        watched.page.wait_for_function("window.MathJax?.startup?.promise")
        watched.page.evaluate("MathJax.startup.promise")
        assert watched.page.locator("mjx-container, article:not(:has(div.math))").count()
        assert watched.page.evaluate(FORMULAS) == []


def test_theme_can_be_changed_with_the_keyboard(browser, address):
    with Watched(browser, address, "book/index.html") as watched:
        page = watched.page
        button = page.locator(".article-header-buttons .theme-switch-button").first
        before = page.evaluate("document.documentElement.dataset.mode")
        button.focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.documentElement.dataset.mode") != before


def quiz_pages() -> list[str]:
    """Chapters that have a quiz in their committed outputs."""
    chapters = sorted((ROOT / "chapters").glob("*.ipynb"))
    return [
        f"chapters/{p.stem}.html" for p in chapters if "class MCQuestion" in p.read_text("utf-8")
    ]


@pytest.mark.parametrize("name", quiz_pages())
def test_quiz_answers_every_choice_from_the_keyboard(browser, site, name):
    with Watched(browser, site.as_uri(), name) as watched:
        page = watched.page
        questions = page.locator(".Quiz:has(input[type=radio])").all()
        assert questions
        for question in questions:
            explained = set()
            choices = question.locator("input[type=radio]").all()
            for choice in choices:
                choice.focus()
                page.keyboard.press("Space")
                explained.add(question.locator(".Feedback").inner_text().strip())
            assert "" not in explained and len(explained) == len(choices)
        assert watched.wrong == []


def test_the_statement_names_what_is_tested():
    statement = (ROOT / "book/accessibility.md").read_text("utf-8")
    assert f"{assets.TOOLS[0].name} {assets.TOOLS[0].version} finds nothing" in statement
    assert all(word in AXE and f"*{word}*" in statement for word in ("serious", "critical"))
    for name, bounds in {
        "test_browser.py": ["320", "375"],
        "test_web.py": ["375", "44", "28"],
    }.items():
        tests = (ROOT / "tests/web" / name).read_text("utf-8")
        assert all(bound in tests and bound in statement for bound in bounds)
    figures = (ROOT / "tests/book/test_figures.py").read_text("utf-8")
    assert [float(n) for n in re.findall(r"([\d.]+) : 1", statement)] == [
        float(n) for n in re.findall(r"contrast\(.*\) > ([\d.]+)", figures)
    ]


# -- canaries: each fault is found -----------------------------------------------------------

FINE = (
    '<!doctype html><html lang="en"><title>t</title><link rel="icon" href="data:,">'
    '<main class="bd-main"><h1>t</h1><p>fine</p>'
)
FAULTS = {
    "left the site": '<img alt="x" src="http://127.0.0.2:9/x.png">',
    "console": "<script>console.error('x')</script>",
    "error": "<script>nothing.here</script>",
    "failed": '<script src="gone.js"></script>',
}


@pytest.mark.parametrize("kind", ["fine", *FAULTS])
def test_canary_watched(browser, tmp_path, kind):
    (tmp_path / "page.html").write_text(FINE + FAULTS.get(kind, ""))
    with Watched(browser, tmp_path.as_uri(), "page.html") as watched:
        found = [line.split(":")[0] for line in watched.wrong]
        assert found == [] if kind == "fine" else kind in found


@pytest.mark.parametrize(
    ("script", "fault"),
    [(AXE, '<img src="data:,">'), (AXE, '<p style="color:#aaa">pale</p>'),
     (TOO_WIDE, '<div style="width:900px">wide</div>')],
    ids=["no alt", "pale", "wide"],
)  # fmt: skip
def test_canary_scripts(browser, tmp_path, axe, script, fault):
    for name, content in {"fine.html": FINE, "broken.html": FINE + fault}.items():
        (tmp_path / name).write_text(content)
        with Watched(browser, tmp_path.as_uri(), name) as watched:
            watched.page.set_viewport_size({"width": 375, "height": 800})
            watched.page.evaluate(axe)
            assert bool(watched.page.evaluate(script)) == (name == "broken.html")
