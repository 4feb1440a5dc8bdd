"""The recipe of each pre-training run: as many tries for each paradigm, and the best one is taken.

Every try of a paradigm has the same number of steps, about 1.15e13 FLOPs. What is tried: the
highest learning rate, and whether short rows come first.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from course_utils.training.pretrain import RECIPES, pretrain

SETTINGS: dict[str, Any] = {
    "names": list(RECIPES),
    "learning_rates": [3e-4, 1e-3, 3e-3],
    "short_shares": [0.0, 0.7],
    "steps": {"bert-mini": 950, "gpt-mini": 692, "t5-mini": 1567},
    "sources": ["sotu"],
}
TINY = {
    "names": ["gpt-mini"],
    "learning_rates": [1e-3],
    "short_shares": [0.0],
    "steps": {"gpt-mini": 2},
}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination, for every paradigm."""
    columns = (settings[key] for key in ("names", "learning_rates", "short_shares"))
    keys = ("model", "learning_rate", "short_share")
    return [dict(zip(keys, row, strict=True)) for row in product(*columns)]


def measure(
    settings: dict[str, Any], model: str, learning_rate: float, short_share: float
) -> dict[str, Any]:
    """Held-out loss of one short run, in nats a predicted token."""
    run = pretrain(
        model,
        seed=settings["seed"],
        steps=settings["steps"][model],
        short_share=short_share,
        progress=False,
        device="cpu",
        learning_rate=learning_rate,
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
        kept = ("learning_rate", "short_share", "validation_loss")
        best[name] = {"tries": len(tries)} | {key: won[key] for key in kept}
    return {"chosen": best}
