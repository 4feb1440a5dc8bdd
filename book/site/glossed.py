"""Sphinx extension of this book: the first use of a term in a chapter links to the glossary.

Done while the book is built and not in the notebooks, because on Colab such a link leads nowhere.
"""

import re
from functools import cache
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

# how a term is written where the sections do not use it as the glossary spells it
ALSO = {
    "contextual embedding": "contextual(?! calibration)(?: vectors?)?",
    "downstream task": "downstream",
    "feature extraction": "frozen encoder",
    "fine-tuning": "fine-tun(?:e|es|ed)",
    "freezing": "(?:freeze|frozen)",
    "intent and slots": "intents?",
    "label": "labelled",
    "pre-training": "pre-train(?:s|ed)?",
    "static embedding": "one vector a word",
    "top-k and top-p": "top-[kp]",
}
# what looks like a term and is another thing
NOT = {
    "head": r"(?<!attention )(?<!each )(?<!any )(?<!several )(?<!one )(?<!\d )",  # of attention
    "label": "(?<!a )",
}
# where a link would disturb, or be none
CLOSED = (
    nodes.title,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.reference,
    nodes.raw,
    addnodes.pending_xref,
)


@cache
def terms(glossary):
    """The terms that a page explains, with what they look like in running text."""
    lines = glossary.read_text("utf-8").split("```{glossary}")[1].splitlines()
    return {line: patterns(line) for line in lines if line and line[0] not in " `"}


def patterns(term):
    """A term as a whole word: in the plural, too, with a hyphen, at the start of a sentence.

    Then, for chapters that never spell it so, what they say in its place.
    """
    spelled = re.escape(term).replace(r"\ ", r"[\s-]+")
    flags = 0 if term.isupper() else re.IGNORECASE
    ways = [rf"{NOT.get(term, '')}{spelled}(?:e?s)?", *filter(None, [ALSO.get(term)])]
    return [re.compile(rf"(?<![\w–-])(?:{way})(?![\w–-])", flags) for way in ways]


def running_text(doctree):
    """The pieces of text in which a link may stand, in the order of the page."""
    for text in doctree.findall(nodes.Text):
        above, node = [], text.parent
        while node is not None:
            above.append(node)
            node = node.parent
        shown_by_a_cell = any("cell_output" in node.get("classes", ()) for node in above[:-1])
        if not shown_by_a_cell and not any(isinstance(node, CLOSED) for node in above):
            yield text


def link_terms(app, doctree):
    """Turn the first use of each term into a link."""
    docname, glossary = app.env.docname, Path(app.srcdir) / "book/glossary.md"
    if not docname.startswith("chapters/"):
        return
    app.env.note_dependency(str(glossary))
    for term, ways in terms(glossary).items():
        uses = ((t, way.search(t)) for way in ways for t in running_text(doctree))
        text, found = next((use for use in uses if use[1]), (None, None))
        if found:
            put_link(text, found, term, docname)


def put_link(text, found, term, docname):
    """Part a text in three, the middle of which leads to the glossary."""
    before, word, after = text[: found.start()], found[0], text[found.end() :]
    link = addnodes.pending_xref(
        "", nodes.inline(word, word, classes=["xref", "std", "std-term"]),
        refdomain="std", reftype="term", reftarget=term, refdoc=docname, refexplicit=True,
        refwarn=True,
    )  # fmt: skip
    parts = [nodes.Text(before), link, nodes.Text(after)]
    text.parent.replace(text, [part for part in parts if part.astext()])


def setup(app):
    """Register the extension."""
    app.connect("doctree-read", link_terms)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
