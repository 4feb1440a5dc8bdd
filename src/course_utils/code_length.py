"""Bits a byte for BERT, GPT and T5: how short a model can write a text, in one unit for all three.

The chain rule splits the probability of a text of known length into one factor a piece. It holds
in every order σ, as long as σ is chosen without looking at the pieces:

    −log P(x) = −Σ_t log P(x_σ(t) | x_σ(1), …, x_σ(t−1))

Each factor is a whole distribution over the vocabulary, so that the product sums to 1 over all
texts of that length: it is the length of a real code (an arithmetic coder needs at most 2 bits
more; MacKay 2003, §6.2). Two losses are no code lengths: BERT's masked loss, where several pieces
are guessed apart, and the pseudo-log-likelihood, where each piece is guessed from all others.

- GPT writes from left to right: one forward pass gives all factors.
- BERT starts with nothing but [MASK] and uncovers one piece a pass, in a random order (Uria et al.
  2014, arXiv 1310.1757; Hoogeboom et al. 2022, arXiv 2110.02037, §3) or from left to right.
- T5 reads the text so far with one sentinel at its end, and its decoder writes the next span.

What the text's length, BERT's order and T5's spans are is agreed on beforehand and costs nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.checks import require
from course_utils.data.batches import generator_at
from course_utils.models import T5, Bert, Gpt

LEFT_TO_RIGHT = "left to right"
RANDOM = "random"


@dataclass(frozen=True)
class CodeLength:
    """What it costs to write a text: nats in all, for so many pieces and bytes, in so many passes.

    A forward pass is one row read once by the network, however many rows run beside each other.
    """

    nats: float
    pieces: int
    bytes: int
    forward_passes: int

    @property
    def bits_per_byte(self) -> float:
        """Bits a byte of text: comparable across paradigms and tokenizers."""
        return self.nats / math.log(2) / self.bytes


def code_length(
    model: Bert | Gpt | T5,
    tokenizer: Any,
    ids: Tensor,
    *,
    order: str = LEFT_TO_RIGHT,
    span: int = 3,
    seed: int = 0,
    rows_at_once: int = 16,
) -> CodeLength:
    """Write rows of text, ids (rows, length), with a Bert, a Gpt or a T5; each row by itself.

    Args:
        model: its special tokens are those of `tokenizer`.
        tokenizer: a byte-level one, which loses nothing.
        ids: pieces of text, without special tokens around them.
        order: "left to right" or, for BERT only, "random": each row in an order of its own.
        span: pieces that T5's decoder writes at a time.
        seed: of the random orders.
        rows_at_once: rows of a batch; more is faster and takes more memory.

    Raises:
        ValueError: an order that the model does not have, a span below 1, a tokenizer that is not
            byte-level, or what the model refuses.
    """
    nats = row_nats(
        model, tokenizer, ids, order=order, span=span, seed=seed, rows_at_once=rows_at_once
    )
    size = num_bytes(ids, tokenizer)
    return CodeLength(float(nats.sum()), ids.numel(), size, passes(model, ids, span))


def row_nats(
    model: Bert | Gpt | T5,
    tokenizer: Any,
    ids: Tensor,
    *,
    order: str = LEFT_TO_RIGHT,
    span: int = 3,
    seed: int = 0,
    rows_at_once: int = 16,
) -> Tensor:
    """What each row costs, (rows,) in nats: arguments and errors are those of `code_length`."""
    require(span >= 1, f"span is {span}: the decoder writes at least one piece at a time")
    known = (LEFT_TO_RIGHT, RANDOM) if isinstance(model, Bert) else (LEFT_TO_RIGHT,)
    require(order in known, f"order={order!r}: {type(model).__name__} has {' and '.join(known)}")
    ids = ids.to(model.token_embedding.weight.device)
    rows, length = ids.shape
    orders = random_orders(rows, length, seed) if order == RANDOM else left_to_right(rows, length)
    training = model.training
    model.eval()
    parts = []
    for some, their_orders in zip(ids.split(rows_at_once), orders.split(rows_at_once), strict=True):
        if isinstance(model, Gpt):
            nats = gpt_nats(model, some, tokenizer.eos_token_id)
        elif isinstance(model, Bert):
            nats = bert_nats(model, some, their_orders, tokenizer)
        else:
            nats = t5_nats(model, some, span, tokenizer)
        parts.append(nats.double().sum(1))
    model.train(training)
    return torch.cat(parts)


@torch.no_grad()
def gpt_nats(model: Gpt, ids: Tensor, start_id: int) -> Tensor:
    """−log P(x_t | x_<t) of every piece of ids (B, T): (B, T), in one pass.

    `start_id`, the end of the text before, stands in front, so that the first piece is predicted
    too.
    """
    start = ids.new_full((len(ids), 1), start_id)
    logits = model(torch.cat([start, ids[:, :-1]], dim=1))  # (B, T, V)
    return surprise(logits, ids)


@torch.no_grad()
def bert_nats(model: Bert, ids: Tensor, orders: Tensor, tokenizer: Any) -> Tensor:
    """−log P(x_σ(t) | x_σ(1), …, x_σ(t−1)) of ids (B, T), each at its own place: (B, T), T passes.

    `orders` (B, T) holds σ: the position that a row uncovers at each step. What is still covered
    is [MASK]; [CLS] and [SEP] stand around the row.
    """
    row = torch.arange(len(ids), device=ids.device)
    covered = torch.full_like(ids, tokenizer.mask_token_id)
    nats = torch.zeros(ids.shape, device=ids.device)
    for place in orders.to(ids.device).T:  # (B,)
        nats[row, place] = guess(model, covered, place, ids[row, place], tokenizer)
        covered[row, place] = ids[row, place]
    return nats


def guess(model: Bert, covered: Tensor, place: Tensor, truth: Tensor, tokenizer: Any) -> Tensor:
    """−log P(truth at place | covered): one piece (B,) of each row of `covered` (B, T)."""
    first = covered.new_full((len(covered), 1), tokenizer.cls_token_id)
    last = covered.new_full((len(covered), 1), tokenizer.sep_token_id)
    inputs = torch.cat([first, covered, last], dim=1)  # (B, T + 2)
    asked = F.one_hot(place + 1, inputs.size(1)).bool()
    return surprise(model(inputs, select=asked), truth)


@torch.no_grad()
def t5_nats(model: T5, ids: Tensor, span: int, tokenizer: Any) -> Tensor:
    """−log P(x_t | x_<t) of ids (B, T), `span` pieces at a time: (B, T), ⌈T / span⌉ passes.

    The encoder reads all pieces before the span, a sentinel and the end token; the decoder reads
    the sentinel and the span's own pieces so far. The sentinel is given: it costs nothing.
    """
    sentinel = ids.new_full((len(ids), 1), tokenizer.convert_tokens_to_ids("<extra_id_0>"))
    end = ids.new_full((len(ids), 1), tokenizer.eos_token_id)
    start = ids.new_full((len(ids), 1), model.config.decoder_start_token_id)
    parts = []
    for first in range(0, ids.size(1), span):
        wanted = ids[:, first : first + span]  # (B, S)
        inputs = torch.cat([ids[:, :first], sentinel, end], dim=1)
        written = torch.cat([start, sentinel, wanted[:, :-1]], dim=1)
        logits = model(inputs, written)[:, 1:]  # (B, S, V): what follows the sentinel
        parts.append(surprise(logits, wanted))
    return torch.cat(parts, dim=1)


def surprise(logits: Tensor, truth: Tensor) -> Tensor:
    """−log softmax(logits)[truth]: logits (…, V) and ids (…) → nats (…)."""
    return -logits.float().log_softmax(-1).gather(-1, truth[..., None]).squeeze(-1)


def left_to_right(rows: int, length: int) -> Tensor:
    """The order 0, 1, 2, … for every row: (rows, length)."""
    return torch.arange(length).expand(rows, length)


def random_orders(rows: int, length: int, seed: int) -> Tensor:
    """An order of its own for each row, (rows, length), from its number and the seed alone."""
    generators = (generator_at("uncover", seed, row) for row in range(rows))
    return torch.stack([torch.randperm(length, generator=each) for each in generators])


def passes(model: Bert | Gpt | T5, ids: Tensor, span: int) -> int:
    """Forward passes that ids (rows, length) take."""
    rows, length = ids.shape
    if isinstance(model, Gpt):
        return rows
    return rows * (length if isinstance(model, Bert) else math.ceil(length / span))


def num_bytes(ids: Tensor, tokenizer: Any) -> int:
    """Bytes of text in pieces of a byte-level tokenizer, which writes one character for each byte.

    Special tokens stand for no text. Counting bytes of *decoded* text would go wrong where a row
    begins or ends inside a character.

    Raises:
        ValueError: the tokenizer is not byte-level.
    """
    kind = type(tokenizer.backend_tokenizer.decoder).__name__
    what = f"its decoder is {kind}: bits a byte need a tokenizer that gives every byte back"
    require(kind == "ByteLevel", what)
    specials = set(tokenizer.all_special_ids)
    text = [piece for piece in ids.flatten().tolist() if piece not in specials]
    return sum(map(len, tokenizer.convert_ids_to_tokens(text)))
