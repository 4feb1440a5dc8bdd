"""Span corruption: T5's rule, nothing lost, and the dial of denoisers."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.objectives import mixture, span_corruption
from course_utils.objectives.mixture import UL2, Denoiser
from course_utils.objectives.span_corruption import Vocabulary, reconstruct

EOS, PAD, VOCAB = 1, 0, 300
FIRST = VOCAB - 1
T5 = Vocabulary(first_sentinel_id=FIRST, eos_token_id=EOS, num_sentinels=100)
ALPHA = 1e-6


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def text(seed: int, rows: int, length: int):
    """Raw tokens, the pad id and the end id among them, with right padding."""
    ids = torch.randint(0, 200, (rows, length), generator=seeded(seed))
    lengths = torch.randint(0, length + 1, (rows, 1), generator=seeded(seed + 1))
    return ids, torch.arange(length) < lengths


def check_form(batch, row: int, final: bool = False) -> int:
    """Everything that holds for any row of any span corruption; returns the number of spans."""
    real = batch.inputs["attention_mask"][row]
    inputs = batch.inputs["input_ids"][row]
    targets = batch.labels[row][batch.predicted[row]]
    assert (inputs[~real] == PAD).all() and inputs[real][-1] == EOS and targets[-1] == EOS
    first = inputs[T5.is_sentinel(inputs)].tolist()
    second = targets[T5.is_sentinel(targets)].tolist()
    spans = len(first)
    assert first == [FIRST - i for i in range(spans)], "sentinels descend from <extra_id_0>"
    assert second == [FIRST - i for i in range(spans + final)]
    # the decoder reads pad, then the targets without the last one
    reads = batch.inputs["decoder_input_ids"][row]
    assert reads[: len(targets)].tolist() == [PAD, *targets[:-1].tolist()]
    assert (reads >= 0).all(), "-100 must not reach an embedding"
    return spans


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(0, 4),
    length=st.integers(0, 40),
    rate=st.floats(0.01, 1.0),
    mean_span=st.floats(1.0, 10.0),
    final=st.booleans(),
)
def test_inputs_and_targets_rebuild_the_text(seed, rows, length, rate, mean_span, final):
    ids, real = text(seed, rows, length)
    before = ids.clone()
    batch = span_corruption.corrupt(
        ids,
        vocabulary=T5,
        generator=seeded(seed),
        rate=rate,
        mean_span=mean_span,
        final_sentinel=final,
        attention_mask=real,
        vocab_size=VOCAB,
    )
    assert torch.equal(ids, before)
    for row in range(rows):
        n = int(real[row].sum())
        tokens, spans = span_corruption.span_counts(n, rate, mean_span)
        assert reconstruct(batch, row, T5) == ids[row, :n].tolist()
        assert check_form(batch, row, final) == int(spans)
        assert int(batch.predicted[row].sum()) == int(tokens + spans) + final + 1
        assert int(batch.inputs["attention_mask"][row].sum()) == n - int(tokens - spans) + 1


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 4), length=st.integers(0, 12))
def test_any_choice_of_spans_rebuilds_the_text(seed, rows, length):
    """Also masks that T5 never draws: starting with noise, ending without, all hidden, none."""
    ids, real = text(seed, rows, length)
    noise = torch.rand(rows, length, generator=seeded(seed)) < 0.5
    batch = span_corruption.from_noise_mask(ids, noise, vocabulary=T5, attention_mask=real)
    for row in range(rows):
        check_form(batch, row)
        assert reconstruct(batch, row, T5) == ids[row][real[row]].tolist()


@settings(max_examples=300, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    length=st.integers(2, 200),
    rate=st.floats(0.01, 1.0),
    mean_span=st.floats(1.0, 70.0),
)
def test_noise_mask_follows_the_rule(seed, length, rate, mean_span):
    lengths = torch.tensor([length, max(2, length // 2)])
    noise = span_corruption.noise_mask(lengths, length, rate, mean_span, seeded(seed))
    tokens, spans = span_corruption.span_counts(lengths, rate, mean_span)
    assert not noise[:, 0].any(), "a row must not start with noise"
    assert torch.equal(noise.sum(1), tokens)
    starts = noise & ~torch.nn.functional.pad(noise, (1, 0))[:, :-1]
    assert torch.equal(starts.sum(1), spans)
    for row, n in enumerate(lengths.tolist()):
        assert noise[row, n - 1] and not noise[row, n:].any()


def test_number_of_noise_tokens_and_spans_is_t5s():
    # 12 · 0.5 / 4 = 1.5 and 20·0.5/4 = 2.5: both round to 2, half to even, as T5's code does.
    assert [int(x) for x in span_corruption.span_counts(568, 0.15, 3.0)] == [85, 28]
    assert [int(x) for x in span_corruption.span_counts(12, 0.5, 4.0)] == [6, 2]
    assert [int(x) for x in span_corruption.span_counts(20, 0.5, 4.0)] == [10, 2]
    assert [int(x) for x in span_corruption.span_counts(3, 0.01, 3.0)] == [1, 1]
    assert [int(x) for x in span_corruption.span_counts(10, 1.0, 1.0)] == [9, 1]
    assert [int(x) for x in span_corruption.span_counts(1, 0.5, 1.0)] == [0, 0]


def test_all_masks_are_equally_likely():
    # 8 tokens, 4 hidden in 2 spans: 3 ways to cut the kept tokens times 3 for the hidden ones.
    lengths = torch.full((20_000,), 8)
    noise = span_corruption.noise_mask(lengths, 8, 0.5, 2.0, seeded(1))
    codes = (noise * 2 ** torch.arange(8)).sum(1).bincount()
    assert (codes > 0).sum() == 9
    assert stats.chisquare(codes[codes > 0]).pvalue > ALPHA


def reference_masks(length: int, tokens: int, spans: int) -> set[tuple[bool, ...]]:
    """All masks of T5's rule, by enumeration of the cuts."""

    def cuts(items: int) -> list[list[int]]:
        return [
            [b - a for a, b in zip((0, *cut), (*cut, items), strict=True)]
            for cut in combinations(range(1, items), spans - 1)
        ]

    masks = set()
    for kept in cuts(length - tokens):
        for hidden in cuts(tokens):
            mask: list[bool] = []
            for k, h in zip(kept, hidden, strict=True):
                mask += [False] * k + [True] * h
            masks.add(tuple(mask))
    return masks


@pytest.mark.parametrize(
    ("length", "rate", "mean_span"), [(7, 0.4, 1.0), (9, 0.5, 2.0), (6, 0.15, 3)]
)
def test_every_mask_of_the_rule_is_drawn_and_no_other(length, rate, mean_span):
    lengths = torch.full((5_000,), length)
    noise = span_corruption.noise_mask(lengths, length, rate, mean_span, seeded(2))
    tokens, spans = (int(x) for x in span_corruption.span_counts(length, rate, mean_span))
    assert {tuple(row) for row in noise.tolist()} == reference_masks(length, tokens, spans)


def test_lengths_of_t5():
    assert span_corruption.lengths(512, 0.15, 3.0) == (568, 114)
    assert span_corruption.lengths(512, 0.15, 3.0, final_sentinel=True) == (568, 115)


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(3, 150),
    rate=st.floats(0.05, 0.9),
    mean_span=st.floats(1.0, 10.0),
    final=st.booleans(),
)
def test_lengths_are_what_corrupt_makes(size, rate, mean_span, final):
    raw, targets = span_corruption.lengths(size, rate, mean_span, final_sentinel=final)
    vocabulary = Vocabulary(2999, EOS, num_sentinels=1000)
    made = [
        span_corruption.corrupt(
            torch.full((2, n), 5),
            vocabulary=vocabulary,
            generator=seeded(0),
            rate=rate,
            mean_span=mean_span,
            final_sentinel=final,
        )
        for n in (raw, raw + 1)
    ]
    width = made[0].inputs["input_ids"].shape[1]
    # Where spans outnumber the kept tokens, one raw token can bring two more input tokens.
    assert width == size or (width == size - 1 and (rate > 0.5 or mean_span < 2))
    assert made[0].labels.shape == (2, targets)
    assert made[1].inputs["input_ids"].shape[1] > size, "one more raw token must not fit"


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    length=st.integers(0, 30),
    rate=st.one_of(st.none(), st.floats(0.01, 1.0)),
)
def test_prefix_lm_hides_the_end_of_the_text(seed, length, rate):
    ids, real = text(seed, 3, length)
    batch = span_corruption.prefix_lm(
        ids, vocabulary=T5, generator=seeded(seed), rate=rate, attention_mask=real
    )
    for row in range(3):
        n = int(real[row].sum())
        assert check_form(batch, row) == (n >= 2)
        assert reconstruct(batch, row, T5) == ids[row, :n].tolist()
        if n >= 2:
            hidden = int(batch.predicted[row].sum()) - 2
            prefix = batch.inputs["input_ids"][row, : n - hidden]
            assert prefix.tolist() == ids[row, : n - hidden].tolist()
            if rate is not None:
                assert hidden == min(max(round(n * rate), 1), n - 1)


@pytest.mark.parametrize("function", [span_corruption.corrupt, mixture.corrupt])
def test_empty_and_one_token_rows_predict_only_their_end(function):
    for shape in [(2, 0), (2, 1)]:
        batch = function(torch.full(shape, 9), vocabulary=T5, generator=seeded(0))
        assert batch.labels.tolist() == [[EOS], [EOS]]
    batch = function(torch.zeros(0, 4, dtype=torch.long), vocabulary=T5, generator=seeded(0))
    with pytest.raises(ValueError, match="nothing to predict"):
        span_corruption.loss(torch.zeros(*batch.labels.shape, VOCAB), batch)


def test_suffix_mask_ends_with_the_row():
    hidden = span_corruption.suffix_mask(torch.tensor([4, 1, 0]), 6, 0.5)
    assert hidden.int().tolist() == [[0, 0, 1, 1, 0, 0], [0] * 6, [0] * 6]


def test_the_example_of_the_paper():
    """Raffel et al. 2020, figure 2: "for inviting" and "last" are hidden."""
    ids = torch.arange(10, 20)[None]
    noise = torch.zeros(1, 10, dtype=torch.bool)
    noise[0, [2, 3, 8]] = True
    x, y, z = FIRST, FIRST - 1, FIRST - 2
    batch = span_corruption.from_noise_mask(ids, noise, vocabulary=T5, final_sentinel=True)
    assert batch.inputs["input_ids"].tolist() == [[10, 11, x, 14, 15, 16, 17, y, 19, EOS]]
    assert batch.labels.tolist() == [[x, 12, 13, y, 18, z, EOS]]
    assert batch.inputs["decoder_input_ids"].tolist() == [[PAD, x, 12, 13, y, 18, z]]


def test_reconstruct_refuses_targets_without_their_sentinel():
    batch = span_corruption.corrupt(torch.full((1, 20), 9), vocabulary=T5, generator=seeded(0))
    inputs = batch.inputs["input_ids"]
    inputs[T5.is_sentinel(inputs)] = 9
    with pytest.raises(ValueError, match="no sentinel"):
        reconstruct(batch, 0, T5)
    batch.labels[:] = torch.tensor([9, *[EOS] * (batch.labels.shape[1] - 1)])
    with pytest.raises(ValueError, match="start with 9, not with a sentinel"):
        reconstruct(batch, 0, T5)


def test_loss_is_equation_9_3():
    ids, real = text(3, 3, 20)
    batch = span_corruption.corrupt(
        ids, vocabulary=T5, generator=seeded(0), attention_mask=real, rate=0.4
    )
    logits = torch.randn(*batch.labels.shape, VOCAB, generator=seeded(1), dtype=torch.float64)
    terms = [
        float(logits[i, t].exp().sum().log() - logits[i, t, batch.labels[i, t]])
        for i, t in (batch.labels >= 0).nonzero().tolist()
    ]
    expected = sum(terms) / len(terms)
    assert float(span_corruption.loss(logits, batch)) == pytest.approx(expected, rel=1e-12)


# --- the dial -----------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10_000), length=st.integers(0, 100), modes=st.booleans())
def test_mixture_rebuilds_the_text_and_marks_the_mode(seed, length, modes):
    ids, real = text(seed, 4, length)
    tokens = {"R": 250 - 60, "S": 250 - 61, "X": 250 - 62} if modes else None
    batch = mixture.corrupt(
        ids, vocabulary=T5, generator=seeded(seed), attention_mask=real, mode_token_ids=tokens
    )
    for row in range(4):
        rebuilt = reconstruct(batch, row, T5)
        if tokens:
            assert rebuilt.pop(0) in tokens.values()
        assert rebuilt == ids[row][real[row]].tolist()
        check_form(batch, row)


def test_ul2_is_the_table_of_the_paper():
    spans = {(d.mode, d.rate, d.mean_span) for d in UL2 if not d.suffix}
    regular, extreme = {("R", 0.15, 3), ("R", 0.15, 8)}, {("X", 0.5, 3), ("X", 0.5, 8)}
    assert spans == regular | extreme | {("X", 0.15, 64), ("X", 0.5, 64)}
    assert [(d.mode, d.rate) for d in UL2 if d.suffix] == [("S", 0.25)]


@pytest.mark.parametrize("denoiser", UL2)
def test_each_denoiser_hides_what_it_says(denoiser):
    n = 512
    batch = mixture.corrupt(
        torch.full((8, n), 9), vocabulary=T5, generator=seeded(0), denoisers=[denoiser]
    )
    rate, span = denoiser.rate, n if denoiser.suffix else denoiser.mean_span
    hidden = round(n * rate)
    spans = max(1, round(hidden / span))
    assert (batch.predicted.sum(1) == hidden + spans + 1).all()
    last = batch.inputs["input_ids"][:, -2]
    assert T5.is_sentinel(last).all()
    if denoiser.suffix:
        assert spans == 1 and (batch.inputs["input_ids"][:, : n - hidden] == 9).all()


@settings(max_examples=60, deadline=None)
@given(length=st.integers(2, 100), rate=st.sampled_from([0.15, 0.3, 0.45, 0.5]))
def test_one_denoiser_counts_as_span_corruption_does(length, rate):
    ids = torch.full((2, length), 9)
    alone = span_corruption.corrupt(ids, vocabulary=T5, generator=seeded(0), rate=rate)
    dial = mixture.corrupt(
        ids, vocabulary=T5, generator=seeded(0), denoisers=[Denoiser("R", rate, 3)]
    )
    assert torch.equal(alone.predicted.sum(1), dial.predicted.sum(1))


def test_a_denoiser_that_stands_thrice_is_drawn_thrice_as_often():
    pair = [Denoiser("R", 0.25, 1), Denoiser("S", 0.5, suffix=True)]
    batch = mixture.corrupt(
        torch.full((8_000, 8), 9),
        vocabulary=T5,
        generator=seeded(5),
        denoisers=[pair[0], pair[0], *pair],
        mode_token_ids={"R": 201, "S": 202},
    )
    modes = batch.inputs["input_ids"][:, 0]
    regular = int((modes == 201).sum())
    assert regular + int((modes == 202).sum()) == 8_000
    assert stats.binomtest(regular, 8_000, 0.75).pvalue > ALPHA
    hidden = batch.predicted.sum(1) - 1 - T5.is_sentinel(batch.labels).sum(1)
    assert torch.equal(hidden, torch.where(modes == 201, 2, 4))


GOOD = torch.full((2, 8), 9)
FEW = Vocabulary(FIRST, EOS, num_sentinels=2)


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (GOOD[0], {}, r"\(batch, length\)"),
        (GOOD, {"vocab_size": 9}, "ids from 9 to 9, the vocabulary has 0 to 8"),
        (GOOD, {"vocab_size": 250}, "first_sentinel_id=299 is outside the vocabulary 0..249"),
        (GOOD, {"rate": 0.0}, r"rate=0.0 must be in \(0, 1\]"),
        (GOOD, {"mean_span": 0.5}, "mean_span=0.5 must be at least 1"),
        (GOOD, {"attention_mask": torch.ones(2, 7)}, r"the shape \(2, 8\) .* \(2, 7\)"),
        (GOOD, {"attention_mask": torch.arange(8).repeat(2, 1) > 1}, "pad on the right"),
        (torch.full((2, 8), FIRST - 5), {}, "already hold 16 sentinels"),
        (
            GOOD,
            {"vocabulary": FEW, "rate": 0.5, "mean_span": 1},
            "4 sentinels needed .* has 2: use shorter rows",
        ),
        (GOOD, {"vocabulary": FEW, "rate": 0.25, "mean_span": 1, "final_sentinel": True}, "3 sent"),
    ],
)
def test_input_checks_say_what_was_wrong(ids, options, message):
    with pytest.raises(ValueError, match=message):
        span_corruption.corrupt(ids, **{"vocabulary": T5, "generator": seeded(0), **options})


def test_errors_of_the_parts():
    with pytest.raises(ValueError, match="leave out eos=298"):
        Vocabulary(FIRST, eos_token_id=298)
    with pytest.raises(ValueError, match=r"sentinels -41\.\.58"):
        Vocabulary(58, eos_token_id=100)
    with pytest.raises(ValueError, match=r"noise .*\(2, 7\)"):
        span_corruption.from_noise_mask(GOOD, GOOD[:, 1:].bool(), vocabulary=T5)
    with pytest.raises(ValueError, match="need 3"):
        span_corruption.lengths(2)
    arguments = {"vocabulary": T5, "generator": seeded(0)}
    for wrong in ({"denoisers": []}, {"mode_token_ids": {"R": 3}}):
        with pytest.raises(ValueError, match="one token for each mode"):
            mixture.corrupt(GOOD, **arguments, **wrong)
    with pytest.raises(ValueError, match=r"mode_token_ids\[X\]=400"):
        modes = {"R": 3, "S": 4, "X": 400}
        mixture.corrupt(GOOD, **arguments, mode_token_ids=modes, vocab_size=VOCAB)
    with pytest.raises(ValueError, match=r"rate=2"):
        Denoiser("R", 2.0)
    with pytest.raises(ValueError, match="mean_span=0"):
        Denoiser("R", 0.5, 0)


def tokenizer_with(*added: str, **special: str):
    """A word-level tokenizer, with tokens added in this order."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1, "b": 2}, unk_token="<unk>"))
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", **special)
    tokenizer.add_tokens(list(added))
    return tokenizer


ENDS = {"eos_token": "</s>", "pad_token": "<pad>"}


def test_settings_look_the_sentinels_up():
    found = span_corruption.settings(
        tokenizer_with("<extra_id_2>", "<extra_id_1>", "<extra_id_0>", "<extra_id_note>", **ENDS)
    )["vocabulary"]
    assert (found.first_sentinel_id, found.num_sentinels) == (7, 3)


@pytest.mark.parametrize(
    "added, special, said",
    [
        (["<extra_id_0>", "<extra_id_1>"], ENDS, "T5's descend one by one"),
        (["<extra_id_1>", "a word", "<extra_id_0>"], ENDS, "T5's descend one by one"),
        (["a word"], ENDS, "has no sentinels"),
        (["<extra_id_0>"], {"pad_token": "<pad>"}, "has no eos_token"),
        (["<extra_id_0>"], {}, "has no eos_token and no pad_token"),
    ],
)
def test_settings_refuse_a_tokenizer_whose_ids_are_others(added, special, said):
    with pytest.raises(ValueError, match=said):
        span_corruption.settings(tokenizer_with(*added, **special))
