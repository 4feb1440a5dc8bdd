"""Ablations of masked language modelling: how much is masked, how, and with or without NSP.

A small BERT reads pairs [CLS] A [SEP] B [SEP] cut from the corpus, of 12 to 20 tokens: in as many
steps of long pairs it would not leave the unigram plateau, where no condition differs from another.
All conditions see the same rows in the same order for as many steps. Two yardsticks, the same for
all: the loss on held-out pairs of which 15% of the tokens are [MASK], and a linear probe of the
frozen states, which sees no [MASK].
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from course_tools.experiments.small import (
    by_condition,
    crossed,
    held_out_loss,
    questions_probe,
    rows,
    short_run,
)
from course_utils.data.batches import generator_at
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import Bert, BertConfig
from course_utils.objectives import masked_lm
from course_utils.objectives.batch import Batch
from course_utils.objectives.next_sentence import IS_NEXT, IS_RANDOM
from course_utils.recipes import seeded
from course_utils.training.loop import objective_loss, vocabulary_loss

CONDITIONS: dict[str, dict[str, Any]] = {
    "untrained": {"steps": 0},
    **{f"{rate}%": {"rate": rate / 100} for rate in (10, 15, 20, 30, 40, 60)},
    "15%, all [MASK]": {"mask_share": 1.0, "random_share": 0.0},
    "15%, NSP": {"next_sentence": True},
}
SETTINGS: dict[str, Any] = {
    "sources": ["sotu", "questions"],
    "conditions": list(CONDITIONS),
    "seeds": 3,
    "hidden_size": 64,
    "num_layers": 2,
    "row_tokens": (9, 13, 17),  # of A and B together; three special tokens make 12 to 20
    "batch_size": 120,
    "steps": 2400,
    "learning_rate": 2e-3,
    "embedding_rate": 20.0,
    "held_out_rows": 2048,
    "probe_texts": 4000,
}
TINY = {
    "conditions": ["untrained", "15%", "15%, NSP"],
    "seeds": 1,
    "hidden_size": 32,
    "num_layers": 1,
    "batch_size": 4,
    "steps": 2,
    "held_out_rows": 8,
    "probe_texts": 60,
}
MEASURED = ("masked_loss", "mixed_loss", "probe_accuracy")


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every condition at every seed."""
    return crossed(settings, condition="conditions")


def measure(settings: dict[str, Any], condition: str, seed: int) -> dict[str, float]:
    """Train under a condition; loss on both held-out yardsticks, nats, and the probe's accuracy."""
    choice = dict(CONDITIONS[condition])
    steps, nsp = choice.pop("steps", settings["steps"]), choice.pop("next_sentence", False)
    model = seeded(lambda: small_bert(settings, nsp), seed)
    lm_loss = objective_loss(masked_lm)

    def batch_of(ids: Tensor, step: int) -> Batch:
        generator = generator_at("hide", seed, step)
        return mask(pair(ids, generator if nsp else None), generator, **choice)

    if steps:
        short_run(model, batch_of, with_next_sentence if nsp else lm_loss, settings, seed)
    held_out = rows(settings["row_tokens"][-1])[1]
    pairs = pair(held_out[: settings["held_out_rows"]], None)
    yardsticks = {"masked_loss": {"mask_share": 1.0, "random_share": 0.0}, "mixed_loss": {}}
    losses = {
        name: held_out_loss(model, [mask(pairs, generator_at("held out"), **how)], lm_loss)
        for name, how in yardsticks.items()
    }
    cls, sep = specials()
    accuracy = questions_probe(model, settings["probe_texts"], [cls], [sep])
    return losses | {"probe_accuracy": accuracy}


def specials() -> tuple[int, int]:
    """Ids of [CLS] and [SEP]."""
    tokenizer = load_tokenizer("course")
    return tokenizer.cls_token_id, tokenizer.sep_token_id


def small_bert(settings: dict[str, Any], nsp: bool) -> Bert:
    """A small BERT of the course's vocabulary."""
    d = settings["hidden_size"]
    sizes = {"hidden_size": d, "num_heads": d // 32, "intermediate_size": 4 * d, "max_length": 128}
    depth = {"num_layers": settings["num_layers"], "next_sentence": nsp, "dropout": 0.0}
    return Bert(BertConfig(vocab_size=len(load_tokenizer("course")), **sizes, **depth))


def pair(ids: Tensor, generator: torch.Generator | None) -> Batch:
    """Rows (R, n) as pairs (R, n + 3); with a generator, half of the B are another row's."""
    cut = ids.size(1) // 2
    a, b = ids[:, :cut], ids[:, cut:]
    label = torch.full((len(ids),), IS_NEXT)
    if generator is not None:
        label = torch.where(torch.rand(len(ids), generator=generator) < 0.5, IS_RANDOM, IS_NEXT)
        b = torch.where((label == IS_RANDOM)[:, None], b.roll(1, 0), b)
    cls, sep = (ids.new_full((len(ids), 1), special) for special in specials())
    joined = torch.cat([cls, a, sep, b, sep], 1)
    types = torch.zeros_like(joined)
    types[:, cut + 2 :] = 1
    return Batch(
        {"input_ids": joined, "token_type_ids": types}, torch.full_like(joined, -100), label
    )


def mask(pairs: Batch, generator: torch.Generator, **choice: Any) -> Batch:
    """Pairs with tokens masked; BERT's 15% and 80/10/10 unless `choice` says otherwise."""
    inputs = dict(pairs.inputs)
    fixed = masked_lm.settings(load_tokenizer("course"))
    hidden = masked_lm.corrupt(
        inputs.pop("input_ids"), **inputs, **fixed, **choice, generator=generator
    )
    return replace(hidden, next_sentence_label=pairs.next_sentence_label)


def with_next_sentence(model: Bert, batch: Batch) -> dict[str, Tensor]:
    """Both losses of BERT, each over its own count (Devlin et al. 2019, app. A.2: their sum)."""
    hidden = model.hidden_states(**batch.inputs)
    right = F.cross_entropy(model.next_sentence_logits(hidden), batch.next_sentence_label)
    return {"token": vocabulary_loss(model, hidden, batch), "row": right}


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over seeds for each condition."""
    return {"conditions": by_condition(trials, "condition", MEASURED)}
