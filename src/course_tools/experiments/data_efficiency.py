"""F6: accuracy on movie sentences by number of labelled examples, pre-trained and random start.

Two pairs. **bert-mini**: the whole model is trained, from its pre-trained weights (seed 0) or from
random ones. **MiniLM** (22.7M, a real encoder): frozen, a logistic regression reads the mean of its
last hidden states; its pair is the same architecture with random weights, frozen as well. Every
point is one draw of n training sentences. All are shown: a fit that ends at the majority's share or
below counts as failed and stays in the mean.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_tools.experiments.small import crossed, dataset, labelled, mean_states, probe, summary
from course_utils.data.examples import draw
from course_utils.data.sources import load_pretrained
from course_utils.data.text import plain_ids
from course_utils.evaluation import bootstrap_interval
from course_utils.minis import fit, pretrained_mini, random_start, share_right
from course_utils.speed import autocast

MODELS, STARTS = ("minilm", "bert-mini"), ("pre-trained", "random")
SETTINGS: dict[str, Any] = {
    "sources": ["movies", "minilm"],
    "models": [f"{m}, {start}" for m in MODELS for start in STARTS],
    "sizes": [32, 100, 316, 1000, 3162, 0],  # 0: all
    "seeds": 3,
    "runs": "runs",
    "learning_rate": 1e-3,  # of bert-mini
    "embedding_rate": 10.0,
    "epochs": 3,
    "steps": 60,  # of bert-mini, at least
    "max_length": 48,  # pieces of MiniLM
    "test_texts": None,  # all
}
TINY = {"sizes": [32, 60], "models": SETTINGS["models"][2:], "seeds": 1, "runs": "", "steps": 2,
        "epochs": 0.1, "test_texts": 40, "sources": ["movies"]}  # fmt: skip


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every model at every size and draw."""
    return crossed(settings, size="sizes", model="models")


def measure(settings: dict[str, Any], model: str, size: int, seed: int) -> dict[str, Any]:
    """Draw n sentences, fit, and read the test sentences once."""
    data = dataset("movies")
    drawn = draw(len(data["train"]), size, seed)
    name, start = model.split(", ")
    if name == "minilm":
        found = frozen(start == "pre-trained", settings["max_length"], drawn)
    else:
        known = start == "pre-trained"
        begin = pretrained_mini(settings, name, 0) if known else random_start(name, seed)
        steps = max(settings["steps"], round(settings["epochs"] * len(drawn) / 32))
        chosen, few = data["train"][drawn], labelled("movies", "validation", 32)
        epochs = steps / -(-len(drawn) // 32)
        how = {key: settings[key] for key in ("learning_rate", "embedding_rate")}
        how |= {"epochs": epochs, "evaluations": 1}
        found = share_right(fit(begin, chosen, few, seed, **how)[0], data["test"][:])
    return {
        "examples": len(drawn),
        "test_accuracy": found,
        "majority": majority(data["test"]["label"]),
    }


def majority(labels: list[int]) -> float:
    """Share of the commonest label: what a model gets that always says it."""
    return Counter(labels).most_common(1)[0][1] / len(labels)


def frozen(trained: bool, max_length: int, drawn: list[int]) -> float:
    """Accuracy of a logistic regression on frozen features of the drawn sentences."""
    features, labels = encoded(trained, max_length)
    few = {"train": features["train"][drawn], "test": features["test"]}
    return probe(few, {"train": np.array(labels["train"])[drawn], "test": labels["test"]})


@lru_cache(maxsize=2)
def encoded(trained: bool, max_length: int) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """Mean of MiniLM's last hidden states for all sentences, computed once; with their labels."""
    source, data = load_pretrained("minilm"), dataset("movies")
    model = source.model
    if not trained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = type(model)(model.config).eval()
    parts = ("train", "test")
    features = {p: states(model, source.tokenizer, data[p]["text"], max_length) for p in parts}
    return features, {part: list(data[part]["label"]) for part in parts}


def states(model: Any, tokenizer: Any, texts: list[str], max_length: int) -> np.ndarray:
    """Mean over real tokens of a frozen model's last hidden states, (texts, d)."""

    def encode(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        with autocast():
            return model(input_ids, attention_mask).last_hidden_state

    cut = {"add_special_tokens": True, "truncation": True, "max_length": max_length}
    ids = plain_ids(tokenizer, texts, **cut)
    return mean_states(encode, ids, tokenizer.pad_token_id)


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each model and n: all accuracies, their mean, a bootstrap interval, and what failed."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for trial in trials:
        groups.setdefault((trial["model"], trial["examples"]), []).append(trial)
    chance = trials[0]["majority"]
    points = [
        {"model": model, "examples": size, **band([t["test_accuracy"] for t in group], chance)}
        for (model, size), group in groups.items()
    ]
    return {"majority": chance, "points": points}


def band(values: list[float], chance: float) -> dict[str, Any]:
    """Spread of some accuracies, 95% interval of their mean, how many are no better than chance."""
    low, high = bootstrap_interval(values)
    return summary(values) | {
        "low": low,
        "high": high,
        "failed": sum(v <= chance for v in values),
    }
