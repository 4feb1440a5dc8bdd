"""Counting against a slow implementation that follows the formulas word by word."""

from __future__ import annotations

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from course_utils.counting import NAMES, NGram, discounts, levels

VOCABULARY, END = 7, 6


def text(length: int, seed: int) -> list[int]:
    """Tokens 0 to 4 that follow each other unevenly; 5 never occurs."""
    draws = np.random.default_rng(seed)
    ids = [0]
    for _ in range(length - 1):
        weights = np.array([5, 4, 3, 2, 1.0])[(np.arange(5) + ids[-1]) % 5]
        ids.append(int(draws.choice(5, p=weights / weights.sum())))
    return ids


DOCUMENTS = [text(60, seed) for seed in range(6)]


class Slow:
    """Modified Kneser-Ney from dictionaries, one probability at a time, by recursion."""

    def __init__(self, documents: list[list[int]], order: int) -> None:
        stream = [token for document in documents for token in [*document, END]]
        self.order = order
        self.grams = {
            n: Counter(tuple(stream[i : i + n]) for i in range(len(stream) - n + 1))
            for n in range(1, order + 1)
        }

    def counts(self, length: int, top: bool) -> Counter:
        """How often, or for lower orders after how many different tokens."""
        if top:
            return self.grams[length]
        before = defaultdict(set)
        for gram in self.grams[length + 1]:
            before[gram[1:]].add(gram[0])
        return Counter({gram: len(tokens) for gram, tokens in before.items()})

    def probability(self, token: int, context: tuple[int, ...], top: bool = True) -> float:
        counts = self.counts(len(context) + 1, top)
        given_up = discounts(np.array([counts[g] for g in self.grams[len(context) + 1]]))
        shorter = self.probability(token, context[1:], False) if context else 1 / VOCABULARY
        following = {g: c for g, c in counts.items() if g[:-1] == context and c > 0}
        total = sum(following.values())
        if not total:
            return shorter
        count = counts[(*context, token)]
        taken = sum(given_up[min(c, 3)] for c in following.values())
        return (max(count - given_up[min(count, 3)], 0) + taken * shorter) / total


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_it_equals_the_slow_one(order):
    fast, slow = NGram.fit(DOCUMENTS, 4, VOCABULARY, END), Slow(DOCUMENTS, 4)
    for row in ([0, 1, 2, 3, 4, 0], [5, 5, 1, 0, END, 2], [END, 4, 3, 2, 1, 0]):
        expected = [
            math.log(slow.probability(token, tuple(row[max(0, i - order + 1) : i])))
            for i, token in enumerate(row)
        ]
        assert fast.log_probs(row, order) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one(order):
    model = NGram.fit(DOCUMENTS, 5, VOCABULARY, END)
    draws = np.random.default_rng(0)
    for length in (0, 1, 2, 4, 6):
        for _ in range(20):
            context = draws.integers(0, VOCABULARY, length)
            found = model.distribution(context, order)
            assert found.sum() == pytest.approx(1, abs=1e-6) and (found > 0).all()


def test_an_unseen_context_backs_off_to_the_shorter_one():
    model = NGram.fit(DOCUMENTS, 3, VOCABULARY, END)
    unseen, known = model.distribution([5, 1]), model.distribution([0, 1])
    assert not np.allclose(unseen, known, atol=1e-3)
    # nothing follows 5 in the text: what is left is the continuation bigram of 1
    slow = Slow(DOCUMENTS, 3)
    expected = [slow.probability(token, (1,), top=False) for token in range(VOCABULARY)]
    assert unseen == pytest.approx(expected, abs=1e-6)


def test_variety_counts_and_frequency_does_not():
    """Token 1 is frequent but follows 0 alone; token 2 is rarer and follows everything."""
    documents = [[0, 1] * 20 + [3, 2, 4, 2, 0, 2, 3, 2, 4, 2]]
    model = NGram.fit(documents, 2, VOCABULARY, END)
    after_unseen, unigram = model.distribution([5]), model.distribution([], 1)
    assert unigram[1] > unigram[2] and after_unseen[2] > after_unseen[1]


def test_discounts_by_hand():
    counts = np.array([1] * 8 + [2] * 4 + [3] * 2 + [4])
    share = 8 / 16
    expected = [0, 1 - 2 * share * 4 / 8, 2 - 3 * share * 2 / 4, 3 - 4 * share * 1 / 2]
    assert discounts(counts) == pytest.approx(expected)
    assert discounts(np.array([9, 12])) == pytest.approx([0, 0.75, 0.75, 0.75])


def test_loss_leaves_out_the_first_token_of_a_row():
    model = NGram.fit(DOCUMENTS, 3, VOCABULARY, END)
    rows = np.array([[0, 1, 2, 3], [4, 0, 1, 1]])
    assert model.loss(rows) == pytest.approx(-model.log_probs(rows)[:, 1:].mean())
    assert model.log_probs(rows).shape == (2, 4) and model.log_probs(rows[0]).shape == (4,)
    assert list(model.orders) == [1, 2, 3]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: NGram.fit([], 2, VOCABULARY, END), "too few"),
        (lambda m: NGram.fit(DOCUMENTS, 0, VOCABULARY, END), "order 0"),
        (lambda m: NGram.fit([[0, 7, 1]], 1, VOCABULARY, END), "vocabulary 7"),
        (lambda m: m.log_probs([0, 1], 4), "counted were 1 to 3"),
        (lambda m: m.log_probs([0, 9]), "0 to 6"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(NGram.fit(DOCUMENTS, 3, VOCABULARY, END))


def test_levels_of_the_record():
    """Lines of a figure: each order is better than the one below it."""
    for text in ("sotu", "course"):
        found = levels(text)
        assert list(found) == list(NAMES.values())
        assert sorted(found.values(), reverse=True) == list(found.values())
    with pytest.raises(ValueError, match="there are sotu, course"):
        levels("verse")
