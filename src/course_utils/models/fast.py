"""The same numbers in less time. Skip this file on a first reading.

Each function here stands in for a plain one that the chapters show, and a test holds it equal to
that: `drop` to `F.dropout`, `chunked_cross_entropy` to `F.cross_entropy` of all logits.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK = {"cpu": 2**21}  # logits at a time, 8 MiB; other devices want larger products
LEAST_ROWS = 64  # a product of fewer rows waits for the weights to be read


def has_attention_kernel(query: Tensor, mask: Tensor | None, dropout: float) -> bool:
    """Whether PyTorch computes this attention in one kernel, which is faster than its steps.

    On an accelerator always; on a CPU not with dropout, not with a learned bias as mask, and not in
    bfloat16.
    """
    if query.device.type != "cpu":
        return True
    learned = mask is not None and mask.requires_grad
    return dropout == 0 and not learned and query.dtype != torch.bfloat16


def drop(x: Tensor, p: float) -> Tensor:
    """Dropout at rate p (to within 2⁻¹⁷). On a CPU one 64-bit draw decides four elements.

    That takes half the time of `F.dropout`, whose Bernoulli draws are the largest cost of dropout
    there, and `Dropped` a quarter of its memory; an accelerator draws fast, and in the kernel.
    """
    if p == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p)
    num_draws = (x.numel() + 3) // 4
    draws = torch.empty(num_draws, dtype=torch.int64).random_(-(2**63), None)
    numbers = draws.view(torch.int16)[: x.numel()].view(x.shape)  # uniform in [−2¹⁵, 2¹⁵)
    return Dropped.apply(x, numbers >= round((p - 0.5) * 2**16), 1 / (1 - p))


class Dropped(torch.autograd.Function):
    """x · keep · scale. Of the factors only `keep` is held for the gradient: one byte, not four."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.scale = scale
        return keep.to(x.dtype).mul_(scale).mul_(x)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:
        (keep,) = ctx.saved_tensors
        return keep.to(upstream.dtype).mul_(ctx.scale).mul_(upstream), None, None


def chunked_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor
) -> Tensor:
    """Mean cross-entropy, in nats, of `F.linear(hidden, weight, bias)` against `labels`.

    The logits of a batch are by far its largest tensor: 32 × 128 tokens over 4,096 pieces are
    64 MiB, and cross-entropy makes two more of that size. Here rows are projected a chunk at a
    time, and the gradients of a chunk are taken while its logits are still in the processor's
    cache: half the time, and a few MiB.

    `hidden` (n, d), `weight` (vocab, d), `bias` (vocab,), `labels` (n,) with no label left out.
    Value and gradients are those of `F.cross_entropy`; second derivatives are not available.
    """
    return _ChunkedCrossEntropy.apply(hidden, weight, bias, labels, torch.is_grad_enabled())


class _ChunkedCrossEntropy(torch.autograd.Function):
    """Forward takes the gradients too, while the logits are there; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, grad: bool
    ) -> Tensor:
        wanted = [grad and needed for needed in ctx.needs_input_grad[:3]]
        rows = max(LEAST_ROWS, CHUNK.get(hidden.device.type, 2**27) // len(weight))
        parts = [_leaf(part, wanted[0]) for part in hidden.split(rows)]
        weight = _leaf(weight, wanted[1])
        bias = None if bias is None else _leaf(bias, wanted[2])
        total = hidden.new_zeros((), dtype=torch.float32)
        for part, answers in zip(parts, labels.split(rows), strict=True):
            total += _loss_and_gradients(part, weight, bias, answers, any(wanted))
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


def _loss_and_gradients(
    part: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, wanted: bool
) -> Tensor:
    """Summed cross-entropy of a chunk; if `wanted`, its gradients are added to those of leaves."""
    with torch.set_grad_enabled(wanted):
        logits = F.linear(part, weight, bias)
        loss = F.cross_entropy(logits.float(), labels, reduction="sum")
    if wanted:
        loss.backward()
    return loss.detach()


def _leaf(tensor: Tensor, wanted: bool) -> Tensor:
    """The same values at the start of a graph of their own; gradients gather there if `wanted`."""
    return tensor.detach().requires_grad_(wanted)
