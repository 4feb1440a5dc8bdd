"""Sphinx extension of this book: repairs of the pages that a style sheet cannot make."""


def mend_roles(app, pagename, templatename, context, doctree):
    """Take away ARIA roles with which docutils' lists of references are not valid."""
    if "body" in context:
        body = context["body"].replace('<div role="list" class="citation-list">', "<div>")
        context["body"] = body.replace(' role="doc-biblioentry"', "")


def setup(app):
    """Register the extension."""
    app.connect("html-page-context", mend_roles)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
