"""T5: an encoder that reads and a decoder that writes (Raffel et al. 2020, arXiv 1910.10683, §2.1).

Version 1.0 by default; `gated=True, tied=False` is version 1.1.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.attention_masks import Mask, visible_keys
from course_utils.checks import check_ids, require

from .base import Config
from .generation import Cache, KeyValueCache, NextLogits, Writer
from .layers import CrossAttention, Dropout, FeedForward, SelfAttention, add_mask

# What a decoder block sees of the inputs: the encoder's keys and values, and where it may look.
Memory = tuple[tuple[Tensor, Tensor], Mask]


@dataclass(frozen=True)
class T5Config(Config):
    """The sizes of a T5; the defaults are T5-small."""

    vocab_size: int = 32128
    hidden_size: int = 512
    head_size: int = 64
    num_layers: int = 6
    num_decoder_layers: int = 6
    num_heads: int = 8
    intermediate_size: int = 2048
    gated: bool = False
    tied: bool = True
    scale_logits: bool | None = None  # d^-½ before the head; None: exactly when it is tied
    relative_buckets: int = 32
    relative_max_distance: int = 128
    dropout: float = 0.1
    layer_norm_eps: float = 1e-6
    pad_token_id: int = 0
    eos_token_id: int = 1
    decoder_start_token_id: int = 0

    def __post_init__(self) -> None:
        """Check the sizes."""
        super().__post_init__()
        buckets = self.relative_buckets
        furthest = self.relative_max_distance
        fits = buckets >= 4 and buckets % 4 == 0 and furthest > buckets // 2
        what = f"relative_buckets {buckets} must be a multiple of 4, and relative_max_distance"
        require(fits, f"{what} {furthest} exceed half of them, which hold one distance each")
        if self.scale_logits is None:
            object.__setattr__(self, "scale_logits", self.tied)


class RelativePositionBias(nn.Module):
    """T5's learned bias per head and bucketed distance (Raffel et al. 2020, §2.1).

    Half of the buckets hold one distance each, the other half grow logarithmically up to
    `max_distance`. Two-way in the encoder; the decoder looks back only and uses all for it.
    """

    def __init__(self, config: T5Config, two_way: bool) -> None:
        super().__init__()
        self.two_way = two_way
        self.num_buckets = config.relative_buckets
        self.max_distance = config.relative_max_distance
        self.bias = nn.Embedding(self.num_buckets, config.num_heads)

    def buckets(self, distance: Tensor) -> Tensor:
        """Map key position minus query position (any shape) to bucket numbers."""
        if self.two_way:  # half of the buckets for each direction
            available = self.num_buckets // 2
            first = (distance > 0).long() * available
            steps = distance.abs()
        else:
            available = self.num_buckets
            first = 0
            steps = (-distance).clamp(min=0)
        exact = available // 2
        # clamp(min=1) only keeps log finite: those entries take the exact branch below
        ratio = steps.clamp(min=1).float() / exact  # float32 whatever the caller's default is
        growth = ratio.log() / math.log(self.max_distance / exact)
        far = (exact + (growth * (available - exact)).long()).clamp(max=available - 1)
        return first + torch.where(steps < exact, steps, far)

    def forward(self, mask: Tensor) -> Tensor:
        """Bias of every position (query) over every other (key), −∞ where it may not look.

        `mask` (B, T), 1 = real token; one-way, causality forbids too: (B, A, T, T).
        """
        positions = torch.arange(mask.size(-1), device=self.bias.weight.device)
        buckets = self.buckets(positions[None, :] - positions[:, None])  # (T, T)
        bias = self.bias(buckets).permute(2, 0, 1).unsqueeze(0)  # (1, A, T, T)
        return add_mask(bias, visible_keys(mask, len(positions), causal=not self.two_way))


class T5Block(nn.Module):
    """Self-attention, in the decoder cross-attention, feed-forward; each pre-RMSNorm, residual."""

    def __init__(self, config: T5Config, decoder: bool) -> None:
        super().__init__()
        d = config.hidden_size
        eps = config.layer_norm_eps
        p = config.dropout
        self.attention_norm = nn.RMSNorm(d, eps)
        # not scaled by 1/√d_k: T5 puts that factor into the initial weights instead
        self.attention = SelfAttention(config, bias=False, scale=1.0)
        if decoder:
            self.cross_norm = nn.RMSNorm(d, eps)
            self.cross_attention = CrossAttention(config, scale=1.0)
        self.feed_forward_norm = nn.RMSNorm(d, eps)
        activation = "gelu_tanh" if config.gated else "relu"
        self.feed_forward = FeedForward(config, activation, bias=False, gated=config.gated, p=p)
        self.dropout = Dropout(p)

    def forward(
        self, x: Tensor, mask: Tensor, memory: Memory | None = None, cache: Cache = None
    ) -> Tensor:
        """(B, T, d) → (B, T, d); only a decoder's block has a `memory`."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask, cache))
        if memory is not None:
            x = x + self.dropout(self.cross_attention(self.cross_norm(x), *memory))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class T5Stack(nn.Module):
    """The blocks of one side, with the relative position bias that all of them share."""

    def __init__(self, config: T5Config, decoder: bool) -> None:
        super().__init__()
        depth = config.num_decoder_layers if decoder else config.num_layers
        self.position_bias = RelativePositionBias(config, two_way=not decoder)
        self.blocks = nn.ModuleList(T5Block(config, decoder) for _ in range(depth))
        self.final_norm = nn.RMSNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = Dropout(config.dropout)

    def forward(
        self, x: Tensor, bias: Tensor, memory: list[Memory] | None = None, cache: Cache = None
    ) -> Tensor:
        """Embedded tokens (B, T, d), with the position bias of all layers → (B, T, d)."""
        x = self.dropout(x)
        for number, block in enumerate(self.blocks):
            x = block(x, bias, memory[number] if memory else None, cache)
        return self.dropout(self.final_norm(x))


class T5(Writer):
    """Encoder, decoder and head over one shared token embedding."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.encoder = T5Stack(config, decoder=False)
        self.decoder = T5Stack(config, decoder=True)
        if not config.tied:
            self.head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Draw weights as T5 does: scaled by fan-in, queries smaller by √d_k, embeddings N(0, 1).

        With the 1/√d_k inside the queries, unscaled attention starts at the usual scale; with
        d^-½ before a tied head, the initial loss starts near ln V.
        """
        config = self.config
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
            elif isinstance(module, nn.Embedding):  # of the tokens, or of relative positions
                std = 1.0 if module is self.token_embedding else config.hidden_size**-0.5
                nn.init.normal_(module.weight, std=std)
        for module in self.modules():
            if isinstance(module, SelfAttention):
                queries = module.query_key_value.weight[: module.output.in_features]
                queries *= config.head_size**-0.5
            elif isinstance(module, CrossAttention):
                module.query.weight *= config.head_size**-0.5

    def forward(
        self,
        input_ids: Tensor,
        decoder_input_ids: Tensor,
        attention_mask: Mask = None,
        *,
        select: Tensor | None = None,
    ) -> Tensor:
        """Vocabulary logits (B, T, V) at every target; with `select` only there, (selected, V).

        Args:
            input_ids: token ids of the inputs, (B, S).
            decoder_input_ids: targets shifted right, (B, T).
            attention_mask: of the inputs, 1 = real token, 0 = padding, (B, S).
            select: where logits are wanted, bool (B, T).

        Raises:
            ValueError: ids, mask or `select` of a wrong shape, dtype or range.
        """
        hidden = self.hidden_states(input_ids, decoder_input_ids, attention_mask)  # (B, T, d)
        return self.logits(hidden, select)

    def encode(self, input_ids: Tensor, attention_mask: Mask = None) -> Tensor:
        """Read ids (B, S) from both sides: (B, S, d).

        Raises:
            ValueError: ids or mask of a wrong shape, dtype or range.
        """
        mask = self.check_inputs(input_ids, attention_mask)
        mask = input_ids.new_ones(1, input_ids.size(1)) if mask is None else mask
        return self.encoder(self.token_embedding(input_ids), self.encoder.position_bias(mask))

    def keys_values(self, encoded: Tensor, attention_mask: Mask = None) -> list[Memory]:
        """What each decoder block sees of the encoder's output (B, S, d), padding (B, S) apart.

        Raises:
            ValueError: a square mask; targets say not which document of a row they belong to.
        """
        if attention_mask is not None and attention_mask.dim() > 2:
            shape = f"attention_mask {(*attention_mask.shape,)} keeps documents of one row apart"
            raise ValueError(f"{shape}, which T5's decoder cannot: give each its own row")
        visible = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        blocks = self.decoder.blocks
        return [(block.cross_attention.keys_values(encoded), visible) for block in blocks]

    def decode(self, ids: Tensor, memory: list[Memory], cache: Cache = None) -> Tensor:
        """Read the target so far, looking back at it and over at the encoder: (B, T, d).

        Args:
            ids: targets shifted right, (B, T); with a cache only the new ones.
            memory: what `keys_values` made of the encoder's output.
            cache: the decoder's own keys and values from earlier calls.
        """
        bias = self.own_bias(ids, cache)
        x = self.decoder(self.token_embedding(ids), bias, memory, cache)
        if cache is not None:
            cache.length += ids.size(1)
        return x

    def own_bias(self, ids: Tensor, cache: Cache) -> Tensor:
        """Causal position bias of the new tokens (1, A, Q, K); with a cache computed only once."""
        if cache is None:
            return self.decoder.position_bias(ids.new_ones(1, ids.size(1)))
        if cache.position_bias is None:
            cache.position_bias = self.decoder.position_bias(ids.new_ones(1, cache.capacity))
        end = cache.length + ids.size(1)
        return cache.position_bias[:, :, cache.length : end, :end]

    def hidden_states(
        self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Mask = None
    ) -> Tensor:
        """Last hidden states of the decoder (B, T, d); arguments as of `forward`.

        Raises:
            ValueError: ids or mask of a wrong shape, dtype or range.
        """
        memory = self.keys_values(self.encode(input_ids, attention_mask), attention_mask)
        check_ids(decoder_input_ids, self.config.vocab_size, "decoder_input_ids")
        pair = f"input_ids has {len(input_ids)} rows, decoder_input_ids {len(decoder_input_ids)}"
        require(len(input_ids) == len(decoder_input_ids), f"{pair}: they must be pairs")
        return self.decode(decoder_input_ids, memory)

    def vocabulary_projection(self, hidden: Tensor) -> tuple[Tensor, Tensor, None]:
        """What makes logits of hidden states (…, d): input (…, d), matrix (V, d), no bias."""
        if self.config.scale_logits:
            hidden = hidden * self.config.hidden_size**-0.5
        matrix = self.token_embedding.weight if self.config.tied else self.head.weight
        return hidden, matrix, None

    def start(
        self, inputs: Tensor, mask: Mask, most: int, use_cache: bool
    ) -> tuple[Tensor, NextLogits]:
        """Read the inputs, and begin at `decoder_start_token_id`; see `Writer`."""
        memory = self.keys_values(self.encode(inputs, mask), mask)
        cache = KeyValueCache(most) if use_cache else None

        def next_logits(ids: Tensor) -> Tensor:
            new = ids if cache is None else ids[:, cache.length :]
            return self.logits(self.decode(new, memory, cache)[:, -1])

        return inputs.new_full((len(inputs), 1), self.config.decoder_start_token_id), next_logits
