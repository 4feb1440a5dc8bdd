"""Another number for the chapter: what carries it, and what only looks alike."""

from __future__ import annotations

import nbformat
import pytest
from adapted import run_tests, succeeded
from project_copy import copy_of_project, course

from course_tools.book import renumber

NUMBERED = [
    ("chapters/09_2_bert.ipynb", "chapters/12_2_bert.ipynb"),
    ('folder("09_1")', 'folder("12_1")'),
    ("Chapter 9: Paradigms", "Chapter 12: Paradigms"),
    ("## 9.2.1 The model", "## 12.2.1 The model"),
    ("# 9.2 BERT", "# 12.2 BERT"),
    ("Sections 9.2.1 and 9.2, Figure 9.6.", "Sections 12.2.1 and 12.2, Figure 12.6."),
    ("Equations 9.1, 9.2 and 9.3", "Equations 12.1, 12.2 and 12.3"),
    ("Sections [9.2](a.ipynb) and [9.5](b.ipynb)", "Sections [12.2](a.ipynb) and [12.5](b.ipynb)"),
    ("([measured in 9.2](09_2_bert.ipynb))", "([measured in 12.2](12_2_bert.ipynb))"),
    (r"\\tag{9.1}", r"\\tag{12.1}"),
    ("(code-eq-9-1)= #eq-9-1", "(code-eq-12-1)= #eq-12-1"),
    ('_row(mixture, "decoder", "9.3")', '_row(mixture, "decoder", "12.3")'),
    (r"Figure 9\\.6\\.", r"Figure 12\\.6\\."),
]
ALIKE = [
    "9.2 GB", "fontsize=9.5", "| 9.1 | 9.2 |", "(x, 9.1)", "[9.1, 9.2]", "9.5pt", "19.2%", "0.9.1",
    "pytest==9.2.0", "page 9", "Figure 9", "2029_1_1", "v9.2.1", "ipython 9.18.1", "Figure 19.2",
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), NUMBERED)
def test_what_carries_the_number(old, new):
    assert renumber.renumbered(old, 9, 12) == new
    assert renumber.renumbered(new, 12, 9) == old


@pytest.mark.parametrize("text", ALIKE)
def test_what_only_looks_alike(text):
    assert renumber.renumbered(text, 9, 12) == text


@pytest.mark.parametrize("number", [-1, 100])
def test_a_number_without_two_digits_is_refused(number):
    with pytest.raises(ValueError, match="1 to 99"):
        renumber.renumber(number)


@pytest.fixture(scope="module")
def renumbered(tmp_path_factory):
    """A copy in which this is Chapter 4."""
    root = copy_of_project(tmp_path_factory.mktemp("renumbered") / "course")
    succeeded(course(root, "configure", "--chapter", "4"))
    return root


@pytest.mark.slow
def test_a_second_time_changes_nothing(renumbered):
    assert renumber.chapter_number(renumbered) == 4
    assert "in line" in succeeded(course(renumbered, "configure", "--chapter", "4"))


@pytest.mark.slow
def test_the_titles_carry_the_new_number(renumbered):
    for number, path in enumerate(sorted((renumbered / "chapters").glob("*.ipynb")), 1):
        title = nbformat.read(path, 4).cells[0].source.splitlines()[0]
        assert path.name.startswith(f"04_{number}_") and title.startswith(f"# 4.{number} ")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_renumbered_book_builds_and_passes_its_tests(renumbered):
    """Warnings are errors; every link, anchor and equation is looked at in the copy."""
    succeeded(course(renumbered, "book"))
    tests = """tests/book/test_book.py tests/book/test_equations.py tests/book/test_numbers.py
      tests/chapters/test_full_size.py tests/objectives/test_objective_table.py"""
    succeeded(run_tests(renumbered, "-m", "not slow and not browser", *tests.split()))
    syllabus = ["tests/chapters/test_chapters.py", "-k", "syllabus or equations"]
    succeeded(run_tests(renumbered, *syllabus))
