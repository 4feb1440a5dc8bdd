"""A demonstrator: intent and slots of flight booking from one bert-mini, α swept from 0 to 1.

The joint loss is α·L_intent + (1−α)·L_slots. Tests apart: sentences with a new template, with new
slot values, with both. A slot counts when its words and its name are all right (F1, as in CoNLL).
Seeds are of fine-tuning; pre-training is that of seed 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from course_tools.experiments.small import crossed, summary
from course_utils.data.flights import INTENTS, NOVELTY, TAGS, make_flights
from course_utils.data.tokenizers import load_tokenizer
from course_utils.minis import checksum, pretrained_mini
from course_utils.models.heads import JointIntentSlots
from course_utils.objectives.batch import IGNORE_INDEX
from course_utils.recipes import seeded
from course_utils.training.checkpoint import save_tensors
from course_utils.training.finetune import Examples, finetune, make_batch

SETTINGS: dict[str, Any] = {
    "sources": ["flights"],
    "alphas": [0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0],
    "seeds": 3,
    "runs": "runs",
    "examples": None,
    "epochs": 10,
    "learning_rate": 1e-3,
}
TINY = {"alphas": [0.5, 1.0], "seeds": 1, "runs": "", "examples": 40, "epochs": 1}
Span = tuple[int, int, str]


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every α at every seed."""
    return crossed(settings, alpha="alphas")


def measure(settings: dict[str, Any], alpha: float, seed: int) -> dict[str, Any]:
    """Fine-tune once, keep the weights in the run's folder; both scores by novelty."""
    data = make_flights()
    first = slice(settings["examples"])
    train, validation, test = (
        encode_flights(data[p][first]) for p in ("train", "validation", "test")
    )
    backbone = pretrained_mini(settings, "bert-mini", 0)
    model = seeded(lambda: JointIntentSlots(backbone, len(INTENTS), len(TAGS), dropout=0.1), seed)
    finetune(
        model,
        train,
        validation,
        pad_token_id=load_tokenizer("course").pad_token_id,
        alpha=alpha,
        evaluations=1,
        progress=False,
        seed=seed,
        device="cpu",
        mixed_precision="bf16",
        log_every=10**9,
        epochs=settings["epochs"],
        learning_rate=settings["learning_rate"],
    )
    weights = {name: tensor.half() for name, tensor in model.state_dict().items()}
    save_tensors(Path(settings["folder"]) / f"model-alpha{alpha}-seed{seed}.safetensors", weights)
    return {"checkpoint": checksum(settings, "bert-mini", 0)} | scores(
        model, test, data["test"][first]["novelty"]
    )


def encode_flights(rows: dict[str, list]) -> Examples:
    """[CLS] pieces [SEP]; a word's tag stands at its first piece, -100 at all others."""
    tokenizer = load_tokenizer("course")
    all_ids, all_tags = [], []
    for words, tags in zip(rows["tokens"], rows["tags"], strict=True):
        ids, marks = [tokenizer.cls_token_id], [IGNORE_INDEX]
        for word, tag in zip(words, tags, strict=True):
            pieces = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
            ids += pieces
            marks += [tag] + [IGNORE_INDEX] * (len(pieces) - 1)
        all_ids.append([*ids, tokenizer.sep_token_id])
        all_tags.append([*marks, IGNORE_INDEX])
    return Examples(all_ids, all_tags, list(rows["intent"]))


@torch.no_grad()
def scores(model: JointIntentSlots, test: Examples, novelty: Sequence[int]) -> dict[str, Any]:
    """Intent accuracy and slot F1, for all of the test and for each kind of novelty."""
    batch = make_batch(model, test, range(len(test)), load_tokenizer("course").pad_token_id)
    intents, tags = (logits.argmax(-1) for logits in model(**batch.inputs))
    right = (intents == batch.intents).tolist()
    found = [
        [TAGS[t] for t, kept in zip(row, keep, strict=True) if kept]
        for row, keep in zip(tags.tolist(), batch.predicted.tolist(), strict=True)
    ]
    wanted = [[TAGS[t] for t in row if t != IGNORE_INDEX] for row in test.labels]
    result = {}
    for kind in ("all", *NOVELTY[1:]):
        rows = [i for i, n in enumerate(novelty) if kind in ("all", NOVELTY[n])]
        result[kind] = {
            "sentences": len(rows),
            "intent_accuracy": sum(right[i] for i in rows) / len(rows),
            "slot_f1": f1([found[i] for i in rows], [wanted[i] for i in rows]),
        }
    return {"test": result}


def spans(tags: Sequence[str]) -> set[Span]:
    """Slots of a row of BIO tags as (first word, end, name); an I- after nothing begins one."""
    found: set[Span] = set()
    start, name = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        if name and tag != f"I-{name}":
            found.add((start, place, name))
            name = ""
        if tag != "O" and not name:
            start, name = place, tag[2:]
    return found


def f1(found: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> float:
    """Harmonic mean of precision and recall of whole slots, over all rows together."""
    pairs = [(spans(a), spans(b)) for a, b in zip(found, wanted, strict=True)]
    both = sum(len(a & b) for a, b in pairs)
    all_of_them = sum(len(a) + len(b) for a, b in pairs)
    return 2 * both / all_of_them if all_of_them else 0.0


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each α and kind of test sentence: the spread of both scores over seeds."""
    alphas = []
    for alpha in dict.fromkeys(trial["alpha"] for trial in trials):
        tests = [trial["test"] for trial in trials if trial["alpha"] == alpha]
        kinds = {
            kind: {m: summary([t[kind][m] for t in tests]) for m in ("intent_accuracy", "slot_f1")}
            for kind in tests[0]
        }
        alphas.append({"alpha": alpha, **kinds})
    return {"alphas": alphas}
