"""From documents to rows of token ids, which is what the objectives read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from .batches import pack
from .cache import cache_root


def token_ids(documents: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Ids of each document, no special tokens; kept in the cache: the corpus takes 20 s."""
    content = "\0".join([tokenizer.backend_tokenizer.to_str(), *documents])
    path = cache_root() / "tokens" / f"{hashlib.sha256(content.encode()).hexdigest()}.safetensors"
    if not path.is_file():
        ids = tokenizer(list(documents), add_special_tokens=False, verbose=False)["input_ids"]
        flat = torch.tensor([i for row in ids for i in row], dtype=torch.int32)
        half = path.with_suffix(f".{os.getpid()}")
        half.parent.mkdir(parents=True, exist_ok=True)
        save_file({"ids": flat, "lengths": torch.tensor([len(row) for row in ids])}, half)
        half.replace(path)
    saved = load_file(path)
    return [row.tolist() for row in saved["ids"].split(saved["lengths"].tolist()) if len(row)]


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
