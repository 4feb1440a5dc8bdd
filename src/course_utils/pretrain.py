"""Pre-training of the three paradigms from one table: documents → rows → objective → loop → model.

The package's parts meet here; none of them knows of a recipe or of a model card.
"""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils.data.batches import generator_at, rows_at
from course_utils.data.sources import load_corpus, mixture, split
from course_utils.data.text import text_rows
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import T5, Bert, Gpt
from course_utils.objectives import OBJECTIVES, Batch
from course_utils.recipes import Recipe, recipe, seeded
from course_utils.training.loop import TrainResult, objective_loss, train, validator
from course_utils.training.optim import TrainConfig
from course_utils.writing import write_json


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
    out: str | Path | None = None,
    documents: tuple[Sequence[str], Sequence[str]] | None = None,
    tokenizer: Any = None,
    progress: bool = True,
    **changes: Any,
) -> Pretraining:
    """Pre-train a row of `RECIPES` on text; a minute for a chapter and hours for a checkpoint.

    Args:
        name: "bert-mini", "gpt-mini" or "t5-mini".
        seed: of the initial weights, the order of rows, and what is masked.
        out: folder for the log, checkpoints to go on from, and in the end `model/` in Hugging Face
            format with the tokenizer, and `run.json`.
        documents: training and held-out texts; default the course's corpus.
        tokenizer: default the course's.
        progress: show a bar.
        changes: what replaces the recipe's own: `steps`, `step_tokens`, `lengths`, `options` of the
            objective, `shares`, or any field of `TrainConfig`; see `recipes.recipe`.

    Raises:
        ValueError: an unknown name, or what `train` and the objective raise.
    """
    row, tokenizer = recipe(name, seed=seed, **changes), tokenizer or load_tokenizer("course")
    learn, held_out, origin = (*documents, "given") if documents else texts(row, seed)
    model = seeded(lambda: row.build(tokenizer), seed)
    loss = objective_loss(OBJECTIVES[row.objective])
    validate = validator(held_out_batches(row, held_out, tokenizer), loss)
    batch_at, config = training_batches(row, learn, tokenizer), TrainConfig(**row.settings)
    result = train(model, batch_at, loss, config, validate=validate, out=out, progress=progress)
    facts = _facts(row, model, result) | {"name": name, "data": origin}
    if out:
        _write(Path(out), model, tokenizer, facts)
    return Pretraining(model, tokenizer, result, facts)


def texts(row: Recipe, seed: int) -> tuple[Sequence[str], Sequence[str], str]:
    """Training texts, held-out speeches, and where the training texts come from."""
    speeches = load_corpus()
    learn, held_out = split(speeches)
    if not row.shares:
        return learn, held_out, str(speeches.origin)
    course = load_corpus("course")
    return mixture(course, row.shares, seed), held_out, str(course.origin)


def training_batches(
    row: Recipe, documents: Sequence[str], tokenizer: Any
) -> Callable[[int], Batch]:
    """Step → batch. Its rows, and what is masked in them, depend on seed and step alone."""
    corrupt, seed = _corrupter(row, tokenizer), row.settings["seed"]
    rows = {n: text_rows(documents, tokenizer, n, wrapped=row.wrapped) for n in row.lengths}

    def batch_at(step: int) -> Batch:
        length, count = row.rows_of(step)
        numbers = rows_at(step, len(rows[length]), count, seed)
        return corrupt(rows[length][numbers], generator=generator_at("hide", seed, step))

    return batch_at


def held_out_batches(row: Recipe, documents: Sequence[str], tokenizer: Any) -> list[Batch]:
    """256 rows to validate on; their masks are the same in every run, whatever its seed."""
    corrupt = _corrupter(row, tokenizer)
    parts = text_rows(documents, tokenizer, row.lengths[-1], wrapped=row.wrapped)[:256].split(64)
    return [corrupt(part, generator=generator_at("held out", n)) for n, part in enumerate(parts)]


def _corrupter(row: Recipe, tokenizer: Any) -> Callable[..., Batch]:
    objective = OBJECTIVES[row.objective]
    return partial(objective.corrupt, **objective.settings(tokenizer) | row.options)


def _facts(row: Recipe, model: nn.Module, result: TrainResult) -> dict[str, Any]:
    """What a model card must say about a run, all of it JSON."""
    counts = ("step", "tokens", "predicted", "flops", "seconds")
    return {
        **{key: getattr(row, key) for key in ("objective", "options", "settings", "shares")},
        "rows": {"lengths": row.lengths, "step_tokens": row.step_tokens},
        "parameters": sum(p.numel() for p in model.parameters()),
        **{key: getattr(result, key) for key in counts},
        **{key: result.history[-1][key] for key in ("loss", "validation_loss")},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }


def _write(folder: Path, model: Bert | Gpt | T5, tokenizer: Any, facts: dict[str, Any]) -> None:
    """Write `run.json`, and `model/` in Hugging Face format with its tokenizer.

    `AutoModel….from_pretrained(folder / "model")` opens it. Of several processes the first writes.
    """
    from course_utils.models.huggingface import to_hf  # imports all of transformers

    if os.environ.get("RANK", "0") != "0":
        return
    to_hf(model).cpu().save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    write_json(folder / "run.json", facts)
