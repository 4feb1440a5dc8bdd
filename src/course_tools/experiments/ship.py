"""Make a pre-training run a checkpoint that the package ships: half precision, and a model card."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import course_utils.pretrain  # noqa: F401  the card names the commit of what is loaded
from course_utils import records
from course_utils.comparison import plus_minus
from course_utils.data.readers import CHECKPOINTS, checkpoint
from course_utils.data.tokenizers import SHIPPED
from course_utils.recipes import RECIPES
from course_utils.writing import markdown_table, raised, read_json, write_json

LIMITS = """Trained for hours on one core, on political speeches, verse, a book of facts and short
sentences from films, shops and the web. It completes phrases of its corpus and knows next to
nothing else; whatever views the texts hold, it repeats. It is here to be looked at, not to be
used."""


def ship(name: str, seed: int = 0, runs: str | Path = "runs", to: Path = CHECKPOINTS) -> Path:
    """Write `to`/name: fp16 weights that load as fp32, config, tokenizer, README.md.

    Raises:
        ValueError: an unknown name, or a run that has not ended.
    """
    if name not in RECIPES:
        raise ValueError(f"there is no recipe {name!r}; there are {', '.join(RECIPES)}")
    run = Path(runs) / f"{name}-seed{seed}"
    if not (run / "run.json").is_file():
        raise ValueError(f"{run} has not ended; run: course pretrain {name} --seed {seed}")
    folder, half = to / name, to / f".{name}.half"
    shutil.rmtree(half, ignore_errors=True)
    model, _ = checkpoint(run / "model")
    model.half().save_pretrained(half)
    config = read_json(half / "config.json")
    write_json(half / "config.json", config | {"dtype": "float32"})  # halves only on disk
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(SHIPPED / file, half / file)
    facts = read_json(run / "run.json")
    (half / "README.md").write_text(card(name, seed, facts), "utf-8")
    shutil.rmtree(folder, ignore_errors=True)  # the old one stays until the new one is whole
    half.replace(folder)
    return folder


def card(name: str, seed: int, facts: dict[str, Any]) -> str:
    """The model card of a run; with the spread over seeds once the record of all runs is there."""
    settings, torch, rows = facts["settings"], facts["torch"], facts["rows"]
    rate, steps, embedding = (
        settings["learning_rate"],
        facts["step"],
        settings.get("embedding_rate", 1),
    )
    flops = raised(f"{facts['flops']:.3e}")
    machine = f"{records.conditions()['machine']}; {facts['machine']}; torch {torch}"
    lines = [
        ["command", f"`course pretrain {name} --seed {seed}`"],
        ["text", facts["data"] + "; without its held-out documents"],
        [
            "times a pass reads each source",
            ", ".join(f"{k} {n:g}" for k, n in facts["shares"].items()),
        ],
        ["tokenizer", "the course's: byte-level BPE, 4,096 pieces"],
        ["objective", f"{facts['objective'].replace('_', ' ')} {facts['options'] or ''}".strip()],
        [
            "recipe",
            f"{steps:,} steps of {settings.get('optimizer', 'adamw')}, learning rate {rate:g}, of "
            f"the embedding {rate * embedding:g}, {settings['schedule']}",
        ],
        [
            "rows",
            f"of {', then '.join(map(str, rows['lengths']))} tokens"
            + ", each for as many steps" * (len(rows["lengths"]) > 1)
            + f"; about {rows['step_tokens']:,} tokens a step",
        ],
        ["parameters", f"{facts['parameters']:,}"],
        ["tokens", f"{facts['tokens']:,} read or written, {facts['predicted']:,} predicted"],
        ["FLOPs", f"{flops}, by `course_utils.training.flops.training_flops`"],
        ["time", f"{facts['seconds'] / 3600:.1f} hours of training steps, beside other work"],
        ["machine", machine],
        ["code", f"commit {records.commit()['commit']}"],
        ["held-out loss", f"{facts['validation_loss']:.3f} nats a predicted token, seed {seed}"],
        *_seeds(name),
        ["weights", "fp16 on disk, fp32 when loaded"],
        ["licence", "Apache-2.0; the text's own are named beside it"],
    ]
    table = markdown_table(["", ""], lines)
    how = f'`load_pretrained("{name}")` gives model and tokenizer; so does `transformers`.'
    return f"# {name}\n\n{how}\n\n{table}\n\n## Limits\n\n{LIMITS}\n"


def _seeds(name: str) -> list[list[str]]:
    if "pretraining" not in records.available():
        return []
    run = records.load("pretraining")["results"]["models"][name]
    count = len(run["validation_loss"]["values"])
    told = f"{plus_minus(run['validation_loss'], 3)} nats ({count} seeds)"
    return [["over seeds", told]] if count > 1 else []
