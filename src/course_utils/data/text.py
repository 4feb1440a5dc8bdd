"""From documents to rows of token ids, which is what the objectives read."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

from .batches import pack
from .cache import cache_root, keep, kept


def plain_ids(tokenizer: Any, texts: Sequence[str], **options: Any) -> list[list[int]]:
    """Ids of texts that nobody wrote for a model: `[MASK]` or `<extra_id_3>` in one is text.

    No special tokens are added, unless `options` (of the tokenizer) say so. A reader who types
    [MASK] into a cell means the token: there the tokenizer is called itself.
    """
    settings = {"add_special_tokens": False, "split_special_tokens": True, "verbose": False}
    return tokenizer(list(texts), **{**settings, **options})["input_ids"]


def token_ids(documents: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """`plain_ids` of each document that has any; kept in the cache: the corpus takes 20 s."""
    content = json.dumps([tokenizer.backend_tokenizer.to_str(), *documents])
    path = cache_root() / "tokens" / hashlib.sha256(content.encode()).hexdigest()
    saved = kept(path)
    if saved is None:
        some = (documents[i : i + 64] for i in range(0, len(documents), 64))  # spares memory
        ids = [row for part in some for row in plain_ids(tokenizer, part)]
        flat = torch.tensor([i for row in ids for i in row], dtype=torch.int32)
        saved = save({"ids": flat, "lengths": torch.tensor([len(row) for row in ids])})
        keep(path, saved)
    parts = load(saved)
    return [row.tolist() for row in parts["ids"].split(parts["lengths"].tolist()) if len(row)]


def text_rows(
    documents: Sequence[str], tokenizer: Any, length: int, *, wrapped: bool = False
) -> Tensor:
    """Documents end to end, each closed by `<eos>`, as rows of `length` tokens (rows, length).

    With `wrapped`, BERT's way, [SEP] closes a document and each row stands between [CLS] and [SEP]:
    (rows, length + 2). Raises ValueError when the documents do not fill one row.
    """
    end = tokenizer.sep_token_id if wrapped else tokenizer.eos_token_id
    rows = pack(token_ids(documents, tokenizer), length, end_id=end).ids
    if not wrapped:
        return rows
    first, last = rows.new_tensor([[tokenizer.cls_token_id], [tokenizer.sep_token_id]])
    return torch.cat([first.expand(len(rows), 1), rows, last.expand(len(rows), 1)], 1)
