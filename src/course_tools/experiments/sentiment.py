"""A demonstrator: bert-mini fine-tuned on all movie sentences, beside a lexicon.

Seeds are of fine-tuning; pre-training is that of seed 0. The lexicon is VADER (Hutto & Gilbert
2014), whose authors had these sentences rated: positive when its compound score is above zero.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from course_tools.experiments.small import labelled, seeds, summary
from course_utils.evaluation import bootstrap_interval
from course_utils.minis import checksum, fit, pretrained_mini, share_right
from course_utils.training.checkpoint import save_tensors

SETTINGS: dict[str, Any] = {
    "sources": ["movies"],
    "seeds": 3,
    "runs": "runs",
    "examples": None,
    "epochs": 3,
    "learning_rate": 1e-3,
    "embedding_rate": 10.0,
}
TINY = {"seeds": 1, "runs": "", "examples": 32, "epochs": 1}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """One fine-tuning a seed."""
    return [{"seed": seed} for seed in seeds(settings)]


def measure(settings: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fine-tune once, keep the weights in the run's folder, and read the test sentences once."""
    parts = ("train", "validation", "test")
    sentences = {part: labelled("movies", part, settings["examples"]) for part in parts}
    how = {key: settings[key] for key in ("epochs", "learning_rate", "embedding_rate")}
    start = pretrained_mini(settings, "bert-mini", 0)
    model, _ = fit(start, sentences["train"], sentences["validation"], seed, evaluations=1, **how)
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_tensors(Path(settings["folder"]) / f"model-seed{seed}.safetensors", weights)
    return {
        "checkpoint": checksum(settings, "bert-mini", 0),
        "test_accuracy": share_right(model, sentences["test"]),
        "lexicon": lexicon(sentences["test"]),
        "test_sentences": len(sentences["test"]["label"]),
    }


def lexicon(rows: dict[str, list]) -> float:
    """VADER's accuracy; a score of exactly 0 counts as negative."""
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    score = SentimentIntensityAnalyzer().polarity_scores
    pairs = zip(rows["text"], rows["label"], strict=True)
    right = [(score(text)["compound"] > 0) == label for text, label in pairs]
    return sum(right) / len(right)


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Accuracy over seeds, and the lexicon's with the interval of its test sentences."""
    right, count = trials[0]["lexicon"], trials[0]["test_sentences"]
    hits = round(right * count)
    low, high = bootstrap_interval([1.0] * hits + [0.0] * (count - hits))
    return {
        "bert-mini": summary([trial["test_accuracy"] for trial in trials]),
        "lexicon": {"accuracy": right, "low": low, "high": high},
        "test_sentences": count,
    }
