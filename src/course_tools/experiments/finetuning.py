"""F7: the three minis fine-tuned on the movie sentences, curves over training, several seeds.

The whole model is trained. BERT reads its label off [CLS], GPT off the last token, each through a
linear head; T5 stays text-to-text and writes " good" or " bad". Each pair of rates is tried on each
model, as often; the best one is chosen by validation accuracy, and the test is read once for it.
A seed is that of the head, of the order of the examples and of dropout; with as many `checkpoints`
of each model as seeds, also that of its pre-training.
"""

from __future__ import annotations

from typing import Any

from course_tools.experiments.small import crossed, labelled, summary
from course_utils.minis import checksum, fit, pretrained_mini, share_right

SETTINGS: dict[str, Any] = {
    "sources": ["movies"],
    "models": ["bert-mini", "gpt-mini", "t5-mini"],
    # learning rate, and how many times that the token embedding gets: a pre-trained embedding has
    # grown, so that steps of one size move it less
    "rates": [[1e-3, 1.0], [3e-4, 10.0], [1e-3, 10.0]],
    "seeds": 3,
    "checkpoints": 1,  # pre-training runs of each model; seed s takes number s modulo this
    "runs": "runs",
    "examples": 3000,  # at most, of each part
    "epochs": 3,
    "evaluations": 8,
}
TINY = {
    "rates": [[1e-3, 1.0]],
    "seeds": 1,
    "runs": "",
    "examples": 32,
    "epochs": 1,
    "evaluations": 2,
}
Trial = dict[str, Any]
RATES = ("learning_rate", "embedding_rate")
CURVES = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every model at every pair of rates and seed."""
    return [
        {key: trial[key] for key in ("model", "seed")}
        | dict(zip(RATES, trial["rates"], strict=True))
        for trial in crossed(settings, model="models", rates="rates")
    ]


def measure(settings: dict[str, Any], model: str, seed: int, **rates: float) -> dict[str, Any]:
    """Fine-tune once: the four curves over examples seen, and accuracy on the test sentences."""
    parts = ("train", "validation", "test")
    sentences = {part: labelled("movies", part, settings["examples"]) for part in parts}
    recipe = {key: settings[key] for key in ("epochs", "evaluations")}
    start = seed % settings["checkpoints"]
    whole, result = fit(
        pretrained_mini(settings, model, start),
        sentences["train"],
        sentences["validation"],
        seed,
        **rates,
        **recipe,
    )
    curves = {key: result.curve(key)[1] for key in CURVES}
    steps = [step * 32 for step in result.curve("validation_accuracy")[0]]
    return {
        "checkpoint": checksum(settings, model, start),
        "examples_seen": steps,
        **curves,
        "test_accuracy": share_right(whole, sentences["test"]),
    }


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each model: the rates with the best mean validation accuracy, its curves, its test."""
    models = {}
    for name in dict.fromkeys(trial["model"] for trial in trials):
        tried: dict[tuple[float, ...], list[dict[str, Any]]] = {}
        for trial in trials:
            if trial["model"] == name:
                tried.setdefault(tuple(trial[key] for key in RATES), []).append(trial)
        ends = {
            rates: summary([t["validation_accuracy"][-1] for t in ts])
            for rates, ts in tried.items()
        }
        best = max(ends, key=lambda rates: ends[rates]["mean"])
        runs = tried[best]
        models[name] = {
            **dict(zip(RATES, best, strict=True)),
            "tried": [
                dict(zip(RATES, rates, strict=True)) | {"validation_accuracy": end}
                for rates, end in ends.items()
            ],
            "examples_seen": runs[0]["examples_seen"],
            **{key: points([run[key] for run in runs]) for key in CURVES},
            "test_accuracy": summary([run["test_accuracy"] for run in runs]),
        }
    return {"models": models}


def points(curves: list[list[float]]) -> dict[str, list[float]]:
    """Mean and standard deviation over seeds at each point of a curve."""
    spreads = [summary(values) for values in zip(*curves, strict=True)]
    return {key: [s[key] for s in spreads] for key in ("mean", "sd")}
