"""Yardsticks that are the same for BERT, GPT and T5: bits a byte, and minimal pairs.

Bits a byte come from the chain rule: GPT from left to right, BERT piece by piece in a random order
and from left to right, T5 span by span; on the same rows of held-out speeches that hold no end of a
document. Minimal pairs are made of words of the corpus; the score of a sentence is the chain rule's
(GPT, counting), the pseudo-log-likelihood (BERT), or that of one sentinel (T5). Where BLiMP can be
had, from the hub or as an archive, the first pairs of each of its sets are scored in the same way.

Question, rule and controls are the constants below; they are copied into the record.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_tools.experiments.small import documents, rows, seeds, summary
from course_utils.code_length import LEFT_TO_RIGHT, RANDOM, num_bytes, passes, row_nats
from course_utils.counting import NGram
from course_utils.data.cache import SourceError, sha256_of
from course_utils.data.minimal_pairs import SETS, Pair, known_words, load_blimp, minimal_pairs
from course_utils.data.sources import CHECKPOINTS, load_pretrained
from course_utils.data.tokenizers import load_tokenizer
from course_utils.evaluation import bootstrap_interval
from course_utils.minis import checksum, pretrained_mini, random_start
from course_utils.models import T5, Bert
from course_utils.models.huggingface import from_hf
from course_utils.recipes import RECIPES
from course_utils.sentence_scores import (
    Ids,
    Scorer,
    accuracy_of,
    credits,
    equal_lengths,
    scorer_of,
    sentence_scorer,
)

QUESTION = """Has one of the three paradigms learned, at equal budget, to agree a verb with its
subject where the noun beside the verb has the other number? Counting neighbours cannot."""
RULE = """Yes: in the mean over at least three seeds a paradigm is right on 60% of the attractor
pairs or more, the lower end of its interval (other nouns) is above 50%, and it is above the best
counting model by more than twice the standard deviation over seeds. No: every paradigm is below
60%. Silent: anything else, also when an untrained model is more than 5 points away from 50%."""
CONTROLS = """Unigram, bigram, trigram and the interpolated 5-gram, counted in the speeches for
training; the same architectures untrained; the counterbalance of the pairs, by which liking some
words more than others gives 50%."""

HARDEST = "agreement, attractor"
ORDERS = {1: "unigram", 2: "bigram", 3: "trigram", 5: "5-gram"}
SETTINGS: dict[str, Any] = {
    "sources": ["sotu"],
    "models": list(RECIPES),
    "sets": list(SETS),
    "seeds": 1,
    "runs": "",  # folder of pre-training runs; without it, what is shipped, which is seed 0
    "rows": 64,
    "row_tokens": 126,
    "span": 3,  # that T5's decoder writes at a time
    "counted_texts": None,  # training documents that counting reads; None takes all
    "pairs": None,  # of a set
    "blimp_pairs": 100,  # of each of its 67 sets
}
TINY = {"models": ["gpt-mini", "bert-mini"], "rows": 2, "row_tokens": 6, "counted_texts": 5,
        "pairs": 8, "blimp_pairs": 1}  # fmt: skip


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Counting, the models at every seed, and each architecture untrained."""
    names = settings["models"]
    counted = [{"model": "counting", "start": "counted", "seed": settings["seed"]}]
    every = [(name, "pre-trained", seed) for seed in seeds(settings) for name in names]
    every += [(name, "untrained", settings["seed"]) for name in names]
    return counted + [{"model": a, "start": b, "seed": c} for a, b, c in every]


def measure(settings: dict[str, Any], model: str, start: str, seed: int) -> dict[str, Any]:
    """Bits a byte in each scheme, and accuracy on each set of pairs, of one model.

    Untrained, a model needs about log₂ V bits a piece: only its pairs are measured.
    """
    ids = held_out_rows(settings["rows"], settings["row_tokens"])
    sets = word_pairs(settings["pairs"])
    phenomena = {} if start == "untrained" else blimp(settings)
    if start == "counted":
        found = ngrams(settings["counted_texts"])
        bits = [counted_bits(found, ids, order) for order in ORDERS]
        scorers = {name: sentence_scorer(counted_scores(found, n)) for n, name in ORDERS.items()}
    else:
        found = build(settings, model, start, seed)
        ways = [] if start == "untrained" else schemes(found, settings)
        bits = [bits_a_byte(found, ids, **how) for how in ways]
        scorers = {SCORES[type(found).__name__]: scorer_of(found, load_tokenizer("course"))}
    return {
        "checkpoint": weights_checksum(settings, model, seed) if start == "pre-trained" else "",
        "bits": bits,
        "pairs": [judged(name, scorer, sets) for name, scorer in scorers.items()],
        "blimp": [judged(name, scorer, phenomena) for name, scorer in scorers.items() if phenomena],
    }


SCORES = {"Gpt": "chain rule", "Bert": "pseudo-log-likelihood", "T5": "one sentinel"}


# -- models --------------------------------------------------------------------------------------


def build(settings: dict[str, Any], name: str, start: str, seed: int) -> Any:
    """A mini: its random start, one from a folder of runs, or the one that is shipped.

    Raises:
        ValueError: a seed other than 0 without a folder of runs.
    """
    if start == "untrained":
        return random_start(name, seed)
    if settings["runs"]:
        return pretrained_mini(settings, name, seed)
    if seed:
        raise ValueError(f"{name} is shipped with seed 0 only; for seed {seed} give its runs")
    return from_hf(load_pretrained(name).model)


def weights_checksum(settings: dict[str, Any], name: str, seed: int) -> str:
    """SHA-256 of the weights that were judged."""
    shipped = CHECKPOINTS / name / "model.safetensors"
    return checksum(settings, name, seed) if settings["runs"] else sha256_of(shipped)


def ngrams(texts: int | None) -> NGram:
    """All orders up to 5, counted in the first training documents; None takes all."""
    tokenizer = load_tokenizer("course")
    return NGram.fit(documents()[0][:texts], 5, len(tokenizer), tokenizer.eos_token_id)


def counted_nats(found: NGram, ids: Sequence[Ids] | Tensor, order: int) -> np.ndarray:
    """−log P of each row of ids (rows, length), after an end of text: (rows,)."""
    end = load_tokenizer("course").eos_token_id
    table = np.asarray(ids)
    table = np.column_stack([np.full(len(table), end), table])
    return -found.log_probs(table, order)[:, 1:].sum(1)


def counted_scores(found: NGram, order: int) -> Callable[[Sequence[Ids]], Tensor]:
    """Sentences → log-probabilities (sentences,) by counting."""

    def score(sentences: Sequence[Ids]) -> Tensor:
        logs = torch.zeros(len(sentences))
        for numbers in equal_lengths(sentences, most=4096):
            nats = counted_nats(found, [sentences[number] for number in numbers], order)
            logs[numbers] = -torch.tensor(nats, dtype=torch.float32)
        return logs

    return score


# -- bits a byte ---------------------------------------------------------------------------------


def held_out_rows(count: int, length: int) -> Tensor:
    """Rows of held-out text (count, length), evenly spread, that hold no end of a document."""
    found = rows(length)[1]
    inside = found[(found != load_tokenizer("course").eos_token_id).all(dim=1)]
    return inside[:: len(inside) // count][:count]


def schemes(model: Any, settings: dict[str, Any]) -> list[dict[str, Any]]:
    """The ways in which a model can write a text."""
    if isinstance(model, Bert):
        return [{"order": RANDOM}, {"order": LEFT_TO_RIGHT}]
    return [{"span": settings["span"]}] if isinstance(model, T5) else [{}]


def bits_a_byte(model: Any, ids: Tensor, **how: Any) -> dict[str, Any]:
    """What a model needs for the rows in one scheme."""
    name = f"spans of {how['span']}" if "span" in how else how.get("order", LEFT_TO_RIGHT)
    nats = row_nats(model, load_tokenizer("course"), ids, **how).tolist()
    return summed(name, nats, ids, passes(model, ids, how.get("span", 1)) / len(ids))


def counted_bits(found: NGram, ids: Tensor, order: int) -> dict[str, Any]:
    """What counting needs for the rows."""
    return summed(ORDERS[order], counted_nats(found, ids, order).tolist(), ids, 0)


def summed(scheme: str, nats: list[float], ids: Tensor, passes_a_row: float) -> dict[str, Any]:
    """Bits a byte of rows that cost `nats` each, with the interval of drawing other rows."""
    tokenizer = load_tokenizer("course")
    sizes = [num_bytes(row, tokenizer) for row in ids]
    low, high = bootstrap_interval(nats)
    scale = len(ids) / math.log(2) / sum(sizes)
    return {
        "scheme": scheme,
        "bits_per_byte": sum(nats) / math.log(2) / sum(sizes),
        "low": low * scale,
        "high": high * scale,
        "nats_a_piece": sum(nats) / ids.numel(),
        "passes_a_row": passes_a_row,
    }


# -- pairs ---------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def word_pairs(most: int | None) -> dict[str, list[Pair]]:
    """The sets of minimal pairs, from words that the training text has at least 20 times."""
    counts = Counter(piece for document in documents()[0] for piece in document)
    sets = minimal_pairs(known_words(load_tokenizer("course"), counts))
    return {name: pairs[:most] for name, pairs in sets.items()}


def blimp(settings: dict[str, Any]) -> dict[str, list[Pair]]:
    """BLiMP by phenomenon; nothing when there is neither an archive nor a hub."""
    try:
        return load_blimp(settings.get("blimp"), settings["blimp_pairs"])
    except SourceError:
        return {}


def judged(scheme: str, scorer: Scorer, sets: dict[str, list[Pair]]) -> dict[str, Any]:
    """Accuracy with its interval on each set, and on all of them together."""
    tokenizer = load_tokenizer("course")
    right = {name: credits(scorer, pairs, tokenizer) for name, pairs in sets.items()}
    found = {name: accuracy_of(right[name], pairs) for name, pairs in sets.items()}
    found["all"] = accuracy_of([*chain(*right.values())], [*chain(*sets.values())])
    return {
        "scheme": scheme,
        "sets": [{"set": name, **vars(accuracy)} for name, accuracy in found.items()],
    }


# -- the record ----------------------------------------------------------------------------------


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each model and scheme: bits a byte, accuracy by set, the hardest with its interval."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for trial in trials:
        groups.setdefault((trial["model"], trial["start"]), []).append(trial)
    results: dict[str, Any] = {"bits_per_byte": [], "pairs": [], "attractor": [], "blimp": []}
    for (model, start), runs in groups.items():
        for number, entry in enumerate(runs[0]["bits"]):
            who = {"model": model, "start": start, "scheme": entry["scheme"], "seeds": len(runs)}
            found = [run["bits"][number] for run in runs]
            kept = ("bits_per_byte", "low", "high", "nats_a_piece")
            numbers = {key: summary([each[key] for each in found]) for key in kept}
            results["bits_per_byte"].append(who | numbers | {"passes_a_row": entry["passes_a_row"]})
        for number, entry in enumerate(runs[0]["pairs"]):
            who = {"model": model, "start": start, "scheme": entry["scheme"]}
            by_set = across(runs, "pairs", number)
            means = {name: found["mean"] for name, found in by_set.items() if name != "all"}
            results["pairs"].append(who | means)
            results["attractor"].append(who | {"seeds": len(runs)} | by_set[HARDEST])
            if entries := runs[0]["blimp"]:
                together = across(runs, "blimp", number)["all"]
                results["blimp"].append(who | {"pairs": entries[0]["sets"][-1]["count"]} | together)
    return results


def across(runs: list[dict[str, Any]], kind: str, number: int) -> dict[str, dict[str, Any]]:
    """Set → mean, low and high, each with its spread over runs of other seeds."""
    entries = [run[kind][number]["sets"] for run in runs]
    return {
        same[0]["set"]: {
            key: summary([each[key] for each in same]) for key in ("mean", "low", "high")
        }
        for same in zip(*entries, strict=True)
    }


def verdict(results: dict[str, Any]) -> str:
    """The rule, applied."""
    rows_of: dict[str, list[dict[str, Any]]] = {}
    for row in results["attractor"]:
        rows_of.setdefault(row["start"], []).append(row)
    counted = max(row["mean"]["mean"] for row in rows_of["counted"])
    shares = [f"{row['model']} {row['mean']['mean']:.0%}" for row in rows_of["pre-trained"]]
    told = f"{', '.join(shares)}; the best counting model {counted:.0%}"
    if any(abs(row["mean"]["mean"] - 0.5) > 0.05 for row in rows_of["untrained"]):
        return f"silent: an untrained model is not at 50% ({told})"
    if all(row["mean"]["mean"] < 0.6 for row in rows_of["pre-trained"]):
        return f"no: {told}"
    winners = [row["model"] for row in rows_of["pre-trained"] if wins(row, counted)]
    return f"yes: {' and '.join(winners)} ({told})" if winners else f"silent: {told}"


def wins(row: dict[str, Any], counted: float) -> bool:
    """Whether a paradigm passes all parts of the rule."""
    mean, noise = row["mean"]["mean"], row["mean"]["sd"]
    return (
        row["seeds"] >= 3
        and mean >= 0.6
        and row["low"]["mean"] > 0.5
        and mean - counted > 2 * noise
    )
