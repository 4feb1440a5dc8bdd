"""What a finished pre-training run leaves: its model for everybody, and facts for a model card."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .models import T5, Bert, Gpt
from .recipes import Recipe

if TYPE_CHECKING:  # the loop stands above this
    from .training.loop import TrainResult


def facts_of(row: Recipe, model: nn.Module, result: TrainResult) -> dict[str, Any]:
    """What a model card must say about a run, all of it JSON."""
    counts = ("step", "tokens", "predicted", "flops", "seconds")
    return {
        **{key: getattr(row, key) for key in ("objective", "options", "settings")},
        "rows": {"lengths": row.lengths, "step_tokens": row.step_tokens},
        "parameters": sum(p.numel() for p in model.parameters()),
        **{key: getattr(result, key) for key in counts},
        **{key: result.history[-1][key] for key in ("loss", "validation_loss")},
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
    }


def write(folder: Path, model: Bert | Gpt | T5, tokenizer: Any, facts: dict[str, Any]) -> None:
    """Write `run.json`, and `model/` in Hugging Face format with its tokenizer.

    `AutoModel….from_pretrained(folder / "model")` opens it. Of several processes the first writes.
    """
    from .models.huggingface import to_hf  # imports all of transformers

    if os.environ.get("RANK", "0") != "0":
        return
    to_hf(model).cpu().save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "run.json").write_text(json.dumps(facts, indent=1) + "\n")
