"""The recipe of each pre-training run: as many tries for each paradigm, and the best one is taken.

Every try of a paradigm has the same number of steps, about 5.8e12 FLOPs, and short rows first as
its full run will. What is tried: the highest learning rate, and how many times that rate the token
embedding gets.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from course_utils.training.pretrain import RECIPES, pretrain

SETTINGS: dict[str, Any] = {
    "names": list(RECIPES),
    "learning_rates": [1e-3, 3e-3],
    "embedding_rates": [1.0, 20.0],
    "steps": {"bert-mini": 475, "gpt-mini": 348, "t5-mini": 790},
    "sources": ["sotu"],
}
TINY = {
    "names": ["gpt-mini"],
    "learning_rates": [1e-3],
    "embedding_rates": [1.0],
    "steps": {"gpt-mini": 2},
}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every combination, for every paradigm."""
    columns = (settings[key] for key in ("names", "learning_rates", "embedding_rates"))
    keys = ("model", "learning_rate", "embedding_rate")
    return [dict(zip(keys, row, strict=True)) for row in product(*columns)]


def measure(
    settings: dict[str, Any], model: str, learning_rate: float, embedding_rate: float
) -> dict[str, Any]:
    """Held-out loss of one short run, in nats a predicted token."""
    run = pretrain(
        model,
        seed=settings["seed"],
        steps=settings["steps"][model],
        progress=False,
        device="cpu",
        learning_rate=learning_rate,
        embedding_rate=embedding_rate,
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
        kept = ("learning_rate", "embedding_rate", "validation_loss")
        best[name] = {"tries": len(tries)} | {key: won[key] for key in kept}
    return {"chosen": best}
