"""What a model is given and what it must predict: the one form that every objective produces."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from course_utils.objectives.projected import projected_loss

IGNORE_INDEX = -100


@dataclass(frozen=True)
class Batch:
    """Inputs and labels of one training step.

    `inputs` holds exactly the keyword arguments of the model. `labels` (batch, length) is
    `IGNORE_INDEX` wherever nothing is predicted. `next_sentence_label` (batch,) is set only by
    `next_sentence`: 0 = B follows A, 1 = B is random.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    next_sentence_label: Tensor | None = None

    @property
    def predicted(self) -> Tensor:
        """Where something is predicted: bool (batch, length); the `select` of the models."""
        return self.labels != IGNORE_INDEX

    # Counted once and carried along by `to`, so that a loss on an accelerator need not wait for it.
    @cached_property
    def num_predicted(self) -> int:
        """How many tokens are predicted: what a mean over batches must be weighted with."""
        return int(self.predicted.sum())

    @cached_property
    def highest_label(self) -> int:
        """The largest label, or -100 when nothing is predicted."""
        return int(self.labels.max()) if self.labels.numel() else IGNORE_INDEX

    def to(self, device: torch.device | str) -> "Batch":
        """Return the same batch on another device."""
        nsp = self.next_sentence_label
        moved = Batch(
            {name: tensor.to(device) for name, tensor in self.inputs.items()},
            self.labels.to(device),
            None if nsp is None else nsp.to(device),
        )
        moved.__dict__.update(num_predicted=self.num_predicted, highest_label=self.highest_label)
        return moved


Projection = tuple[Tensor, Tensor, Tensor | None]


def token_loss(logits: Tensor | Projection, batch: Batch) -> Tensor:
    """Mean cross-entropy over the predicted tokens of `batch`, in nats per predicted token.

    `logits` is (batch, length, vocab), or (num_predicted, vocab) as a model gives it with
    `select=batch.predicted`; or what makes them, `model.project(hidden)`: the same loss in half
    the time, since all logits are never held at once. Raises ValueError when nothing is predicted
    (the mean of no tokens is NaN), when the shapes do not belong together, or when a label is
    outside the vocabulary.
    """
    lazy = isinstance(logits, tuple)
    shape = (*logits[0].shape[:-1], len(logits[1])) if lazy else tuple(logits.shape)
    labels = _matching_labels(shape, batch)
    if batch.num_predicted == 0:
        raise ValueError(
            f"nothing to predict: 0 of {batch.labels.numel()} labels, shape "
            f"{tuple(batch.labels.shape)}, are set. Skip this batch, or choose positions with "
            f'count="fixed", which takes at least one token of every row'
        )
    if batch.highest_label >= shape[-1]:
        raise ValueError(
            f"label {batch.highest_label} is outside the {shape[-1]} classes of logits "
            f"{shape}: the model's vocab_size is smaller than the tokenizer's"
        )
    if lazy:
        hidden, weight, bias = logits
        kept = labels != IGNORE_INDEX
        return projected_loss(hidden[kept], weight, bias, labels[kept])
    # Labels of -100 are left out of the sum *and* of the number it is divided by.
    return F.cross_entropy(logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX)


def _matching_labels(shape: tuple[int, ...], batch: Batch) -> Tensor:
    if len(shape) == 3 and shape[:2] == batch.labels.shape:
        return batch.labels
    if len(shape) == 2 and shape[0] == batch.num_predicted:
        return batch.labels[batch.predicted]
    raise ValueError(
        f"logits {shape} do not fit labels {tuple(batch.labels.shape)} with "
        f"{batch.num_predicted} predicted tokens: give (batch, length, vocab), or "
        f"(num_predicted, vocab) from model(..., select=batch.predicted)"
    )


def pooled_loss(losses: Iterable[float], counts: Iterable[int]) -> float:
    """Loss of several batches together, in nats per predicted token.

    Every batch mean is weighted with its own `num_predicted`. The plain mean of batch means
    gives a token of a small batch more weight than a token of a large one.
    """
    pairs = [(float(loss), int(count)) for loss, count in zip(losses, counts, strict=True)]
    total = sum(count for _, count in pairs)
    if total == 0:
        raise ValueError(f"nothing was predicted in {len(pairs)} batches: no loss to report")
    return sum(loss * count for loss, count in pairs) / total


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
    A position always sees itself: a row of nothing but False is NaN after the softmax.
    """
    if sees not in ("both", "left", "prefix") or (sees == "prefix") != (prefix is not None):
        raise ValueError(
            f'sees={sees!r} with prefix={prefix!r}: choose "both", "left", or "prefix" with prefix='
        )
    positions = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    seen = (attention_mask != 0)[:, None, :].expand(-1, len(positions), -1)
    if sees != "both":
        allowed = positions[None, :] <= positions[:, None]
        if prefix is not None:
            allowed = allowed | (positions < prefix[:, None, None])
        seen = seen & allowed
    if document_ids is not None:
        seen = seen & (document_ids[:, :, None] == document_ids[:, None, :])
    return seen | torch.eye(len(positions), dtype=torch.bool, device=seen.device)


def choose(candidates: Tensor, counts: Tensor, generator: torch.Generator) -> Tensor:
    """Draw `counts[i]` of the True positions of row i of `candidates`, all sets equally likely.

    `candidates` bool (batch, length), `counts` (batch,), result bool (batch, length). A count
    above the number of candidates takes them all.
    """
    scores = uniform(candidates.shape, generator, candidates.device)
    order = scores.masked_fill(~candidates, 2.0).argsort(dim=1)
    rank = torch.empty_like(order).scatter_(
        1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
    )
    return candidates & (rank < counts[:, None])


def uniform(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniform numbers in [0, 1), drawn on the generator's device and then moved to `device`."""
    return torch.rand(shape, generator=generator, device=generator.device).to(device)


def check_ids(ids: Tensor, vocab_size: int | None = None, name: str = "ids") -> None:
    """Refuse what is no (batch, length) tensor of token ids below `vocab_size`."""
    if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.dtype not in (torch.int64, torch.int32):
        found = f"{ids.dtype} {tuple(ids.shape)}" if isinstance(ids, Tensor) else type(ids).__name__
        raise ValueError(
            f"{name} must be an integer tensor (batch, length), got {found}; "
            f"for one sequence use torch.tensor(ids)[None]"
        )
    if ids.numel() == 0:
        return
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or (vocab_size is not None and high >= vocab_size):
        raise ValueError(
            f"{name} {tuple(ids.shape)} runs from {low} to {high}, outside 0..vocab_size-1 with "
            f"vocab_size={vocab_size}: pass the vocab_size of the tokenizer that made these ids"
        )


def check_token_ids(vocab_size: int, **named: int) -> None:
    """Refuse special token ids that the vocabulary does not hold."""
    for name, value in named.items():
        if not 0 <= value < vocab_size:
            raise ValueError(
                f"{name}={value} is outside the vocabulary 0..{vocab_size - 1}: "
                f"take both from the same tokenizer"
            )


def check_mask(attention_mask: Tensor | None, ids: Tensor) -> Tensor:
    """Return the mask as bool (batch, length), True = real token; all True when it is None."""
    if attention_mask is None:
        return torch.ones_like(ids, dtype=torch.bool)
    shape = tuple(attention_mask.shape)
    if shape != tuple(ids.shape):
        raise ValueError(
            f"attention_mask {shape} must have the shape of ids {tuple(ids.shape)}: "
            f"one 1 (real) or 0 (padding) for every token"
        )
    if attention_mask.dtype != torch.bool and not bool(
        ((attention_mask == 0) | (attention_mask == 1)).all()
    ):
        raise ValueError(
            f"attention_mask {shape} of {attention_mask.dtype} holds values other than 0 and 1: "
            f"give 1 = real token, 0 = padding, not the additive -inf form"
        )
    return attention_mask.bool()


def check_same_shape(ids: Tensor, **named: Tensor) -> None:
    """Refuse tensors that must go along with `ids` (batch, length) but have another shape."""
    for name, tensor in named.items():
        if tensor.shape != ids.shape or tensor.is_floating_point():
            raise ValueError(
                f"{name} {tensor.dtype} {tuple(tensor.shape)} must be an integer tensor of the "
                f"shape of ids {tuple(ids.shape)}: one number for every token"
            )


def check_rate(rate: float) -> None:
    """Refuse a share of tokens to predict outside (0, 1]."""
    if not 0.0 < rate <= 1.0:
        raise ValueError(f"rate={rate} must be in (0, 1]: the share of tokens to predict")
