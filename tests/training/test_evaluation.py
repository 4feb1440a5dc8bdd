"""Intervals: what they cover, what they refuse, and that pairing makes them narrower."""

import numpy as np
import pytest

from course_utils.evaluation import accuracies, accuracy, bootstrap_interval, difference


def test_interval_is_that_of_the_normal_theory_for_many_values():
    values = np.random.default_rng(0).normal(3, 2, 1000)
    low, high = bootstrap_interval(values)
    error = values.std() / 1000**0.5
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.03)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.03)


def test_about_nineteen_of_twenty_intervals_hold_the_true_share():
    draws = np.random.default_rng(1).random((200, 100)) < 0.7
    intervals = [bootstrap_interval(right, samples=300) for right in draws]
    covered = sum(low <= 0.7 <= high for low, high in intervals)
    assert 178 <= covered <= 200


def test_interval_is_the_same_each_time_and_wider_with_more_confidence():
    values = [0, 1, 1, 0, 1, 1, 1, 0]
    assert bootstrap_interval(values) == bootstrap_interval(values)
    low, high = bootstrap_interval(values, confidence=0.5)
    wide = bootstrap_interval(values, confidence=0.99)
    assert wide[0] < low < high < wide[1]


@pytest.mark.parametrize("values", [[], [float("nan")], [[1, 0]]])
def test_interval_refuses_what_has_no_mean(values):
    with pytest.raises(ValueError, match="finite numbers"):
        bootstrap_interval(values)


def test_interval_refuses_impossible_confidence():
    with pytest.raises(ValueError, match="confidence"):
        bootstrap_interval([1, 0], confidence=95)


def test_accuracy_counts_right_answers_and_prints_its_interval():
    found = accuracy([1, 0, 1, 1], [1, 0, 0, 1])
    assert (found.mean, found.count) == (0.75, 4)
    assert found.low <= 0.75 <= found.high
    assert str(found).startswith("75.0% (") and " to " in str(found)


def test_accuracies_keep_names_and_order():
    found = accuracies({"b": [1, 1], "a": [0, 1]}, [1, 1])
    assert {name: a.mean for name, a in found.items()} == {"b": 1.0, "a": 0.5}
    assert list(found) == ["b", "a"]


def test_paired_difference_knows_more_than_two_accuracies():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, 500)
    hard = rng.random(500) < 0.3  # both are wrong on these
    worse = np.where(hard, 1 - labels, labels)
    better = worse.copy()
    fixed = np.flatnonzero(hard)[:15]
    better[fixed] = labels[fixed]
    gain = difference(better, worse, labels)
    assert gain.mean == pytest.approx(15 / 500)
    assert gain.low > 0  # although the two intervals overlap:
    assert accuracy(worse, labels).high > accuracy(better, labels).low


def test_predictions_and_labels_must_be_as_many():
    with pytest.raises(ValueError, match="3 predictions for 2 labels"):
        accuracy([1, 0, 1], [1, 0])
    with pytest.raises(ValueError, match="0 predictions"):
        accuracy([], [])


def test_values_of_one_group_are_drawn_together():
    rng = np.random.default_rng(3)
    groups = [f"noun {number}" for number in range(40) for _ in range(10)]
    values = np.repeat(rng.random(40) < 0.6, 10).astype(float)  # a group is right or wrong as one
    apart = bootstrap_interval(values)
    together = bootstrap_interval(values, groups=groups)
    assert together[1] - together[0] > 2.5 * (apart[1] - apart[0])  # √10 times
    error = values.std() / 40**0.5
    assert together[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.03)
    alone = bootstrap_interval(values, groups=[str(number) for number in range(400)])
    assert alone == pytest.approx(apart, abs=0.01)
    with pytest.raises(ValueError, match="3 groups for 400 values"):
        bootstrap_interval(values, groups=["a", "b", "c"])
