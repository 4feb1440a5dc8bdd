"""Sphinx extension of this book: repairs of the pages that a style sheet cannot make."""

import html
import json
import re
from pathlib import Path

STILLS = Path(__file__).parent / "style/stills"
FIRST = (Path(__file__).parent / "first.js").read_text("utf-8")

REPAIRS = {
    # ARIA roles with which docutils' lists of references are not valid
    '<div role="list" class="citation-list">': "<div>",
    ' role="doc-biblioentry"': "",
    # folded code says of what it is the code; a second name is one that nobody sees
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # a quiz that is drawn before MathJax has come stops at a version that is not there
    "if (version[0] ==": "if (version?.[0] ==",
}


def mend(app, pagename, templatename, context, doctree):
    """Take away what makes a page harder to read with a screen reader."""
    for fault, remedy in REPAIRS.items():
        if "body" in context:
            context["body"] = context["body"].replace(fault, remedy)


def name_folds(app, pagename, templatename, context, doctree):
    """Say of folded code what it is the code of: the figure or the table below it."""
    kinds = {"course-figure": "this figure", "<table": "this table", "MCButton": "these questions"}
    cells = context.get("body", "").split('<div class="cell ')
    for i, cell in enumerate(cells):
        shown = next((kind for mark, kind in kinds.items() if mark in cell), "what is shown")
        cell = cell.replace("Show code cell source", f"Code of {shown}")
        cells[i] = cell.replace("Hide code cell source", "Hide the code")
    if "body" in context:
        context["body"] = '<div class="cell '.join(cells)


def begin(app, pagename, templatename, context, doctree):
    """Put what must be known before the first paint into the head, above the theme's own lines."""
    code = re.sub(r"^ *//.*\n|^ +|\n", "", FIRST, flags=re.MULTILINE)
    context["metatags"] = f"{context.get('metatags', '')}\n<script>{code}</script>"


CONFIGURED = re.compile(r"<!-- configured -->(.*?)<!-- /configured -->", re.DOTALL)
MINUTES = re.compile(r"\*Reading: (.*?)\. Running: (.*?)(?: of computing)? on one")


def sections(root):
    """Chapters as a list of links, each with the minutes that its first cell names."""
    rows = []
    for path in sorted((root / "chapters").glob("*.ipynb")):
        text = "".join(json.loads(path.read_text("utf-8"))["cells"][0]["source"])
        minutes = MINUTES.search(text)
        times = f": {minutes[1]} to read, {minutes[2]} to run" if minutes else ""
        rows.append(f"- [{text.splitlines()[0].lstrip('# ')}](../chapters/{path.name}){times}")
    return "\n".join(rows)


def measured(app, docname, source):
    """Write what is known only now: records, minutes, and what needs the repository's address."""
    from course_tools.checkout import PLACEHOLDER, repository

    there = repository(Path(app.srcdir))["url"] != PLACEHOLDER
    source[0] = CONFIGURED.sub(lambda found: found[1] if there else "", source[0])
    if "<!-- colab -->" in source[0]:
        from course_tools.book.identity import first_on_colab

        notebook = first_on_colab(Path(app.srcdir))
        button = f"\n[Run on Colab]({notebook})" if notebook else ""
        source[0] = source[0].replace("<!-- colab -->", button)
    if "<!-- sections -->" in source[0]:
        source[0] = source[0].replace("<!-- sections -->", sections(Path(app.srcdir)))
    if docname == "book/records":
        from course_tools.experiments.page import records_page

        source[0] = source[0].replace("<!-- records -->", records_page())
    if docname == "book/corpus":
        from course_tools.experiments.page import corpus_bits, corpus_sources

        source[0] = source[0].replace("<!-- corpus sources -->", corpus_sources())
        source[0] = source[0].replace("<!-- corpus bits -->", corpus_bits())
    if docname == "book/testing":
        from course_tools.gpu import hardware_table

        source[0] = source[0].replace("<!-- hardware -->", hardware_table())


def enliven(app, pagename, templatename, context, doctree):
    """Give pages the scripts and stills of what is live on them: figures, quizzes, predictions."""
    body = context.get("body", "")
    if re.search('data-live=|MCButton|class="predict"|data-predictions', body):
        made = Path(app.srcdir) / "_build/assets/live"
        show = picture(context, made)
        context["body"] = re.sub(r'<div class="live" data-live="([\w-]+)">', show, body)
        for name in re.findall(r'data-live="([\w-]+)"', body):  # answers that come with the page
            if (made / f"answers-{name}.js").is_file():
                app.add_js_file(f"live/answers-{name}.js", loading_method="defer")
        app.add_js_file("live/live.js", loading_method="defer")
        app.add_css_file("live.css")


def without_formulas(app, pagename, templatename, context, doctree):
    """Take MathJax, a megabyte, from pages that have no formula; quizzes may write some."""
    body = context.get("body", "")
    if 'class="math' not in body and "MCButton" not in body:
        others = [s for s in context["script_files"] if "mathjax" not in described(s)]
        context["script_files"] = others


def described(script):
    """File and text of a script as Sphinx keeps it, in small letters."""
    return f"{script.filename} {script.attributes.get('body')}".lower()


def picture(context, made):
    """What puts a figure's first view and its still picture into its place, where it has such."""
    path = STILLS / "stills.json"
    stills = json.loads(path.read_text("utf-8"))["stills"] if path.is_file() else {}
    drawn = json.loads(path.read_text("utf-8")) if (path := made / "drawn.json").is_file() else {}

    def with_picture(match):
        first = match[0] + drawn.get(match[1], "")
        if (still := stills.get(match[1])) is None:
            return first
        source = context["pathto"](f"_static/stills/{match[1]}.png", resource=True)
        size = f'width="{still["width"]}" height="{still["height"]}"'
        alt = html.escape(still["alt"])
        return f'{first}<img src="{source}" {size} loading="lazy" alt="{alt}">'

    return with_picture


def setup(app):
    """Register the extension."""
    app.connect("source-read", measured)
    app.connect("html-page-context", begin)
    app.connect("html-page-context", name_folds)
    app.connect("html-page-context", mend)
    app.connect("html-page-context", enliven)
    app.connect("html-page-context", without_formulas, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
