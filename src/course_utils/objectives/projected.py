"""Cross-entropy of a vocabulary projection, without ever holding all of its logits.

The logits of a batch are by far its largest tensor: 32 × 128 tokens over 4,096 pieces are 64 MiB,
and cross-entropy makes two more of that size. Here rows are projected a chunk at a time, and the
gradients of a chunk are taken while its logits are still in the processor's cache: half the time,
and a few MiB.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = {"cpu": 2**19}  # logits at a time; other devices want larger products
LEAST_ROWS = 64  # a product of fewer rows waits for the weights to be read


def projected_loss(hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor) -> Tensor:
    """Mean cross-entropy, in nats, of `F.linear(hidden, weight, bias)` against `labels`.

    `hidden` (n, d), `weight` (vocab, d), `bias` (vocab,), `labels` (n,) with no label left out.
    Value and gradients are those of `F.cross_entropy`; second derivatives are not available.
    """
    return _ProjectedLoss.apply(hidden, weight, bias, labels, torch.is_grad_enabled())


class _ProjectedLoss(torch.autograd.Function):
    """Forward takes the gradients too, while the logits are there; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, grad: bool
    ) -> Tensor:
        wanted = [grad and needed for needed in ctx.needs_input_grad[:3]]
        rows = max(LEAST_ROWS, CHUNK.get(hidden.device.type, 2**27) // len(weight))
        parts = [_leaf(part, wanted[0]) for part in hidden.split(rows)]
        weight, bias = _leaf(weight, wanted[1]), _leaf(bias, wanted[2])
        total = hidden.new_zeros((), dtype=torch.float32)
        for part, answers in zip(parts, labels.split(rows), strict=True):
            with torch.set_grad_enabled(any(wanted)):
                logits = F.linear(part, weight, bias)
                loss = F.cross_entropy(logits.float(), answers, reduction="sum")
            if any(wanted):
                loss.backward()
            total += loss.detach()
        d_hidden = torch.cat([part.grad for part in parts]) if wanted[0] else None
        ctx.save_for_backward(d_hidden, weight.grad, None if bias is None else bias.grad)
        ctx.count = len(labels)
        return total / len(labels)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scale = upstream / ctx.count
        grads = (None if g is None else g * scale.to(g.dtype) for g in ctx.saved_tensors)
        return (*grads, None, None)


def _leaf(tensor: Tensor | None, wanted: bool) -> Tensor | None:
    """The same values at the start of a graph of their own; gradients gather there if `wanted`."""
    return None if tensor is None else tensor.detach().requires_grad_(wanted)
