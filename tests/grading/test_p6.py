"""P6 shows what it says: each model near its bound, and a masked model that starts late."""

import re

import pytest
from chapter import Chapter

from course_utils.data.known_entropy import MarkovSource
from course_utils.grading.items.p6 import LENGTH, SYMBOLS, lowest

SOLUTION = Chapter("P6_three_models", "solutions")


def test_what_ideal_models_pay_for_the_rows_is_near_the_exact_bounds():
    source = MarkovSource.random(SYMBOLS, seed=1)
    h = [source.remaining(n) for n in range(5)]
    exact = {"gpt": h[1], "bert": source.best_mlm_loss(0.25, LENGTH), "t5": (4 * h[1] - h[4]) / 3}
    for name, paid in lowest().items():
        assert paid.mean() == pytest.approx(exact[name], abs=0.02), name


def test_each_model_comes_near_its_bound():
    rows = re.findall(
        r"\| (\w+) \| [\d,]+ \| ([\d.]+) \| ([\d.]+) \|", SOLUTION.output_of("exact bound")
    )
    assert [row[0] for row in rows] == ["gpt", "bert", "t5"]
    for _, bound, reached in rows:
        assert -0.02 < float(reached) - float(bound) < 0.1


def test_on_text_the_masked_model_starts_late():
    text = SOLUTION.output_of("frequencies of characters ({characters")
    found = re.search(r"after (\d+) steps as GPT, (\d+) as T5 and (\d+) as BERT", text)
    gpt, t5, bert = map(int, found.groups())
    assert bert >= 3 * max(gpt, t5)
