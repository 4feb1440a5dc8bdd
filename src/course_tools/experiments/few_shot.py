"""Few-shot classification with a real decoder: 0 to 8 examples, several orders, calibration.

The prompt is examples with their labels, then the text in question; the answer is the label whose
first token is the likeliest next one. *Contextual calibration* (Zhao et al. 2021, §5) divides each
label's probability by what it gets when the text says nothing ("N/A", "[MASK]", ""), and thereby
takes out a liking for some labels that the prompt brings about.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import lru_cache
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from course_tools.experiments.small import dataset, summary
from course_utils.data.batches import generator_at
from course_utils.data.sources import load_pretrained
from course_utils.prompting import NOTHING, TASKS, label_probabilities, written

SETTINGS: dict[str, Any] = {
    "sources": ["movies", "questions", "smollm2"],
    "tasks": list(TASKS),
    "shots": [0, 1, 2, 4, 8],
    "draws": 2,  # sets of examples
    "orders": 3,  # of each set
    "items": 60,  # test texts
    "model": "smollm2",
}
TINY = {"sources": ["movies"], "tasks": ["movies"], "shots": [0, 1], "draws": 1, "items": 6,
        "model": ""}  # fmt: skip


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every prompt: task, number of examples, set of examples, their order."""
    found = []
    for task in settings["tasks"]:
        for shots in settings["shots"]:
            for draw in range(settings["draws"] if shots else 1):
                for order in range(min(settings["orders"], math.factorial(shots))):
                    place = {"draw": draw + settings["seed"], "order": order}
                    found.append({"task": task, "shots": shots, **place})
    return found


def measure(settings: dict[str, Any], task: str, shots: int, draw: int, order: int) -> dict:
    """Accuracy of one prompt on the test texts, as it is and calibrated; what is chosen."""
    model, tokenizer = decoder(settings["model"])
    data, form = dataset(task), TASKS[task]
    examples = data["train"].select(demonstrations(len(data["train"]), shots, draw, order))
    prompt = "".join(written(form, row["text"], row["label"]) + "\n\n" for row in examples)
    generator = generator_at("items")
    chosen = torch.randperm(len(data["test"]), generator=generator)[: settings["items"]].tolist()
    items = data["test"].select(chosen)
    texts = [written(form, text) for text in (*NOTHING, *items["text"])]
    every = label_probabilities(model, tokenizer, prompt, texts, form.words)
    empty, asked = every[: len(NOTHING)].mean(0), every[len(NOTHING) :]
    wanted = torch.tensor(list(items["label"]))
    return {
        "accuracy": share(asked.argmax(1), wanted),
        "calibrated_accuracy": share((asked / empty).argmax(1), wanted),
        "chosen": torch.bincount(asked.argmax(1), minlength=len(form.words)).tolist(),
        "nothing_says": [round(p, 4) for p in empty.tolist()],
        "majority": Counter(wanted.tolist()).most_common(1)[0][1] / len(wanted),
    }


@lru_cache(maxsize=1)
def decoder(name: str) -> tuple[Any, Any]:
    """The real decoder and its tokenizer; for "" an untrained gpt-mini."""
    if name:
        found = load_pretrained(name)
        return found.model.eval(), found.tokenizer
    from course_utils.data.tokenizers import load_tokenizer
    from course_utils.minis import random_start
    from course_utils.models.huggingface import to_hf

    return to_hf(random_start("gpt-mini", 0)).eval(), load_tokenizer("course")


def demonstrations(count: int, shots: int, draw: int, order: int) -> list[int]:
    """Numbers of the examples: the first of a shuffle, in one of the orders; order 0 as drawn."""
    drawn = torch.randperm(count, generator=generator_at("examples", draw))[:shots].tolist()
    if not order:
        return drawn
    orders = list(permutations(drawn))[1:] if shots < 5 else None
    if orders is None:  # too many to write down
        mixed = torch.randperm(shots, generator=generator_at("order", draw, order)).tolist()
        return [drawn[i] for i in mixed]
    mixed = torch.randperm(len(orders), generator=generator_at("order", draw)).tolist()
    return list(orders[mixed[order - 1]])


def share(found: Tensor, wanted: Tensor) -> float:
    """Share of right answers."""
    return float((found == wanted).float().mean())


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each task and number of examples: accuracy over prompts, as it is and calibrated."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for trial in trials:
        groups.setdefault((trial["task"], trial["shots"]), []).append(trial)
    return {
        "prompts": [
            {"task": task, "shots": shots, "prompts": len(group), "majority": group[0]["majority"]}
            | {key: summary([t[key] for t in group]) for key in ("accuracy", "calibrated_accuracy")}
            for (task, shots), group in groups.items()
        ]
    }
