"""Next sentence prediction: does B follow A? (Devlin et al. 2019, §3.1, task 2).

Later work found it of little or no use (Liu et al. 2019); it is here to be looked at.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from course_utils.checks import require
from course_utils.data.batches import pad

from . import masked_lm
from .batch import IGNORE_INDEX, Batch, uniform

IS_NEXT = 0  # Google's and Hugging Face's order
IS_RANDOM = 1

Document = Sequence[Sequence[int]]


def loss(logits: Tensor, batch: Batch) -> Tensor:
    """Mean of −log P(label | A, B; θ) over the pairs, in nats per pair.

    `logits` (batch, 2): a softmax over two classes, as in BERT, not one sigmoid. No class is
    ignored. Raises ValueError when the batch has no pair labels or the shapes differ.
    """
    label = batch.next_sentence_label
    has_pairs = label is not None and label.numel() > 0
    require(has_pairs, "this batch has no next_sentence_label: make it with make_pairs")
    wanted = (
        f"{(len(label), 2)}: (pairs, 2 classes), from model.next_sentence_logits(hidden_states)"
    )
    require(logits.shape == (len(label), 2), f"logits {tuple(logits.shape)} must be {wanted}")
    return F.cross_entropy(logits, label)


def make_pairs(
    documents: Sequence[Document],
    *,
    cls_token_id: int,
    sep_token_id: int,
    generator: Generator,
    pad_token_id: int = 0,
    max_length: int = 512,
) -> Batch:
    """One pair [CLS] A [SEP] B [SEP] for every sentence A that has a next one in its document.

    `documents` are sequences of sentences, these sequences of token ids. With probability ½ B is
    the next sentence (label 0), else a sentence of a *different* document (label 1): first the
    document is drawn uniformly, then its sentence. BERT's code draws the document likewise but
    can end in the same one. A pair that is too long loses tokens at the end of its longer part
    (of B when equal), one by one.

    Returns input_ids, attention_mask, token_type_ids (0 to the first [SEP], 1 after) of shape
    (pairs, longest pair), and no token labels: add them with `mask`. Raises ValueError for fewer
    than two documents with text, no document with two sentences, or a `max_length` under 5.
    """
    filled = [[sentence for sentence in document if len(sentence)] for document in documents]
    filled = [document for document in filled if document]
    starts = sentences_with_a_next(filled, max_length)
    is_random = uniform((len(starts),), generator, torch.device("cpu")) < 0.5
    pairs = []
    for (d, s), random in zip(starts, is_random.tolist(), strict=True):
        second = other_sentence(filled, d, generator) if random else filled[d][s + 1]
        pairs.append(truncate(filled[d][s], second, max_length - 3))
    inputs = pair_inputs(pairs, cls_token_id, sep_token_id, pad_token_id)
    no_labels = torch.full_like(inputs["input_ids"], IGNORE_INDEX)
    return Batch(inputs, no_labels, torch.where(is_random, IS_RANDOM, IS_NEXT))


def sentences_with_a_next(documents: Sequence[Document], max_length: int) -> list[tuple[int, int]]:
    """Places (document, sentence) of all sentences that are followed by another one.

    Raises ValueError where these documents give no pairs.
    """
    starts = [(d, s) for d, document in enumerate(documents) for s in range(len(document) - 1)]
    what = f"{len(documents)} documents with text, {len(starts)} sentences that have a next one"
    needed = "pairs need 2 documents, 1 next sentence, 5 tokens"
    enough = len(documents) >= 2 and len(starts) > 0 and max_length >= 5
    require(enough, f"{what}, max_length={max_length}: {needed}")
    return starts


def pair_inputs(
    pairs: Sequence[tuple[list[int], list[int]]], cls: int, sep: int, pad_token_id: int
) -> dict[str, Tensor]:
    """[CLS] A [SEP] B [SEP] of every pair, as a Bert reads them."""
    rows = [([cls, *a, sep], [*b, sep]) for a, b in pairs]
    # 0 in the first part, 1 in the second, −1 for padding
    types = pad([[0] * len(first) + [1] * len(second) for first, second in rows], -1)
    return {
        "input_ids": pad([first + second for first, second in rows], pad_token_id),
        "attention_mask": types >= 0,
        "token_type_ids": types.clamp(min=0),
    }


def mask(pairs: Batch, **masking: Any) -> Batch:
    """Add masked-LM labels to pairs; `masking` are the arguments of `masked_lm.corrupt`."""
    inputs = dict(pairs.inputs)
    masked = masked_lm.corrupt(inputs.pop("input_ids"), **inputs, **masking)
    return replace(masked, next_sentence_label=pairs.next_sentence_label)


def other_sentence(documents: list[Document], d: int, generator: Generator) -> Sequence[int]:
    """A sentence of any document but number `d`."""
    # Drawn among the others, then skipping d: no try-again loop, and never the same document.
    number = below(len(documents) - 1, generator)
    if number >= d:
        number += 1
    return documents[number][below(len(documents[number]), generator)]


def below(n: int, generator: Generator) -> int:
    """A random number from 0 to n − 1."""
    return int(torch.randint(n, (), generator=generator, device=generator.device))


def truncate(a: Sequence[int], b: Sequence[int], room: int) -> tuple[list[int], list[int]]:
    """Both parts, without the last tokens of the longer one (of B when equal) until they fit."""
    a, b = list(a), list(b)
    while len(a) + len(b) > room:
        longer = a if len(a) > len(b) else b
        longer.pop()
    return a, b
