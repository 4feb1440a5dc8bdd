"""Input checks: what cannot be computed is refused with what was found and the remedy.

Shapes and dtypes are looked at always. Values are read from tensors on a CPU only, where ids and
masks come from: reading them on an accelerator would make the processor wait for all the work in
flight at every forward pass, and under `torch.compile` it would break the graph. There the device
itself stops at an id outside the embedding, in its own words.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def require(holds: bool, message: str) -> None:
    """Raise ValueError with `message` unless something holds."""
    if not holds:
        raise ValueError(message)


def readable(tensor: Tensor) -> bool:
    """Whether looking at the values costs nothing."""
    return tensor.device.type == "cpu" and not torch.compiler.is_compiling()


def describe(value: object) -> str:
    """Name the dtype and shape of a tensor, or the type of anything else."""
    return f"{value.dtype} {(*value.shape,)}" if isinstance(value, Tensor) else type(value).__name__


def check_ids(
    ids: Tensor, vocab_size: int | None = None, name: str = "input_ids", *, empty: bool = False
) -> None:
    """Refuse what is no integer tensor (batch, length) of ids below `vocab_size`.

    Raises:
        ValueError: a wrong type, dtype or rank, no token at all unless `empty`, an id out of range.
    """
    kinds = (torch.int64, torch.int32)
    if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.dtype not in kinds:
        raise ValueError(
            f"{name} must be an integer tensor (int64 or int32) of shape (batch, length), got "
            f"{describe(ids)}; for one sequence use torch.tensor(ids)[None]"
        )
    if not empty and not ids.numel():
        raise ValueError(f"{name} is empty: shape {(*ids.shape,)}")
    if not ids.numel() or not readable(ids):
        return
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or (vocab_size is not None and high >= vocab_size):
        raise ValueError(
            f"{name} holds ids from {low} to {high}, the vocabulary has 0 to "
            f"{'…' if vocab_size is None else vocab_size - 1}, in a tensor of shape "
            f"{(*ids.shape,)}: use the tokenizer that the vocabulary belongs to"
        )


def check_mask(mask: Tensor, *shapes: tuple[int, ...], empty_rows: bool = True) -> None:
    """Refuse what is no bool or 0/1 mask of one of `shapes`.

    Raises:
        ValueError: a wrong type, shape or dtype, an additive mask, whose 0 means the opposite, or,
            unless `empty_rows`, a row without a single real token.
    """
    fits = isinstance(mask, Tensor) and mask.shape in shapes and not mask.is_floating_point()
    if fits and mask.dtype != torch.bool and mask.numel() and readable(mask):
        low, high = mask.aminmax()
        fits = bool(low >= 0) and bool(high <= 1)
    if not fits:
        raise ValueError(
            f"attention_mask must have the shape {' or '.join(map(str, shapes))} and be bool or "
            "0/1 integers, 1 = real token, 0 = padding, not the additive -inf form; got "
            f"{describe(mask)}"
        )
    if not empty_rows and readable(mask):
        empty = [
            row for row, any_real in enumerate(mask.flatten(1).any(-1).tolist()) if not any_real
        ]
        require(not empty, f"attention_mask masks all tokens of row(s) {empty}: drop empty texts")


def check_right_padded(real: Tensor) -> None:
    """Refuse a bool mask (batch, length) with padding before text.

    Raises:
        ValueError: some row is padded on the left, or in the middle.
    """
    require(
        not bool((real[:, 1:] & ~real[:, :-1]).any()),
        f"attention_mask {(*real.shape,)} has padding before text: spans are drawn from the left, "
        "so pad on the right",
    )


def check_select(select: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse what does not select positions of a batch (batch, length).

    Raises:
        ValueError: no bool tensor of this shape.
    """
    require(
        select.dtype == torch.bool and select.shape == shape,
        f"select must be a bool mask of shape {(*shape,)}, got {describe(select)}; "
        "labels != -100 makes one",
    )


def check_like(ids: Tensor, **named: Tensor) -> None:
    """Refuse tensors that must hold one integer or bool for each of `ids` and do not.

    Raises:
        ValueError: another shape, or floats.
    """
    for name, tensor in named.items():
        if tensor.shape != ids.shape or tensor.is_floating_point():
            raise ValueError(
                f"{name} {describe(tensor)} must be an integer tensor of the shape of the ids, "
                f"{(*ids.shape,)}: one number for every token"
            )


def check_token_ids(vocab_size: int | None, **named: int) -> None:
    """Refuse special token ids that the vocabulary, if its size is known, does not hold.

    Raises:
        ValueError: an id outside 0..vocab_size-1.
    """
    for name, value in named.items():
        require(
            vocab_size is None or 0 <= value < vocab_size,
            f"{name}={value} is outside the vocabulary 0..{(vocab_size or 0) - 1}: take both from "
            "the same tokenizer",
        )


def check_tokenizer(tokenizer: Any, *tokens: str) -> None:
    """Refuse a tokenizer that lacks special tokens an objective needs, such as "mask_token".

    Raises:
        ValueError: names those that it lacks.
    """
    lacks = [token for token in tokens if getattr(tokenizer, f"{token}_id") is None]
    remedy = ", ".join(f'"{token}": "<{token}>"' for token in lacks)
    require(
        not lacks,
        f"this {type(tokenizer).__name__} has no {' and no '.join(lacks)}: take another, or "
        f"call tokenizer.add_special_tokens({{{remedy}}}) before the model is built",
    )


def check_rate(rate: float) -> None:
    """Refuse a share of tokens to predict outside (0, 1]."""
    require(0.0 < rate <= 1.0, f"rate={rate} must be in (0, 1]: the share of tokens to predict")


def check_shares(mask_share: float, random_share: float) -> None:
    """Refuse shares of the chosen tokens below 0, or more than 1 together."""
    require(
        min(mask_share, random_share) >= 0 and mask_share + random_share <= 1 + 1e-9,
        f"mask_share={mask_share} and random_share={random_share} must be ≥ 0 and sum to at most "
        "1; what is left is kept unchanged",
    )


def check_predictions(
    logits: tuple[int, ...], labels: Tensor, num_predicted: int, highest_label: int
) -> None:
    """Refuse logits of shape `logits` that cannot be scored against `labels` (batch, length).

    Raises:
        ValueError: nothing is predicted (the mean of no tokens is NaN), the shapes do not belong
            together, or a label is outside the vocabulary.
    """
    require(
        logits[:-1] in (labels.shape, (num_predicted,)),
        f"logits {logits} do not fit labels {(*labels.shape,)} with {num_predicted} predicted "
        "tokens: give (batch, length, vocab), or (num_predicted, vocab) from model(..., "
        "select=batch.predicted)",
    )
    require(
        num_predicted > 0,
        f"nothing to predict: 0 of {labels.numel()} labels, shape {(*labels.shape,)}, are set. "
        'Skip this batch, or choose positions with count="fixed", which takes at least one token '
        "of every row",
    )
    require(
        highest_label < logits[-1],
        f"label {highest_label} is outside the {logits[-1]} classes of logits {logits}: the "
        "model's vocab_size is smaller than the tokenizer's",
    )


def check_room(what: str, wanted: int, available: int) -> None:
    """Refuse more tokens than there are positions.

    Raises:
        ValueError: `wanted` is above `available`.
    """
    if wanted > available:
        raise ValueError(
            f"{what}: {wanted} tokens, but the model has {available} positions; shorten the text, "
            "ask for fewer new tokens, or build the model with a larger max_length"
        )
