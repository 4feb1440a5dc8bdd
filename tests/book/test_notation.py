"""One symbol, one meaning: what formulas use stands on the page of notation, with one meaning."""

from __future__ import annotations

import re

import nbformat
import pytest
from chapter import ROOT

PAGE = (ROOT / "book/notation.md").read_text("utf-8")
PLACES = sorted(
    [*ROOT.glob("chapters/*.ipynb"), *ROOT.glob("solutions/*.ipynb"), *ROOT.glob("book/*.md")]
)
# words, other alphabets and styles, and what stands below or above a symbol, are no capitals
IGNORED = (
    r"\\(?:text|mathrm|operatorname|mathbf|mathcal|tag|cite)\{[^{}]*\}",
    r"[_^]\{[^{}]*\}",
    r"[_^]\\?[A-Za-z]+",
    r"\\[A-Za-z]+",
)


def formulas(text: str) -> list[str]:
    """What stands between dollars."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
    return [found for pair in re.findall(r"\$\$(.+?)\$\$|\$([^$\n]+)\$", text, re.S)
            for found in pair if found]  # fmt: skip


def capitals(formula: str) -> set[str]:
    """The capital letters that are symbols of their own."""
    for pattern in IGNORED:
        formula = re.sub(pattern, " ", formula)
    return set(re.findall(r"(?<![A-Za-z])[A-Z](?![A-Za-z])", formula))


def symbols() -> list[str]:
    """Cells of the first column of the page's tables."""
    return [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| $")]


def text_of(path) -> str:
    if path.suffix == ".md":
        return path.read_text("utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


DEFINED = set().union(*(capitals(f) for cell in symbols() for f in formulas(cell)))


def test_a_symbol_has_one_row():
    rows = [f for cell in symbols() for f in formulas(cell)]
    assert len(rows) == len(set(rows)) and {"B", "T", "S", "L", "A", "V", "N", "D", "M"} <= DEFINED


@pytest.mark.parametrize("path", PLACES, ids=lambda path: path.stem)
def test_capitals_of_a_formula_are_those_of_the_page(path):
    unknown = {f: capitals(f) - DEFINED for f in formulas(text_of(path))}
    assert not {f: letters for f, letters in unknown.items() if letters}


@pytest.mark.parametrize("path", PLACES, ids=lambda path: path.stem)
def test_a_capital_is_not_used_in_a_second_meaning(path):
    """Those that once were: a mask matrix M, scores S, a loss L(N), an exponent α with an index."""
    second = re.compile(r"M_\{ij\}|\+ M\b|softmax\}?\(S\)|(?<!\{)L\(N|\\alpha_|softmax.*\) V\b")
    assert [f for f in formulas(text_of(path)) if second.search(f)] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("src/course_utils/models/*.py")), ids=str)
def test_shapes_in_the_models_are_written_in_these_letters(path):
    letters = {"B", "T", "S", "Q", "K", "A", "V", "d", "d_k", "d_ff", "new", "selected", "capacity"}
    shapes = re.findall(r"# \(([^()]+)\)", path.read_text("utf-8"))
    for shape in shapes:
        assert set(re.findall(r"[A-Za-z_]+", shape)) <= letters, shape
