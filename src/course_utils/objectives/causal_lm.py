"""Causal language modelling: predict every token from those before it (Radford et al. 2018).

`corrupt` only shifts, `loss` is Equation 9.2.
"""

from typing import Any

from torch import Generator, Tensor

from course_utils.attention_masks import visibility
from course_utils.checks import check_like

from .batch import IGNORE_INDEX, Batch, real_tokens, token_loss


def loss(logits: Tensor, batch: Batch) -> Tensor:
    r"""Equation 9.2: mean of −log P(x_t | x_<t; θ) over the tokens that have a predecessor.

    .. math:: L_{CLM} = -\frac{1}{T-1}\sum_{t=2}^{T} \log P(x_t \mid x_{<t}; \theta)

    Nats per token. The shift is already in the batch: logits at position t belong to `labels` at
    t, and are not shifted again. `logits`: (batch, length, vocab) or (num_predicted, vocab).
    Source: Radford et al. 2018, eq. 1.
    """
    return token_loss(logits, batch)


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
    usual with GPT-2, a comparison with that id would hide every true end of text from the loss.
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
    before, after = slice(None, -1), slice(1, None)
    target = real[:, before] & real[:, after]
    visible = real[:, before]
    if document_ids is not None:
        check_like(ids, document_ids=document_ids)
        documents = document_ids[:, before]
        target = target & (documents == document_ids[:, after])
        visible = visibility(visible, "left", document_ids=documents)
    labels = ids[:, after].long().masked_fill(~target, IGNORE_INDEX)
    return Batch({"input_ids": ids[:, before].long(), "attention_mask": visible}, labels)


def settings(tokenizer: Any) -> dict[str, Any]:
    """Arguments of `corrupt` that a Hugging Face tokenizer decides."""
    return {"vocab_size": len(tokenizer)}
