"""The table of T5's ablations: complete, consistent with itself, and of the paper's shape."""

import pytest

from course_utils.data.t5_study import METRICS, deviation, load_study

STUDY = load_study()


def test_every_table_has_its_rows():
    rows = {1: 2, 2: 10, 4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 5, 13: 7}
    assert STUDY.groupby("table").size().to_dict() == rows
    assert list(STUDY.columns[-7:]) == list(METRICS) and not STUDY.isna().any().any()


def test_the_baseline_is_the_same_wherever_it_stands():
    scores = STUDY[STUDY.baseline][list(METRICS)].drop_duplicates()
    assert scores.values.tolist() == [[83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65]]
    assert STUDY[STUDY.baseline].table.tolist() == [1, 2, 5, 6, 7, 8, 9, 13]


def test_rows_that_stand_in_two_tables_agree():
    bert = STUDY[STUDY.variant == "BERT-style"]
    assert len(bert) == 2 and len(bert[list(METRICS)].drop_duplicates()) == 1


@pytest.mark.parametrize(
    ("variant", "metric", "score"),
    [
        ("no pre-training", "SGLUE", 53.04),
        ("causal decoder, language modeling", "SQuAD", 53.81),
        ("50%", "GLUE", 81.27),
        ("3", "SGLUE", 72.53),
        ("4 times the size, same steps", "SGLUE", 78.04),
    ],
)
def test_names_and_scores_are_not_mixed_up(variant, metric, score):
    assert STUDY.set_index("variant").loc[variant, metric] == score


def test_deviation_belongs_to_the_metrics():
    assert deviation()["GLUE"] == 0.235 and deviation()["EnFr"] == 0.09
    assert list(deviation().index) == list(METRICS)
