"""Pre-training of the three paradigms from one table: documents → rows → objective → loop."""

import hashlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from course_utils.data.batches import derive_seed, generator_at, pack, rows_at
from course_utils.data.cache import cache_root
from course_utils.data.sources import load_corpus, split
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.objectives import OBJECTIVES, Batch
from course_utils.training.checkpoint import save_tensors
from course_utils.training.loop import TrainResult, objective_loss, train, validator
from course_utils.training.optim import TrainConfig

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
_STEADY |= {"mixed_precision": "bf16"}
_STEADY |= {"log_every": 20, "validate_every": 200, "checkpoint_every": 500}
# Rates are the best of four tries each: `course run pretraining-tries`.
# Steps differ so that FLOPs do not: 5e13 each.
RECIPES: dict[str, Recipe] = {
    "bert-mini": Recipe(
        _bert,
        "masked_lm",
        wrapped=True,
        short_share=0.7,
        options={"rate": 0.2},
        settings={**_STEADY, "steps": 4_100, "learning_rate": 1e-3},
    ),
    # one token more than the others: the first of a row is read, never predicted
    "gpt-mini": Recipe(
        _gpt,
        "causal_lm",
        row_tokens=127,
        short_tokens=29,
        short_share=0.7,
        settings={**_STEADY, "steps": 3_010, "learning_rate": 3e-3},
    ),
    "t5-mini": Recipe(
        _t5,
        "span_corruption",
        short_share=0.7,
        settings={**_STEADY, "steps": 6_820, "learning_rate": 3e-3},
    ),
}


@dataclass(frozen=True)
class Pretraining:
    """A finished run: model, tokenizer, loop's result, and the facts for its model card."""

    model: nn.Module
    tokenizer: Any
    result: TrainResult
    facts: dict[str, Any]


def pretrain(
    name: str,
    *,
    seed: int = 0,
    steps: int | None = None,
    out: str | Path | None = None,
    documents: tuple[Sequence[str], Sequence[str]] | None = None,
    tokenizer: Any = None,
    batch_size: int | None = None,
    short_share: float | None = None,
    options: dict[str, Any] | None = None,
    progress: bool = True,
    **settings: Any,
) -> Pretraining:
    """Pre-train a row of `RECIPES` on text; a minute for a chapter and hours for a checkpoint.

    Args:
        name: "bert-mini", "gpt-mini" or "t5-mini".
        seed: of the initial weights, the order of rows, and what is hidden.
        steps: optimizer steps; default the recipe's.
        out: folder for the log, checkpoints to go on from, and in the end `model/` in Hugging Face
            format with the tokenizer, and `run.json`.
        documents: training and held-out texts; default the course's corpus.
        tokenizer: default the course's.
        batch_size: rows a step (short ones in proportion); default the recipe's.
        short_share: share of the steps that see short rows; default the recipe's.
        options: arguments of the objective's `corrupt` that replace the recipe's.
        progress: show a bar.
        settings: any field of `TrainConfig` that replaces the recipe's.

    Raises:
        ValueError: an unknown name, or what `train` and the objective raise.
    """
    recipe = _recipe(
        name, batch_size, short_share, options or {}, steps, {**settings, "seed": seed}
    )
    tokenizer = tokenizer or load_tokenizer("course")
    corpus = load_corpus() if documents is None else None
    texts = split(corpus) if corpus else documents
    corrupt = _corrupter(recipe, tokenizer)
    short = recipe.short_share * recipe.settings["steps"]  # steps before this one see short rows
    sizes = {False: (recipe.row_tokens, recipe.batch_size)}
    sizes |= {True: (recipe.short_tokens, recipe.short_batch)} if short else {}
    rows = {s: text_rows(texts[0], tokenizer, recipe, tokens) for s, (tokens, _) in sizes.items()}
    held_out_rows = text_rows(texts[1], tokenizer, recipe)

    def batch_at(step: int) -> Batch:
        stage = step < short
        numbers = rows_at(step, len(rows[stage]), sizes[stage][1], seed)
        return corrupt(rows[stage][numbers], generator_at("hide", seed, step))

    # masks of the held-out rows are the same in every run, whatever its seed
    parts = enumerate(held_out_rows[:256].split(64))
    held_out = [corrupt(part, generator_at("held out", number)) for number, part in parts]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("weights", seed))
        model = recipe.build(tokenizer)
    loss = objective_loss(OBJECTIVES[recipe.objective])
    more = {"validate": validator(held_out, loss), "out": out, "progress": progress}
    result = train(model, batch_at, loss, TrainConfig(**recipe.settings), **more)
    facts = _facts(name, recipe, str(corpus.origin) if corpus else "given", model, result)
    if out and os.environ.get("RANK", "0") == "0":
        write_model(model, tokenizer, Path(out) / "model")
        (Path(out) / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
    return Pretraining(model, tokenizer, result, facts)


def _recipe(
    name: str,
    batch_size: int | None,
    short_share: float | None,
    options: dict,
    steps: int | None,
    more: dict,
) -> Recipe:
    """The named row of the table with what the caller replaces."""
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    row = RECIPES[name]
    steps, rows = steps or row.settings["steps"], batch_size or row.batch_size
    warmup = min(row.settings["warmup_steps"], steps // 10)
    return replace(
        row,
        batch_size=rows,
        short_batch=max(1, row.short_batch * rows // row.batch_size),  # as much text as before
        short_share=row.short_share if short_share is None else short_share,
        options=row.options | options,
        settings=row.settings | {"steps": steps, "warmup_steps": warmup} | more,
    )


def _facts(
    name: str, recipe: Recipe, data: str, model: nn.Module, result: TrainResult
) -> dict[str, Any]:
    """What a model card must say about a run, all of it JSON."""
    last = result.history[-1]
    return {
        "name": name,
        **{key: getattr(recipe, key) for key in ("objective", "options", "settings")},
        "rows": [recipe.batch_size, recipe.row_tokens],
        "data": data,
        "parameters": sum(p.numel() for p in model.parameters()),
        **{key: getattr(result, key) for key in ("step", "tokens", "predicted")},
        **{key: getattr(result, key) for key in ("flops", "seconds")},
        **{key: last[key] for key in ("loss", "validation_loss")},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }


def text_rows(
    documents: Sequence[str], tokenizer: Any, recipe: Recipe, tokens: int | None = None
) -> Tensor:
    """Documents end to end as rows (rows, length), each document closed by [SEP] or `<eos>`."""
    end = tokenizer.sep_token_id if recipe.wrapped else tokenizer.eos_token_id
    rows = pack(token_ids(documents, tokenizer), tokens or recipe.row_tokens, end_id=end).ids
    if not recipe.wrapped:
        return rows
    first, last = rows.new_tensor([[tokenizer.cls_token_id], [tokenizer.sep_token_id]])
    return torch.cat([first.expand(len(rows), 1), rows, last.expand(len(rows), 1)], 1)


def token_ids(documents: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Ids of each document, no special tokens; kept in the cache: the corpus takes 20 s."""
    content = "\0".join([tokenizer.backend_tokenizer.to_str(), *documents])
    path = cache_root() / "tokens" / f"{hashlib.sha256(content.encode()).hexdigest()}.safetensors"
    if not path.is_file():
        ids = tokenizer(list(documents), add_special_tokens=False, verbose=False)["input_ids"]
        flat = torch.tensor([i for row in ids for i in row], dtype=torch.int32)
        half = path.with_suffix(f".{os.getpid()}")
        save_tensors(half, {"ids": flat, "lengths": torch.tensor([len(row) for row in ids])})
        half.replace(path)
    saved = load_file(path)
    return [row.tolist() for row in saved["ids"].split(saved["lengths"].tolist()) if len(row)]


def write_model(model: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Save in Hugging Face format: `AutoModel….from_pretrained(folder)` opens it."""
    from course_utils.models.huggingface import to_hf  # imports all of transformers

    to_hf(model).cpu().save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _corrupter(recipe: Recipe, tokenizer: Any) -> Callable[..., Batch]:
    objective = OBJECTIVES[recipe.objective]
    fixed = {**objective.settings(tokenizer), **recipe.options}
    return lambda ids, generator: objective.corrupt(ids, **fixed, generator=generator)
