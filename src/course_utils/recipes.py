"""The course's own pre-training runs: sizes, objective, rows and settings of the three minis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config

MINI = {"hidden_size": 128, "num_heads": 4, "dropout": 0.0}  # 1.3M weights hardly overfit 12 MB


@dataclass(frozen=True)
class Recipe:
    """One row of the table of pre-training runs.

    `build` makes the model for a tokenizer; `objective` names a row of `objectives.OBJECTIVES` and
    `options` are arguments of its `corrupt`. `batch_size` rows of `row_tokens` tokens of text make
    a step, but `short_batch` rows of `short_tokens`, as much text, for the first `short_share` of
    the steps. With `wrapped`, rows stand between [CLS] and [SEP]; `settings` go to `TrainConfig`.

    Short rows first is BERT's own schedule (Devlin et al. 2019, app. A.2: 128 tokens for 90% of the
    steps, then 512): in a short row the neighbours that tell a hidden piece stand out sooner.
    """

    build: Callable[[Any], nn.Module]
    objective: str
    row_tokens: int = 126
    batch_size: int = 16
    short_tokens: int = 28
    short_batch: int = 72
    short_share: float = 0.0
    wrapped: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    def rows_of(self, step: int) -> tuple[int, int]:
        """Tokens of text in a row of step 0, 1, …, and how many rows."""
        if step < self.short_share * self.settings["steps"]:
            return self.short_tokens, self.short_batch
        return self.row_tokens, self.batch_size


def _bert(tokenizer: Any) -> Bert:
    sizes = {"num_layers": 4, "intermediate_size": 512, "max_length": 128}
    return Bert(BertConfig(vocab_size=len(tokenizer), **sizes, **MINI))


def _gpt(tokenizer: Any) -> Gpt:
    sizes = {"num_layers": 4, "intermediate_size": 512, "max_length": 128}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    return Gpt(GptConfig(vocab_size=len(tokenizer), **sizes, **MINI, **ids))


def _t5(tokenizer: Any) -> T5:
    # two and two blocks; cross-attention costs weights, so the feed-forward has fewer
    sizes = {"num_layers": 2, "num_decoder_layers": 2, "head_size": 32, "intermediate_size": 416}
    pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
    ids = {"pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": eos}
    return T5(T5Config(vocab_size=len(tokenizer), **sizes, **MINI, **ids))


_STEADY = {"schedule": "cosine", "final_fraction": 0.1, "warmup_steps": 300}
_STEADY |= {"mixed_precision": "bf16", "embedding_rate": 20.0}
_STEADY |= {"log_every": 20, "validate_every": 200, "checkpoint_every": 500}
# Rates are the best of four tries each: `course run pretraining-tries`.
# Steps differ so that FLOPs do not: 4e13 each.
RECIPES: dict[str, Recipe] = {
    "bert-mini": Recipe(
        _bert,
        "masked_lm",
        wrapped=True,
        short_share=0.7,
        options={"rate": 0.2},
        settings={**_STEADY, "steps": 3_290, "learning_rate": 1e-3},
    ),
    # one token more than the others: the first of a row is read, never predicted
    "gpt-mini": Recipe(
        _gpt,
        "causal_lm",
        row_tokens=127,
        short_tokens=29,
        short_share=0.7,
        settings={**_STEADY, "steps": 2_415, "learning_rate": 1e-3},
    ),
    "t5-mini": Recipe(
        _t5,
        "span_corruption",
        short_share=0.7,
        settings={**_STEADY, "steps": 5_450, "learning_rate": 3e-3},
    ),
}


def recipe(
    name: str,
    *,
    steps: int | None = None,
    batch_size: int | None = None,
    short_share: float | None = None,
    options: dict[str, Any] | None = None,
    **settings: Any,
) -> Recipe:
    """The named row of `RECIPES`, with what is given in place of its own.

    Args:
        name: "bert-mini", "gpt-mini" or "t5-mini".
        steps: optimizer steps; warm-up takes at most a tenth of them.
        batch_size: rows a step; short rows follow in proportion.
        short_share: share of the steps that see short rows.
        options: arguments of the objective's `corrupt`.
        settings: any field of `TrainConfig`.

    Raises:
        ValueError: an unknown name.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    row = RECIPES[name]
    steps, rows = steps or row.settings["steps"], batch_size or row.batch_size
    warmup = min(row.settings["warmup_steps"], steps // 10)
    return replace(
        row,
        batch_size=rows,
        short_batch=max(1, row.short_batch * rows // row.batch_size),
        short_share=row.short_share if short_share is None else short_share,
        options=row.options | (options or {}),
        settings=row.settings | {"steps": steps, "warmup_steps": warmup} | settings,
    )
