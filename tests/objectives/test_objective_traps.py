"""The traps of pre-training objectives: one check each, passed by ours and failed by the trap.

Every trap has bitten a known code base. A check takes an implementation; the first test of each
pair gives it the package's own, the second gives it the same thing with the trap put back and
asserts that the check fails. So a check that cannot fail is itself a failing test.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from course_utils.data.known_entropy import MarkovSource
from course_utils.objectives import (
    IGNORE_INDEX,
    Batch,
    causal_lm,
    masked_lm,
    next_sentence,
    span_corruption,
)
from course_utils.objectives.span_corruption import Vocabulary
from course_utils.training.loop import total_counts, weighted

VOCAB, PAD, CLS, SEP, MASK = 40, 0, 1, 2, 3
SPECIAL = (PAD, CLS, SEP, MASK)
EOS = 7
T5 = Vocabulary(first_sentinel_id=VOCAB - 1, eos_token_id=EOS, num_sentinels=10)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def mask(ids: torch.Tensor, seed: int = 0, **options: Any) -> Batch:
    arguments = {"mask_token_id": MASK, "vocab_size": VOCAB, "special_ids": SPECIAL, **options}
    return masked_lm.corrupt(ids, generator=seeded(seed), **arguments)


def span(ids: torch.Tensor, seed: int = 0, **options: Any) -> Batch:
    return span_corruption.corrupt(ids, vocabulary=T5, generator=seeded(seed), **options)


def words(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(8, 28, (rows, length), generator=seeded(seed))


# --- 1: the loss is a mean over masked positions only --------------------------------------------


def check_1(loss: Callable) -> None:
    batch = mask(words(4, 20))
    logits = torch.randn(4, 20, VOCAB, generator=seeded(1))
    before = loss(logits, batch)
    where = batch.predicted
    log_p = logits.log_softmax(-1)[where].gather(1, batch.labels[where][:, None])
    assert torch.allclose(before, -log_p.mean()), "not the mean over masked positions"
    changed = logits.clone()
    changed[~where] += torch.randn(VOCAB, generator=seeded(2))
    assert torch.equal(loss(changed, batch), before), "unmasked positions have a say"


def averaged_over_all_positions(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    labels = batch.labels.clamp(min=0)
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten())


def masked_sum_over_all_positions(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    each = F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten(), reduction="none")
    return each.mean()


# --- 2: 80/10/10 ----------------------------------------------------------------------------------


def check_2(corrupt: Callable) -> None:
    ids = torch.full((100, 1000), 9)
    batch = corrupt(ids)
    outcome = batch.inputs["input_ids"][batch.predicted]
    n = len(outcome)
    pieces = VOCAB - len(SPECIAL)
    shares = {"mask": 0.8, "other": 0.1 * (1 - 1 / pieces)}
    seen = {"mask": outcome == MASK, "other": (outcome != MASK) & (outcome != 9)}
    for name, share in shares.items():
        sigma = math.sqrt(share * (1 - share) / n)
        # five standard errors: a false alarm once in 1.7 million seeds
        assert abs(float(seen[name].float().mean()) - share) < 5 * sigma, name


def second_draw_of_one_tenth(ids: torch.Tensor) -> Batch:
    """After "not [MASK]" (20%), a second draw of 0.1 gives 2% random and 18% kept."""
    return mask(ids, mask_share=0.8, random_share=0.2 * 0.1)


# --- 3: random replacement never draws a special token -------------------------------------------


def check_3(corrupt: Callable) -> None:
    ids = torch.full((100, 1000), 9)
    batch = corrupt(ids)
    new = batch.inputs["input_ids"][batch.predicted]
    drawn = set(new[new != MASK].tolist())
    assert not drawn & set(SPECIAL), "a special token was put into the text"
    assert drawn == set(range(VOCAB)) - set(SPECIAL), "not every piece can be drawn"


def random_from_the_whole_vocabulary(ids: torch.Tensor) -> Batch:
    batch = mask(ids)
    changed = batch.predicted & (batch.inputs["input_ids"] != MASK)
    anything = torch.randint(VOCAB, ids.shape, generator=seeded(1))
    inputs = torch.where(changed, anything, batch.inputs["input_ids"])
    return replace(batch, inputs={**batch.inputs, "input_ids": inputs})


# --- 4: at least one, round half up, never NaN ----------------------------------------------------


def check_4_count(corrupt: Callable) -> None:
    for n, expected in [(1, 1), (3, 1), (10, 2), (30, 5), (70, 11), (20, 3)]:
        rows = corrupt(words(50, n)).predicted.sum(1)
        assert (rows == expected).all(), f"{n} tokens: {rows.unique().tolist()}, not {expected}"


def bankers_rounding(ids: torch.Tensor) -> Batch:
    count = max(1, round(0.15 * ids.shape[1]))
    return mask(ids, rate=count / ids.shape[1])


def no_minimum_of_one(ids: torch.Tensor) -> Batch:
    batch = mask(ids)
    empty = math.floor(0.15 * ids.shape[1] + 0.5 + 1e-9) == 0
    return replace(batch, labels=torch.full_like(ids, IGNORE_INDEX)) if empty else batch


def independent_draws(ids: torch.Tensor) -> Batch:
    return mask(ids, count="independent")


def check_4_nan(loss: Callable) -> None:
    nothing = Batch({}, torch.full((2, 3), IGNORE_INDEX))
    with pytest.raises(ValueError, match="nothing to predict"):
        loss(torch.zeros(2, 3, VOCAB), nothing)


def nan_when_nothing_is_masked(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(logits.flatten(0, 1), batch.labels.flatten())


# --- 5: specials and padding never chosen, mask goes along, caller's tensor untouched ------------


def check_5(corrupt: Callable) -> None:
    ids = words(20, 12)
    ids[:, 0], ids[:, 5], ids[:, 8:] = CLS, SEP, PAD
    ids[:, 8] = 30  # padding is known by its mask, whatever id it has
    real = torch.arange(12).expand(20, -1) < 8
    before = ids.clone()
    for seed in range(20):
        batch = corrupt(ids, real, seed)
        assert torch.equal(ids, before), "the caller's tensor was changed in place"
        assert not batch.predicted[:, [0, 5, 8, 9, 10, 11]].any(), "special or padding chosen"
        assert torch.equal(batch.inputs["attention_mask"].bool(), real), "the mask was lost"


def ours_5(ids: torch.Tensor, real: torch.Tensor, seed: int) -> Batch:
    return mask(ids, seed, attention_mask=real)


def specials_may_be_chosen(ids: torch.Tensor, real: torch.Tensor, seed: int) -> Batch:
    return mask(ids, seed, attention_mask=real, special_ids=())


def padding_known_by_id_only(ids: torch.Tensor, real: torch.Tensor, seed: int) -> Batch:
    batch = mask(ids, seed)
    return replace(batch, inputs={**batch.inputs, "attention_mask": real})


def attention_mask_lost(ids: torch.Tensor, real: torch.Tensor, seed: int) -> Batch:
    batch = ours_5(ids, real, seed)
    everything = torch.ones_like(real)
    return replace(batch, inputs={**batch.inputs, "attention_mask": everything})


def in_place(ids: torch.Tensor, real: torch.Tensor, seed: int) -> Batch:
    batch = ours_5(ids, real, seed)
    return replace(
        batch, inputs={**batch.inputs, "input_ids": ids.copy_(batch.inputs["input_ids"])}
    )


# --- 6: evaluation --------------------------------------------------------------------------------


def check_6_pooling(pool: Callable) -> None:
    batches = [mask(words(rows, length)) for rows, length in ((1, 5), (8, 60))]
    logits = [
        torch.randn(*b.labels.shape, VOCAB, generator=seeded(i)) for i, b in enumerate(batches)
    ]
    losses = [masked_lm.loss(x, b) for x, b in zip(logits, batches, strict=True)]
    summed = sum(
        float(F.cross_entropy(x[b.predicted], b.labels[b.predicted], reduction="sum"))
        for x, b in zip(logits, batches, strict=True)
    )
    tokens = sum(b.num_predicted for b in batches)
    pooled = pool(losses, [b.num_predicted for b in batches])
    assert pooled == pytest.approx(summed / tokens, rel=1e-5)


def pooled_by_the_loop(losses: list, counts: list) -> float:
    parts = [Batch({}, torch.ones(1, count, dtype=torch.long)) for count in counts]
    whole, pairs = total_counts(parts), zip(losses, parts, strict=True)
    return float(sum(weighted(loss, part, whole) for loss, part in pairs))


def mean_of_batch_means(losses: list, counts: list) -> float:
    return sum(map(float, losses)) / len(losses)


def check_6_frozen(evaluation_batch: Callable) -> None:
    ids = words(4, 50)
    assert torch.equal(evaluation_batch(ids).labels, evaluation_batch(ids).labels)


_RUNNING = seeded(3)


def masks_drawn_anew(ids: torch.Tensor) -> Batch:
    arguments = {"mask_token_id": MASK, "vocab_size": VOCAB, "special_ids": SPECIAL}
    return masked_lm.corrupt(ids, generator=_RUNNING, **arguments)


def test_6_exp_of_the_mlm_loss_is_no_perplexity():
    """One source, one perplexity; the best MLM loss lies on either side of it, as the rate says."""
    source = MarkovSource.random(8, seed=0)
    best = [math.exp(source.best_mlm_loss(rate, 64)) for rate in (0.15, 0.9)]
    assert best[0] < 0.9 * math.exp(source.entropy_rate)
    assert best[1] > 1.1 * math.exp(source.entropy_rate)


# --- 7: next sentence ----------------------------------------------------------------------------

LIBRARY = [[[8 + d] for _ in range(40)] for d in range(3)]  # the token tells the document


def pairs(documents: list) -> Batch:
    return next_sentence.make_pairs(
        documents, cls_token_id=CLS, sep_token_id=SEP, generator=seeded(1)
    )


def check_7_pairs(make: Callable) -> None:
    batch = make(LIBRARY)
    first, second = batch.inputs["input_ids"][:, 1], batch.inputs["input_ids"][:, 3]
    label = batch.next_sentence_label
    assert set(label.tolist()) == {0, 1}
    assert (first == second)[label == 0].all(), "label 0 must mean: B follows A"
    assert (first != second)[label == 1].all(), "label 1 must mean: B is from another document"


def labels_the_other_way_round(documents: list) -> Batch:
    batch = pairs(documents)
    return replace(batch, next_sentence_label=1 - batch.next_sentence_label)


def random_from_any_document(documents: list) -> Batch:
    batch = pairs(documents)
    ids = batch.inputs["input_ids"].clone()
    anything = torch.randint(8, 11, (len(ids),), generator=seeded(2))
    ids[:, 3] = torch.where(batch.next_sentence_label == 1, anything, ids[:, 3])
    return replace(batch, inputs={**batch.inputs, "input_ids": ids})


def check_7_loss(loss: Callable) -> None:
    batch = pairs(LIBRARY)
    logits = torch.randn(len(batch.labels), 2, generator=seeded(2), requires_grad=True)
    value = loss(logits, batch)
    value.backward()
    assert (logits.grad.abs().sum(1) > 0).all(), "some pairs teach nothing"
    log_p = logits.log_softmax(1).gather(1, batch.next_sentence_label[:, None])
    assert torch.allclose(value, -log_p.mean())


def ignore_index_eats_class_0(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(logits, batch.next_sentence_label, ignore_index=0)


# --- 8: whole words; 80/10/10 is drawn per piece --------------------------------------------------

WORD_IDS = (torch.arange(60) // 3).repeat(200, 1)


def check_8(corrupt: Callable) -> None:
    batch = corrupt(torch.full((200, 60), 9))
    by_word = batch.predicted.view(200, 20, 3)
    assert (by_word.all(2) == by_word.any(2)).all(), "a word was hidden in part"
    masked = (batch.inputs["input_ids"] == MASK).view(200, 20, 3)[by_word.all(2)]
    mixed = (masked.any(1) & ~masked.all(1)).float().mean()
    # per piece: 1 − 0.8³ − 0.2³ = 0.48 of the words hold [MASK] and something else
    assert abs(float(mixed) - 0.48) < 5 * math.sqrt(0.48 * 0.52 / len(masked))


def whole_words(ids: torch.Tensor) -> Batch:
    return mask(ids, word_ids=WORD_IDS)


def pieces_one_by_one(ids: torch.Tensor) -> Batch:
    return mask(ids)


def treatment_drawn_per_word(ids: torch.Tensor) -> Batch:
    batch = whole_words(ids)
    first = batch.inputs["input_ids"].view(200, 20, 3)[:, :, :1].expand(-1, -1, 3).reshape(200, 60)
    return replace(batch, inputs={**batch.inputs, "input_ids": first})


# --- 9: shift exactly once ------------------------------------------------------------------------


def check_9(corrupt: Callable, loss: Callable) -> None:
    ids = (torch.arange(20) + torch.arange(8, 12)[:, None]) % VOCAB  # the next token is always +1
    batch = corrupt(ids)
    successor = 50.0 * F.one_hot((batch.inputs["input_ids"] + 1) % VOCAB, VOCAB).float()
    assert float(loss(successor, batch)) < 1e-6, "the right next token is not what is scored"
    assert batch.num_predicted == 4 * 19


def never_shifted(ids: torch.Tensor) -> Batch:
    return Batch({"input_ids": ids}, ids)


def shifted_in_the_loss_too(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), batch.labels[:, 1:].flatten())


# --- 10: pad = eos -------------------------------------------------------------------------------


def check_10(corrupt: Callable) -> None:
    ids = torch.tensor([[9, 10, EOS, EOS, EOS], [9, 10, 11, 12, EOS]])
    real = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    labels = corrupt(ids, real).labels
    assert labels[0].tolist() == [10, EOS, IGNORE_INDEX, IGNORE_INDEX]
    assert labels[1].tolist() == [10, 11, 12, EOS]


def ours_10(ids: torch.Tensor, real: torch.Tensor) -> Batch:
    return causal_lm.corrupt(ids, attention_mask=real)


def padding_known_by_id(ids: torch.Tensor, real: torch.Tensor) -> Batch:
    batch = ours_10(ids, real)
    return replace(batch, labels=batch.labels.masked_fill(batch.labels == EOS, IGNORE_INDEX))


def padding_predicted(ids: torch.Tensor, real: torch.Tensor) -> Batch:
    return causal_lm.corrupt(ids)


# --- 12: packed documents -------------------------------------------------------------------------


def check_12(corrupt: Callable) -> None:
    ids = words(2, 30)
    documents = torch.randint(0, 2, (2, 30), generator=seeded(5)).cumsum(1)
    batch = corrupt(ids, documents)
    seen = batch.inputs["attention_mask"]
    if seen.dim() == 2:  # what a causal model makes of a plain padding mask
        seen = seen[:, None, :] & torch.ones(29, 29).tril().bool()
    reached = torch.linalg.matrix_power(seen.float(), 4) > 0  # four layers
    other = documents[:, :-1, None] != documents[:, None, :-1]
    assert not (reached & other).any(), "a document sees its neighbour"
    crossing = documents[:, 1:] != documents[:, :-1]
    assert not (batch.predicted & crossing).any(), "a document is predicted from its neighbour"


def closed_boundaries(ids: torch.Tensor, documents: torch.Tensor) -> Batch:
    return causal_lm.corrupt(ids, document_ids=documents)


def only_positions_reset(ids: torch.Tensor, documents: torch.Tensor) -> Batch:
    batch = causal_lm.corrupt(ids)
    starts = F.pad(documents[:, 1:] != documents[:, :-1], (1, 0))
    places = torch.arange(ids.shape[1]).expand_as(ids)
    begin = torch.where(starts, places, 0).cummax(1).values
    labels = closed_boundaries(ids, documents).labels
    inputs = {**batch.inputs, "position_ids": (places - begin)[:, :-1]}
    return replace(batch, inputs=inputs, labels=labels)


def only_attention_closed(ids: torch.Tensor, documents: torch.Tensor) -> Batch:
    closed = closed_boundaries(ids, documents)
    return replace(closed, labels=causal_lm.corrupt(ids).labels)


# --- 18: sentinels descend; 19: the final sentinel is a stated choice ----------------------------


def check_18_19(corrupt: Callable) -> None:
    batch = corrupt(words(4, 28))
    for row in range(4):
        inputs, targets = batch.inputs["input_ids"][row], batch.labels[row]
        used = inputs[T5.is_sentinel(inputs)].tolist()
        assert used == [VOCAB - 1 - k for k in range(len(used))] and used, "they must descend"
        closing = targets[T5.is_sentinel(targets)].tolist()
        assert closing == used, "one sentinel for every span and none to close, as released T5"


def sentinels_ascend(ids: torch.Tensor) -> Batch:
    batch = span(ids, rate=0.3)
    lowest = VOCAB - T5.num_sentinels

    def flip(x: torch.Tensor) -> torch.Tensor:
        return torch.where(T5.is_sentinel(x), VOCAB - 1 - x + lowest, x)

    inputs = {name: flip(x) for name, x in batch.inputs.items() if name != "attention_mask"}
    return replace(batch, inputs={**batch.inputs, **inputs}, labels=flip(batch.labels))


def closed_as_in_the_paper(ids: torch.Tensor) -> Batch:
    return span(ids, rate=0.3, final_sentinel=True)


# --- 20: inputs and targets belong together -------------------------------------------------------


def check_20(batch_of: Callable) -> None:
    ids = words(6, 20)
    for seed in range(5):
        batch = batch_of(ids, seed)
        for row in range(len(ids)):
            try:
                rebuilt = span_corruption.reconstruct(batch, row, T5)
            except ValueError as error:
                raise AssertionError("inputs and targets do not belong together") from error
            assert rebuilt == ids[row].tolist(), "inputs and targets do not rebuild the text"


def targets_by_the_inverted_mask(ids: torch.Tensor, seed: int, start_with_noise: bool) -> Batch:
    """The reference builds targets from the inverted mask, which counts spans of *kept* tokens.

    Right as long as the first token is kept; one sentinel off when it is noise.
    """
    real = torch.full((len(ids),), ids.shape[1])
    noise = span_corruption.noise_mask(real, ids.shape[1], 0.3, 3.0, seeded(seed))
    noise = noise.flip(1) if start_with_noise else noise
    kept = span_corruption.from_noise_mask(ids, noise, vocabulary=T5)
    hidden = span_corruption.from_noise_mask(ids, ~noise, vocabulary=T5)
    targets = hidden.inputs["input_ids"]
    return replace(kept, labels=targets.masked_fill(~hidden.inputs["attention_mask"], IGNORE_INDEX))


def starts_kept(ids: torch.Tensor, seed: int) -> Batch:
    return targets_by_the_inverted_mask(ids, seed, start_with_noise=False)


def starts_with_noise(ids: torch.Tensor, seed: int) -> Batch:
    return targets_by_the_inverted_mask(ids, seed, start_with_noise=True)


def check_20_mask(noise_mask: Callable) -> None:
    noise = noise_mask(torch.full((50,), 20), 20, 0.3, 3.0, seeded(1))
    assert not noise[:, 0].any(), "the first token is noise"


def rolled_mask(lengths, width, rate, mean_span, generator) -> torch.Tensor:
    noise = span_corruption.noise_mask(lengths, width, rate, mean_span, generator)
    return noise.roll(3, dims=1)


# --- 21: lengths, ends, sentinels, and the pad id in the text -------------------------------------


def check_21_lengths(lengths: Callable) -> None:
    raw, targets = lengths(512, 0.15, 3.0)
    many = Vocabulary(first_sentinel_id=199, eos_token_id=EOS, num_sentinels=100)
    batch = span_corruption.corrupt(words(2, raw), vocabulary=many, generator=seeded())
    assert batch.inputs["input_ids"].shape == (2, 512)
    assert batch.labels.shape == (2, targets)
    assert (batch.inputs["input_ids"][:, -1] == EOS).all() and (batch.labels[:, -1] == EOS).all()


def raw_length_is_the_input_length(length: int, rate: float, mean_span: float) -> tuple[int, int]:
    return length, round(length * rate) + round(length * rate / mean_span) + 1


def ends_forgotten(length: int, rate: float, mean_span: float) -> tuple[int, int]:
    raw, targets = span_corruption.lengths(length + 1, rate, mean_span)
    return raw, targets - 1


def check_21_pad(corrupt: Callable) -> None:
    ids = words(4, 20)
    ids[:, ::4] = PAD  # the pad id as an ordinary token of the text
    batch = corrupt(ids)
    for row in range(4):
        assert span_corruption.reconstruct(batch, row, T5) == ids[row].tolist()


def pad_id_filtered_out(ids: torch.Tensor) -> Batch:
    batch = span(ids)
    keep = batch.inputs["input_ids"] != PAD
    return replace(batch, inputs={**batch.inputs, "attention_mask": keep})


def check_21_sentinels(corrupt: Callable) -> None:
    with pytest.raises(ValueError, match="14 sentinels needed in one row, the vocabulary has 10"):
        corrupt(words(1, 28).clamp(max=25))


def sentinels_run_into_the_words(ids: torch.Tensor) -> Batch:
    """Ids 29 to 26, for which this vocabulary has no sentinels, are used as if they were."""
    endless = replace(T5, num_sentinels=14)
    return span_corruption.corrupt(
        ids, vocabulary=endless, generator=seeded(), rate=0.5, mean_span=1.0
    )


def too_many_spans(ids: torch.Tensor) -> Batch:
    return span(ids, rate=0.5, mean_span=1.0)


TRAPS: list[tuple[str, Callable, tuple, list[tuple]]] = [
    # name, check, ours, mutants
    (
        "1 loss over masked positions",
        check_1,
        (masked_lm.loss,),
        [(averaged_over_all_positions,), (masked_sum_over_all_positions,)],
    ),
    ("2 80/10/10", check_2, (mask,), [(second_draw_of_one_tenth,)]),
    ("3 random pieces", check_3, (mask,), [(random_from_the_whole_vocabulary,)]),
    (
        "4 count",
        check_4_count,
        (mask,),
        [(bankers_rounding,), (no_minimum_of_one,), (independent_draws,)],
    ),
    ("4 NaN", check_4_nan, (masked_lm.loss,), [(nan_when_nothing_is_masked,)]),
    (
        "5 specials, padding, mask, caller",
        check_5,
        (ours_5,),
        [
            (specials_may_be_chosen,),
            (padding_known_by_id_only,),
            (attention_mask_lost,),
            (in_place,),
        ],
    ),
    ("6 pooling", check_6_pooling, (pooled_by_the_loop,), [(mean_of_batch_means,)]),
    ("6 frozen masks", check_6_frozen, (mask,), [(masks_drawn_anew,)]),
    (
        "7 pairs",
        check_7_pairs,
        (pairs,),
        [(labels_the_other_way_round,), (random_from_any_document,)],
    ),
    ("7 loss", check_7_loss, (next_sentence.loss,), [(ignore_index_eats_class_0,)]),
    ("8 words", check_8, (whole_words,), [(pieces_one_by_one,), (treatment_drawn_per_word,)]),
    (
        "9 one shift",
        check_9,
        (causal_lm.corrupt, causal_lm.loss),
        [
            (never_shifted, causal_lm.loss),
            (causal_lm.corrupt, shifted_in_the_loss_too),
        ],
    ),
    ("10 pad is eos", check_10, (ours_10,), [(padding_known_by_id,), (padding_predicted,)]),
    (
        "12 packing",
        check_12,
        (closed_boundaries,),
        [(only_positions_reset,), (only_attention_closed,)],
    ),
    (
        "18 and 19 sentinels",
        check_18_19,
        (lambda ids: span(ids, rate=0.3),),
        [(sentinels_ascend,), (closed_as_in_the_paper,)],
    ),
    (
        "20 alignment",
        check_20,
        (span,),
        [(starts_with_noise,)],
    ),
    ("20 inverted mask is right if the first is kept", check_20, (starts_kept,), []),
    ("20 first token", check_20_mask, (span_corruption.noise_mask,), [(rolled_mask,)]),
    (
        "21 lengths",
        check_21_lengths,
        (span_corruption.lengths,),
        [(raw_length_is_the_input_length,), (ends_forgotten,)],
    ),
    ("21 pad id survives", check_21_pad, (span,), [(pad_id_filtered_out,)]),
    (
        "21 sentinels",
        check_21_sentinels,
        (too_many_spans,),
        [(sentinels_run_into_the_words,)],
    ),
]


@pytest.mark.parametrize(
    ("check", "ours"), [pytest.param(c, o, id=name) for name, c, o, _ in TRAPS]
)
def test_ours_avoids_the_trap(check, ours):
    check(*ours)


@pytest.mark.parametrize(
    ("check", "mutant"),
    [
        pytest.param(c, m, id=f"{name}: {'+'.join(f.__name__ for f in m)}")
        for name, c, _, mutants in TRAPS
        for m in mutants
    ],
)
def test_the_check_catches_the_trap(check, mutant):
    # pytest.fail.Exception is what pytest.raises gives when nothing was raised.
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        check(*mutant)
