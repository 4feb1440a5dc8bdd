"""Who may look at whom: boolean attention masks, True where a query (row) may see a key (column).

Objectives and data make such masks and models read them, so they have their home below all three.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .checks import require

Mask = Tensor | None  # of attention; None where nothing is masked


def visibility(
    attention_mask: Tensor,
    sees: str = "both",
    *,
    prefix: Tensor | None = None,
    document_ids: Tensor | None = None,
) -> Tensor:
    """Who sees whom: bool (batch, length, length), True where row (query) may attend to column.

    `sees` is "both" (BERT), "left" (GPT) or "prefix": the first `prefix` (batch,) positions are
    seen from everywhere, the rest only from their right (Raffel et al. 2020, fig. 4). With
    `document_ids` (batch, length), nothing is seen across a document's boundary.
    """
    known = sees in ("both", "left", "prefix") and (sees == "prefix") == (prefix is not None)
    what = f"sees={sees!r} with prefix={prefix!r}"
    require(known, f'{what}: choose "both", "left", or "prefix" with prefix=')
    length = attention_mask.shape[1]
    seen = attention_mask.bool()[:, None, :].expand(-1, length, -1)
    if sees != "both":
        allowed = seen.new_ones(length, length).tril()
        seen = seen & (allowed if prefix is None else allowed | in_prefix(prefix, length))
    if document_ids is not None:
        seen = seen & same_document(document_ids)
    return seen | own_position(seen)


def in_prefix(prefix: Tensor, length: int) -> Tensor:
    """True at the first `prefix` (batch,) positions, for every query: (batch, 1, length)."""
    return torch.arange(length, device=prefix.device) < prefix[:, None, None]


def visible_keys(mask: Tensor, num_queries: int, causal: bool) -> Tensor:
    """Say who may look where, as booleans (B, 1, Q, K), from (B, K) or (B, K, K) masks.

    The queries are the last Q of the K positions, as when the others stand in a cache.
    """
    keys = mask.size(-1)
    seen = mask.bool()
    if seen.dim() == 2:
        seen = seen[:, None, :].expand(-1, keys, -1)
    if causal:
        seen = seen & seen.new_ones(keys, keys).tril()
    return (seen | own_position(seen))[:, None, -num_queries:]


def own_position(seen: Tensor) -> Tensor:
    """The diagonal (K, K): every position may see itself.

    A padding row would otherwise be a softmax over nothing, which is NaN; so its output is finite,
    and nobody reads it.
    """
    return torch.eye(seen.size(-1), dtype=torch.bool, device=seen.device)


def same_document(document_ids: Tensor) -> Tensor:
    """Block-diagonal mask (batch, length, length): True where both are of one document."""
    return document_ids[:, :, None] == document_ids[:, None, :]


def real_positions(mask: Tensor) -> Tensor:
    """Count the tokens each position may see up to itself, from 0: (B, T).

    Left padding does not shift positions, and each packed document starts at 0 again.
    """
    real = mask.long()
    count = real.cumsum(-1) if mask.dim() == 2 else real.tril().sum(-1)
    return (count - 1).clamp(min=0)
