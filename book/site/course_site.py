"""Sphinx extension of this book: repairs of the pages that a style sheet cannot make."""

import html
import json
import re
from pathlib import Path

STILLS = Path(__file__).parent / "style/stills"

REPAIRS = {
    # ARIA roles with which docutils' lists of references are not valid
    '<div role="list" class="citation-list">': "<div>",
    ' role="doc-biblioentry"': "",
    # folded code says "Show code cell source"; a second name is one that nobody sees
    '<summary aria-label="Toggle hidden content">': "<summary>",
    # a quiz that is drawn before MathJax has come stops at a version that is not there
    "if (version[0] ==": "if (version?.[0] ==",
}


def mend(app, pagename, templatename, context, doctree):
    """Take away what makes a page harder to read with a screen reader."""
    for fault, remedy in REPAIRS.items():
        if "body" in context:
            context["body"] = context["body"].replace(fault, remedy)


def measured(app, docname, source):
    """Write the records into the pages that show them."""
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
    """Give scripts and stills of live figures, and those of quizzes, to the pages that have any."""
    body = context.get("body", "")
    if "data-live=" in body or "MCButton" in body:
        context["body"] = re.sub(r'<div class="live" data-live="([\w-]+)">', picture(context), body)
        app.add_js_file(None, body='document.documentElement.classList.add("scripted")')
        app.add_js_file("live/live.js", loading_method="defer")
        app.add_css_file("live.css")


def picture(context):
    """What puts its still picture into the place of a live figure, as far as one was taken."""
    path = STILLS / "stills.json"
    stills = json.loads(path.read_text("utf-8"))["stills"] if path.is_file() else {}

    def with_picture(match):
        if (still := stills.get(match[1])) is None:
            return match[0]
        source = context["pathto"](f"_static/stills/{match[1]}.png", resource=True)
        size = f'width="{still["width"]}" height="{still["height"]}"'
        alt = html.escape(still["alt"])
        return f'{match[0]}<img src="{source}" {size} loading="lazy" alt="{alt}">'

    return with_picture


def setup(app):
    """Register the extension."""
    app.connect("source-read", measured)
    app.connect("html-page-context", mend)
    app.connect("html-page-context", enliven)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
