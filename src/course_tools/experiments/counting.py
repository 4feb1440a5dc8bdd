"""How well counting predicts: n-grams on the speeches and on the mixture, and three tokenizers.

The levels by name are what a neural model of the same text has to beat, see `counting.levels`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from course_utils.counting import NAMES, NGram
from course_utils.data.sources import Corpus, load_corpus, parts_of, split
from course_utils.data.text import text_rows, token_ids
from course_utils.data.tokenizers import load_tokenizer, train_tokenizer
from course_utils.recipes import RECIPES

SHIPPED, ORDER = "shipped", 5
CLEAR = 0.02  # of the bits: so many fewer are clearly better, so many more clearly worse
QUESTION = """Does a tokenizer trained on the mixture spend fewer bits a byte on held-out text than
the shipped one, which was trained on the speeches alone?"""
RULE = """Yes, of a number of pieces: the 5-gram counted in the mixture needs at least 2% fewer bits
a byte over all held-out text, and on no source 2% more. No: at least as many over all. Silent:
anything between."""
CONTROLS = """The shipped tokenizer with the same 5-gram counted in the same text; and counted
in the speeches alone."""
SENTENCES = ("films", "tweets", "products", "editorials")  # one line of the table
SETTINGS: dict[str, Any] = {
    "sources": ["sotu", "course"],
    "texts": ["sotu", "course"],
    "tokenizers": [SHIPPED, "4096"],
    "parts": ["sotu", "verse", "factbook", "sentences"],
    "order": ORDER,
    "rows": 256,
    "documents": None,  # of each part; all of them
}
TINY = {"sources": ["sotu"], "texts": ["sotu"], "tokenizers": [SHIPPED], "documents": 4, "rows": 8}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Each text with the shipped tokenizer, the mixture also with new ones of so many pieces."""
    shipped = [{"text": text, "tokenizer": SHIPPED} for text in settings["texts"]]
    new = [name for name in settings["tokenizers"] if name != SHIPPED]
    return shipped + [{"text": settings["texts"][-1], "tokenizer": name} for name in new]


def measure(settings: dict[str, Any], text: str, tokenizer: str) -> dict[str, Any]:
    """Count all n-grams of the training documents; predict rows of speeches, and each source."""
    corpus, limit = load_corpus(text), settings["documents"]
    parts = by_source(corpus, limit)
    learn = [document for train, _ in parts.values() for document in train]
    if tokenizer == SHIPPED:
        pieces = load_tokenizer("course")
    else:
        pieces = train_tokenizer(learn, int(tokenizer))
    ids = {name: (encode(a, pieces), encode(b, pieces)) for name, (a, b) in parts.items()}
    train = [document for part, _ in ids.values() for document in part]
    model = NGram.fit(train, settings["order"], len(pieces), pieces.eos_token_id)
    rows = corpus_rows(pieces, settings["rows"], limit)
    return {
        "levels": {NAMES[n]: model.loss(rows, n) for n in model.orders},
        "sources": {name: sizes(*parts[name], *ids[name]) for name in parts},
        "nats": {name: nats(model, held_out, pieces) for name, (_, held_out) in ids.items()},
    }


def by_source(corpus: Corpus, limit: int | None) -> dict[str, tuple[list[str], list[str]]]:
    """Training and held-out documents of each source; the labelled sentences are one."""
    found: dict[str, tuple[list[str], list[str]]] = {}
    parts = parts_of(len(corpus), corpus.facts)
    for text, part, fact in zip(corpus, parts, corpus.facts, strict=True):
        name = fact.get("source", "sotu")
        name = "sentences" if name in SENTENCES else name
        found.setdefault(name, ([], []))[part == "held out"].append(text)
    return {name: (train[:limit], out[:limit]) for name, (train, out) in found.items()}


def encode(documents: list[str], tokenizer: Any) -> list[np.ndarray]:
    """Ids of each document, in a quarter of the memory of lists."""
    return [np.array(row, np.int32) for row in token_ids(documents, tokenizer)]


def corpus_rows(tokenizer: Any, count: int, limit: int | None) -> np.ndarray:
    """The rows of held-out speeches on which `gpt-mini` is validated."""
    length = RECIPES["gpt-mini"].lengths[-1]
    speeches = split(load_corpus("sotu"))[1][:limit]
    return text_rows(speeches, tokenizer, length)[:count].numpy()


def sizes(
    train: list[str], held_out: list[str], ids: list[np.ndarray], held_out_ids: list[np.ndarray]
) -> dict[str, Any]:
    """Documents, bytes, words and tokens of both parts."""
    return {
        "documents": len(train),
        "bytes": sum(len(text.encode()) for text in train),
        "words": sum(len(text.split()) for text in train),
        "tokens": sum(map(len, ids)),
        "held_out_documents": len(held_out),
        "held_out_bytes": sum(len(text.encode()) for text in held_out),
        "held_out_tokens": sum(map(len, held_out_ids)),
    }


def nats(model: NGram, documents: list[np.ndarray], tokenizer: Any) -> float:
    """Nats of whole documents, each after `<eos>` and closed by it: an exact code length."""
    end = [tokenizer.eos_token_id]
    rows = (np.concatenate([end, document, end]) for document in documents)
    return float(-sum(model.log_probs(row)[1:].sum() for row in rows))


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Levels by text with the shipped tokenizer; sizes and bits a byte by source and tokenizer."""
    shipped = {trial["text"]: trial for trial in trials if trial["tokenizer"] == SHIPPED}
    last = list(shipped.values())[-1]
    return {
        "levels": {text: trial["levels"] for text, trial in shipped.items()},
        "sources": last["sources"],
        "nats_a_token": {
            name: last["nats"][name] / (size["held_out_tokens"] + size["held_out_documents"])
            for name, size in last["sources"].items()
        },
        "bits_a_byte": {
            text: {t["tokenizer"]: bits(t) for t in trials if t["text"] == text} for text in shipped
        },
    }


def verdict(results: dict[str, Any]) -> str:
    """The tokenizer with the fewest bits a byte, judged by the rule."""
    found = results["bits_a_byte"][list(results["bits_a_byte"])[-1]]
    new = {name: bits for name, bits in found.items() if name != SHIPPED}
    if not new:
        return "silent: no tokenizer was trained"
    name = min(new, key=lambda n: new[n]["all"])
    change = {part: new[name][part] / found[SHIPPED][part] - 1 for part in new[name]}
    if change["all"] >= 0:
        answer = "no"
    else:
        clear = change["all"] <= -CLEAR and max(change.values()) < CLEAR
        answer = "yes" if clear else "silent"
    each = ", ".join(f"{part} {share:+.1%}" for part, share in change.items())
    return f"{answer}: {name} pieces trained on the mixture, bits a byte {each}"


def bits(trial: dict[str, Any]) -> dict[str, float]:
    """The 5-gram's bits a byte on each source, and over all of them."""
    sources, found = trial["sources"], trial["nats"]
    size = {name: sources[name]["held_out_bytes"] * math.log(2) for name in found}
    each = {name: found[name] / size[name] for name in found}
    return each | {"all": sum(found.values()) / sum(size.values())}
