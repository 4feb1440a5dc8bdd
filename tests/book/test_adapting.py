"""The page for those who adapt the course: what it says is done, word by word, in a copy.

The copy gets another title, a section, an exercise, a data source and an objective; then it must
pass what the course itself passes. COURSE_WHOLE_FORK=1 runs all of its tests, not the chosen ones:

    COURSE_WHOLE_FORK=1 pytest tests/book/test_adapting.py -k whole        (as long as `make test`)
"""

from __future__ import annotations

import os
import re

import hub_server
import nbformat
import pytest
import yaml
from adapted import SECTIONS, add, blocks, run_tests, succeeded
from bs4 import BeautifulSoup
from hub_client import Client
from hub_content import card, labelled, parquet
from hub_server import Hub
from project_copy import MINE, copy_of_project, course

from course_tools.book import notebooks
from course_tools.checkout import ROOT, pages

pytestmark = [pytest.mark.timeout(1800), pytest.mark.xdist_group("fork")]
# of the fork's tests, those that know its title, pages, notebooks, exercises, objectives or lines
CHOSEN = [
    "tests/book/test_findable.py",
    "tests/book/test_fork.py",
    "tests/book/test_book.py",
    "tests/chapters/test_notebooks.py",
    "tests/chapters/test_full_size.py",
    "tests/objectives/test_objective_table.py",
    "tests/tools/test_size.py",
    "tests/tools/test_house.py",
]

# slow ones, or single ones of long files, that once took the course's own content for a rule
SINGLE = [
    "tests/book/test_predictions.py",
    "tests/data/test_hub_server.py::test_all_is_pinned_to_a_commit",
    "tests/data/test_hub_server.py::test_this_hub_has_all_that_the_table_names",
    "tests/grading/test_grading.py::test_the_bank_is_large_enough",
    "tests/grading/test_grading.py::test_exercises_are_exactly_what_the_solutions_give",
    "tests/grading/test_grading.py::test_an_exercise_holds_nothing_of_its_solution",
    "tests/grading/test_grading_bench.py::test_the_guide_shows_the_self_test_of_every_bank_as_it_is",
    "tests/tools/test_commands.py::test_readme_is_short_and_its_files_exist",
    "tests/web/test_browser.py::test_index_leads_to_the_welcome_page",
    "tests/web/test_browser.py::test_the_first_page_leads_on",
    "tests/web/test_browser.py::test_formulas_are_set_and_fit_a_phone[chapters/09_6_further.html]",
]


@pytest.fixture(scope="module")
def fork(tmp_path_factory):
    """A copy with a title of its own and all that the page adds, and what the commands printed."""
    root = copy_of_project(tmp_path_factory.mktemp("fork") / "course")
    options = ["--repo", MINE, "--title", "Another course", "--author", "A. N. Other"]
    succeeded(course(root, "configure", *options))
    return root, {name: add(root, name) for name in SECTIONS}


@pytest.fixture(scope="module")
def built(fork):
    """Its book: warnings are errors."""
    root, _ = fork
    succeeded(course(root, "book"))
    return root / "_build/html"


def test_the_page_has_all_sections():
    found = {name: len(blocks(name)) for name in SECTIONS}
    assert found == {"a section": 2, "an exercise": 7, "a data source": 1, "an objective": 3}


@pytest.mark.slow
def test_a_section(fork, built):
    root, _ = fork
    made = nbformat.read(root / "chapters/09_6_further.ipynb", 4)
    assert made.cells[1].source == notebooks.first_cell(root) and MINE in made.cells[1].source
    assert made.cells[2].outputs[0].text == "42\n"
    names = pages(root)
    place = names.index("chapters/09_5_comparing_paradigms") + 1
    assert names[place] == "chapters/09_6_further"
    page = (built / "chapters/09_6_further.html").read_text("utf-8")
    assert "42" in BeautifulSoup(page, "html.parser").find(class_="output").get_text()


@pytest.mark.slow
def test_an_exercise(fork, built):
    root, said = fork
    blank = (root / "exercises/X1_perplexity.ipynb").read_text("utf-8")
    assert "your code here" in blank and "math.exp(loss)" not in blank
    assert f"git+{MINE}@main" in blank
    assert "| X1 | 2 | 1 | 1 | 1 | 1 | 0 | 0 | 0 | 0 |" in said["an exercise"]
    assert "Every answer got what it deserves." in said["an exercise"]
    assert (built / "exercises/X1_perplexity.html").is_file()


@pytest.mark.slow
def test_a_data_source(fork, tmp_path, monkeypatch):
    root, _ = fork
    names = ["sadness", "joy", "love", "anger", "fear", "surprise"]
    splits = {split: f"split/{split}-00000-of-00001.parquet" for split in ("train", "test")}
    files = {path: parquet(labelled(30, salt=split), label=names) for split, path in splits.items()}
    (pinned,) = re.findall("[0-9a-f]{40}", blocks("a data source")[0][1])
    monkeypatch.setitem(hub_server.REVISIONS, "dair-ai/emotion", pinned)
    hub = Hub({"datasets/dair-ai/emotion": {"README.md": card({"split": splits}), **files}})
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    client = Client(hub.address, tmp_path)
    found = client.load("load_dataset", "emotion", COURSE_MODELS="hub")
    refused = client.load("load_dataset", "emotion", COURSE_MODELS="offline")
    client.close()
    hub.close()
    assert found["where"] == "hub" and set(found["rows"]) == {"train", "validation", "test"}
    assert "emotion cannot be had" in refused["error"]


@pytest.mark.slow
def test_an_objective(fork):
    root, _ = fork
    words = ["-rA", "tests/objectives/test_objective_table.py", "-k", "prefix_lm or equations"]
    said = succeeded(run_tests(root, *words))
    assert "::test_every_row_corrupts_and_scores[prefix_lm]" in said


@pytest.mark.slow
def test_the_fork_is_clean(fork):
    """What the page shows has the format, style and types of the rest."""
    succeeded(course(fork[0], "lint"))


@pytest.mark.slow
def test_the_fork_passes_what_the_course_passes(fork, built):
    words = ["-n", "0", "-m", "not slow and not browser", *CHOSEN]
    succeeded(run_tests(fork[0], *words))
    succeeded(run_tests(fork[0], "-n", "0", "-m", "slow", "tests/book/test_findable.py"))
    succeeded(run_tests(fork[0], "-n", "0", *SINGLE))


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
@pytest.mark.skipif(not os.environ.get("COURSE_WHOLE_FORK"), reason="as long as `make test`")
def test_the_fork_passes_its_whole_suite(fork, built):
    succeeded(run_tests(fork[0], "-n", "2", "--ignore", "tests/book/test_adapting.py"))


def test_the_page_is_in_the_book():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))
    assert "book/adapting" in str(contents)
