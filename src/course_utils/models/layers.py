"""The parts that BERT, GPT and T5 share: attention first, then feed-forward and dropout.

Shapes are written at line ends: B batch, T length (Q queries, K keys), A heads, d_k head size,
d hidden size, V vocabulary. Everything is written once here and used by all three paradigms.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention_masks import Mask

from .base import Config
from .fast import drop, has_attention_kernel
from .generation import Cache


def attention_weights(query: Tensor, key: Tensor, mask: Mask, scale: float) -> Tensor:
    """softmax(q kᵀ · scale + mask): who looks how much at whom, (B, A, Q, K)."""
    scores = query * scale @ key.mT  # (B, A, Q, K)
    if mask is not None:
        scores = add_mask(scores, mask)
    return scores.softmax(dim=-1)


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
    """softmax(q kᵀ · scale + mask) v (Vaswani et al. 2017, §3.2.1): (B, A, Q, d_k).

    Where PyTorch has the same formula as one kernel, through that.
    """
    if has_attention_kernel(query, mask, dropout):
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, causal, scale=scale)
    if causal:
        mask = query.new_ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    weights = drop(attention_weights(query, key, mask, scale), dropout)  # (B, A, Q, K)
    return weights @ value


class SelfAttention(nn.Module):
    """Multi-head self-attention: softmax(q kᵀ · scale + mask) v (Vaswani et al. 2017, §3.2.2).

    Queries, keys and values come from one fused matrix. `scale=None` means 1/√d_k; T5 uses 1. With
    `causal`, and no other mask, each position sees itself and what is left of it.
    """

    def __init__(
        self, config: Config, bias: bool = True, scale: float | None = None, causal: bool = False
    ) -> None:
        super().__init__()
        width = config.num_heads * config.head_size  # A·d_k, which is d but for some T5s
        self.query_key_value = nn.Linear(config.hidden_size, 3 * width, bias=bias)
        self.output = nn.Linear(width, config.hidden_size, bias=bias)
        self.num_heads = config.num_heads
        self.scale = config.head_size**-0.5 if scale is None else scale
        self.dropout = config.dropout
        self.causal = causal

    def forward(self, x: Tensor, mask: Mask = None, cache: Cache = None) -> Tensor:
        """Mix (B, Q, d) with what `mask` (True = may attend, or an additive float) lets it see."""
        query, key, value = self.queries_keys_values(x)  # (B, A, Q, d_k) each
        if cache is not None:
            key, value = cache.update(self, key, value)  # (B, A, K, d_k): those before, and these
        causal = self.causal and mask is None and x.size(1) > 1  # a last query alone sees all
        dropout = self.dropout if self.training else 0.0
        mixed = attend(  # (B, A, Q, d_k)
            query, key, value, mask, scale=self.scale, causal=causal, dropout=dropout
        )
        return self.output(merge_heads(mixed))  # (B, Q, d)

    def queries_keys_values(self, x: Tensor) -> Tensor:
        """Queries, keys and values of (B, T, d), one after the other: (3, B, A, T, d_k)."""
        fused = self.query_key_value(x)  # (B, T, 3·A·d_k)
        return fused.unflatten(-1, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4)

    def weights(self, x: Tensor, mask: Mask = None) -> Tensor:
        """Return the attention probabilities themselves (B, A, Q, K), for looking at."""
        query, key, _ = self.queries_keys_values(x)
        return attention_weights(query, key, mask, self.scale)


class CrossAttention(nn.Module):
    """Attention of decoder positions (queries) to the encoder's output (keys and values)."""

    def __init__(self, config: Config, scale: float) -> None:
        super().__init__()
        width = config.num_heads * config.head_size  # A·d_k
        self.key_value = nn.Linear(config.hidden_size, 2 * width, bias=False)
        self.query = nn.Linear(config.hidden_size, width, bias=False)
        self.output = nn.Linear(width, config.hidden_size, bias=False)
        self.num_heads = config.num_heads
        self.scale = scale
        self.dropout = config.dropout

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Project the encoder's output (B, K, d) once, to (B, A, K, d_k) twice."""
        key, value = self.key_value(memory).chunk(2, dim=-1)  # (B, K, A·d_k) each
        return split_heads(key, self.num_heads), split_heads(value, self.num_heads)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor], mask: Mask) -> Tensor:
        """Mix the encoder's values into (B, Q, d)."""
        query = split_heads(self.query(x), self.num_heads)  # (B, A, Q, d_k)
        key, value = keys_values  # (B, A, K, d_k) each
        dropout = self.dropout if self.training else 0.0
        mixed = attend(query, key, value, mask, scale=self.scale, dropout=dropout)  # (B, A, Q, d_k)
        return self.output(merge_heads(mixed))  # (B, Q, d)


def split_heads(x: Tensor, num_heads: int) -> Tensor:
    """Cut the last dimension into heads: (B, T, A·d_k) → (B, A, T, d_k)."""
    return x.unflatten(-1, (num_heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Put the heads side by side again: (B, A, T, d_k) → (B, T, A·d_k)."""
    return x.transpose(1, 2).flatten(-2)


def add_mask(scores: Tensor, mask: Tensor) -> Tensor:
    """Add −∞ where a boolean mask is False; add a float mask as it is."""
    if mask.dtype == torch.bool:
        return scores.masked_fill(~mask, float("-inf"))
    return scores + mask


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,  # BERT: the exact form with the error function
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),  # GPT-2 and gated T5: close, not equal
    "relu": F.relu,  # T5 v1.0
}


class FeedForward(nn.Module):
    """Two linear maps with an activation between; `gated` multiplies by a second input map.

    Dropout at rate `p` after the activation is T5's. Vaswani et al. 2017, §3.3; the gated form is
    Shazeer 2020 (arXiv 2002.05202), §2.
    """

    def __init__(
        self, config: Config, activation: str, bias: bool = True, gated: bool = False, p: float = 0
    ) -> None:
        super().__init__()
        d = config.hidden_size
        inner = config.intermediate_size
        self.up = nn.Linear(d, inner, bias=bias)
        self.gate = nn.Linear(d, inner, bias=bias) if gated else None
        self.down = nn.Linear(inner, d, bias=bias)
        self.activation = ACTIVATIONS[activation]
        self.dropout = Dropout(p)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d) → (B, T, d), each position by itself."""
        if self.gate is None:
            inner = self.activation(self.up(x))  # (B, T, d_ff)
        else:
            inner = self.activation(self.gate(x)) * self.up(x)
        return self.down(self.dropout(inner))


class Dropout(nn.Dropout):
    """Zero a share p of the elements while training, and scale the rest by 1/(1−p)."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape → the same shape."""
        return drop(x, self.p) if self.training else x
