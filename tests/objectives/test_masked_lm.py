"""Masked language modelling: every invariant for any input, and the statistics of the draw."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.objectives import IGNORE_INDEX, Batch, masked_lm

VOCAB, PAD, CLS, SEP, MASK, FIRST = 60, 0, 1, 2, 3, 5
SPECIAL = [PAD, CLS, SEP, MASK, 4]
# A correct program fails one of these tests once in a million seeds; the seeds are fixed.
ALPHA = 1e-6


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text(seed: int, rows: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Random rows with specials inside and right padding of random length."""
    ids = torch.randint(0, VOCAB, (rows, length), generator=seeded(seed))
    lengths = torch.randint(0, length + 1, (rows, 1), generator=seeded(seed + 1))
    return ids, torch.arange(length) < lengths


def corrupt(ids: torch.Tensor, seed: int = 0, **options) -> Batch:
    arguments = {"mask_token_id": MASK, "vocab_size": VOCAB, "special_ids": SPECIAL, **options}
    return masked_lm.corrupt(ids, generator=seeded(seed), **arguments)


CASES = {
    "seed": st.integers(0, 10_000),
    "rows": st.integers(0, 5),
    "length": st.integers(0, 30),
    "rate": st.floats(0.01, 1.0),
    "count": st.sampled_from(["fixed", "independent"]),
    "words": st.booleans(),
    "shares": st.sampled_from([(0.8, 0.1), (1.0, 0.0), (0.0, 1.0), (0.0, 0.0), (0.3, 0.3)]),
}


@settings(max_examples=300, deadline=None)
@given(**CASES)
def test_nothing_lost_and_nothing_else_touched(seed, rows, length, rate, count, words, shares):
    ids, real = text(seed, rows, length)
    before, word_ids = ids.clone(), torch.arange(length).expand(rows, length) // 3
    batch = corrupt(
        ids,
        seed,
        rate=rate,
        count=count,
        mask_share=shares[0],
        random_share=shares[1],
        attention_mask=real,
        word_ids=word_ids if words else None,
    )
    assert torch.equal(ids, before), "the caller's tensor was changed"
    chosen, inputs = batch.predicted, batch.inputs["input_ids"]
    # inputs + labels rebuild the text exactly
    assert torch.equal(torch.where(chosen, batch.labels, inputs), before)
    maskable = real & ~torch.isin(ids, torch.tensor(SPECIAL))
    assert not (chosen & ~maskable).any(), "padding or a special token was chosen"
    assert torch.equal(batch.inputs["attention_mask"], real)
    changed = inputs[inputs != before]
    assert not torch.isin(changed[changed != MASK], torch.tensor(SPECIAL)).any()
    if shares[0] == 0:
        assert not (changed == MASK).any()
    if shares == (1.0, 0.0):
        assert (inputs[chosen] == MASK).all()


@settings(max_examples=300, deadline=None)
@given(seed=CASES["seed"], rows=CASES["rows"], length=CASES["length"], rate=CASES["rate"])
def test_fixed_count_is_max_1_and_round_half_up(seed, rows, length, rate):
    ids, real = text(seed, rows, length)
    n = (real & ~torch.isin(ids, torch.tensor(SPECIAL))).sum(1).tolist()
    wanted = [min(k, max(1, math.floor(rate * k + 0.5 + 1e-9))) for k in n]
    batch = corrupt(ids, seed, rate=rate, attention_mask=real)
    assert batch.predicted.sum(1).tolist() == wanted


@pytest.mark.parametrize(
    ("n", "rate", "expected"),
    [(1, 0.15, 1), (10, 0.15, 2), (30, 0.15, 5), (70, 0.15, 11), (6, 0.25, 2), (3, 1.0, 3)],
)
def test_halves_go_up(n, rate, expected):
    # 0.15·30 = 4.5 and 0.15·70 = 10.5: Python's round gives 4 and 10.
    assert corrupt(torch.full((1, n), 9), rate=rate).num_predicted == expected


@settings(max_examples=200, deadline=None)
@given(
    seed=CASES["seed"],
    length=st.integers(1, 30),
    rate=CASES["rate"],
    count=CASES["count"],
    size=st.integers(1, 6),
)
def test_whole_words_stay_whole(seed, length, rate, count, size):
    ids = torch.randint(FIRST, VOCAB, (4, length), generator=seeded(seed))
    word_ids = (torch.arange(length) // size).repeat(4, 1)
    word_ids[:, 0] = -1  # [CLS] belongs to no word
    batch = corrupt(ids, seed, rate=rate, count=count, word_ids=word_ids)
    assert not batch.predicted[:, 0].any()
    for row, words in zip(batch.predicted.tolist(), word_ids.tolist(), strict=True):
        by_word: dict[int, set] = {}
        for chosen, word in zip(row[1:], words[1:], strict=True):
            by_word.setdefault(word, set()).add(chosen)
        assert all(len(outcomes) == 1 for outcomes in by_word.values())
        if count == "fixed" and length > 1:
            limit = max(1, math.floor(rate * (length - 1) + 0.5 + 1e-9))
            assert 1 <= sum(row) <= max(limit, size)


@settings(max_examples=100, deadline=None)
@given(seed=CASES["seed"], length=st.integers(1, 30), rate=CASES["rate"], gap=st.integers(1, 5))
def test_words_of_one_piece_are_the_ordinary_count(seed, length, rate, gap):
    """Also when word numbers have gaps: a number without a word is no word."""
    ids = torch.full((3, length), 9)
    word_ids = gap * torch.arange(1, length + 1).repeat(3, 1)
    assert torch.equal(
        corrupt(ids, seed, rate=rate, word_ids=word_ids).predicted.sum(1),
        corrupt(ids, seed, rate=rate).predicted.sum(1),
    )


def test_a_row_hides_one_word_even_if_it_is_longer_than_the_count():
    word_ids = 5 * (torch.arange(9) // 3).repeat(200, 1)  # numbers with gaps: 0, 5, 10
    chosen = corrupt(torch.full((200, 9), 9), rate=0.05, word_ids=word_ids).predicted
    assert (chosen.sum(1) == 3).all()


def test_a_word_longer_than_the_count_waits_until_there_is_no_other():
    word_ids = torch.tensor([[0] * 60 + [1, 2, 3]]).repeat(200, 1)  # 63 tokens: 9 may be masked
    chosen = corrupt(torch.full((200, 63), 9), rate=0.15, word_ids=word_ids).predicted
    assert not chosen[:, :60].any() and chosen[:, 60:].all()


def test_of_words_that_are_all_too_long_the_shortest_is_masked():
    word_ids = torch.tensor([[0] * 12 + [1] * 5 + [2] * 8]).repeat(100, 1)
    chosen = corrupt(torch.full((100, 25), 9), rate=0.1, word_ids=word_ids).predicted
    assert chosen[:, 12:17].all() and (chosen.sum(1) == 5).all()


def test_a_tokenizer_without_mask_is_named():
    from types import SimpleNamespace

    decoder = SimpleNamespace(mask_token_id=None, all_special_ids=[5])
    with pytest.raises(ValueError, match="has no mask_token: take another, or call"):
        masked_lm.settings(decoder)


def test_the_mask_token_is_special_even_if_nobody_says_so():
    ids = torch.full((50, 40), 9)
    ids[:, ::2] = MASK
    batch = corrupt(ids, rate=1.0, special_ids=[], mask_share=0.0, random_share=1.0)
    assert not batch.predicted[:, ::2].any()
    assert not (batch.inputs["input_ids"][:, 1::2] == MASK).any()


def test_independent_whole_words_hide_the_share_they_should():
    word_ids = (torch.arange(300) // 3).repeat(400, 1)
    batch = corrupt(
        torch.full((400, 300), 9), rate=0.2, count="independent", word_ids=word_ids, seed=3
    )
    words = int(batch.predicted[:, ::3].sum())
    assert stats.binomtest(words, 40_000, 0.2).pvalue > ALPHA


def test_80_10_10_and_uniform_random_pieces():
    ids = torch.full((200, 500), 17)
    batch = corrupt(ids, seed=1, rate=0.5)
    outcome = batch.inputs["input_ids"][batch.predicted]
    masked, kept = int((outcome == MASK).sum()), int((outcome == 17).sum())
    rest = outcome[(outcome != MASK) & (outcome != 17)]
    n, pieces = len(outcome), VOCAB - len(SPECIAL)
    # A random piece equals the original once in `pieces` draws, and is then seen as kept.
    expected = torch.tensor([0.8, 0.1 + 0.1 / pieces, 0.1 * (1 - 1 / pieces)]).double() * n
    assert stats.chisquare([masked, kept, len(rest)], expected / expected.sum() * n).pvalue > ALPHA
    counts = rest.bincount(minlength=VOCAB)
    counts = counts[[i for i in range(VOCAB) if i not in SPECIAL and i != 17]]
    assert stats.chisquare(counts).pvalue > ALPHA


@pytest.mark.parametrize("count", ["fixed", "independent"])
def test_every_position_is_equally_likely(count):
    batch = corrupt(torch.full((20_000, 20), 9), seed=2, rate=0.15, count=count)
    variance = 20_000 * 0.15 * 0.85
    statistic = float(((batch.predicted.sum(0) - 3000.0) ** 2 / variance).sum())
    if count == "fixed":  # 3 of 20 in every row: the counts sum to a constant
        assert statistic * 19 / 20 < stats.chi2(19).isf(ALPHA)
    else:
        assert statistic < stats.chi2(20).isf(ALPHA)


def test_all_pairs_of_positions_are_equally_likely():
    chosen = corrupt(torch.full((30_000, 6), 9), seed=4, rate=0.3).predicted
    assert (chosen.sum(1) == 2).all()
    pair = (chosen * 2 ** torch.arange(6)).sum(1)
    counts = pair.bincount(minlength=64)
    assert stats.chisquare(counts[counts > 0]).pvalue > ALPHA
    assert (counts > 0).sum() == 15


def test_independent_draws_follow_the_binomial_and_can_be_none():
    chosen = corrupt(torch.full((20_000, 8), 9), seed=5, rate=0.15, count="independent").predicted
    counts = chosen.sum(1).bincount(minlength=9)
    expected = stats.binom.pmf(range(9), 8, 0.15) * 20_000
    pooled = [*counts[:5].tolist(), int(counts[5:].sum())]
    assert stats.chisquare(pooled, [*expected[:5], expected[5:].sum()]).pvalue > ALPHA
    assert counts[0] > 0


def test_same_seed_same_masks_and_the_next_call_differs():
    ids = torch.full((4, 50), 9)
    generator = seeded(7)
    arguments = {"mask_token_id": MASK, "vocab_size": VOCAB, "special_ids": SPECIAL}
    first = masked_lm.corrupt(ids, generator=generator, **arguments)
    second = masked_lm.corrupt(ids, generator=generator, **arguments)
    again = masked_lm.corrupt(ids, generator=seeded(7), **arguments)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.labels, second.labels), "masking must be dynamic"


@pytest.mark.parametrize("shape", [(0, 0), (2, 0), (0, 4)])
def test_empty_input_gives_an_empty_batch_and_its_loss_is_refused(shape):
    batch = corrupt(torch.zeros(shape, dtype=torch.long))
    assert batch.num_predicted == 0 and batch.inputs["input_ids"].shape == shape
    with pytest.raises(ValueError, match="nothing to predict: 0 of 0"):
        masked_lm.loss(torch.zeros(*shape, VOCAB), batch)


def test_one_token_is_predicted_and_only_specials_are_not():
    assert corrupt(torch.tensor([[9]])).num_predicted == 1
    batch = corrupt(torch.tensor([[CLS, SEP, PAD]]))
    assert batch.num_predicted == 0
    with pytest.raises(ValueError, match=r"0 of 3 labels, shape \(1, 3\)"):
        masked_lm.loss(torch.zeros(1, 3, VOCAB), batch)


def test_token_types_go_along():
    types = torch.tensor([[0, 0, 1]])
    batch = corrupt(torch.tensor([[9, 9, 9]]), token_type_ids=types)
    assert torch.equal(batch.inputs["token_type_ids"], types)


def test_loss_is_equation_9_1_for_both_forms_of_logits():
    ids, real = text(11, 4, 12)
    batch = corrupt(ids, 1, rate=0.4, attention_mask=real)
    logits = torch.randn(4, 12, VOCAB, generator=seeded(2), dtype=torch.float64)
    by_hand, m = 0.0, 0
    for i, j in batch.predicted.nonzero().tolist():
        row = logits[i, j]
        by_hand += float(row.exp().sum().log() - row[batch.labels[i, j]])
        m += 1
    assert float(masked_lm.loss(logits, batch)) == pytest.approx(by_hand / m, rel=1e-12)
    selected = masked_lm.loss(logits[batch.predicted], batch)
    assert float(selected) == pytest.approx(by_hand / m, rel=1e-12)


def test_gradient_reaches_masked_positions_only():
    ids, real = text(12, 3, 10)
    batch = corrupt(ids, 1, attention_mask=real)
    logits = torch.randn(3, 10, VOCAB, generator=seeded(3), requires_grad=True)
    masked_lm.loss(logits, batch).backward()
    assert torch.equal(logits.grad.abs().sum(-1) > 0, batch.predicted)


def test_batch_moves_with_its_counts():
    batch = corrupt(torch.full((2, 20), 9), token_type_ids=torch.zeros(2, 20, dtype=torch.long))
    moved = batch.to("meta")  # a device without data: only what is carried along is known
    assert moved.num_predicted == batch.num_predicted == 6
    assert {t.device.type for t in [*moved.inputs.values(), moved.labels]} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_ids_and_generator_on_any_device(device):
    ids = torch.full((2, 20), 9, device="cuda")
    batch = masked_lm.corrupt(
        ids,
        mask_token_id=MASK,
        vocab_size=VOCAB,
        special_ids=SPECIAL,
        generator=torch.Generator(device).manual_seed(0),
    )
    assert batch.labels.device == ids.device and batch.num_predicted == 6


GOOD = torch.full((2, 5), 9)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (GOOD[0], {}, r"\(batch, length\), got torch.int64 \(5,\).*\[None\]"),
        (GOOD.float(), {}, r"integer tensor .* torch.float32 \(2, 5\)"),
        ([[1, 2]], {}, "got list"),
        (GOOD + VOCAB, {}, "ids from 69 to 69, the vocabulary has 0 to 59"),
        (GOOD - 10, {}, "ids from -1 to -1"),
        (GOOD, {"mask_token_id": VOCAB}, r"mask_token_id=60 is outside the vocabulary 0..59"),
        (GOOD, {"special_ids": [0, 99]}, r"special_ids\[1\]=99"),
        (GOOD, {"special_ids": list(range(VOCAB))}, "all 60 ids are special"),
        (GOOD, {"rate": 0.0}, r"rate=0.0 must be in \(0, 1\]"),
        (GOOD, {"rate": 1.5}, "rate=1.5"),
        (GOOD, {"mask_share": 0.9, "random_share": 0.2}, "sum to at most 1"),
        (GOOD, {"mask_share": -0.1}, "must be ≥ 0"),
        (GOOD, {"count": "bert"}, '"fixed" .* or "independent"'),
        (GOOD, {"attention_mask": torch.ones(2, 4)}, r"the shape \(2, 5\) .* \(2, 4\)"),
        (GOOD, {"attention_mask": torch.full((2, 5), -1e9)}, "additive -inf form"),
        (GOOD, {"word_ids": torch.ones(5, dtype=torch.long)}, r"word_ids .*\(5,\)"),
        (GOOD, {"token_type_ids": torch.ones(2, 5)}, "token_type_ids torch.float32"),
    ],
)
def test_input_checks_say_what_was_wrong(ids, options, message):
    with pytest.raises(ValueError, match=message):
        corrupt(ids, **options)


def test_loss_refuses_logits_that_do_not_fit():
    batch = corrupt(GOOD)
    with pytest.raises(ValueError, match=r"logits \(2, 4, 60\) do not fit labels \(2, 5\)"):
        masked_lm.loss(torch.zeros(2, 4, VOCAB), batch)
    with pytest.raises(ValueError, match=r"label 9 is outside the 9 classes.*vocab_size"):
        masked_lm.loss(torch.zeros(2, 5, 9), batch)


def test_label_of_a_gap_is_ignore_index():
    batch = corrupt(GOOD)
    assert (batch.labels[~batch.predicted] == IGNORE_INDEX).all() and IGNORE_INDEX == -100
