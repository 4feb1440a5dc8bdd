"""What a model is given and what it must predict: the one form that every objective produces."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from course_utils.attention_masks import Mask
from course_utils.checks import check_ids, check_mask, check_predictions

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

    def labels_for(self, logits: Tensor) -> Tensor:
        """The labels that belong to `logits`, of their shape without the last dimension.

        All labels (batch, length) for logits (batch, length, vocab); those that are predicted,
        (num_predicted,), for (num_predicted, vocab), as a model gives it with
        `select=batch.predicted`. Raises what `check_predictions` does.
        """
        shape = tuple(logits.shape)
        check_predictions(shape, self.labels, self.num_predicted, self.highest_label)
        whole = logits.shape[:-1] == self.labels.shape
        return self.labels if whole else self.labels[self.predicted]

    def map(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Return a batch of what `function` makes of every tensor."""

        def apply(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: function(tensor) for name, tensor in value.items()}
            return None if value is None else function(value)

        return replace(self, **{f.name: apply(getattr(self, f.name)) for f in fields(self)})

    def to(self, device: torch.device | str) -> Self:
        """Return the same batch on another device."""
        moved = self.map(lambda tensor: tensor.to(device))
        moved.__dict__.update(num_predicted=self.num_predicted, highest_label=self.highest_label)
        return moved


def labels_at(predicted: Tensor, ids: Tensor) -> Tensor:
    """The ids themselves where `predicted` (bool, of their shape) says so, else `IGNORE_INDEX`."""
    return ids.long().masked_fill(~predicted, IGNORE_INDEX)


def choose(candidates: Tensor, counts: Tensor, generator: torch.Generator) -> Tensor:
    """Draw `counts[i]` of the True positions of row i of `candidates`, all sets equally likely.

    `candidates` bool (batch, length), `counts` (batch,), result bool (batch, length). A count
    above the number of candidates takes them all.
    """
    scores = uniform(candidates.shape, generator, candidates.device)
    rank = scores.masked_fill(~candidates, 2.0).argsort(dim=1).argsort(dim=1)
    return candidates & (rank < counts[:, None])


def uniform(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Float32 numbers in [0, 1), drawn on the generator's device and then moved to `device`."""
    drawn = torch.rand(shape, generator=generator, device=generator.device, dtype=torch.float32)
    return drawn.to(device)


def real_tokens(ids: Tensor, mask: Mask = None, vocab_size: int | None = None) -> Tensor:
    """Check ids (batch, length) and mask; True = real token, everywhere if there is no mask.

    Raises ValueError for wrong shapes or dtypes and ids outside `vocab_size`, if given. Rows
    without tokens are fine: there is nothing to do in them.
    """
    check_ids(ids, vocab_size, "ids", empty=True)
    if mask is None:
        return torch.ones_like(ids, dtype=torch.bool)
    check_mask(mask, (*ids.shape,))
    return mask.bool()
