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
from .batch import IGNORE_INDEX, Batch

IS_NEXT, IS_RANDOM = 0, 1  # Google's and Hugging Face's order

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
    filled = [[list(s) for s in document if len(s)] for document in documents]
    filled = [document for document in filled if document]
    starts = [(d, s) for d, document in enumerate(filled) for s in range(len(document) - 1)]
    what = f"{len(filled)} documents with text, {len(starts)} sentences that have a next one"
    needed = "pairs need 2 documents, 1 next sentence, 5 tokens"
    enough = len(filled) >= 2 and len(starts) > 0 and max_length >= 5
    require(enough, f"{what}, max_length={max_length}: {needed}")
    is_random = torch.rand(len(starts), generator=generator, device=generator.device) < 0.5
    rows = []
    for (d, s), random in zip(starts, is_random.tolist(), strict=True):
        second = _other_sentence(filled, d, generator) if random else filled[d][s + 1]
        a, b = _truncate([*filled[d][s]], [*second], max_length - 3)
        rows.append(([cls_token_id, *a, sep_token_id], [*b, sep_token_id]))
    # 0 in the first part, 1 in the second, −1 for padding
    types = pad([[0] * len(a) + [1] * len(b) for a, b in rows], -1)
    inputs = {
        "input_ids": pad([a + b for a, b in rows], pad_token_id),
        "attention_mask": types >= 0,
        "token_type_ids": types.clamp(min=0),
    }
    labels = torch.where(is_random.cpu(), IS_RANDOM, IS_NEXT)
    return Batch(inputs, torch.full_like(types, IGNORE_INDEX), labels)


def mask(pairs: Batch, **masking: Any) -> Batch:
    """Add masked-LM labels to pairs; `masking` are the arguments of `masked_lm.corrupt`."""
    inputs = dict(pairs.inputs)
    masked = masked_lm.corrupt(inputs.pop("input_ids"), **inputs, **masking)
    return replace(masked, next_sentence_label=pairs.next_sentence_label)


def _other_sentence(documents: list[Document], d: int, generator: Generator) -> Sequence[int]:
    # Drawn among the others, then skipping d: no try-again loop, and never the same document.
    other = _below(len(documents) - 1, generator)
    document = documents[other + (other >= d)]
    return document[_below(len(document), generator)]


def _below(n: int, generator: Generator) -> int:
    return int(torch.randint(n, (), generator=generator, device=generator.device))


def _truncate(a: list[int], b: list[int], room: int) -> tuple[list[int], list[int]]:
    while len(a) + len(b) > room:
        (a if len(a) > len(b) else b).pop()
    return a, b
