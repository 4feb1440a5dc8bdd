"""Choosing the next token and writing a text with it: one loop for GPT and for T5."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_utils.checks import require


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


def continue_text(
    model: nn.Module,
    step: Callable[[Tensor], Tensor],
    ids: Tensor,
    max_new_tokens: int,
    *,
    eos_token_id: int | None = None,
    pad_token_id: int | None = None,
    keep_distributions: bool = False,
    **choice: object,
) -> Generated:
    """Append tokens one at a time until every row has met its end.

    Args:
        model: put into evaluation mode while writing, and back after it.
        step: all ids so far (B, K) → logits of the next token (B, V).
        ids: the start, (B, T).
        max_new_tokens: the most to append, at least 1.
        eos_token_id: ends a row; None never does.
        pad_token_id: fills a row after its end; default `eos_token_id`.
        keep_distributions: also return the whole distribution of each step.
        choice: passed on to `choose_next`.

    Raises:
        ValueError: max_new_tokens below 1, or a choice out of range.
    """
    require(max_new_tokens >= 1, f"max_new_tokens must be at least 1, got {max_new_tokens}")
    pad = pad_token_id if pad_token_id is not None else eos_token_id
    start, done = ids.size(1), torch.zeros(ids.size(0), dtype=torch.bool, device=ids.device)
    chosen, kept = [], []
    # inference_mode: less to do for each small operation than under no_grad
    with evaluating(model), torch.inference_mode():
        for _ in range(max_new_tokens):
            logits = step(ids).float()  # (B, V)
            token = choose_next(logits, **choice).masked_fill(done, pad or 0)  # (B,)
            distribution = logits.softmax(-1)
            probability = distribution.gather(-1, token[:, None])
            chosen.append(probability.masked_fill(done[:, None], 1.0))
            kept.append(distribution if keep_distributions else None)
            ids = torch.cat([ids, token[:, None]], dim=1)
            if eos_token_id is not None and (done := done | (token == eos_token_id)).all():
                break
    every = torch.stack(kept, 1) if keep_distributions else None
    ids = ids.clone()  # an ordinary tensor again, that a model can be trained on
    return Generated(ids, ids[:, start:], torch.cat(chosen, 1), every)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch dropout off for a while."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
