"""Packing, order, length buckets and padding: nothing lost, nothing doubled, all repeatable."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_utils.data.batches import (
    Buckets,
    derive_seed,
    generator_at,
    pack,
    pad,
    pad_inputs,
    rows_at,
)

documents = st.lists(st.lists(st.integers(3, 99), min_size=1, max_size=20), min_size=1, max_size=9)


@given(documents, st.integers(1, 12), st.booleans())
def test_packing_keeps_every_token_in_order(docs, length, with_end):
    end_id = 2 if with_end else None
    stream = [i for doc in docs for i in ([*doc, 2] if with_end else doc)]
    if len(stream) < length:
        with pytest.raises(ValueError, match=f"{len(stream)} tokens do not fill one row"):
            pack(docs, length, end_id=end_id)
        return
    packed = pack(docs, length, end_id=end_id)
    kept = packed.ids.flatten().tolist()
    assert kept == stream[: len(kept)] and len(stream) - len(kept) < length
    owners = [n for n, doc in enumerate(docs) for _ in range(len(doc) + with_end)]
    assert packed.document_ids.flatten().tolist() == owners[: len(kept)]
    assert len(packed) * length == len(kept)


def test_block_diagonal_mask_closes_exactly_the_document_boundaries():
    packed = pack([[5, 6, 7], [8, 9], [10]], 6)
    a, b = torch.ones(3, 3), torch.ones(2, 2)
    expected = torch.block_diag(a, b, torch.ones(1, 1)).bool()
    assert torch.equal(packed.attention_mask()[0], expected)
    assert packed.attention_mask(torch.tensor([0, 0])).shape == (2, 6, 6)


def test_tokens_of_one_document_do_not_depend_on_the_other_under_the_mask():
    from course_utils.models import Bert, BertConfig

    config = BertConfig(40, 16, 2, 2, 32, max_length=6, dropout=0.0)
    torch.manual_seed(0)
    model = Bert(config).eval()
    one, two = pack([[5, 6, 7], [8, 9, 10]], 6), pack([[5, 6, 7], [20, 21, 22]], 6)
    masked = [model(p.ids, p.attention_mask())[:, :3] for p in (one, two)]
    open_ = [model(p.ids)[:, :3] for p in (one, two)]
    assert torch.equal(*masked)
    assert not torch.allclose(*open_, atol=1e-4)  # without the mask the neighbour is read


@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_every_row_comes_once_an_epoch(num_rows, batch_size, seed):
    steps = num_rows  # batch_size whole epochs
    drawn = torch.cat([rows_at(step, num_rows, batch_size, seed) for step in range(steps)])
    for epoch in drawn.view(batch_size, num_rows):
        assert epoch.sort().values.tolist() == list(range(num_rows))


def test_order_depends_on_seed_and_epoch_and_on_nothing_else():
    first = rows_at(7, 100, 8, seed=1)
    torch.rand(5)
    rows_at(3, 50, 8, seed=2)
    assert torch.equal(first, rows_at(7, 100, 8, seed=1))
    assert not torch.equal(first, rows_at(7, 100, 8, seed=2))
    epochs = [rows_at(step, 100, 100, seed=1) for step in (0, 1)]
    assert not torch.equal(*epochs)


def test_seeds_differ_in_every_part():
    seeds = {derive_seed(a, b) for a in range(50) for b in range(50)}
    assert len(seeds) == 2500 and all(0 <= seed < 2**63 for seed in seeds)
    # (1, 11) and (11, 1), or (1, 1) and (11,): no sum, no glue
    assert derive_seed(1, 11) != derive_seed(11, 1) != derive_seed(111)
    draws = [torch.rand(3, generator=generator_at(0, 5)) for _ in range(2)]
    assert torch.equal(*draws)


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 9), st.integers(1, 4))
def test_buckets_hold_every_example_once_an_epoch(lengths, batch_size, pool):
    buckets = Buckets(lengths, batch_size, seed=3, pool=pool)
    for epoch in (0, 1):
        steps = range(epoch * len(buckets), (epoch + 1) * len(buckets))
        batches = [buckets.at(step) for step in steps]
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= batch_size for batch in batches)


def test_buckets_hold_like_lengths_and_change_from_epoch_to_epoch():
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 101, (640,), generator=generator).tolist()
    buckets = Buckets(lengths, 16, seed=0)
    spread = [max(r) - min(r) for r in ([lengths[i] for i in buckets.at(s)] for s in range(40))]
    shuffled = rows_at(0, 640, 640, seed=0).view(40, 16).tolist()
    by_chance = [max(r) - min(r) for r in ([lengths[i] for i in b] for b in shuffled)]
    assert sum(spread) < sum(by_chance) / 10
    first, second = ([buckets.at(s + e * 40) for s in range(40)] for e in (0, 1))
    assert first != second and sorted(first) != sorted(second)
    again = Buckets(lengths, 16, seed=0)
    assert second == [again.at(s + 40) for s in range(40)]  # resumable by number alone


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=7), min_size=1, max_size=5))
def test_padding_is_where_the_mask_says_even_when_the_pad_id_is_a_real_token(rows):
    for side in ("right", "left"):
        inputs = pad_inputs(rows, pad_token_id=3, side=side)
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        assert [ids[i][mask[i]].tolist() for i in range(len(rows))] == rows
        assert (ids[~mask] == 3).all() and mask.dtype == torch.bool
        edge = mask[:, 0] if side == "right" else mask[:, -1]
        assert edge.all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pack([[1]], 0), "length is 0"),
        (lambda: pack([[1], []], 1), "document 1 has no tokens"),
        (lambda: pad([[1], []], 0), r"rows \[1\] are empty"),
        (lambda: pad([], 0), "0 rows to pad"),
        (lambda: pad([[1]], 0, side="top"), '"right" or "left"'),
        (lambda: rows_at(0, 0, 4, 0), "0 rows in batches of 4"),
        (lambda: Buckets([], 4), "0 examples"),
        (lambda: Buckets([3], 0), "batches of 0"),
    ],
)
def test_errors_at_the_door(call, message):
    with pytest.raises(ValueError, match=message):
        call()
