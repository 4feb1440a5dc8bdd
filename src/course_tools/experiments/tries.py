"""The recipe of each pre-training run: as many tries for each paradigm, and the best one is taken.

Every try of a paradigm has the same number of steps: 1.2e13 FLOPs, a twentieth of its full run.
What is tried: the highest learning rate, how many times that rate the token embedding gets,
whether rows grow from ten tokens to 126 or are all long, and Muon for the matrices of the blocks.
"""

from __future__ import annotations

from typing import Any

from course_utils.pretrain import pretrain
from course_utils.recipes import RECIPES

SETTINGS: dict[str, Any] = {
    "names": list(RECIPES),
    "tries": [  # learning rate, embedding rate, growing rows, and the optimizer if not AdamW
        [1e-3, 1.0, True],
        [1e-3, 20.0, True],
        [1e-3, 60.0, True],
        [3e-3, 1.0, True],
        [3e-3, 20.0, True],
        [3e-3, 60.0, True],
        [1e-3, 1.0, False],
        [1e-3, 20.0, False],
        [4e-3, 5.0, True, "muon"],
        [4e-3, 5.0, False, "muon"],
    ],
    "steps": {"bert-mini": 815, "gpt-mini": 640, "t5-mini": 1265},
    "sources": ["sotu"],
}
TINY = {"names": ["gpt-mini"], "tries": [[4e-3, 5.0, False, "muon"]], "steps": {"gpt-mini": 2}}
KEYS = ("learning_rate", "embedding_rate", "growing", "optimizer")


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every try, for every paradigm."""
    return [
        {"model": name, **dict(zip(KEYS, values, strict=False))}
        for values in settings["tries"]
        for name in settings["names"]
    ]


def measure(settings: dict[str, Any], model: str, growing: bool, **how: Any) -> dict[str, Any]:
    """Held-out loss of one short run, in nats a predicted token; `how`: rates and optimizer."""
    lengths = RECIPES[model].lengths
    run = pretrain(
        model,
        seed=settings["seed"],
        steps=settings["steps"][model],
        progress=False,
        device="cpu",
        lengths=lengths if growing else lengths[-1:],
        **how,
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
        kept = [key for key in (*KEYS, "validation_loss") if key in won]
        best[name] = {"tries": len(tries)} | {key: won[key] for key in kept}
    return {"chosen": best}
