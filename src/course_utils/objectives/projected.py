"""Cross-entropy of a vocabulary projection, without ever holding all of its logits.

The logits of a batch are by far its largest tensor: 32 × 128 tokens over 4,096 pieces are 64 MiB,
and cross-entropy makes two more of that size. Here rows are projected a chunk at a time, and the
gradient of a chunk, softmax − one-hot, is used while it is still in the processor's cache: half the
time, and a few MiB.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CHUNK = {"cpu": 2**19}  # logits at a time; other devices want larger products
LARGE_CHUNK = 2**27


def projected_loss(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of `F.linear(hidden, weight, bias)` against `labels`.

    `hidden` (n, d), `weight` (vocab, d), `bias` (vocab,), `labels` (n,) with no label left out.
    Value and gradients are those of `F.cross_entropy`; second derivatives are not available.
    """
    return _ProjectedLoss.apply(hidden, weight, bias, labels, torch.is_grad_enabled())


class _ProjectedLoss(torch.autograd.Function):
    """Forward computes the gradients too, while the logits are there; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, grad: bool
    ) -> Tensor:
        inputs = (hidden, weight, bias)
        wanted = [grad and needed for needed in ctx.needs_input_grad[:3]]
        grads = [torch.zeros_like(x) if w else None for x, w in zip(inputs, wanted, strict=True)]
        rows = max(1, CHUNK.get(hidden.device.type, LARGE_CHUNK) // len(weight))
        total = hidden.new_zeros((), dtype=torch.float32)
        for first in range(0, len(hidden), rows):
            here = slice(first, first + rows)
            logits = F.linear(hidden[here], weight, bias)
            log_probs = torch.log_softmax(logits, -1, dtype=torch.float32)
            total -= log_probs.gather(1, labels[here, None]).sum()
            if any(wanted):
                _add_gradients(grads, here, hidden, weight, labels, log_probs)
        ctx.save_for_backward(*grads)
        ctx.count = len(hidden)
        return total / len(hidden)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale = upstream / ctx.count
        return (
            *(None if g is None else g * scale.to(g.dtype) for g in ctx.saved_tensors),
            None,
            None,
        )


def _add_gradients(
    grads: list[Tensor | None],
    here: slice,
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    log_probs: Tensor,
) -> None:
    """Add the gradients of a chunk's summed loss, from softmax − one-hot; `log_probs` is spent."""
    error = log_probs.exp_()
    error[torch.arange(len(error), device=error.device), labels[here]] -= 1
    error = error.to(weight.dtype)
    d_hidden, d_weight, d_bias = grads
    if d_hidden is not None:
        d_hidden[here] = error @ weight
    if d_weight is not None:
        d_weight += error.T @ hidden[here].to(weight.dtype)
    if d_bias is not None:
        d_bias += error.sum(0)
