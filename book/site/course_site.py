"""Sphinx extension of this book: what neither the theme nor Jupyter Book offers."""


def setup(app):
    """Register the extension."""
    return {"parallel_read_safe": True, "parallel_write_safe": True}
