"""The parts that BERT, GPT and T5 share: attention, feed-forward, positions, cache.

Shapes are written at line ends: B batch, T length (Q queries, K keys), H heads, D head size,
d hidden size, V vocabulary. Everything is written once here and used by all three paradigms.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention_masks import Mask
from course_utils.checks import require

from .base import Config

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # BERT: the exact form with the error function
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),  # GPT-2 and gated T5: close, not equal
    "relu": F.relu,  # T5 v1.0
}


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Cut the last dimension into heads: (B, T, H·D) → (B, H, T, D)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads side by side again: (B, H, T, D) → (B, T, H·D)."""
    return x.transpose(1, 2).flatten(-2)


class Dropout(nn.Dropout):
    """Zero a share p of the elements while training, and scale the rest by 1/(1−p)."""

    def __call__(self, x: Tensor) -> Tensor:
        """Any shape → the same shape. Past `nn.Module`'s hooks: in a generation step they cost."""
        return drop(x, self.p) if self.training else x


def drop(x: Tensor, p: float) -> Tensor:
    """Dropout at rate p (to within 2⁻¹⁷). On a CPU one 64-bit draw decides four elements.

    That takes half the time of `F.dropout`, whose Bernoulli draws are the largest cost of dropout
    there, and `Masked` a quarter of its memory; an accelerator draws fast, and in the kernel.
    """
    if p == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    keep = draws.view(torch.int16)[: x.numel()].view(x.shape) >= round((p - 0.5) * 2**16)
    return Masked.apply(x, keep, 1 / (1 - p))


class Masked(torch.autograd.Function):
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


class KeyValueCache:
    """Keys and values of the tokens already seen, so that each token is computed once.

    Each attention has a buffer of its own, laid out for `capacity` tokens when it first writes
    there; a step writes one column.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self.buffers: dict[nn.Module, Tensor] = {}  # (2, B, H, capacity, D) each
        self.position_bias: Tensor | None = None  # T5's, (1, H, capacity, capacity)

    def update(self, owner: nn.Module, new: Tensor) -> Tensor:
        """Write new keys and values (2, B, H, Q, D) of an attention; all so far: (2, B, H, K, D).

        Raises:
            ValueError: more tokens than the capacity.
        """
        end = self.length + new.size(3)
        fits = end <= self.capacity
        require(fits, f"the cache holds {self.capacity} tokens, {end} were asked for")
        if owner not in self.buffers:
            self.buffers[owner] = new.new_zeros((*new.shape[:3], self.capacity, new.size(4)))
        self.buffers[owner].narrow(3, self.length, new.size(3)).copy_(new)
        return self.buffers[owner].narrow(3, 0, end)


Cache = KeyValueCache | None  # None: nothing was read before, or it is read again


def attention_weights(query: Tensor, key: Tensor, mask: Mask, scale: float) -> Tensor:
    """softmax(q kᵀ · scale + mask): who looks how much at whom, (B, H, Q, K)."""
    scores = query * scale @ key.mT
    return (scores if mask is None else add_mask(scores, mask)).softmax(dim=-1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Mask = None,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """Mix values by attention weights (Vaswani et al. 2017, §3.2.1): (B, H, Q, D).

    Through PyTorch's fused kernel, except on a CPU where it has none: with dropout, with a learned
    bias as mask, and in bfloat16.
    """
    learned = mask is not None and mask.requires_grad
    plain = dropout > 0 or learned or query.dtype == torch.bfloat16
    if query.device.type != "cpu" or not plain:
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, causal, scale=scale)
    if causal:
        mask = query.new_ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    return drop(attention_weights(query, key, mask, scale), dropout) @ value


class SelfAttention(nn.Module):
    """Multi-head self-attention: softmax(q kᵀ · scale + mask) v (Vaswani et al. 2017, §3.2.2).

    Queries, keys and values come from one fused matrix. `scale=None` means 1/√D; T5 uses 1. With
    `causal`, and no other mask, each position sees itself and what is left of it.
    """

    def __init__(
        self, config: Config, bias: bool = True, scale: float | None = None, causal: bool = False
    ) -> None:
        super().__init__()
        self.causal = causal
        d, width = config.hidden_size, config.num_heads * config.head_size
        self.num_heads, self.dropout = config.num_heads, config.dropout
        self.scale = config.head_size**-0.5 if scale is None else scale
        self.query_key_value = nn.Linear(d, 3 * width, bias=bias)
        self.output = nn.Linear(width, d, bias=bias)

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values of (B, T, d): (3, B, H, T, D)."""
        fused = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1))
        return fused.permute(2, 0, 3, 1, 4)

    def forward(self, x: Tensor, mask: Mask = None, cache: Cache = None) -> Tensor:
        """Mix (B, Q, d) with what `mask` (True = may attend, or an additive float) lets it see."""
        fused = self.project(x)
        past = fused[1:] if cache is None else cache.update(self, fused[1:])
        dropout = self.dropout if self.training else 0.0
        causal = self.causal and mask is None and x.size(1) > 1  # a last query alone sees all
        mixed = attend(fused[0], *past, mask, causal=causal, scale=self.scale, dropout=dropout)
        return self.output(merge_heads(mixed))

    def weights(self, x: Tensor, mask: Mask = None) -> Tensor:
        """Return the attention probabilities themselves (B, H, Q, K), for looking at."""
        query, key, _ = self.project(x)
        return attention_weights(query, key, mask, self.scale)


class CrossAttention(nn.Module):
    """Attention of decoder positions (queries) to the encoder's output (keys and values)."""

    def __init__(self, config: Config, scale: float) -> None:
        super().__init__()
        d, width = config.hidden_size, config.num_heads * config.head_size
        self.num_heads, self.dropout, self.scale = config.num_heads, config.dropout, scale
        self.key_value = nn.Linear(d, 2 * width, bias=False)
        self.query = nn.Linear(d, width, bias=False)
        self.output = nn.Linear(width, d, bias=False)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Project the encoder's output (B, K, d) once, to (B, H, K, D) twice."""
        key, value = self.key_value(memory).chunk(2, dim=-1)
        return split_heads(key, self.num_heads), split_heads(value, self.num_heads)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor], mask: Tensor | None) -> Tensor:
        """Mix the encoder's values into (B, Q, d)."""
        query = split_heads(self.query(x), self.num_heads)  # (B, H, Q, D)
        dropout = self.dropout if self.training else 0.0
        mixed = attend(query, *keys_values, mask, scale=self.scale, dropout=dropout)
        return self.output(merge_heads(mixed))


class FeedForward(nn.Module):
    """Two linear maps with an activation between; `gated` multiplies by a second input map.

    Dropout at rate `p` between the two is T5's. Vaswani et al. 2017, §3.3; the gated form is
    Shazeer 2020 (arXiv 2002.05202), §2.
    """

    def __init__(
        self, config: Config, activation: str, bias: bool = True, gated: bool = False, p: float = 0
    ) -> None:
        super().__init__()
        d, inner = config.hidden_size, config.intermediate_size
        self.up = nn.Linear(d, inner, bias=bias)
        self.gate = nn.Linear(d, inner, bias=bias) if gated else None
        self.down = nn.Linear(inner, d, bias=bias)
        self.activation, self.dropout = ACTIVATIONS[activation], Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d) → (B, T, d), each position by itself."""
        if self.gate is None:
            # T5 drops after its ReLU. Before it gives the same, and keeps one tensor less.
            return self.down(self.activation(self.dropout(self.up(x))))
        return self.down(self.dropout(self.activation(self.gate(x)) * self.up(x)))


def add_mask(scores: Tensor, mask: Tensor) -> Tensor:
    """Add −∞ where a boolean mask is False; add a float mask as it is."""
    return scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
