"""Hidden cases of P6: batches, vectors, spans and chains drawn when it is graded."""

import numpy as np

from course_tools.grading.cases import Hidden
from course_tools.grading.references.p6 import (
    BERT,
    attention_case,
    bound_case,
    causal_case,
    draws_for,
    draws_on_the_border,
    masking_case,
    span_case,
    table_of,
    text_ids,
)
from course_utils.grading.items.p6 import ITEM

HIDDEN = Hidden(ITEM)


@HIDDEN.part("P6.1")
def masking(rng):
    """Batches of several sizes; whole shares, other shares, special tokens inside, none chosen."""
    for shape, rate, shares in (((6, 30), 0.3, BERT), ((3, 40), 0.6, (0.5, 0.3))):
        yield masking_case(text_ids(rng, shape), draws_for(rng, shape), rate, shares, [1, 2])
    ids, shape = text_ids(rng, (5, 20)), (5, 20)
    ids[:, 7] = 4
    yield masking_case(ids, draws_for(rng, shape), 0.7, BERT, [1, 2, 4])
    draws = draws_for(rng, shape)
    yield masking_case(ids, draws, 0.7, BERT, [], "no special ids")
    border, where = draws_on_the_border((8, 16)), "numbers on a border"
    yield masking_case(text_ids(rng, (8, 16)), border, 0.5, (0.5, 0.25), [1, 2], where)
    yield masking_case(ids, draws, 1.0, (0.0, 0.0), [1, 2], "nothing is changed")


@HIDDEN.part("P6.2")
def causal(rng):
    """Any length, one token too."""
    for length in (1, *map(int, rng.integers(4, 12, size=2))):
        yield causal_case(length)


@HIDDEN.part("P6.3")
def attends(rng):
    """Causal, random and full masks; fewer queries than keys, one head, large scores."""
    for heads, queries, keys, width in ((2, 6, 6, 8), (1, 4, 7, 3), (3, 5, 5, 4)):
        q, k, v = (rng.normal(size=(2, heads, n, width)) * 2 for n in (queries, keys, keys))
        allowed = rng.random((queries, keys)) < 0.5
        allowed[:, 0] = True
        yield attention_case(q, k, v, allowed)
        if queries == keys:
            yield attention_case(q, k, v, np.tril(np.ones((keys, keys), bool)))


@HIDDEN.part("P6.4")
def spans(rng):
    """Up to five spans, with at least one token between them; at the ends of a text; none."""
    for count in (1, 3, 5):
        lengths = rng.integers(1, 4, size=count)
        gaps = rng.integers(1, 4, size=count + 1)
        starts = np.cumsum(gaps[:-1]) + np.concatenate([[0], np.cumsum(lengths)[:-1]])
        total = int(gaps.sum() + lengths.sum())
        ids = rng.integers(5, 60, size=total).tolist()
        yield span_case(ids, starts.tolist(), lengths.tolist())
    ids = rng.integers(5, 60, size=9).tolist()
    yield span_case(ids, [0, 7], [3, 2], "a span at an end")
    yield span_case(ids, [], [], "no span")


@HIDDEN.part("P6.5")
def bounds(rng):
    """Chains of three to six symbols."""
    for symbols, length in ((3, 1), (4, 2), (6, 5)):
        rows = np.exp(2 * rng.normal(size=(symbols, symbols)))
        yield bound_case(table_of(rows / rows.sum(1, keepdims=True), 12), length)
