"""Choosing the next token and writing a text with it: one loop for GPT and T5, and its cache."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from course_utils.attention_masks import Mask
from course_utils.checks import require

from .base import LanguageModel

NextLogits = Callable[[Tensor], Tensor]  # all ids so far (B, K) → logits of the next token (B, V)


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
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        generator: torch.Generator | None = None,
        eos_token_id: int | str | None = "config",
        pad_token_id: int | None = None,
        keep_distributions: bool = False,
        use_cache: bool = True,
    ) -> Generated:
        """Write a text for each row of ids (B, T), one token at a time.

        GPT continues its prompts, which are padded on the **left**. T5 answers its inputs, padded
        on either side, from `decoder_start_token_id` on.

        Args:
            input_ids: prompts or inputs, (B, T).
            attention_mask: 0 at the padding, (B, T).
            max_new_tokens: stop after so many, or when every row has met its end.
            temperature: 0 takes the likeliest token; above it, tokens are drawn: see `choose_next`.
            top_k: draw from the k likeliest only.
            top_p: draw from the smallest set of tokens with this probability only.
            generator: draws the tokens; None: PyTorch's own.
            eos_token_id: ends a row; None: nothing does; by default the configuration's.
            pad_token_id: fills a row after its end; None: the configuration's, or its end token.
            keep_distributions: also return the whole distribution of each step.
            use_cache: False computes every step from the start, to compare.

        Raises:
            ValueError: ids or mask of a wrong shape, dtype or range, a prompt padded on the right,
                more tokens than the model has positions, or a choice out of range.
        """
        how = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "generator": generator}
        ends = self.end_and_pad(eos_token_id, pad_token_id)
        with evaluating(self):
            ids, logits_of = self.start(input_ids, attention_mask, max_new_tokens, use_cache)
            return append(ids, logits_of, max_new_tokens, how, ends, keep_distributions)

    def end_and_pad(self, eos: int | str | None, pad: int | None) -> tuple[int | None, int]:
        """The token that ends a row, if any, and the one that fills it after that."""
        if eos == "config":
            eos = self.config.eos_token_id
        if pad is None:
            pad = self.config.pad_token_id
        if pad is None:
            pad = eos or 0  # without an end nothing is filled
        return eos, pad


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch a model to evaluation mode, and back to what it was."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def append(
    ids: Tensor,
    logits_of: NextLogits,
    most: int,
    how: dict[str, Any],
    end_and_pad: tuple[int | None, int],
    keep_distributions: bool,
) -> Generated:
    """Append up to `most` tokens to ids (B, T), chosen as `choose_next(logits, **how)` does.

    Raises:
        ValueError: `most` is below 1.
    """
    require(most >= 1, f"max_new_tokens must be at least 1, got {most}")
    tokens, probabilities, distributions = [], [], []
    generation = islice(steps(ids, logits_of, how, *end_and_pad), most)
    with torch.inference_mode():  # less to do for each small operation than under no_grad
        for token, probability, distribution in generation:
            tokens.append(token)
            probabilities.append(probability)
            if keep_distributions:
                distributions.append(distribution)
    new_ids = torch.stack(tokens, 1)  # an ordinary tensor again, that a model can be trained on
    every = torch.stack(distributions, 1) if keep_distributions else None
    return Generated(torch.cat([ids, new_ids], 1), new_ids, torch.stack(probabilities, 1), every)


def steps(
    ids: Tensor, logits_of: NextLogits, how: dict[str, Any], eos: int | None, pad: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """New tokens (B,), their probabilities (B,) and the whole distributions (B, V), step by step.

    They go on from ids (B, T) until every row has met its end; after it, pad at probability 1.
    """
    ended = torch.zeros(len(ids), dtype=torch.bool, device=ids.device)
    while not ended.all():
        logits = logits_of(ids).float()  # (B, V)
        token = choose_next(logits, **how).masked_fill(ended, pad)  # (B,)
        distribution = logits.softmax(-1)  # (B, V)
        probability = distribution.gather(-1, token[:, None])[:, 0].masked_fill(ended, 1.0)  # (B,)
        yield token, probability, distribution
        ids = torch.cat([ids, token[:, None]], dim=1)
        if eos is not None:
            ended = ended | (token == eos)


class KeyValueCache:
    """Keys and values of the tokens already seen, so that each token is computed once.

    Each attention has two buffers of its own, laid out for `capacity` tokens when it first writes
    there; a step writes one column of each.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self.buffers: dict[nn.Module, tuple[Tensor, Tensor]] = {}  # (B, A, capacity, d_k) each
        self.position_bias: Tensor | None = None  # T5's, (1, A, capacity, capacity)

    def update(self, owner: nn.Module, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write new keys and values (B, A, Q, d_k) of an attention; all so far are (B, A, K, d_k).

        Raises:
            ValueError: more tokens than the capacity.
        """
        end = self.length + key.size(2)
        fits = end <= self.capacity
        require(fits, f"the cache holds {self.capacity} tokens, not {end}")
        if owner not in self.buffers:
            shape = (*key.shape[:2], self.capacity, key.size(3))
            self.buffers[owner] = (key.new_zeros(shape), value.new_zeros(shape))
        keys, values = self.buffers[owner]
        keys[:, :, self.length : end] = key
        values[:, :, self.length : end] = value
        return keys[:, :, :end], values[:, :, :end]


Cache = KeyValueCache | None  # None: nothing was read before, or it is read again
