"""Predictions: what a chapter asks for is found in what its own cells put out."""

import copy
import json
import re
import sys

import pytest

from course_tools.checkout import ROOT

sys.path.insert(0, str(ROOT / "book/site"))
import predictions

CHAPTERS = sorted((ROOT / "chapters").glob("*.ipynb"))


def cell(kind: str, source: str = "", **output) -> dict:
    """A cell of a notebook; a code cell with one output."""
    made = {"id": f"c{len(source)}", "cell_type": kind, "source": source}
    return made | ({"outputs": [output]} if kind == "code" else {})


def asking(settings: str, *outputs: str, data: str = "") -> list:
    """All prompts of a notebook with one prompt, and cells that put out these texts."""
    prompt = cell("markdown", f'<div class="predict" {settings}>\n\nHow *many*?\n\n</div>')
    cells = [cell("code", text="10 of 5"), prompt, *(cell("code", text=[t]) for t in outputs)]
    if data:
        cells.append(cell("code", data={"text/markdown": data, "text/plain": "<Markdown>"}))
    return list(predictions.prompts({"cells": cells}))


def test_a_number_is_the_first_below_the_prompt():
    [(identity, question, asked)] = asking(r'data-answer="([\d,]+) of 5"', "-", "1,234 of 5")
    assert asked["answer"] == 1234 and question == "How *many*?"
    assert identity.startswith("predict-c")
    assert asking(r'data-answer="is ([\d.]+)"', data="it is 0.5")[0][2]["answer"] == 0.5


def test_a_choice_is_the_value_that_was_found_or_the_best_of_several():
    values = 'data-choices="True: yes|False: no"'
    [(_, _, asked)] = asking(rf'data-answer="same: (\w+)" {values}', "same: False")
    assert asked["answer"] == "no" and asked["choices"] == "yes|no"
    both = r'data-answer="a ([\d.]+) b ([\d.]+)" data-choices="a|b"'
    assert asking(both + ' data-pick="largest"', "a 2 b 10")[0][2]["answer"] == "b"
    assert asking(both + ' data-pick="smallest"', "a 2 b 10")[0][2]["answer"] == "a"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (r'data-answer="gone (\d)"', "no output below it matches"),
        (r'data-answer="(\d) of 5"', "no output below it matches"),  # it stands above
        (r'data-answer="is (\w+)" data-choices="True: yes|False: no"', "none of the choices"),
        (r'data-answer="is (\w)" data-choices="a|b" data-pick="largest"', "one number for each"),
    ],
)
def test_a_result_that_is_not_there_is_an_error_that_names_the_cell(settings, message):
    with pytest.raises(ValueError, match=rf"cell c\d+: .*{message}"):
        asking(settings, "it is maybe")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_every_prompt_of_a_chapter_has_its_result(path):
    notebook = json.loads(path.read_text("utf-8"))
    found = list(predictions.prompts(notebook))
    assert len({identity for identity, _, _ in found}) == len(found)
    for _, question, asked in found:
        assert question
        if "choices" in asked:
            assert asked["answer"] in asked["choices"].split("|")
        else:
            assert float(asked["min"]) <= asked["answer"] <= float(asked["max"])
    text = json.dumps(notebook)
    assert text.count('class=\\"predict\\"') == len(found)  # none is written in another way


def test_the_course_asks_for_many_predictions():
    asked = [list(predictions.prompts(json.loads(path.read_text("utf-8")))) for path in CHAPTERS]
    assert sum(map(len, asked)) >= 40 and sum(len(some) >= 5 for some in asked) >= 5


def test_results_follow_the_outputs():
    """Another result of the cells is another answer on the page, in the chapter and in the list."""
    [path] = (path for path in CHAPTERS if "09_1" in path.name)
    notebook = json.loads(path.read_text("utf-8"))
    changed = json.loads(json.dumps(notebook).replace("mean 62%, best 67%", "mean 62%, best 64%"))
    assert changed != notebook

    def best(notebook: dict) -> str:
        pages = predictions.answered(copy.deepcopy(notebook))
        [asking] = [c["source"] for c in pages["cells"] if "The *best* of" in c["source"]]
        return re.findall(r"What was measured</summary>\n\n(.*?)\n", asking)[-1]

    assert (best(notebook), best(changed)) == ("67%", "64%")


def test_the_page_of_predictions_lists_them_all():
    listed = predictions.listed(ROOT)
    for path in CHAPTERS:
        for identity, _, _ in predictions.prompts(json.loads(path.read_text("utf-8"))):
            assert f'href="../chapters/{path.stem}.html#{identity}"' in listed
            assert f'id="of-{identity}"' in listed
