"""Causal language modelling: one shift, padding by the mask alone, closed document boundaries."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.models import Bert, BertConfig, Gpt, GptConfig
from course_utils.objectives import Batch, causal_lm, visibility

VOCAB, EOS = 50, 7


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text(seed: int, rows: int, length: int, left: bool = False):
    ids = torch.randint(0, VOCAB, (rows, length), generator=seeded(seed))
    lengths = torch.randint(0, length + 1, (rows, 1), generator=seeded(seed + 1))
    positions = torch.arange(length)
    return ids, (positions >= length - lengths) if left else (positions < lengths)


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(0, 5),
    length=st.integers(0, 20),
    left=st.booleans(),
)
def test_every_real_token_with_a_predecessor_is_predicted_once(seed, rows, length, left):
    ids, real = text(seed, rows, length, left)
    before = ids.clone()
    batch = causal_lm.corrupt(ids, attention_mask=real)
    assert torch.equal(ids, before)
    width = max(length - 1, 0)
    assert batch.labels.shape == batch.inputs["input_ids"].shape == (rows, width)
    wanted = (real.sum(1) - 1).clamp(min=0)
    assert torch.equal(batch.predicted.sum(1), wanted)
    for i, j in batch.predicted.nonzero().tolist():
        assert batch.labels[i, j] == ids[i, j + 1] and real[i, j] and real[i, j + 1]
        assert batch.inputs["input_ids"][i, j] == ids[i, j]
    # inputs + the last label rebuild the text
    for row in range(rows):
        kept = ids[row][real[row]]
        if len(kept) > 1:
            rebuilt = torch.cat([kept[:1], batch.labels[row][batch.predicted[row]]])
            assert torch.equal(rebuilt, kept)


def test_the_true_end_of_text_is_predicted_when_pad_is_eos():
    ids = torch.tensor([[3, 4, EOS, EOS, EOS]])
    batch = causal_lm.corrupt(ids, attention_mask=torch.tensor([[1, 1, 1, 0, 0]]))
    assert batch.labels.tolist() == [[4, EOS, -100, -100]]


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 10_000), length=st.integers(1, 20))
def test_nothing_crosses_a_document_boundary(seed, length):
    ids, real = text(seed, 3, length)
    documents = torch.randint(0, 2, (3, length), generator=seeded(seed + 2)).cumsum(1)
    batch = causal_lm.corrupt(ids, attention_mask=real, document_ids=documents)
    mask, width = batch.inputs["attention_mask"], length - 1
    assert mask.shape == (3, width, width) and mask.dtype == torch.bool
    for row in range(3):
        for query in range(width):
            for key in range(width):
                same = documents[row, query] == documents[row, key]
                allowed = bool(key <= query and same and real[row, key]) or key == query
                assert bool(mask[row, query, key]) == allowed
            if batch.predicted[row, query]:
                assert documents[row, query] == documents[row, query + 1]


def test_visibility_has_the_three_patterns_of_the_course():
    mask = torch.ones(1, 4)
    assert visibility(mask).all()
    assert torch.equal(visibility(mask, "left")[0], torch.ones(4, 4).tril().bool())
    prefix = visibility(mask, "prefix", prefix=torch.tensor([2]))[0].int().tolist()
    assert prefix == [[1, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    for wrong in ({"sees": "right"}, {"sees": "prefix"}, {"prefix": torch.tensor([1])}):
        with pytest.raises(ValueError, match="choose"):
            visibility(mask, **wrong)


def test_padding_sees_itself_so_that_no_softmax_is_empty():
    seen = visibility(torch.tensor([[1, 0]]), "left")
    assert seen.any(-1).all() and not seen[0, 0, 1]


SMALL = {
    "vocab_size": VOCAB,
    "hidden_size": 16,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_size": 32,
    "max_length": 32,
    "dropout": 0.0,
}


@torch.no_grad()
def test_a_packed_neighbour_changes_nothing_in_a_real_gpt():
    torch.manual_seed(0)
    model = Gpt(GptConfig(**SMALL, eos_token_id=EOS)).eval()
    ids = torch.randint(0, VOCAB, (1, 13), generator=seeded(1))
    changed = ids.clone()
    changed[0, :5] = (ids[0, :5] + 1) % VOCAB
    documents = torch.tensor([[0] * 5 + [1] * 8])
    closed = [model(**causal_lm.corrupt(x, document_ids=documents).inputs) for x in (ids, changed)]
    assert torch.allclose(closed[0][:, 5:], closed[1][:, 5:], atol=1e-6)
    opened = [model(**causal_lm.corrupt(x).inputs) for x in (ids, changed)]
    assert not torch.allclose(opened[0][:, 5:], opened[1][:, 5:], atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("sees", ["left", "prefix", "both"])
def test_who_sees_what_turns_one_bert_into_three_models(sees):
    """Change token 9 of 12: only positions that may see it change."""
    torch.manual_seed(0)
    model = Bert(BertConfig(**SMALL)).eval()
    ids = torch.randint(0, VOCAB, (1, 12), generator=seeded(2))
    changed = ids.clone()
    changed[0, 9] = (ids[0, 9] + 1) % VOCAB
    prefix = torch.tensor([6]) if sees == "prefix" else None
    seen = visibility(torch.ones_like(ids), sees, prefix=prefix)
    a, b = (model(x, attention_mask=seen)[0] for x in (ids, changed))
    differs = (a - b).abs().amax(-1) > 1e-5
    expected = torch.arange(12) >= (0 if sees == "both" else 9)
    assert torch.equal(differs, expected)
    # A token of the prefix is seen by the prefix before it, too.
    changed = ids.clone()
    changed[0, 4] = (ids[0, 4] + 1) % VOCAB
    c = model(changed, attention_mask=seen)[0]
    starts = {"left": 4, "prefix": 0, "both": 0}[sees]
    assert torch.equal((a - c).abs().amax(-1) > 1e-5, torch.arange(12) >= starts)


def test_loss_is_equation_9_2():
    ids, real = text(5, 3, 9)
    batch = causal_lm.corrupt(ids, attention_mask=real)
    logits = torch.randn(3, 8, VOCAB, generator=seeded(1), dtype=torch.float64)
    terms = [
        float(logits[i, t].exp().sum().log() - logits[i, t, ids[i, t + 1]])
        for i in range(3)
        for t in range(8)
        if real[i, t] and real[i, t + 1]
    ]
    expected = sum(terms) / len(terms)
    assert float(causal_lm.loss(logits, batch)) == pytest.approx(expected, rel=1e-12)
    selected = causal_lm.loss(logits[batch.predicted], batch)
    assert float(selected) == pytest.approx(expected, rel=1e-12)


def test_a_perfect_predictor_of_the_next_token_has_loss_zero():
    ids = torch.arange(10)[None] + 3
    batch = causal_lm.corrupt(ids)
    successor = 100.0 * torch.nn.functional.one_hot(batch.inputs["input_ids"] + 1, VOCAB).float()
    assert float(causal_lm.loss(successor, batch)) < 1e-6


@pytest.mark.parametrize("shape", [(0, 0), (2, 0), (2, 1)])
def test_empty_and_one_token_rows_have_nothing_to_predict(shape):
    batch = causal_lm.corrupt(torch.ones(shape, dtype=torch.long))
    assert isinstance(batch, Batch) and batch.labels.shape == (shape[0], 0)
    with pytest.raises(ValueError, match="nothing to predict"):
        causal_lm.loss(torch.zeros(shape[0], 0, VOCAB), batch)


GOOD = torch.full((2, 5), 9)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (GOOD[0], {}, r"\(batch, length\)"),
        (GOOD.bool(), {}, "torch.bool"),
        (GOOD, {"vocab_size": 9}, "ids from 9 to 9, the vocabulary has 0 to 8"),
        (GOOD, {"attention_mask": torch.ones(2, 4)}, r"the shape \(2, 5\) .* \(2, 4\)"),
        (GOOD, {"document_ids": torch.ones(1, 5, dtype=torch.long)}, r"document_ids .*\(1, 5\)"),
        (GOOD, {"document_ids": torch.ones(2, 5)}, "document_ids torch.float32"),
    ],
)
def test_input_checks_say_what_was_wrong(ids, options, message):
    with pytest.raises(ValueError, match=message):
        causal_lm.corrupt(ids, **options)
