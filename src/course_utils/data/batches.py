"""From token ids to the rows of a step: packing, order, length buckets, padding.

Everything is a pure function of (seed, number), so a run that stopped goes on by its number.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from course_utils.attention_masks import same_document


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
        return same_document(self.document_ids[rows])


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


def by_length(sequences: Sequence[Sequence[int]], size: int) -> list[list[int]]:
    """Numbers of all sequences, `size` at a time, from the shortest on, so that little is padding.

    What is computed for such a batch goes back to its place by these numbers.
    """
    order = sorted(range(len(sequences)), key=lambda number: len(sequences[number]))
    return [order[start : start + size] for start in range(0, len(order), size)]


@dataclass(frozen=True)
class Buckets:
    """Batches of examples of like length, so that little is padding; every example once an epoch.

    Examples are shuffled, sorted by length within pools of `pool` batches, cut into batches, and
    the batches shuffled. The last batch of an epoch's last pool may be smaller.
    """

    lengths: tuple[int, ...]
    batch_size: int
    seed: int = 0
    pool: int = 32

    def __post_init__(self) -> None:
        """Refuse what makes no batch."""
        object.__setattr__(self, "lengths", tuple(self.lengths))
        if not self.lengths or self.batch_size < 1 or self.pool < 1:
            raise ValueError(
                f"{len(self.lengths)} examples in batches of {self.batch_size}, pools of "
                f"{self.pool}: each must be at least 1"
            )

    def __len__(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.lengths) // self.batch_size)

    def at(self, step: int) -> list[int]:
        """Example numbers of step 0, 1, …, over all epochs."""
        epoch, place = divmod(step, len(self))
        return self._epoch(epoch)[place]

    @lru_cache(maxsize=2)  # noqa: B019 (frozen, and as short-lived as the run)
    def _epoch(self, epoch: int) -> list[list[int]]:
        order = _order(len(self.lengths), self.seed, epoch).tolist()
        size = self.batch_size * self.pool
        pools = [order[i : i + size] for i in range(0, len(order), size)]
        batches = [
            ranked[i : i + self.batch_size]
            for ranked in (sorted(pool, key=self.lengths.__getitem__) for pool in pools)
            for i in range(0, len(ranked), self.batch_size)
        ]
        return [batches[i] for i in _order(len(batches), self.seed, -1 - epoch).tolist()]


def pad(sequences: Sequence[Sequence[int]], value: int, side: str = "right") -> Tensor:
    """Fill rows up to the longest with `value`: int64 (batch, length).

    Raises:
        ValueError: no rows, an empty row, or a side other than "right" and "left".
    """
    short = [number for number, row in enumerate(sequences) if len(row) == 0]
    if not sequences or short:
        raise ValueError(
            f"{len(sequences)} rows to pad, rows {short[:5]} are empty; leave them out"
        )
    if side not in ("right", "left"):
        raise ValueError(f'side is {side!r}; it must be "right" or "left"')
    padded = torch.full((len(sequences), max(map(len, sequences))), value)
    for row, sequence in zip(padded, sequences, strict=True):
        place = slice(len(sequence)) if side == "right" else slice(-len(sequence), None)
        row[place] = torch.tensor([*sequence])
    return padded


def pad_inputs(
    sequences: Sequence[Sequence[int]], pad_token_id: int, side: str = "right"
) -> dict[str, Tensor]:
    """`input_ids` padded, and `attention_mask` (batch, length), True at real tokens.

    The mask comes from the lengths: where the pad id is also a real token (GPT-2 pads with its end
    of text), a comparison with the id would hide it.
    """
    real = pad([[1] * len(row) for row in sequences], 0, side).bool()
    return {"input_ids": pad(sequences, pad_token_id, side), "attention_mask": real}
