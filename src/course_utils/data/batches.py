"""From token ids to the rows of a step: packing, order, length buckets, padding.

Everything is a pure function of (seed, number), so a run that stopped goes on by its number.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor


def derive_seed(*parts: int | str) -> int:
    """One well-mixed 63-bit seed out of several numbers or names, the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_at(*parts: int | str) -> torch.Generator:
    """Random numbers of a step that depend on nothing that was drawn before it."""
    return torch.Generator().manual_seed(derive_seed(*parts))


@dataclass(frozen=True)
class Packed:
    """Documents laid end to end and cut into rows of one length.

    `ids` and `document_ids` are int64 (rows, length); `document_ids` numbers the documents from 0.
    """

    ids: Tensor
    document_ids: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    def attention_mask(self, rows: Tensor | slice = slice(None)) -> Tensor:
        """Block-diagonal mask (batch, length, length): True where both are of one document.

        Without it a token also reads the end of the document before. That is cheaper (no mask, and
        attention kernels run at full speed) and is what GPT-2 and T5 did; the price is some
        attention spent on text that says nothing. Starting the position numbers afresh at every
        document does *not* close the boundary, only this mask does. Models of this package count
        positions within each document when they get it.
        """
        documents = self.document_ids[rows]
        return documents[:, :, None] == documents[:, None, :]


def pack(documents: Iterable[Sequence[int]], length: int, *, end_id: int | None = None) -> Packed:
    """Lay documents of token ids end to end, `end_id` after each, and cut rows of `length`.

    What does not fill a last row is dropped (fewer than `length` tokens in all).

    Raises:
        ValueError: `length` below 1, a document without tokens, or fewer tokens than one row.
    """
    if length < 1:
        raise ValueError(f"length is {length}; a row holds at least one token")
    ids: list[int] = []
    owners: list[int] = []
    for number, document in enumerate(documents):
        if len(document) == 0:
            raise ValueError(f"document {number} has no tokens; leave empty documents out")
        piece = [*document] if end_id is None else [*document, end_id]
        ids += piece
        owners += [number] * len(piece)
    rows = len(ids) // length
    if rows == 0:
        raise ValueError(f"{len(ids)} tokens do not fill one row of {length}; pack shorter rows")
    cut = rows * length
    return Packed(
        torch.tensor(ids[:cut]).view(rows, length), torch.tensor(owners[:cut]).view(rows, length)
    )


def rows_at(step: int, num_rows: int, batch_size: int, seed: int) -> Tensor:
    """Row numbers (batch_size,) of a step: every row once an epoch, each epoch in its own order.

    A batch may span the end of an epoch; nothing is dropped there.

    Raises:
        ValueError: no rows, or a batch size below 1.
    """
    if num_rows < 1 or batch_size < 1:
        raise ValueError(f"{num_rows} rows in batches of {batch_size}: both must be at least 1")
    places = range(step * batch_size, (step + 1) * batch_size)
    orders = {place // num_rows: None for place in places}
    for epoch in orders:
        orders[epoch] = _order(num_rows, seed, epoch)
    return torch.stack([orders[place // num_rows][place % num_rows] for place in places])


@lru_cache(maxsize=8)
def _order(num_rows: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(num_rows, generator=generator_at("order", seed, epoch))
