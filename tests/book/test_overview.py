"""The pipeline and the timeline say in words what they draw, and refuse what does not fit."""

from datetime import date
from itertools import pairwise

import pytest

from course_utils import overview

TASKS = {"sentiment": ("sentences", "a label"), "names": ("words", "tags")}


def test_months_come_from_arxiv_numbers():
    assert overview.month("1810.04805") == date(2018, 10, 1)
    assert overview.month("2018-06") == date(2018, 6, 1)
    for wrong in ("2018", "1813.04805", "BERT"):
        with pytest.raises(ValueError):
            overview.month(wrong)


def test_pipeline_describes_itself_and_is_drawn_for_both_themes():
    drawn = overview.pipeline("speeches", "guess words", "a model", TASKS)
    assert "sentiment: sentences give a label" in drawn.alt and drawn.light != drawn.dark


@pytest.mark.parametrize("count", [1, 5])
def test_pipeline_refuses_what_does_not_fit(count):
    with pytest.raises(ValueError, match="two to four"):
        overview.pipeline("a", "b", "c", {str(i): ("x", "y") for i in range(count)})


def test_before_and_after_show_the_same_tasks_on_both_sides():
    drawn = overview.before_after({"names": "BiLSTM", "answers": "BiDAF"}, "an encoder")
    assert "names by BiLSTM, answers by BiDAF" in drawn.alt
    for svg in (drawn.light, drawn.dark):
        assert [svg.count(f"<!-- {name} -->") for name in ("names", "answers", "BiDAF")] == [
            2,
            2,
            1,
        ]


@pytest.mark.parametrize("count", [1, 4])
def test_before_and_after_refuse_what_does_not_fit(count):
    with pytest.raises(ValueError, match="two or three"):
        overview.before_after({str(i): "x" for i in range(count)}, "y")


def test_timeline_names_each_model_with_its_month_in_order():
    drawn = overview.timeline({"left": {"later": "2005.14165", "early": "1802.05365"}}, title="T.")
    assert drawn.alt == "T. left: early Feb 2018, later May 2020."


def test_names_in_one_lane_do_not_overlap():
    """Models of one month get labels at least a line apart."""
    rows = [(date(2019, 10, 1), "a"), (date(2019, 10, 1), "b"), (date(2019, 11, 1), "c")]
    places = overview.label_heights([overview.height_of(when, 2019) for when, _ in rows])
    gaps = [high - low for high, low in pairwise(places)]
    assert min(gaps) >= overview.LINE - 1e-9


def test_timeline_refuses_too_many_lanes():
    with pytest.raises(ValueError, match="one to four"):
        overview.timeline({})


TREE = ("Write?", {"no": "an encoder", "yes": ("Pairs?", {"yes": "T5", "no": "a decoder"})})


def test_a_tree_is_told_in_words_question_by_question():
    drawn = overview.decision_tree(TREE)
    told = "Write? no: an encoder. yes: Pairs? yes: T5. no: a decoder."
    assert drawn.alt.startswith("A decision tree") and drawn.alt.endswith(told)


@pytest.mark.parametrize(
    ("tree", "said"),
    [(("Why?", {"so": "it is"}), "1 answers"), (("Why?", {"a": "x" * 70, "b": "y"}), "no room")],
)
def test_a_tree_that_is_none_or_does_not_fit_is_refused(tree, said):
    with pytest.raises(ValueError, match=said):
        overview.decision_tree(tree)
