"""Heads: which vector each reads, what padding does, and that each learns a toy task."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.models.heads import (
    JointIntentSlots,
    SequenceClassifier,
    SpanExtractor,
    TokenClassifier,
    joint_loss,
    last_real,
)

VOCAB, CLS = 31, 2
SIZES = {"vocab_size": VOCAB, "hidden_size": 24, "num_layers": 2, "num_heads": 3}
SIZES |= {"intermediate_size": 40, "max_length": 16, "dropout": 0.0}


def backbone(name: str) -> Bert | Gpt:
    torch.manual_seed(3)
    model = Bert(BertConfig(**SIZES)) if name == "bert" else Gpt(GptConfig(**SIZES))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


def padded(side: str) -> tuple[Tensor, Tensor]:
    """Rows of 8, 5 and 1 real tokens, padded to 8 on one side."""
    ids = torch.randint(3, VOCAB, (3, 8), generator=torch.Generator().manual_seed(1))
    mask = torch.zeros_like(ids)
    for row, length in enumerate([8, 5, 1]):
        mask[row, slice(0, length) if side == "right" else slice(8 - length, 8)] = 1
    return ids * mask, mask


# --- which vector -------------------------------------------------------------------------------


def test_the_last_real_token_is_found_on_either_side() -> None:
    for side, wanted in (("right", [7, 4, 0]), ("left", [7, 7, 7])):
        _, mask = padded(side)
        assert last_real(mask).tolist() == wanted
        assert last_real(mask.bool()).tolist() == wanted
    holes = torch.tensor([[1, 0, 1, 0]])  # a hole is not the end
    assert last_real(holes).tolist() == [2]


@pytest.mark.parametrize("side", ["left", "right"])
def test_gpt_reads_the_last_real_token(side: str) -> None:
    model = SequenceClassifier(backbone("gpt"), 4).eval()
    ids, mask = padded(side)
    together = model(ids, mask)
    for row in range(3):
        real = ids[row : row + 1, mask[row].bool()]
        alone = model.output(model.backbone.hidden_states(real)[:, -1])
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)
        torch.testing.assert_close(model(real), alone, atol=1e-5, rtol=0)


def test_reading_position_minus_1_would_read_padding() -> None:
    model = SequenceClassifier(backbone("gpt"), 4).eval()
    ids, mask = padded("right")
    trap = model.output(model.backbone.hidden_states(ids, mask)[:, -1])
    assert (trap - model(ids, mask))[1:].abs().max() > 1e-2


def test_bert_reads_the_first_position() -> None:
    model = SequenceClassifier(backbone("bert"), 4).eval()
    ids, mask = padded("right")
    hidden = model.backbone.hidden_states(ids, mask)
    assert torch.equal(model(ids, mask), model.output(hidden[:, 0]))
    for row in range(3):
        real = ids[row : row + 1, mask[row].bool()]
        torch.testing.assert_close(model(real), model(ids, mask)[row : row + 1], atol=1e-5, rtol=0)


def test_segments_reach_the_backbone() -> None:
    model, (ids, mask) = SequenceClassifier(backbone("bert"), 4).eval(), padded("right")
    segments = torch.zeros_like(ids)
    plain = model(ids, mask, token_type_ids=segments)
    assert torch.equal(plain, model(ids, mask))
    segments[:, 0] = 1
    assert (model(ids, mask, token_type_ids=segments) != plain).all()


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_token_logits_are_those_of_each_token(name: str) -> None:
    model, (ids, mask) = TokenClassifier(backbone(name), 5).eval(), padded("right")
    wanted = model.output(model.backbone.hidden_states(ids, mask))
    assert model(ids, mask).shape == (3, 8, 5) and torch.equal(model(ids, mask), wanted)


# --- spans --------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["left", "right"])
def test_no_span_starts_or_ends_in_padding(side: str) -> None:
    model, (ids, mask) = SpanExtractor(backbone("bert")).eval(), padded(side)
    scores = model(ids, mask)
    assert scores.shape == (3, 2, 8)
    hidden = ~mask.bool()[:, None, :].expand_as(scores)
    assert (scores[hidden] == -math.inf).all() and scores[~hidden].isfinite().all()
    spans = model.best_span(scores)
    assert mask.gather(1, spans).all()
    assert torch.equal(model(ids), model(ids, torch.ones_like(mask)))
    loss = F.cross_entropy(scores[:, 0], spans[:, 0])
    assert loss.isfinite()


@pytest.mark.parametrize("longest", [1, 2, 4, 30])
def test_best_span_equals_brute_force(longest: int) -> None:
    scores = torch.randn(20, 2, 9, generator=torch.Generator().manual_seed(2))
    scores[:5, :, 6:] = -math.inf
    for row, (start, end) in zip(scores, SpanExtractor.best_span(scores, longest), strict=True):
        allowed = [(i, j) for i, j in itertools.product(range(9), repeat=2) if i <= j < i + longest]
        best = max(allowed, key=lambda span: (row[0, span[0]] + row[1, span[1]]).item())
        assert (int(start), int(end)) == best


# --- intent and slots ---------------------------------------------------------------------------


def test_joint_loss_against_the_formula() -> None:
    torch.manual_seed(5)
    intent_logits, slot_logits = torch.randn(2, 3), torch.randn(2, 4, 5)
    intents, slots = torch.tensor([2, 0]), torch.tensor([[1, 0, -100, 4], [3, -100, -100, 2]])
    intent = -sum(intent_logits[i].log_softmax(-1)[intents[i]] for i in range(2)) / 2
    tagged = [(i, j) for i in range(2) for j in range(4) if slots[i, j] != -100]
    slot = -sum(slot_logits[i, j].log_softmax(-1)[slots[i, j]] for i, j in tagged) / len(tagged)
    for alpha in (0.0, 0.3, 0.5, 1.0):
        got = joint_loss(intent_logits, slot_logits, intents, slots, alpha)
        torch.testing.assert_close(got, alpha * intent + (1 - alpha) * slot)
    for alpha in (-0.1, 1.1):
        with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\]"):
            joint_loss(intent_logits, slot_logits, intents, slots, alpha)


@pytest.mark.parametrize(("alpha", "silent"), [(0.0, "output"), (1.0, "slots")])
def test_alpha_at_its_ends_trains_one_head_only(alpha: float, silent: str) -> None:
    model, (ids, mask) = JointIntentSlots(backbone("bert"), 3, 5), padded("right")
    labels = torch.randint(5, (3, 8)).masked_fill(~mask.bool(), -100)
    joint_loss(*model(ids, mask), torch.tensor([0, 1, 2]), labels, alpha).backward()
    for name in ("output", "slots"):
        assert getattr(model, name).weight.grad.any().item() is (name != silent)
    assert model.backbone.token_embedding.weight.grad.any()


def test_joint_model_runs_its_encoder_once_and_holds_it_once() -> None:
    model, (ids, mask) = JointIntentSlots(backbone("bert"), 3, 5).eval(), padded("right")
    runs: list[int] = []
    model.backbone.blocks[0].register_forward_hook(lambda *_: runs.append(1))
    intent, slots = model(ids, mask)
    assert len(runs) == 1 and intent.shape == (3, 3) and slots.shape == (3, 8, 5)
    names = [name for name in model.state_dict() if "token_embedding" in name]
    assert names == ["backbone.token_embedding.weight"]
    hidden = model.backbone.hidden_states(ids, mask)
    assert torch.equal(slots, model.slots(hidden)) and torch.equal(
        intent, model.output(hidden[:, 0])
    )


# --- learning -----------------------------------------------------------------------------------


def learn(model: torch.nn.Module, loss_of, steps: int = 200) -> None:
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        if loss.item() < 0.02:
            break
        loss.backward()
        optimizer.step()
    model.eval()


# BERT reads position 0, so it is padded on the right only
@pytest.mark.parametrize(("name", "side"), [("bert", "right"), ("gpt", "right"), ("gpt", "left")])
def test_a_classifier_learns_which_of_two_words_is_there(name: str, side: str) -> None:
    torch.manual_seed(6)
    ids, labels = torch.randint(6, VOCAB, (60, 8)), torch.randint(2, (60,))
    mask = torch.ones_like(ids)
    mask[:30, slice(5, 8) if side == "right" else slice(0, 3)] = 0
    ids[torch.arange(60), torch.randint(3, 5, (60,))] = 4 + labels  # 4 or 5, somewhere inside
    ids = ids * mask
    model = SequenceClassifier(backbone(name), 2)
    learn(model, lambda: F.cross_entropy(model(ids[10:50], mask[10:50]), labels[10:50]))
    unseen = torch.cat([torch.arange(10), torch.arange(50, 60)])
    right = (model(ids[unseen], mask[unseen]).argmax(-1) == labels[unseen]).float().mean()
    assert right >= 0.9


def test_tags_spans_and_intents_are_learned() -> None:
    torch.manual_seed(7)
    ids = torch.randint(6, VOCAB, (40, 8))
    ids[:, 0] = CLS
    start = torch.randint(1, 7, (40,))
    ids[torch.arange(40), start], ids[torch.arange(40), start + 1] = 4, 5
    tags = (ids == 4).long() + 2 * (ids == 5).long()

    tagger = TokenClassifier(backbone("bert"), 3)
    learn(tagger, lambda: F.cross_entropy(tagger(ids).flatten(0, 1), tags.flatten()))
    assert torch.equal(tagger(ids).argmax(-1), tags)

    finder = SpanExtractor(backbone("bert"))

    def span_loss() -> Tensor:
        scores = finder(ids)
        return F.cross_entropy(scores[:, 0], start) + F.cross_entropy(scores[:, 1], start + 1)

    learn(finder, span_loss)
    assert torch.equal(finder.best_span(finder(ids)), torch.stack([start, start + 1], 1))

    intents = (start > 3).long()
    joint = JointIntentSlots(backbone("bert"), 2, 3)
    learn(joint, lambda: joint_loss(*joint(ids), intents, tags, 0.5))
    intent, slots = joint(ids)
    assert torch.equal(intent.argmax(-1), intents) and torch.equal(slots.argmax(-1), tags)


# --- manners ------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [SequenceClassifier, TokenClassifier])
def test_a_head_starts_small_and_has_its_own_dropout(make: type) -> None:
    model = make(backbone("bert"), 50, dropout=0.5)
    weight, count = model.output.weight, model.output.weight.numel()
    assert abs(weight.std().item() / 0.02 - 1) < 6 / math.sqrt(2 * count)
    assert not model.output.bias.any()
    ids, mask = padded("right")
    assert torch.equal(model.eval()(ids, mask), model(ids, mask))
    model.output.train()
    model.dropout.train()
    assert not torch.equal(model(ids, mask), model(ids, mask))
    assert make(backbone("bert"), 2).dropout.p == 0.0  # the backbone's, unless another is given


def test_what_cannot_carry_a_head_is_refused() -> None:
    with pytest.raises(ValueError, match="a head needs at least one output, got 0"):
        SequenceClassifier(backbone("bert"), 0)
    t5 = T5(T5Config(VOCAB, 24, 8, 1, 1, 3, 40))
    with pytest.raises(ValueError, match="got T5; T5 answers in words"):
        TokenClassifier(t5, 3)
    with pytest.raises(ValueError, match="drop empty texts"):
        SequenceClassifier(backbone("gpt"), 2)(torch.ones(1, 3).long(), torch.zeros(1, 3).long())
