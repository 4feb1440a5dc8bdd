"""One click from each numbered equation to its lines of code, and back by the equation's name."""

import importlib.util
import inspect
import re
import shutil
from pathlib import Path

import pytest
from bs4 import BeautifulSoup

from course_tools.book.build import build_book
from course_tools.checkout import PLACEHOLDER, ROOT, pages, repository
from course_utils.objectives import causal_lm, masked_lm, span_corruption
from course_utils.training import finetune

FUNCTIONS = {
    "9.1": ("09_2_bert", masked_lm.loss),
    "9.2": ("09_3_gpt", causal_lm.loss),
    "9.3": ("09_4_t5", span_corruption.loss),
    "9.4": ("09_2_bert", finetune.task_loss),
}
MINE = {"url": "https://github.com/Someone/their-course", "branch": "term/2027"}


@pytest.fixture(scope="module")
def extension():
    """The Sphinx extension, as a module."""
    path = ROOT / "book/site/equation_code.py"
    spec = importlib.util.spec_from_file_location("equation_code", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines_of(function) -> tuple[int, int]:
    """First and last line, as Python itself knows them."""
    text, first = inspect.getsourcelines(function)
    return first, first + len(text) - 1


def page(name: str) -> BeautifulSoup:
    """A page of the built site."""
    site = build_book().parent
    return BeautifulSoup((site / f"{name}.html").read_text("utf-8"), "html.parser")


@pytest.mark.parametrize("number", FUNCTIONS)
def test_the_link_below_an_equation_leads_to_the_lines_of_its_function(number):
    chapter, function = FUNCTIONS[number]
    first, last = lines_of(function)
    dashed = number.replace(".", "-")
    below = page(f"chapters/{chapter}").find(id=f"eq-{dashed}").find_next_sibling()
    assert below["class"] == ["equation-code"]
    assert f".{function.__name__}, lines {first} to {last}" in below.get_text()
    placed = "in the repository" in below.get_text()
    assert placed == (repository()["url"] != PLACEHOLDER)
    assert below.a["href"] == f"../book/equations.html#code-eq-{dashed}"
    equations = page("book/equations")
    code = equations.find(id=f"code-eq-{dashed}").find_next(class_="highlight")
    shown = [int(n.get_text()) for n in code.find_all(class_="linenos")]
    assert shown == list(range(first, last + 1))
    numbered = re.sub(r"(?m)^ *\d+(?: (?= )|$)", "", code.get_text())
    assert f"def {function.__name__}(" in numbered and f"Equation {number}" in numbered
    back = equations.find(id=f"code-eq-{dashed}").parent.find(
        "a", href=re.compile(f"#eq-{dashed}$")
    )
    assert chapter in back["href"]


def test_every_numbered_equation_has_such_a_link():
    for name in pages():
        if name.startswith("chapters/"):
            soup = page(name)
            numbered = soup.find_all("div", id=re.compile(r"^eq-\d+-\d+$"), class_="math")
            assert len(soup.find_all(class_="equation-code")) == len(numbered), name


@pytest.mark.parametrize("number", FUNCTIONS)
def test_addresses_name_exactly_the_lines_also_after_code_has_moved(extension, number, tmp_path):
    _, function = FUNCTIONS[number]
    first, last = lines_of(function)
    path = Path(inspect.getsourcefile(function)).relative_to(ROOT).as_posix()
    dashed = number.replace(".", "-")
    place = extension.places(ROOT)[dashed]
    address = f"https://github.com/Someone/their-course/blob/term/2027/{path}"
    assert place.address(MINE) == f"{address}#L{first}-L{last}"
    assert place.address({"url": PLACEHOLDER, "branch": "main"}) == ""
    for name in {found[0] for found in extension.INCLUDED.findall(extension.source(ROOT))}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "book").mkdir()
    shutil.copy(ROOT / "book/equations.md", tmp_path / "book")
    moved = tmp_path / path
    moved.write_text("# one\n# two\n# three\n" + moved.read_text("utf-8"), "utf-8")
    assert extension.places(tmp_path)[dashed].address(MINE) == f"{address}#L{first + 3}-L{last + 3}"
    moved.write_text(moved.read_text("utf-8").replace(f"def {function.__name__}(", "def gone("))
    with pytest.raises(LookupError, match=function.__name__):
        extension.places(tmp_path)


def test_with_an_address_equations_and_listings_link_to_the_repository(extension):
    places = extension.places(ROOT)
    body = '<div class="math notranslate" id="eq-9-1">\n\\[x\\tag{9.1}\\]</div>\n<p>Next.</p>'
    linked = BeautifulSoup(extension.beside(body, places, "e.html", MINE), "html.parser")
    hrefs = [a["href"] for a in linked.find_all("a")]
    assert hrefs == ["e.html#code-eq-9-1", places["9-1"].address(MINE)]
    listing = f'<span class="caption-text">{places["9-1"].path}</span>'
    captioned = BeautifulSoup(extension.captioned(listing, [places["9-1"]], MINE), "html.parser")
    assert captioned.a["href"] == places["9-1"].address(MINE)
    assert captioned.a.get_text() == places["9-1"].path
