"""Is generated text legible? A larger model, SmolLM2, reads it, and held-out text beside it.

Every text, also the held-out one, begins with the same few pieces of a held-out speech: by itself a
model that has read many short texts would write those. Samples are taken as they come: top-p 0.9,
seeds 0, 1, 2, none chosen. Each text is read by itself; its first token is read and not predicted.
The loss of the judge is per token of *its* tokenizer, and in bits a byte. A judge likes text that
repeats itself, so the share of different word triples stands beside. Question, rule and controls
are the constants below; they are copied into the record.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_tools.experiments.few_shot import decoder
from course_tools.experiments.small import seeds, summary
from course_tools.experiments.yardsticks import build, held_out_rows, ngrams
from course_utils.code_length import surprise
from course_utils.counting import NGram
from course_utils.data.batches import derive_seed, generator_at
from course_utils.data.tokenizers import load_tokenizer

QUESTION = "Is what the small decoder writes as legible, to a larger model, as text of its sources?"
RULE = """Yes: with every seed the judge's mean loss on samples is within 1 nat a token of its loss
on held-out text, below that on samples of the 5-gram by more than twice the standard deviation over
seeds, and samples repeat word triples no more than twice as often as held-out text. No: with every
seed the loss is more than 1 nat above held-out text. Silent: anything else."""
CONTROLS = """Held-out text of the same length; the same text with its words shuffled, the upper
end; samples of the interpolated 5-gram, drawn with the same top-p."""

SETTINGS: dict[str, Any] = {
    "sources": ["sotu", "smollm2"],
    "models": ["gpt-mini", "5-gram"],
    "seeds": 3,
    "runs": "",
    "checkpoint_seed": 0,  # of pre-training: the weights stay, the draws change
    "texts": 16,  # a seed
    "pieces": 120,  # of the course's tokenizer a text
    "given": 16,  # of them, from a held-out speech
    "top_p": 0.9,
    "counted_texts": None,
    "judge": "smollm2",
}
TINY = {
    "sources": ["sotu"],
    "seeds": 1,
    "texts": 2,
    "pieces": 8,
    "given": 2,
    "counted_texts": 5,
    "judge": "",
}


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Held-out text, the same shuffled, and every writer at every seed."""
    first = settings["seed"]
    given = [{"writer": name, "seed": first} for name in ("held-out text", "shuffled words")]
    return given + [
        {"writer": name, "seed": seed} for name in settings["models"] for seed in seeds(settings)
    ]


def measure(settings: dict[str, Any], writer: str, seed: int) -> dict[str, Any]:
    """The judge's loss on a writer's texts; the first of them is printed, whatever it is.

    Line breaks are read as spaces in all texts alike, since shuffled words have none.
    """
    texts = [" ".join(text.split()) for text in written(settings, writer, seed)]
    nats, tokens, sizes = text_nats(*decoder(settings["judge"]), texts)
    return {
        "nats_a_token": sum(nats) / sum(tokens),
        "bits_per_byte": sum(nats) / math.log(2) / sum(sizes),
        "repeated_triples": repeated(texts),
        "first_text": texts[0],
    }


def written(settings: dict[str, Any], writer: str, seed: int) -> list[str]:
    """The texts of a writer: model, 5-gram, or held-out text as it is or shuffled."""
    tokenizer = load_tokenizer("course")
    count, length = settings["texts"], settings["pieces"]
    real = held_out_rows(count, length)
    if writer in ("held-out text", "shuffled words"):
        texts = tokenizer.batch_decode(real)
        mixed = np.random.default_rng(derive_seed("shuffle", seed))
        shuffled = [" ".join(mixed.permutation(text.split())) for text in texts]
        return shuffled if writer == "shuffled words" else texts
    given = real[:, : settings["given"]]
    start = torch.cat([torch.full((count, 1), tokenizer.eos_token_id), given], dim=1)
    new = length - given.size(1)
    if writer == "5-gram":
        found = ngrams(settings["counted_texts"])
        ids = [sampled(found, s, new, settings["top_p"], seed, n) for n, s in enumerate(start)]
        return tokenizer.batch_decode(ids)
    model = build(settings, writer, "pre-trained", settings["checkpoint_seed"])
    made = model.generate(
        start,
        max_new_tokens=new,
        temperature=1.0,
        top_p=settings["top_p"],
        eos_token_id=None,  # every text has the same length
        generator=generator_at("sample", seed),
    )
    ids = torch.cat([given, made.new_ids], dim=1)
    return tokenizer.batch_decode(ids, skip_special_tokens=True)


def sampled(
    found: NGram, start: Tensor, new: int, top_p: float, seed: int, number: int
) -> list[int]:
    """A start, continued by the 5-gram from the smallest set of tokens with probability `top_p`."""
    draws = np.random.default_rng(derive_seed("5-gram", seed, number))
    ids = start.tolist()
    for _ in range(new):
        shares = found.distribution(ids[-4:])
        order = np.argsort(-shares)
        kept = order[: int(np.searchsorted(np.cumsum(shares[order]), top_p)) + 1]
        ids.append(int(draws.choice(kept, p=shares[kept] / shares[kept].sum())))
    return ids[1:]


@torch.no_grad()
def text_nats(model: Any, tokenizer: Any, texts: Sequence[str]) -> tuple[list, list, list]:
    """Nats, predicted tokens and their bytes of each text; of a transformers model."""
    nats, tokens, sizes = [], [], []
    for text in texts:
        ids = tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        logits = model(input_ids=ids).logits  # (1, T, V)
        nats.append(float(surprise(logits[:, :-1], ids[:, 1:]).sum()))
        tokens.append(ids.size(1) - 1)
        sizes.append(len(text.encode()) - len(tokenizer.decode(ids[0, :1]).encode()))
    return nats, tokens, sizes


def repeated(texts: Sequence[str]) -> float:
    """Share of word triples that occurred in the same text before."""
    triples = [list(zip(*(text.split()[n:] for n in range(3)), strict=False)) for text in texts]
    count = sum(map(len, triples))
    return 1 - sum(len(set(each)) for each in triples) / max(count, 1)


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """For each writer the judge's loss over seeds, and the first text of each seed."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for trial in trials:
        groups.setdefault(trial["writer"], []).append(trial)
    measured = ("nats_a_token", "bits_per_byte", "repeated_triples")
    return {
        "writers": [
            {"writer": name, "seeds": len(group)}
            | {key: summary([trial[key] for trial in group]) for key in measured}
            for name, group in groups.items()
        ]
    }


def verdict(results: dict[str, Any]) -> str:
    """The rule, applied to the model against held-out text and the 5-gram."""
    loss = {row["writer"]: row["nats_a_token"] for row in results["writers"]}
    again = {row["writer"]: row["repeated_triples"]["mean"] for row in results["writers"]}
    name = next(writer for writer in loss if writer.startswith("gpt"))
    base, counted = loss["held-out text"]["mean"], loss["5-gram"]["mean"]
    told = f"{name} {loss[name]['mean']:.2f} nats a token, held-out text {base:.2f}, "
    told += f"5-gram {counted:.2f}, shuffled words {loss['shuffled words']['mean']:.2f}"
    gaps = [value - base for value in loss[name]["values"]]
    if min(gaps) > 1:
        return f"no: {told}"
    better = counted - loss[name]["mean"] > 2 * loss[name]["sd"]
    fresh = again[name] <= 2 * again["held-out text"]
    return f"{'yes' if max(gaps) <= 1 and better and fresh else 'silent'}: {told}"
