"""The parts that BERT, GPT and T5 share: attention, feed-forward, positions, cache, door checks.

Shapes are written at line ends: B batch, T length (Q queries, K keys), H heads, D head size,
d hidden size, V vocabulary. Everything is written once here and used by all three paradigms.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

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
    there; an accelerator draws fast, and in the kernel.
    """
    if p == 0:
        return x
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return F.dropout(x, p)
    draws = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    keep = draws.view(torch.int16)[: x.numel()].view(x.shape) >= round((p - 0.5) * 2**16)
    return x * (keep * torch.tensor(1 / (1 - p), dtype=x.dtype))


class KeyValueCache:
    """Keys and values of the tokens already seen, so that each token is computed once.

    Buffers are laid out for `capacity` tokens at the first update; a step writes one column.
    """

    def __init__(self, num_layers: int, capacity: int) -> None:
        self.capacity, self.length = capacity, 0
        self.layers: list[Tensor | None] = [None] * num_layers  # (2, B, H, capacity, D) each
        self.position_bias: Tensor | None = None  # T5's, (1, H, capacity, capacity)

    def update(self, layer: int, new: Tensor) -> Tensor:
        """Write a layer's new keys and values (2, B, H, Q, D); return all so far (2, B, H, K, D).

        Raises:
            ValueError: more tokens than the capacity.
        """
        end = self.length + new.size(3)
        if end > self.capacity:
            raise ValueError(f"the cache holds {self.capacity} tokens, {end} were asked for")
        if self.layers[layer] is None:
            self.layers[layer] = new.new_zeros((*new.shape[:3], self.capacity, new.size(4)))
        self.layers[layer].narrow(3, self.length, new.size(3)).copy_(new)
        return self.layers[layer].narrow(3, 0, end)


def attention_weights(query: Tensor, key: Tensor, mask: Tensor | None, scale: float) -> Tensor:
    """softmax(q kᵀ · scale + mask): who looks how much at whom, (B, H, Q, K)."""
    scores = query * scale @ key.mT
    return (scores if mask is None else add_mask(scores, mask)).softmax(dim=-1)


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """Mix values by attention weights (Vaswani et al. 2017, §3.2.1): (B, H, Q, D).

    Through PyTorch's fused kernel, except on a CPU where it has none: with dropout, with a learned
    bias as mask, in bfloat16, and for the single query of a generation step the plain formula is
    faster.
    """
    learned = mask is not None and mask.requires_grad
    plain = dropout > 0 or learned or query.size(2) == 1 or query.dtype == torch.bfloat16
    if query.device.type != "cpu" or not plain:
        return F.scaled_dot_product_attention(
            query, key, value, mask, dropout, is_causal=causal, scale=scale
        )
    if causal:
        mask = query.new_ones(query.size(2), key.size(2), dtype=torch.bool).tril()
    return drop(attention_weights(query, key, mask, scale), dropout) @ value


class SelfAttention(nn.Module):
    """Multi-head self-attention: softmax(q kᵀ · scale + mask) v (Vaswani et al. 2017, §3.2.2).

    Queries, keys and values come from one fused matrix. `scale=None` means 1/√D; T5 uses 1.
    """

    def __init__(
        self,
        hidden_size: int,
        num_heads: int,
        head_size: int,
        *,
        bias: bool = True,
        scale: float | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.scale = head_size**-0.5 if scale is None else scale
        self.query_key_value = nn.Linear(hidden_size, 3 * num_heads * head_size, bias=bias)
        self.output = nn.Linear(num_heads * head_size, hidden_size, bias=bias)

    def project(self, x: Tensor) -> Tensor:
        """Queries, keys and values of (B, T, d): (3, B, H, T, D)."""
        fused = self.query_key_value(x).unflatten(-1, (3, self.num_heads, -1))
        return fused.permute(2, 0, 3, 1, 4)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        causal: bool = False,
        cache: KeyValueCache | None = None,
        layer: int = 0,
    ) -> Tensor:
        """Mix (B, Q, d) with what `mask` (True = may attend, or an additive float) lets it see."""
        fused = self.project(x)
        past = fused[1:] if cache is None else cache.update(layer, fused[1:])
        dropout = self.dropout if self.training else 0.0
        mixed = attend(
            fused[0], past[0], past[1], mask, causal=causal, scale=self.scale, dropout=dropout
        )  # (B, H, Q, D)
        return self.output(merge_heads(mixed))

    def weights(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the attention probabilities themselves (B, H, Q, K), for looking at."""
        query, key, _ = self.project(x)
        return attention_weights(query, key, mask, self.scale)


class CrossAttention(nn.Module):
    """Attention of decoder positions (queries) to the encoder's output (keys and values)."""

    def __init__(
        self, hidden_size: int, num_heads: int, head_size: int, *, scale: float, dropout: float
    ) -> None:
        super().__init__()
        self.num_heads, self.scale, self.dropout = num_heads, scale, dropout
        self.query = nn.Linear(hidden_size, num_heads * head_size, bias=False)
        self.key_value = nn.Linear(hidden_size, 2 * num_heads * head_size, bias=False)
        self.output = nn.Linear(num_heads * head_size, hidden_size, bias=False)

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

    Vaswani et al. 2017, §3.3; the gated form is Shazeer 2020 (arXiv 2002.05202), §2.
    """

    def __init__(
        self,
        hidden_size: int,
        intermediate_size: int,
        activation: str,
        *,
        bias: bool = True,
        gated: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.up = nn.Linear(hidden_size, intermediate_size, bias=bias)
        self.gate = nn.Linear(hidden_size, intermediate_size, bias=bias) if gated else None
        self.down = nn.Linear(intermediate_size, hidden_size, bias=bias)
        self.activation, self.dropout = ACTIVATIONS[activation], Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, d) → (B, T, d), each position by itself."""
        if self.gate is None:
            return self.down(self.dropout(self.activation(self.up(x))))
        return self.down(self.dropout(self.activation(self.gate(x)) * self.up(x)))


class RelativePositionBias(nn.Module):
    """T5's learned bias per head and bucketed distance (Raffel et al. 2020, §2.1).

    Half of the buckets hold one distance each, the other half grow logarithmically up to
    `max_distance`. Two-way in the encoder; the decoder looks back only and uses all for it.
    """

    def __init__(self, num_buckets: int, max_distance: int, num_heads: int, two_way: bool) -> None:
        super().__init__()
        self.num_buckets, self.max_distance, self.two_way = num_buckets, max_distance, two_way
        self.bias = nn.Embedding(num_buckets, num_heads)

    def buckets(self, distance: Tensor) -> Tensor:
        """Map key position minus query position (any shape) to bucket numbers."""
        half = self.num_buckets // 2 if self.two_way else self.num_buckets
        side = (distance > 0).long() * half if self.two_way else 0
        steps = distance.abs() if self.two_way else (-distance).clamp(min=0)
        exact = half // 2
        # clamp(min=1) only keeps log finite: those entries take the exact branch below
        growth = torch.log(steps.clamp(min=1).float() / exact) / torch.log(
            torch.tensor(self.max_distance / exact)
        )
        far = (exact + (growth * (half - exact)).long()).clamp(max=half - 1)
        return side + torch.where(steps < exact, steps, far)

    def forward(self, length: int) -> Tensor:
        """Bias of every position (query) over every other (key): (1, H, T, T)."""
        positions = torch.arange(length, device=self.bias.weight.device)
        buckets = self.buckets(positions[None, :] - positions[:, None])  # (T, T)
        return self.bias(buckets).permute(2, 0, 1).unsqueeze(0)


def visible_keys(mask: Tensor, num_queries: int, causal: bool) -> Tensor:
    """Say who may look where, as booleans (B, 1, Q, K), from (B, K) or (B, K, K) masks.

    Every position may see itself, so that a padding row is never a softmax over nothing;
    its output is finite and nobody reads it.
    """
    seen = mask.bool()
    keys = seen.size(-1)
    if seen.dim() == 2:
        seen = seen[:, None, :].expand(-1, num_queries, -1)  # (B, Q, K)
    seen = seen[:, -num_queries:]
    if causal:
        seen = seen & seen.new_ones(num_queries, keys).tril(keys - num_queries)
    own = torch.eye(keys, dtype=torch.bool, device=mask.device)[-num_queries:]
    return (seen | own).unsqueeze(1)


def real_positions(mask: Tensor) -> Tensor:
    """Count the tokens each position may see up to itself, from 0: (B, T).

    Left padding does not shift positions, and each packed document starts at 0 again.
    """
    real = mask.long()
    count = real.cumsum(-1) if mask.dim() == 2 else real.tril().sum(-1)
    return (count - 1).clamp(min=0)


def add_mask(scores: Tensor, mask: Tensor) -> Tensor:
    """Add −∞ where a boolean mask is False; add a float mask as it is."""
    return scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask


def describe(value: object) -> str:
    """Name the dtype and shape of a tensor, or the type of anything else."""
    if isinstance(value, Tensor):
        return f"{value.dtype} of shape {tuple(value.shape)}"
    return type(value).__name__


def check_ids(
    name: str,
    ids: Tensor,
    vocab_size: int,
    max_length: int | None = None,
    like: Tensor | None = None,
) -> None:
    """Refuse ids that the model cannot read; `like` has the shape that they must have.

    Raises:
        ValueError: not an integer tensor (batch, length), empty, too long, or an id out of range.
    """
    if not isinstance(ids, Tensor) or ids.dim() != 2 or ids.dtype not in (torch.int64, torch.int32):
        raise ValueError(
            f"{name} must be an int64 or int32 tensor of shape (batch, length), got "
            f"{describe(ids)}; torch.tensor(ids)[None] makes one of a single sequence"
        )
    if like is not None and ids.shape != like.shape:
        raise ValueError(
            f"{name} has shape {tuple(ids.shape)}, it must be that of input_ids: "
            f"{tuple(like.shape)}"
        )
    if ids.numel() == 0:
        raise ValueError(f"{name} is empty: shape {tuple(ids.shape)}")
    if max_length is not None and ids.size(1) > max_length:
        raise ValueError(
            f"{name} has {ids.size(1)} tokens, the model has {max_length} positions: "
            "truncate the text, or build the model with a larger max_length"
        )
    if torch.compiler.is_compiling():  # reading values would break the compiled graph
        return
    low, high = (int(end) for end in ids.aminmax())
    if low < 0 or high >= vocab_size:
        raise ValueError(
            f"{name} holds ids from {low} to {high}, the vocabulary has 0 to {vocab_size - 1}: "
            "is this the tokenizer that the model was trained with?"
        )


def holds_only_0_and_1(mask: Tensor) -> bool:
    """Tell a 0/1 mask from an additive one, whose 0 would mean the opposite."""
    if mask.dtype == torch.bool or torch.compiler.is_compiling():
        return True
    low, high = mask.aminmax()
    return bool(low >= 0) and bool(high <= 1)


def check_mask(mask: Tensor | None, ids: Tensor, num_keys: int | None = None) -> Tensor | None:
    """Refuse a mask that does not fit the ids; return None if it hides nothing.

    Raises:
        ValueError: wrong shape or dtype, or a row without a single real token.
    """
    if mask is None:
        return None
    batch, keys = ids.size(0), num_keys or ids.size(1)
    fits = isinstance(mask, Tensor) and mask.shape in ((batch, keys), (batch, keys, keys))
    if not fits or mask.is_floating_point() or not holds_only_0_and_1(mask):
        raise ValueError(
            f"attention_mask must be bool or 0/1 integers, 1 = real token, of shape "
            f"({batch}, {keys}), or ({batch}, {keys}, {keys}) for packed documents; got "
            f"{describe(mask)}"
        )
    if torch.compiler.is_compiling():
        return mask
    empty = ~mask.bool().flatten(1).any(-1)
    if empty.any():
        rows = empty.nonzero().flatten().tolist()
        raise ValueError(f"attention_mask hides every token of row(s) {rows}: drop empty texts")
    return None if bool(mask.all()) else mask


def check_select(select: Tensor | None, ids: Tensor) -> None:
    """Refuse a selection that does not fit the ids (B, T).

    Raises:
        ValueError: not a boolean tensor of the ids' shape.
    """
    if select is None:
        return
    if not isinstance(select, Tensor) or select.shape != ids.shape or select.dtype != torch.bool:
        raise ValueError(
            f"select must be a bool mask of shape {tuple(ids.shape)}, got {describe(select)}; "
            "labels != -100 makes one"
        )


def check_config(config: object) -> None:
    """Refuse sizes that make no model.

    Raises:
        ValueError: a size below 1, a dropout outside [0, 1), or heads that do not divide d.
    """
    for name, value in vars(config).items():
        is_size = name.startswith("num_") or name.endswith(("_size", "_length"))
        if is_size and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not 0 <= config.dropout < 1:
        raise ValueError(f"dropout must lie in [0, 1), got {config.dropout}")
    if not hasattr(config, "head_size") and config.hidden_size % config.num_heads:
        raise ValueError(
            f"hidden_size {config.hidden_size} is no multiple of num_heads {config.num_heads}"
        )


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Draw a layer's weights from N(0, std²), its bias 0: BERT's and GPT-2's start."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
