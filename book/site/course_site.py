"""Sphinx extension of this book: repairs of the pages that a style sheet cannot make."""

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
    """Write the records into the page that shows them."""
    if docname == "book/records":
        from course_utils.experiments.page import page

        source[0] = source[0].replace("<!-- records -->", page())


def enliven(app, pagename, templatename, context, doctree):
    """Give the scripts of live figures and of quizzes to the pages that have any."""
    body = context.get("body", "")
    if "data-live=" in body or "MCButton" in body:
        app.add_js_file(None, body='document.documentElement.classList.add("scripted")')
        app.add_js_file("live/live.js", loading_method="defer")
        app.add_css_file("live.css")


def setup(app):
    """Register the extension."""
    app.connect("source-read", measured)
    app.connect("html-page-context", mend)
    app.connect("html-page-context", enliven)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
