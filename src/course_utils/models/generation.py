"""Choosing the next token and writing a text with it: one loop for GPT and for T5."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils.attention_masks import Mask
from course_utils.checks import require

from .base import LanguageModel

Step = Callable[[Tensor], Tensor]  # all ids so far (B, K) → logits of the next token (B, V)
Start = tuple[Tensor, Step]  # the ids (B, T) that what is written is appended to


@dataclass(frozen=True)
class Generated:
    """What was written, and how sure the model was of it."""

    ids: Tensor  # (B, T + new): the start and what follows; pad after a row's end
    new_ids: Tensor  # (B, new)
    probabilities: Tensor  # (B, new): of each chosen token, under the model's own softmax; 1 at pad
    distributions: Tensor | None = None  # (B, new, V) with keep_distributions=True


def keep_top_k(logits: Tensor, k: int) -> Tensor:
    """Keep the k largest logits of each row (B, V) and those equal to the k-th, the rest −∞.

    Fan et al. 2018, §5.1.
    """
    smallest = logits.topk(min(k, logits.size(-1)), dim=-1).values[:, -1:]
    return logits.masked_fill(logits < smallest, float("-inf"))


def keep_top_p(logits: Tensor, p: float) -> Tensor:
    """Keep the smallest set of tokens with probability ≥ p (Holtzman et al. 2020, §3.1)."""
    ordered, order = logits.sort(dim=-1, descending=True)
    before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)  # mass of the likelier tokens
    drop = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, before >= p)
    return logits.masked_fill(drop, float("-inf"))


def choose_next(
    logits: Tensor,
    *,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose one token a row from logits (B, V): the likeliest at temperature 0, else a draw.

    Raises:
        ValueError: temperature below 0, top_k below 1, or top_p outside (0, 1].
    """
    require(temperature >= 0, f"temperature must be 0 or more, got {temperature}")
    require(top_k is None or top_k >= 1, f"top_k must be at least 1, got {top_k}")
    require(top_p is None or 0 < top_p <= 1, f"top_p must lie in (0, 1], got {top_p}")
    if temperature == 0:
        return logits.argmax(-1)  # (B,)
    logits = logits / temperature
    if top_k is not None:
        logits = keep_top_k(logits, top_k)
    if top_p is not None:
        logits = keep_top_p(logits, top_p)
    return torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


class Writer(LanguageModel):
    """A model that can write: GPT or T5.

    It adds `start(input_ids, attention_mask, max_new_tokens, use_cache)`: the ids (B, T) that what
    is written is appended to, and a function from all ids so far (B, K) to the logits of the next
    token (B, V).
    """

    @torch.no_grad()
    def generate(
        self,
        input_ids: Tensor,
        attention_mask: Mask = None,
        max_new_tokens: int = 32,
        *,
        use_cache: bool = True,
        **choice: Any,
    ) -> Generated:
        """Write a text for each row of ids (B, T), one token at a time.

        GPT continues its prompts, which are padded on the **left**. T5 answers its inputs, padded
        on either side, from `decoder_start_token_id` on.

        Args:
            input_ids: prompts or inputs, (B, T).
            attention_mask: 0 at the padding, (B, T).
            max_new_tokens: stop after so many, or when every row has met `eos_token_id`.
            use_cache: False computes every step from the start, to compare.
            choice: `temperature` (0, the default, is greedy), `top_k`, `top_p`, `generator`: see
                `choose_next`. `eos_token_id` ends a row, None never does; `pad_token_id` fills it
                after that; both are the configuration's if not given. `keep_distributions=True`
                also returns the whole distribution of each step.

        Raises:
            ValueError: ids or mask of a wrong shape, dtype or range, a prompt padded on the right,
                more tokens than the model has positions, or a choice out of range.
        """
        require(max_new_tokens >= 1, f"max_new_tokens must be at least 1, got {max_new_tokens}")
        eos = choice.pop("eos_token_id", self.config.eos_token_id)
        pad = choice.pop("pad_token_id", self.config.pad_token_id)
        training = self.training
        self.eval()
        try:
            ids, step = self.start(input_ids, attention_mask, max_new_tokens, use_cache)
            return _append(step, ids, max_new_tokens, eos, eos if pad is None else pad, **choice)
        finally:
            self.train(training)


def _append(
    step: Step, ids: Tensor, most: int, eos: int | None, pad: int | None, **choice: Any
) -> Generated:
    """Append to ids (B, T) until every row has met its end; after it, pad at probability 1."""
    keep_distributions = choice.pop("keep_distributions", False)
    start, done = ids.size(1), torch.zeros(ids.size(0), dtype=torch.bool, device=ids.device)
    chosen, kept = [], []
    # inference_mode: less to do for each small operation than under no_grad
    with torch.inference_mode():
        for _ in range(most):
            logits = step(ids).float()  # (B, V)
            token = choose_next(logits, **choice).masked_fill(done, pad or 0)  # (B,)
            distribution = logits.softmax(-1)
            probability = distribution.gather(-1, token[:, None])
            chosen.append(probability.masked_fill(done[:, None], 1.0))
            kept.append(distribution if keep_distributions else None)
            ids = torch.cat([ids, token[:, None]], dim=1)
            if eos is not None and (done := done | (token == eos)).all():
                break
    every = torch.stack(kept, 1) if keep_distributions else None
    ids = ids.clone()  # an ordinary tensor again, that a model can be trained on
    return Generated(ids, ids[:, start:], torch.cat(chosen, 1), every)
