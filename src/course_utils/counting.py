"""Language models that only count: unigram, bigram, … up to the interpolated 5-gram.

What a neural model must beat. An n-gram model predicts a token from the n − 1 tokens before it,
by how often it followed them. Smoothing is modified Kneser-Ney (Chen & Goodman 1999, sections 2.7
and 3): every count gives up a discount, and what a context gave up goes to the model of the context
that is one token shorter,

    p(w | h) = (c(h w) − D(c(h w))) / c(h) + γ(h) · p(w | h'),

with h' the context h without its first token, γ(h) what the discounts took, and the uniform 1/V
below the unigram. Below the highest order, c counts not how often h w occurs but after how many
different tokens: "Francisco" is frequent, yet it follows one word only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from course_utils import records

Array = np.ndarray[Any, np.dtype[Any]]
NAMES = {1: "unigram", 2: "bigram", 3: "trigram", 4: "4-gram", 5: "5-gram"}


def levels(text: str = "sotu") -> dict[str, float]:
    """Measured losses by name, "unigram" to "5-gram": lines for a figure of losses.

    Nats a piece of the course's tokenizer, on the held-out rows of speeches on which `gpt-mini` is
    validated. `text` is what was counted: the speeches ("sotu") or the mixture ("course").

    Raises:
        ValueError: another text.
    """
    found = records.load("counting")["results"]["levels"]
    if text not in found:
        raise ValueError(f"no levels of {text!r}; there are {', '.join(found)}")
    return dict(found[text])


def discounts(counts: Array) -> Array:
    """What a count of 0, 1, 2, and 3 or more gives up (4,): equation 17 of Chen & Goodman.

    They follow from how many n-grams were counted once, twice, three and four times. In a text too
    small to tell, every count gives up 3/4.
    """
    n1, n2, n3, n4 = (float((counts == times).sum()) for times in (1, 2, 3, 4))
    if not (n1 and n2 and n3 and n4):
        return np.array([0.0, 0.75, 0.75, 0.75])
    share = n1 / (n1 + 2 * n2)
    found = [1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3]
    return np.array([0.0, *np.clip(found, 0.05, [0.95, 1.95, 2.95])])


@dataclass(frozen=True)
class Table:
    """Discounted shares of the n-grams of one length, and what is left for shorter contexts."""

    shares: Array  # of each n-gram: (c(h w) − D) / c(h); the last entry is that of an unseen one
    left: Array  # of each context: γ(h); the last entry is that of an unseen one, 1

    @classmethod
    def of(cls, counts: Array, contexts: Array, num_contexts: int) -> Table:
        """From the count of each n-gram and the number of its context."""
        given_up = discounts(counts)[np.minimum(counts, 3)]
        totals = np.bincount(contexts, counts, num_contexts)
        left = np.bincount(contexts, given_up, num_contexts)
        seen = totals > 0
        left = np.where(seen, left / np.maximum(totals, 1), 1.0)
        shares = (counts - given_up) / np.maximum(totals, 1)[contexts]
        return cls(_float32(shares, unseen=0.0), _float32(left, unseen=1.0))

    def probability(self, ngrams: Array, contexts: Array, shorter: Array) -> Array:
        """p(w | h) from the number of h w, that of h, and p(w | h'); −1 is unseen."""
        return self.shares[ngrams] + self.left[contexts] * shorter


def _float32(values: Array, unseen: float) -> Array:
    """Half the memory; the value of what is unseen comes last, where the number -1 finds it."""
    return np.append(values, unseen).astype(np.float32)


@dataclass(frozen=True)
class Level:
    """All n-grams of one length that occur, numbered in order, each as (context, last token)."""

    keys: Array  # sorted: number of the context × vocabulary + token
    by_count: Table  # of how often: for a model of this order
    by_variety: Table  # of after how many different tokens: for the orders above

    def find(self, keys: Array) -> Array:
        """The number of each n-gram, −1 where it never occurred."""
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[places] == keys, places, -1)


def number_ngrams(text: Array, order: int, vocab_size: int) -> tuple[list[Array], list[Array]]:
    """The different n-grams of each length from 0 to `order`, and which begins at each place."""
    keys = [np.zeros(1, np.int64)]  # the empty one
    numbers = [np.zeros(len(text), np.int64)]
    for length in range(1, order + 1):
        last = text[length - 1 :]
        pairs = numbers[-1][: len(last)] * vocab_size + last
        different, number = np.unique(pairs, return_inverse=True)
        keys.append(different)
        numbers.append(number)
    return keys, numbers


def _level(keys: list[Array], numbers: list[Array], length: int, vocab_size: int) -> Level:
    """The n-grams of one length, counted in both ways."""
    contexts, num_contexts = keys[length] // vocab_size, len(keys[length - 1])
    by_count = Table.of(np.bincount(numbers[length]), contexts, num_contexts)
    if length == len(keys) - 1:  # no longer one tells what stands before it, and none asks
        return Level(keys[length], by_count, by_count)
    without_first = np.empty(len(keys[length + 1]), np.int64)
    without_first[numbers[length + 1]] = numbers[length][1:]
    variety = np.bincount(without_first, minlength=len(keys[length]))
    return Level(keys[length], by_count, Table.of(variety, contexts, num_contexts))


@dataclass(frozen=True)
class NGram:
    """Interpolated n-gram models of all orders up to the highest, counted in one text."""

    levels: tuple[Level, ...]
    vocab_size: int

    @property
    def orders(self) -> range:
        """The orders it can predict with: 1 is the unigram."""
        return range(1, len(self.levels) + 1)

    @classmethod
    def fit(
        cls, documents: Iterable[Sequence[int]], order: int, vocab_size: int, end_id: int
    ) -> NGram:
        """Count all n-grams up to `order` in documents of token ids, laid end to end.

        `end_id` closes each document. 30 million tokens take a minute or two and some 4 GB.

        Raises:
            ValueError: order below 1, no tokens, or an id outside the vocabulary.
        """
        parts = [np.append(np.asarray(document, dtype=np.int64), end_id) for document in documents]
        text = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        if order < 1 or len(text) <= order:
            raise ValueError(f"{len(text)} tokens are too few to count n-grams of order {order}")
        if text.min() < 0 or text.max() >= vocab_size:
            raise ValueError(f"ids from {text.min()} to {text.max()}, vocabulary {vocab_size}")
        keys, numbers = number_ngrams(text, order, vocab_size)
        levels = (_level(keys, numbers, n, vocab_size) for n in range(1, order + 1))
        return cls(tuple(levels), vocab_size)

    def log_probs(self, rows: Any, order: int | None = None) -> Array:
        """Natural logarithm of p(token | the tokens before it in its row), shape (rows, length).

        At the start of a row the context is as short as the row so far. A single row of shape
        (length,) gives (length,).

        Raises:
            ValueError: an order that was not counted, or an id outside the vocabulary.
        """
        order = order or len(self.levels)
        tokens = np.asarray(rows, dtype=np.int64)
        if order not in self.orders:
            raise ValueError(f"order is {order}; counted were 1 to {len(self.levels)}")
        if tokens.size and (tokens.min() < 0 or tokens.max() >= self.vocab_size):
            raise ValueError(f"ids must lie in 0 to {self.vocab_size - 1}")
        found = np.full(tokens.shape, 1 / self.vocab_size)
        shorter = found.copy()
        ngrams = np.zeros(tokens.shape, np.int64)  # that begin at each place; first the empty ones
        for length, level in enumerate(self.levels[:order], 1):
            last = tokens[..., length - 1 :]
            contexts = ngrams[..., : last.shape[-1]]
            ngrams = level.find(np.where(contexts < 0, -1, contexts * self.vocab_size + last))
            below = shorter[..., length - 1 :]
            found[..., length - 1 :] = level.by_count.probability(ngrams, contexts, below)
            shorter[..., length - 1 :] = level.by_variety.probability(ngrams, contexts, below)
        return np.log(found)

    def loss(self, rows: Any, order: int | None = None) -> float:
        """Mean nats a token of rows (rows, length); the first of a row is read, never predicted."""
        return float(-self.log_probs(rows, order)[..., 1:].mean())

    def distribution(self, context: Sequence[int], order: int | None = None) -> Array:
        """p(w | context) of every token w of the vocabulary (vocab_size,); it sums to 1."""
        before = np.tile(np.asarray(context, np.int64), (self.vocab_size, 1))
        rows = np.column_stack([before, np.arange(self.vocab_size)])
        return np.exp(self.log_probs(rows, order)[:, -1])
