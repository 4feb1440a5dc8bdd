"""GPT-2: a decoder that sees the left side only (Radford et al. 2019, §2.3)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.attention_masks import Mask, real_positions, visible_keys
from course_utils.checks import require

from .base import Config, init_normal
from .generation import Cache, KeyValueCache, NextLogits, Writer
from .layers import Dropout, FeedForward, SelfAttention


@dataclass(frozen=True)
class GptConfig(Config):
    """The sizes of a GPT; the defaults are GPT-2 small (124M)."""

    vocab_size: int = 50257
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    max_length: int = 1024
    dropout: float = 0.1
    layer_norm_eps: float = 1e-5
    eos_token_id: int | None = 50256
    pad_token_id: int | None = None


class GptBlock(nn.Module):
    """Normalise, **then** attend or feed forward, and add to the stream (pre-norm)."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.attention = SelfAttention(config, causal=True)
        self.feed_forward_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.feed_forward = FeedForward(config, "gelu_tanh")
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Mask = None, cache: Cache = None) -> Tensor:
        """(B, T, d) → (B, T, d); without a mask, each position sees what is left of it."""
        x = x + self.dropout(self.attention(self.attention_norm(x), mask, cache))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))


class Gpt(Writer):
    """GPT-2 with its language-model head, which is the token embedding once more."""

    def __init__(self, config: GptConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embedding = nn.Embedding(config.max_length, config.hidden_size)
        self.dropout = Dropout(config.dropout)
        self.blocks = nn.ModuleList(GptBlock(config) for _ in range(config.num_layers))
        self.final_norm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.apply(init_normal)
        for block in self.blocks:  # 2·L additions to the stream: keep their sum at unit scale
            for last in (block.attention.output, block.feed_forward.down):
                nn.init.normal_(last.weight, std=0.02 / (2 * config.num_layers) ** 0.5)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Mask = None,
        cache: Cache = None,
        *,
        select: Tensor | None = None,
    ) -> Tensor:
        """Vocabulary logits (B, T, V) at every position; with `select` only there, (selected, V).

        Args:
            input_ids: token ids, (B, T); with a cache only the new ones.
            attention_mask: 1 = real token, 0 = padding, (B, K) over all tokens so far; or
                (B, T, T) for packed documents. Positions count real tokens, so padding on the
                left changes nothing (Hugging Face does the same inside `generate` only).
            cache: keys and values of the tokens before, from earlier calls.
            select: where logits are wanted, bool (B, T).

        Raises:
            ValueError: ids, mask or `select` of a wrong shape, dtype or range.
        """
        return self.logits(self.hidden_states(input_ids, attention_mask, cache), select)

    def hidden_states(
        self, input_ids: Tensor, attention_mask: Mask = None, cache: Cache = None
    ) -> Tensor:
        """Read ids (B, T) from left to right into the last hidden states (B, T, d).

        Arguments as of `forward`.

        Raises:
            ValueError: ids or mask of a wrong shape, dtype or range.
        """
        past = cache.length if cache else 0
        return self.read(input_ids, self.check_inputs(input_ids, attention_mask, past), cache)

    def read(self, input_ids: Tensor, mask: Mask = None, cache: Cache = None) -> Tensor:
        """Do the work of `hidden_states`, for inputs that have been checked."""
        past = cache.length if cache else 0
        new = input_ids.size(1)
        x = self.token_embedding(input_ids) + self.positions(mask, past, new)  # (B, T, d)
        x = self.dropout(x)
        visible = self.look_back(mask, past, new)
        for block in self.blocks:
            x = block(x, visible, cache)
        if cache is not None:
            cache.length += new
        return self.final_norm(x)

    def positions(self, mask: Mask, past: int, new: int) -> Tensor:
        """Position vectors of the new tokens, (B or 1, T, d)."""
        if mask is None:
            return self.position_embedding.weight[past : past + new]
        return self.position_embedding(real_positions(mask)[:, past:])

    def look_back(self, mask: Mask, past: int, new: int) -> Mask:
        """Causal and padding mask (B, 1, T, K); None where plain causality says it all."""
        if mask is None and (past == 0 or new == 1):
            return None
        if mask is None:
            device = self.token_embedding.weight.device
            mask = torch.ones(1, past + new, dtype=torch.bool, device=device)
        return visible_keys(mask, new, causal=True)

    def vocabulary_projection(self, hidden: Tensor) -> tuple[Tensor, Tensor, None]:
        """What makes logits of hidden states (…, d): input (…, d), matrix (V, d), no bias."""
        return hidden, self.token_embedding.weight, None

    def start(
        self, prompts: Tensor, mask: Mask, most: int, use_cache: bool
    ) -> tuple[Tensor, NextLogits]:
        """Begin at the prompts; see `Writer`."""
        mask = self.check_inputs(prompts, mask, more=most)
        ends = mask is None or (mask.dim() == 2 and bool(mask[:, -1].all()))
        require(ends, "a prompt ends in padding: pad on the left (padding_side='left')")
        length = prompts.size(1)
        cache = KeyValueCache(length + most) if use_cache else None

        def next_logits(ids: Tensor) -> Tensor:
            new = ids if cache is None else ids[:, cache.length :]
            grown = None if mask is None else F.pad(mask.long(), (0, ids.size(1) - length), value=1)
            return self.logits(self.read(new, grown, cache)[:, -1])

        return prompts, next_logits
