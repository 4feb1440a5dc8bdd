"""F6: accuracy on film sentences by number of labelled examples, pre-trained and random start.

MiniLM (22.7M, a real encoder) is frozen, and a logistic regression reads the mean of its last
hidden states; beside it stands the same architecture with random weights, frozen as well. Every
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

from course_tools.experiments.small import crossed, dataset, mean_states, probe, summary
from course_utils.data.examples import draw
from course_utils.data.sources import load_pretrained
from course_utils.data.text import plain_ids
from course_utils.evaluation import bootstrap_interval
from course_utils.speed import autocast

SETTINGS: dict[str, Any] = {
    "sources": ["movies", "minilm"],
    "models": ["minilm, pre-trained", "minilm, random"],
    "sizes": [32, 100, 316, 1000, 3162, 0],  # 0: all
    "seeds": 3,
    "max_length": 48,  # tokens
    "texts": None,  # of each part; all
}
TINY = {"sizes": [32, 60], "seeds": 1, "texts": 80}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every model at every size and draw."""
    return crossed(settings, size="sizes", model="models")


def measure(settings: dict[str, Any], model: str, size: int, seed: int) -> dict[str, Any]:
    """Draw n sentences, fit, and read the test sentences once."""
    trained = model == "minilm, pre-trained"
    features, labels = encoded(trained, settings["max_length"], settings["texts"])
    drawn = draw(len(labels["train"]), size, seed)
    few = {"train": features["train"][drawn], "test": features["test"]}
    learned = {"train": np.array(labels["train"])[drawn], "test": labels["test"]}
    return {
        "examples": len(drawn),
        "test_accuracy": probe(few, learned),
        "majority": majority(labels["test"]),
    }


def majority(labels: list[int]) -> float:
    """Share of the commonest label: what a model gets that always says it."""
    return Counter(labels).most_common(1)[0][1] / len(labels)


@lru_cache(maxsize=2)
def encoded(
    trained: bool, max_length: int, texts: int | None
) -> tuple[dict[str, np.ndarray], dict[str, list[int]]]:
    """Mean of MiniLM's last hidden states for all sentences, computed once; with their labels."""
    source, data = load_pretrained("minilm"), dataset("movies")
    model = source.model
    if not trained:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = type(model)(model.config).eval()
    parts = ("train", "test")
    features = {
        p: states(model, source.tokenizer, data[p]["text"][:texts], max_length) for p in parts
    }
    return features, {part: list(data[part]["label"][:texts]) for part in parts}


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
