"""Learning curves of the three objectives: the same text, tokenizer, parameters and compute.

A trial is one run of `course pretrain`, read from its folder if it is there. Each point of a curve
says how many steps, tokens, predicted tokens and FLOPs came before it. The formula that counts
FLOPs (`training.flops.training_flops`) stands beside PyTorch's count of a step's matrix products.
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from course_tools.experiments.small import crossed, documents, summary
from course_utils.data.sources import load_corpus, split
from course_utils.data.tokenizers import load_tokenizer
from course_utils.minis import random_start
from course_utils.objectives import OBJECTIVES
from course_utils.objectives.batch import Batch
from course_utils.pretrain import pretrain, training_batches
from course_utils.recipes import RECIPES, recipe
from course_utils.training.flops import training_flops
from course_utils.training.loop import objective_loss
from course_utils.writing import read_json

SETTINGS: dict[str, Any] = {
    "sources": ["course"],
    "models": list(RECIPES),
    "seeds": 1,
    "runs": "runs",
    "changes": {},  # to the recipes
}
TOTALS = ("step", "tokens", "predicted", "flops")
TINY = {
    "models": ["bert-mini", "gpt-mini"],
    "seeds": 1,
    "runs": "",
    "changes": {"steps": 2, "step_tokens": 120, "lengths": [60], "progress": False},
}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every model at every seed; all models at a seed before the next seed."""
    return crossed(settings, model="models")


def measure(settings: dict[str, Any], model: str, seed: int) -> dict[str, Any]:
    """Pre-train or read one run: its sizes, its cost a step, and both losses along it (nats)."""
    place = Path(settings["runs"] or settings["folder"]) / f"{model}-seed{seed}"
    if not (place / "run.json").is_file():
        pretrain(model, seed=seed, out=place, **settings["changes"])
    facts = read_json(place / "run.json")
    log = [json.loads(line) for line in (place / "log.jsonl").read_text("utf-8").splitlines()]
    kept = ("objective", "options", "settings", "parameters", *TOTALS, "seconds", "validation_loss")
    return {
        **{key: facts[key] for key in kept},
        "machine_of_run": facts["machine"],
        "curve": {
            key: [point[key] for point in log if "validation_loss" in point]
            for key in (*TOTALS, "loss", "validation_loss")
        },
        "one_step": one_step(model),
    }


@lru_cache(maxsize=8)
def one_step(name: str) -> list[dict[str, float]]:
    """FLOPs of a step by formula and counted, for each length of the rows."""
    row, model, steps = recipe(name, seed=0), random_start(name, 0), []
    batch_at = training_batches(row, split(load_corpus())[0], load_tokenizer("course"))
    for stage, length in enumerate(row.lengths):
        batch = batch_at(-(-stage * row.settings["steps"] // len(row.lengths)))  # its first step
        by_formula, counted = training_flops(model, batch), counted_flops(model, batch, name)
        steps.append({"row_tokens": length, "formula": by_formula, "counted": counted})
    return steps


def counted_flops(model: torch.nn.Module, batch: Batch, name: str) -> float:
    """FLOPs of one step's matrix products, forward and backward, as PyTorch counts them.

    Attention as two products: of its fused kernel PyTorch counts nothing on a CPU.
    """
    loss = objective_loss(OBJECTIVES[RECIPES[name].objective])
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        loss(model.train(), batch).backward()
    return float(counter.get_total_flops())


def bits_per_byte(loss: float) -> float:
    """Bits a byte of held-out text, from a causal model's nats a token."""
    size = sum(len(text.encode()) for text in split(load_corpus())[1])
    return loss / math.log(2) * sum(map(len, documents()[1])) / size


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each model: what it is, what it cost, and its held-out loss over seeds.

    Bits per byte only for the causal model, whose loss is a code length already; the other two
    write a text by a chain rule that is not their training loss (experiment `yardsticks`).
    """
    models = {}
    for name in dict.fromkeys(trial["model"] for trial in trials):
        runs = [trial for trial in trials if trial["model"] == name]
        losses, first = [run["validation_loss"] for run in runs], runs[0]
        causal = first["objective"] == "causal_lm"
        models[name] = {
            **{key: first[key] for key in ("objective", "parameters", "step", "tokens")},
            **{
                key: summary([run[key] for run in runs])
                for key in ("predicted", "flops", "seconds")
            },
            "validation_loss": summary(losses),
            "bits_per_byte": summary([bits_per_byte(loss) for loss in losses]) if causal else None,
            "one_step": first["one_step"],
        }
    return {"models": models}
