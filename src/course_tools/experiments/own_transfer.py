"""Transfer by our own minis: the pre-trained start against the random one, with few labels.

The whole model is trained, BERT and GPT through a linear head, T5 by writing a word for the label.
Both starts have the same tries, rate of the weights and rate of the token embedding; the best one
is chosen on validation sentences, of a draw that is used for nothing else.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from typing import Any

from course_tools.experiments.data_efficiency import majority
from course_tools.experiments.small import crossed, dataset, labelled
from course_tools.experiments.transfer import best_try, compared, regression, word_counts
from course_utils import minis
from course_utils.data.examples import draw
from course_utils.minis import checksum, fit, pretrained_mini, random_start, share_right
from course_utils.recipes import RECIPES

QUESTION = """Does a mini of ours learn a task better from its pre-trained weights than from random
ones, when labels are few?"""
RULE = """A model gains on a task if at 316 and at 1,000 labels its pre-trained start is above its
random one in the mean over draws, by more than twice the standard deviation of the difference over
draws. Yes: each of the three models gains on at least two of the three tasks. No: one of them gains
on none. Silent: anything else."""
CONTROLS = """The random start of the same architecture, with as many tries, as many steps and a
choice of its own; a bag of words; the share of the commonest label."""
JUDGED = (316, 1000)  # labels, in the rule
BAG = "bag of words"
WORDS = {  # that T5 writes, one for each label
    "films": minis.WORDS,
    "tweets": minis.WORDS,
    "questions": (" short", " thing", " reason", " man", " place", " number"),
}

SETTINGS: dict[str, Any] = {
    "sources": ["films", "tweets", "questions"],
    "tasks": ["films", "tweets", "questions"],
    "models": [BAG] + [f"{m}, {start}" for m in RECIPES for start in ("pre-trained", "random")],
    "sizes": [316, 1000],
    "seeds": 3,
    "runs": "runs",
    "rates": [[1e-3, 1.0], [3e-4, 10.0], [1e-3, 10.0]],  # of weights; embedding times
    "tuning": {"size": 316, "seed": 100, "sentences": 300},
    "epochs": 8,
    "steps": 100,  # at least
    "test_texts": 600,
}
TINY = {
    "tasks": ["questions"],
    "models": SETTINGS["models"][:3],
    "sizes": [40],
    "seeds": 1,
    "runs": "",
    "rates": [[1e-3, 1.0]],
    "epochs": 0.1,
    "steps": 1,
    "test_texts": 20,
}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every model at every size and draw, for every task."""
    return crossed(settings, task="tasks", size="sizes", model="models")


def measure(
    settings: dict[str, Any], task: str, model: str, size: int, seed: int
) -> dict[str, Any]:
    """Learn from a draw of n sentences, and read the test sentences once."""
    data = dataset(task)
    chosen = data["train"][draw(len(data["train"]), size, seed)]
    test = labelled(task, "test", settings["test_texts"])
    found: dict[str, Any] = {"examples": size, "majority": majority(test["label"])}
    if model == BAG:
        features = word_counts(task, 0, chosen["text"], test["text"])
        return found | {"test_accuracy": regression(*features, chosen["label"], test["label"])}
    train = partial(accuracy, settings, task, model)
    rates = best_try(settings, task, model, settings["rates"], train)
    name, start = model.split(", ")
    return found | {
        "rates": rates,
        "checkpoint": checksum(settings, name, 0) if start == "pre-trained" else "",
        "test_accuracy": train(rates, chosen, test, seed),
    }


def accuracy(
    settings: dict[str, Any],
    task: str,
    model: str,
    rates: Sequence[float],
    chosen: dict[str, list],
    judge: dict[str, list],
    seed: int,
) -> float:
    """Train all weights of a model on the chosen sentences; its accuracy on the others."""
    name, start = model.split(", ")
    known = start == "pre-trained"
    begin = pretrained_mini(settings, name, 0) if known else random_start(name, seed)
    epochs = max(settings["epochs"], settings["steps"] * 32 / len(chosen["label"]))
    few = {key: values[:32] for key, values in chosen.items()}  # nothing is decided by these
    how = {"epochs": epochs, "learning_rate": rates[0], "embedding_rate": rates[1]}
    words = WORDS[task]
    return share_right(fit(begin, chosen, few, seed, words, evaluations=1, **how)[0], judge, words)


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each task, model and n: the accuracies; and what pre-training gains, draw by draw."""
    return compared(trials, "pre-trained", "random")


def clear(gains: list[dict[str, Any]]) -> bool:
    """Whether a model gains on a task, by the rule."""
    return bool(gains) and all(g["mean"] > 0 and g["mean"] > 2 * g["sd"] for g in gains)


def verdict(results: dict[str, Any]) -> str:
    """The rule, applied."""
    judged: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for row in results["gains"]:
        if row["examples"] in JUDGED:
            judged.setdefault(row["model"], {}).setdefault(row["task"], []).append(row)
    if not judged:
        return "silent: no size of the rule was measured"
    won = {model: [t for t, g in tasks.items() if clear(g)] for model, tasks in judged.items()}
    mean = {
        model: statistics.fmean(g["mean"] for rows in tasks.values() for g in rows)
        for model, tasks in judged.items()
    }
    told = "; ".join(
        f"{model} gains on {', '.join(tasks) or 'nothing'} ({mean[model]:+.1f} points in the mean)"
        for model, tasks in won.items()
    )
    fewest = min(map(len, won.values()))
    return f"{'yes' if fewest >= 2 else 'no' if fewest == 0 else 'silent'}: {told}"
