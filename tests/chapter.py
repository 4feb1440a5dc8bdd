"""A chapter as its tests read it: the cells of the committed notebook, and what they showed."""

import json
import re
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[1]
HIDDEN = {"hide-input", "remove-input"}


class Chapter:
    """A notebook of `chapters/`, or `folder`, by the beginning of its name: Chapter("09_4")."""

    def __init__(self, name: str, folder: str = "chapters") -> None:
        (self.path,) = (ROOT / folder).glob(f"{name}*.ipynb")
        self.cells = json.loads(self.path.read_text("utf-8"))["cells"]
        self.code = [cell for cell in self.cells if cell["cell_type"] == "code"]

    @cached_property
    def prose(self) -> str:
        """All Markdown cells."""
        return "\n\n".join(source(c) for c in self.cells if c["cell_type"] == "markdown")

    @property
    def visible(self) -> list[dict]:
        """Code cells whose source the page shows."""
        return [cell for cell in self.code if not tags(cell) & HIDDEN]

    def output_of(self, fragment: str) -> str:
        """What the one cell that contains `fragment` showed."""
        (cell,) = [cell for cell in self.code if fragment in source(cell)]
        return "\n".join(shown(cell))

    @property
    def images(self) -> list[dict]:
        """The attributes of every <img> that a cell showed."""
        return Images("\n".join(text for cell in self.code for text in shown(cell))).found

    @property
    def quiz(self) -> str:
        """The script of the quiz."""
        outputs = [output["data"] for c in self.code for output in c["outputs"] if "data" in output]
        (script,) = [d["application/javascript"] for d in outputs if "application/javascript" in d]
        return "".join(script)


class Images(HTMLParser):
    """The attributes of every <img>."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[dict] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "img":
            self.found.append(dict(attrs))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def tags(cell: dict) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def shown(cell: dict) -> list[str]:
    """Everything a cell put on the page, as text."""
    parts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        parts += ["".join(output.get("text", ""))]
        parts += ["".join(data[kind]) for kind in data if kind.startswith("text/")]
    return parts


def power_of_ten(text: str) -> float:
    """The value of 3.1·10⁸."""
    mantissa, exponent = text.split("·10")
    return float(mantissa) * 10 ** int(
        exponent.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789"))
    )


def count_lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


def cited(prose: str) -> set[str]:
    """Keys of the bibliography that a text cites."""
    groups = re.findall(r"\{cite:[pt]\}`([^`]+)`", prose)
    return {key for group in groups for key in group.split(",")}


FINISHED = [
    name
    for name in ("09_1", "09_2", "09_3", "09_4", "09_5")
    if "```{admonition} In preparation" not in Chapter(name).prose
]
