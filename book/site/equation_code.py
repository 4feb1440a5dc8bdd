"""Sphinx extension of this book: from a numbered equation to its code, and on to the repository.

`book/equations.md` says which function computes an equation. On which lines it stands is looked up
at each build, so no link goes stale when code moves.
"""

import ast
import re
from dataclasses import dataclass
from pathlib import Path

# The anchor of a section of book/equations.md, and the function that is shown first in it.
SHOWN = re.compile(
    r"\(code-eq-(\d+-\d+)\)=.*?\{literalinclude\} \.\./(\S+)\n:pyobject: (\w+)", re.S
)
INCLUDED = re.compile(r"\{literalinclude\} \.\./(\S+)\n:pyobject: (\w+)")
EQUATION = re.compile(r'<div class="math[^>]*id="eq-(\d+-\d+)">.*?</div>', re.S)
CAPTION = re.compile(r'(?<=<span class="caption-text">)(src/\S+\.py)(?=</span>)')


@dataclass(frozen=True)
class Place:
    """A function of the package, by its file (from the project's root), name and lines."""

    path: str
    name: str
    first: int
    last: int

    @classmethod
    def of(cls, root, path, name):
        """Look a function up; LookupError where there is none of that name."""
        for node in ast.parse((Path(root) / path).read_text("utf-8")).body:
            if getattr(node, "name", None) == name:
                return cls(path, name, node.lineno, node.end_lineno)
        raise LookupError(f"book/equations.md shows {name} of {path}, which is not there")

    def address(self, repository):
        """Where the repository shows exactly these lines; "" while its address is not set."""
        from course_tools.checkout import PLACEHOLDER

        url, branch = repository["url"], repository["branch"]
        if url == PLACEHOLDER:
            return ""
        return f"{url}/blob/{branch}/{self.path}#L{self.first}-L{self.last}"


def source(root):
    """The page of equations; "" in a book that has none."""
    page = Path(root) / "book/equations.md"
    return page.read_text("utf-8") if page.is_file() else ""


def places(root):
    """The function that computes each equation: {"9-1": Place, …}."""
    return {
        number: Place.of(root, path, name) for number, path, name in SHOWN.findall(source(root))
    }


def beside(body, places, page, repository):
    """Put a line below each numbered equation: its function, here and in the repository."""

    def with_link(equation):
        place = places.get(equation[1])
        if place is None:
            return equation[0]
        function = f"<code>{Path(place.path).stem}.{place.name}</code>"
        where = f"{function}, lines {place.first} to {place.last}"
        links = [f'<a href="{page}#code-eq-{equation[1]}">{where}</a>']
        if address := place.address(repository):
            links.append(f'<a href="{address}">in the repository</a>')
        number = equation[1].replace("-", ".")
        return f'{equation[0]}\n<p class="equation-code">Code of {number}: {", ".join(links)}</p>'

    return EQUATION.sub(with_link, body)


def captioned(body, shown, repository):
    """Make the file name above each function that is shown a link to its lines."""
    left = iter(shown)

    def with_link(caption):
        address = next(left).address(repository)
        return f'<a href="{address}">{caption[0]}</a>' if address else caption[0]

    return CAPTION.sub(with_link, body)


def link(app, pagename, templatename, context, doctree):
    """Add the links to a page."""
    from course_tools.checkout import repository

    root, body = Path(app.srcdir), context.get("body", "")
    if EQUATION.search(body):
        page = context["pathto"]("book/equations")
        context["body"] = beside(body, places(root), page, repository(root))
    elif pagename == "book/equations":
        shown = [Place.of(root, *found) for found in INCLUDED.findall(source(root))]
        context["body"] = captioned(body, shown, repository(root))


def setup(app):
    """Register the extension."""
    app.connect("html-page-context", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
