"""Code lengths: exact in every scheme, in one unit, blind to what is not yet written."""

import math
from itertools import product
from types import SimpleNamespace

import pytest
import torch

from course_utils.code_length import (
    bert_nats,
    code_length,
    gpt_nats,
    num_bytes,
    random_orders,
    t5_nats,
)
from course_utils.data.sources import load_pretrained
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.objectives import causal_lm
from course_utils.sentence_scores import pseudo_log_likelihood

VOCABULARY, LENGTH = 6, 4
SPECIAL = SimpleNamespace(
    pad_token_id=0,
    cls_token_id=1,
    sep_token_id=2,
    mask_token_id=3,
    eos_token_id=4,
    convert_tokens_to_ids=lambda token: 5,
)
SIZES = {"vocab_size": VOCABULARY, "hidden_size": 8, "num_layers": 1, "num_heads": 2}
EVERY_TEXT = torch.tensor(list(product(range(VOCABULARY), repeat=LENGTH)))  # (6⁴, 4)


def tiny(kind: str) -> torch.nn.Module:
    """A random model that is sure of itself, so that what it sees matters."""
    torch.manual_seed(0)
    if kind == "bert":
        model = Bert(BertConfig(**SIZES, intermediate_size=16, max_length=8))
    elif kind == "gpt":
        model = Gpt(GptConfig(**SIZES, intermediate_size=16, max_length=8))
    else:
        start = {"decoder_start_token_id": 0}
        model = T5(
            T5Config(**SIZES, num_decoder_layers=1, head_size=4, intermediate_size=16, **start)
        )
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if weights.dim() > 1:
                weights.copy_(torch.randn_like(weights) * (3 if "token_embedding" in name else 1))
    return model.eval()


def same_order(order: list[int]) -> torch.Tensor:
    return torch.tensor(order).expand(len(EVERY_TEXT), LENGTH)


SCHEMES = {
    "gpt": lambda ids: gpt_nats(tiny("gpt"), ids, 4),
    "bert, left to right": lambda ids: bert_nats(
        tiny("bert"), ids, same_order([0, 1, 2, 3])[: len(ids)], SPECIAL
    ),
    "bert, another order": lambda ids: bert_nats(
        tiny("bert"), ids, same_order([2, 0, 3, 1])[: len(ids)], SPECIAL
    ),
    "t5, one": lambda ids: t5_nats(tiny("t5"), ids, 1, SPECIAL),
    "t5, three": lambda ids: t5_nats(tiny("t5"), ids, 3, SPECIAL),
    "t5, all": lambda ids: t5_nats(tiny("t5"), ids, LENGTH, SPECIAL),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_probabilities_of_all_texts_sum_to_one(scheme):
    nats = SCHEMES[scheme](EVERY_TEXT).double()
    assert nats.shape == EVERY_TEXT.shape and nats.std() > 0.3  # far from uniform
    assert float((-nats.sum(1)).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_guessing_each_piece_from_all_others_is_no_code():
    scores = pseudo_log_likelihood(tiny("bert"), EVERY_TEXT.tolist(), SPECIAL)
    assert abs(float(scores.double().exp().sum()) - 1) > 0.003


def test_an_order_that_looks_at_the_pieces_is_no_code():
    looking = EVERY_TEXT.argsort(dim=1, stable=True)
    nats = bert_nats(tiny("bert"), EVERY_TEXT, looking, SPECIAL).double()
    assert abs(float((-nats.sum(1)).exp().sum()) - 1) > 0.003


@pytest.mark.parametrize("kind", ["bert", "gpt", "t5"])
def test_a_uniform_model_needs_log_v(kind):
    model = tiny(kind)
    for weights in model.parameters():
        torch.nn.init.zeros_(weights)
    ids = EVERY_TEXT[::100]
    nats = {
        "bert": lambda: bert_nats(model, ids, random_orders(*ids.shape, 0), SPECIAL),
        "gpt": lambda: gpt_nats(model, ids, 4),
        "t5": lambda: t5_nats(model, ids, 3, SPECIAL),
    }[kind]()
    assert torch.allclose(nats, torch.tensor(math.log(VOCABULARY)))


@pytest.mark.parametrize("scheme", ["gpt", "bert, left to right", "t5, one", "t5, three"])
def test_a_factor_does_not_know_what_is_written_later(scheme):
    ids = torch.tensor([[0, 5, 2, 3], [0, 5, 2, 1], [0, 5, 4, 3]])
    nats = SCHEMES[scheme](ids)
    assert torch.equal(nats[0, :3], nats[1, :3]) and torch.equal(nats[0, :2], nats[2, :2])
    assert nats[0, 3] != nats[2, 3]  # but knows what was written before


def test_gpt_pays_its_own_loss():
    model, ids = tiny("gpt"), EVERY_TEXT[7::91]
    batch = causal_lm.corrupt(torch.cat([torch.full((len(ids), 1), 4), ids], 1))
    loss = causal_lm.loss(model(**batch.inputs), batch)
    assert float(gpt_nats(model, ids, 4).mean()) == pytest.approx(loss.item(), rel=1e-5)


def test_orders_belong_to_a_row_and_a_seed():
    orders = random_orders(5, 30, seed=1)
    assert torch.equal(orders.sort(1).values, torch.arange(30).expand(5, 30))
    assert torch.equal(random_orders(2, 30, seed=1), orders[:2]) and len(orders.unique(dim=0)) == 5
    assert not torch.equal(random_orders(5, 30, seed=2), orders)


def test_bytes_are_those_of_the_text_even_where_a_row_cuts_a_character():
    tokenizer = load_tokenizer("course")
    text = "Señor Núñez paid 3 € – no more."
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
    parts = [num_bytes(part, tokenizer) for part in ids.split(1)]
    assert sum(parts) == num_bytes(ids, tokenizer) == len(text.encode())
    ends = torch.tensor([tokenizer.eos_token_id, tokenizer.sep_token_id])
    assert num_bytes(ends, tokenizer) == 0
    with pytest.raises(ValueError, match="WordPiece"):
        num_bytes(ids, load_pretrained("minilm").tokenizer)


@pytest.mark.parametrize(
    ("name", "choice", "passes"),
    [
        ("gpt-mini", {}, 2),
        ("bert-mini", {"order": "random"}, 2 * 8),
        ("bert-mini", {}, 2 * 8),
        ("t5-mini", {"span": 3}, 2 * 3),
    ],
)
def test_the_minis_in_one_unit(name, choice, passes):
    from course_utils.models.huggingface import from_hf

    tokenizer, model = load_tokenizer("course"), from_hf(load_pretrained(name).model).train()
    words = " It is the duty of the United States and of all"
    ids = torch.tensor(tokenizer(words, add_special_tokens=False)["input_ids"][:8]).expand(2, 8)
    found = code_length(model, tokenizer, ids, **choice)
    assert model.training and (found.pieces, found.forward_passes) == (16, passes)
    assert found.bytes == 2 * len(tokenizer.decode(ids[0]))
    assert found.bits_per_byte == pytest.approx(found.nats / math.log(2) / found.bytes)
    apart = code_length(model, tokenizer, ids, rows_at_once=1, **choice)
    assert apart.nats == pytest.approx(found.nats, rel=1e-5)
    assert 0.5 < found.bits_per_byte < 2.5  # a mini knows this phrase; uniform has 3.6


def test_an_impossible_order_is_refused_with_what_there_is():
    tokenizer, ids = load_tokenizer("course"), torch.tensor([[7, 8]])
    with pytest.raises(ValueError, match="Gpt has left to right"):
        code_length(tiny("gpt"), tokenizer, ids, order="random")
    with pytest.raises(ValueError, match="left to right and random"):
        code_length(tiny("bert"), tokenizer, ids, order="backwards")
    with pytest.raises(ValueError, match="at least one piece"):
        code_length(tiny("t5"), tokenizer, ids, span=0)
