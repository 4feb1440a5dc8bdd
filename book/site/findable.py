"""Sphinx extension of this book: what search engines, and links in a chat, show of each page.

The site's address follows from the repository's; while that is not set there is no address to name:
only the descriptions are written, and buttons that would lead nowhere are left out.

sphinx-sitemap 2.9 and sphinxext-opengraph 0.13 were tried in its place. Without an address, which
is how every fork begins, the first stops a build whose warnings are errors, and the second writes
addresses that are none; it also runs tables into the description and cuts it inside a word.
"""

import json
import re
import textwrap
from html import escape, unescape
from pathlib import Path
from xml.sax.saxutils import escape as xml

from docutils import nodes

LONGEST = 200  # characters of a description; search engines show about as many
PICTURE = "social.png"
PATTERNS = (  # those of the logo: which of three positions each of three sees
    ("#2b7a9e", ["111", "111", "111"]),
    ("#c8632b", ["100", "110", "111"]),
    ("#7a6bb5", ["110", "110", "111"]),
)


def address(app, config):
    """Let Sphinx know where the site will be: it writes the canonical links itself."""
    from course_tools.book.identity import site

    if not config.html_baseurl:
        config.html_baseurl = site(Path(app.srcdir))


BUTTONS = ("use_repository_button", "use_issues_button", "use_edit_page_button")


def hide_dead_buttons(app, config):
    """Leave out what leads to the repository, and to Colab through it, until its address is set."""
    from course_tools.checkout import PLACEHOLDER

    options = config.html_theme_options
    if options.get("repository_url") == PLACEHOLDER:
        options |= dict.fromkeys(BUTTONS, False) | {"launch_buttons": {}}


def description(doctree):
    """The first words of the first paragraph of running text."""
    for paragraph in doctree.findall(nodes.paragraph) if doctree else ():
        text = " ".join(paragraph.astext().split())
        if len(text) > 40 and isinstance(paragraph.parent, nodes.section):
            short = text[:LONGEST].rsplit(" ", 1)[0] + " …"
            return text if len(text) <= LONGEST else short
    return ""


def describe(app, pagename, templatename, context, doctree):
    """Write the description, and what a link to the page shows elsewhere, into its head."""
    title = unescape(re.sub("<[^>]+>", "", context.get("title", "")))  # it comes as HTML
    said, base = description(doctree), app.config.html_baseurl
    shown = {"og:type": "article", "og:title": title, "og:site_name": app.config.html_title}
    if said:
        shown["og:description"] = said
    if base:
        shown |= {"og:url": f"{base}{pagename}.html", "og:image": base + PICTURE}
        shown["og:image:alt"] = app.config.html_title
    tags = [f'<meta name="description" content="{escape(said)}" />'] if said else []
    for name, value in shown.items():
        tags.append(f'<meta property="{name}" content="{escape(value, quote=True)}" />')
    context["metatags"] = "\n".join([context.get("metatags", ""), *tags])


def draw(title, path):
    """Draw the picture of the preview, 1200 by 630: the logo and the title."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    figure = Figure(figsize=(12, 6.3), dpi=100)
    paper = figure.add_axes((0, 0, 1, 1), xlim=(0, 1200), ylim=(630, 0))
    paper.axis("off")
    for number, (colour, rows) in enumerate(PATTERNS):
        for y, row in enumerate(rows):
            for x, seen in enumerate(row):
                corner = (80 + 210 * number + 60 * x, 80 + 60 * y)
                strength = 1 if seen == "1" else 0.22
                paper.add_patch(Rectangle(corner, 50, 50, color=colour, alpha=strength, lw=0))
    width, size = (27, 46) if len(title) < 75 else (44, 28)
    lines = "\n".join(textwrap.wrap(title, width)[:5])
    paper.text(80, 330, lines, size=size, weight="bold", va="top", parse_math=False)
    figure.savefig(path)


def sitemap(app, error):
    """Write sitemap.xml, and put the picture where the pages say it is."""
    if error or app.builder.name != "html":
        return
    out, base = Path(app.outdir), app.config.html_baseurl
    draw(app.config.html_title, out / PICTURE)
    if base:
        lines = [
            f"<url><loc>{xml(f'{base}{p}.html')}</loc></url>" for p in sorted(app.env.found_docs)
        ]
        start = '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
        head = f'<?xml version="1.0" encoding="utf-8"?>\n{start}'
        (out / "sitemap.xml").write_text("\n".join([head, *lines, "</urlset>", ""]), "utf-8")


ARTICLE = re.compile(r'<article class="bd-article">(.*?)</article>', re.DOTALL)
NO_TEXT = re.compile(
    r"<(script|style|svg)\b.*?</\1>|<a class=\"headerlink\".*?</a>|<[^>]+>", re.DOTALL
)


def search_better(app, pagename, templatename, context, doctree):
    """Give the search page what it needs to find numbers and to show where a page says them."""
    if pagename == "search":
        app.add_js_file("searchtexts.js")
        app.add_js_file("search.js")


def texts(app, error):
    """Write the running text of every page into a script, which a page from disk may load, too."""
    if error or app.builder.name != "html":
        return
    found = {}
    for name in sorted(app.env.found_docs):
        page = (Path(app.outdir) / f"{name}.html").read_text("utf-8")
        plain = unescape(NO_TEXT.sub(" ", " ".join(ARTICLE.findall(page))))
        found[name] = re.sub(r" (?=[.,;:)])", "", " ".join(plain.split()))
    script = f"const searchTexts = {json.dumps(found, ensure_ascii=False)};\n"
    (Path(app.outdir) / "_static/searchtexts.js").write_text(script, "utf-8")


def setup(app):
    """Register the extension."""
    app.connect("config-inited", address)
    app.connect("config-inited", hide_dead_buttons)
    app.connect("html-page-context", describe)
    app.connect("html-page-context", search_better)
    app.connect("build-finished", sitemap)
    app.connect("build-finished", texts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
