"""Causal language modelling: predict every token from those before it (Radford et al. 2018).

`corrupt` only shifts, `loss` is Equation 9.2.
"""

from typing import Any

import torch.nn.functional as F
from torch import Generator, Tensor

from course_utils.attention_masks import visibility
from course_utils.checks import check_like

from .batch import IGNORE_INDEX, Batch, labels_at, real_tokens


def loss(logits: Tensor, batch: Batch) -> Tensor:
    r"""Equation 9.2: mean of −log P(x_t | x_<t; θ) over the tokens that have a predecessor.

    .. math:: L_{CLM} = -\frac{1}{T-1}\sum_{t=2}^{T} \log P(x_t \mid x_{<t}; \theta)

    Nats per token. The shift is already in the batch: logits at position t belong to `labels` at
    t, and are not shifted again. `logits`: (batch, length, vocab) or (num_predicted, vocab).
    Source: Radford et al. 2018, eq. 1.
    """
    labels = batch.labels_for(logits)  # −100 at padding, and where a new document begins
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX)


def corrupt(
    ids: Tensor,
    *,
    attention_mask: Tensor | None = None,
    document_ids: Tensor | None = None,
    vocab_size: int | None = None,
    generator: Generator | None = None,
) -> Batch:
    """Inputs ids[:, :-1] and labels ids[:, 1:]: the one shift, here and nowhere else.

    Padding is known by `attention_mask` alone. Where the pad id is also the end-of-text id, as is
    usual with GPT-2, a comparison with that id would keep every true end of text out of the loss.
    A token whose predecessor is padding is not predicted.

    With `document_ids` (batch, length) the attention mask becomes (batch, length-1, length-1):
    causal, and closed at document boundaries; the first token of a document is not predicted from
    the one before. Without it packed documents see their neighbours: simpler and faster, at the
    price of some irrelevant context.

    A row of one token, or none, has nothing to predict: the batch then has length 0.
    `generator` is accepted so that all objectives are called alike; nothing is drawn.
    Raises ValueError for wrong shapes or dtypes, and ids outside `vocab_size` if given.
    """
    real = real_tokens(ids, attention_mask, vocab_size)
    predicted = real[:, :-1] & real[:, 1:]
    visible = real[:, :-1]
    if document_ids is not None:
        check_like(ids, document_ids=document_ids)
        predicted = predicted & (document_ids[:, :-1] == document_ids[:, 1:])
        visible = visibility(visible, "left", document_ids=document_ids[:, :-1])
    inputs = {"input_ids": ids[:, :-1].long(), "attention_mask": visible}
    return Batch(inputs, labels_at(predicted, ids[:, 1:]))


def settings(tokenizer: Any) -> dict[str, Any]:
    """Arguments of `corrupt` that a Hugging Face tokenizer decides."""
    return {"vocab_size": len(tokenizer)}
