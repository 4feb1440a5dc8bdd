"""Sphinx extension of this book: repairs of the pages that a style sheet cannot make."""

REPAIRS = {
    # ARIA roles with which docutils' lists of references are not valid
    '<div role="list" class="citation-list">': "<div>",
    ' role="doc-biblioentry"': "",
    # folded code says "Show code cell source"; a second name is one that nobody sees
    '<summary aria-label="Toggle hidden content">': "<summary>",
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


def setup(app):
    """Register the extension."""
    app.connect("source-read", measured)
    app.connect("html-page-context", mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
