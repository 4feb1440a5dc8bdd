"""What MiniLM knows with the course's masked head: capitals and continents, asked as clozes.

The facts stand in the CIA World Factbook, the sentences do not. An answer is right when it is the
likeliest piece (top-1) or among the five likeliest (top-5) of the whole vocabulary. Question, rule
and controls are the constants below; they are copied into the record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from course_utils.data.cache import sha256_of
from course_utils.data.capitals import Cloze, clozes
from course_utils.data.sources import CHECKPOINTS, load_pretrained
from course_utils.evaluation import bootstrap_interval

QUESTION = "Does the small encoder know facts of the world, asked in words that it has not read?"
RULE = """Yes: at least 60% of the hundred answers are right at top-1, and the lower end of the
interval (other clozes) is above the best constant answer. No: below 60%. Silent: at least 60%, but
not clear of the constant answer."""
CONTROLS = """The most frequent answer given to every cloze of a kind; and the same sentences with
"this country" in place of the name, where a right answer is a guess and not knowledge."""

SETTINGS: dict[str, Any] = {
    "sources": ["minilm-mlm"],
    "model": "minilm-mlm",
    "asked": ["text", "without_name"],
    "clozes": 100,
}
TINY = {"clozes": 8}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The sentences, and the same without the country's name."""
    return [{"asked": asked} for asked in settings["asked"]]


def measure(settings: dict[str, Any], asked: str) -> dict[str, Any]:
    """Every cloze with its five likeliest answers."""
    found = load_pretrained(settings["model"])
    every = clozes()
    chosen = every[:: len(every) // settings["clozes"]]
    texts = [getattr(cloze, asked) for cloze in chosen]
    best = answers(found.model, found.tokenizer, texts)
    return {
        "head": sha256_of(CHECKPOINTS / settings["model"] / "trained.safetensors"),
        "answers": [
            {"kind": cloze.kind, "text": text, "answer": cloze.answer, "five": five}
            for cloze, text, five in zip(chosen, texts, best, strict=True)
        ],
        "constant": constant(chosen),
    }


@torch.no_grad()
def answers(model: Any, tokenizer: Any, texts: Sequence[str], most: int = 5) -> list[list[str]]:
    """The likeliest pieces at the [MASK] of each text, likeliest first; a transformers model."""
    found = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt")
        place = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero().item()
        best = model(**inputs).logits[0, place].topk(most).indices.tolist()
        found.append([tokenizer.decode([piece]) for piece in best])
    return found


def constant(chosen: Sequence[Cloze]) -> float:
    """Share that is right when each kind is always given its most frequent answer."""
    kinds: dict[str, Counter[str]] = {}
    for cloze in chosen:
        kinds.setdefault(cloze.kind, Counter())[cloze.answer] += 1
    return sum(max(count.values()) for count in kinds.values()) / len(chosen)


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Top-1 and top-5 of each kind and of all, with the interval of top-1 over clozes."""
    clozes = []
    for trial in trials:
        for kind in ("capital", "continent", "all"):
            given = [each for each in trial["answers"] if kind in (each["kind"], "all")]
            right = [each["answer"].lower() == each["five"][0] for each in given]
            low, high = bootstrap_interval(map(float, right))
            near = sum(each["answer"].lower() in each["five"] for each in given)
            shares = {"top1": sum(right) / len(given), "low": low, "high": high}
            shares["top5"] = near / len(given)
            clozes.append({"asked": trial["asked"], "kind": kind, "clozes": len(given)} | shares)
    return {"clozes": clozes, "constant": trials[0]["constant"]}


def verdict(results: dict[str, Any]) -> str:
    """The rule, applied."""
    row, nameless = (
        next(row for row in results["clozes"] if (row["asked"], row["kind"]) == (asked, "all"))
        for asked in ("text", "without_name")
    )
    told = f"{row['top1']:.0%} at top-1, {row['top5']:.0%} at top-5"
    told += f"; a constant answer {results['constant']:.0%}"
    told += f", without the name {nameless['top1']:.0%}"
    if row["top1"] < 0.6:
        return f"no: {told}"
    return f"yes: {told}" if row["low"] > results["constant"] else f"silent: {told}"
