"""What the ablations share: small models, trained for a minute, judged on one yardstick."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.data.batches import by_length, derive_seed, pack, pad_inputs, rows_at
from course_utils.data.sources import load_corpus, load_dataset, split
from course_utils.data.text import plain_ids, token_ids
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import T5
from course_utils.objectives.batch import Batch
from course_utils.training.loop import LossFunction, TrainResult, train, validator
from course_utils.training.optim import TrainConfig


def seeds(settings: dict[str, Any]) -> range:
    """The seeds of the repetitions."""
    return range(settings["seed"], settings["seed"] + settings["seeds"])


def crossed(settings: dict[str, Any], **columns: str) -> list[dict[str, Any]]:
    """Every combination of settings at every seed; all at a seed before the next one.

    `columns` name what a trial calls one value, and the setting that lists all of them.
    """
    values = itertools.product(*(settings[every] for every in columns.values()))
    rows = [dict(zip(columns, row, strict=True)) for row in values]
    return [row | {"seed": seed} for seed in seeds(settings) for row in rows]


@lru_cache(maxsize=1)
def documents() -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of the corpus' training and held-out documents."""
    tokenizer = load_tokenizer("course")
    training, held_out = (token_ids(part, tokenizer) for part in split(load_corpus()))
    return training, held_out


@lru_cache(maxsize=8)
def rows(length: int) -> tuple[Tensor, Tensor]:
    """Training and held-out documents end to end, closed by `<eos>`, as (rows, length) each."""
    end = load_tokenizer("course").eos_token_id
    training, held_out = (pack(part, length, end_id=end).ids for part in documents())
    return training, held_out


def short_run(
    model: nn.Module,
    batch_of: Callable[[Tensor, int], Batch],
    loss: LossFunction,
    settings: dict[str, Any],
    seed: int,
) -> TrainResult:
    """Train on shuffled rows of the corpus; `batch_of(ids (R, n), step)` makes a batch.

    A step has `batch_size` rows of `row_tokens` tokens. If these are several lengths, each has an
    equal share of the steps, in that order, and a step as many tokens: `batch_size` of the last.
    """
    lengths, steps = settings["row_tokens"], settings["steps"]
    lengths = [lengths] if isinstance(lengths, int) else lengths
    tokens, order = settings["batch_size"] * lengths[-1], derive_seed("rows", seed)

    def batch_at(step: int) -> Batch:
        length = lengths[step * len(lengths) // steps]
        ids = rows(length)[0]
        return batch_of(ids[rows_at(step, len(ids), tokens // length, order)], step)

    config = TrainConfig(
        steps=steps,
        learning_rate=settings["learning_rate"],
        embedding_rate=settings["embedding_rate"],
        warmup_steps=steps // 10,
        schedule="cosine",
        final_fraction=0.1,
        mixed_precision="bf16",
        device="cpu",
        log_every=steps,
        seed=seed,
    )
    return train(model, batch_at, loss, config, progress=False)


@torch.no_grad()
def held_out_loss(model: nn.Module, batches: Iterable[Batch], loss: LossFunction) -> float:
    """Nats per predicted token over all batches together."""
    return validator(list(batches), loss)(model.eval())["validation_loss"]


@torch.no_grad()
def mean_states(
    encode: Callable[..., Tensor], ids: Sequence[Sequence[int]], pad_token_id: int
) -> np.ndarray:
    """Mean of hidden states over each text's tokens, (texts, d).

    `encode(input_ids, attention_mask)` gives the states (texts, length, d) of a few texts.
    """
    found: dict[int, Tensor] = {}
    for chosen in by_length(ids, 64):
        inputs = pad_inputs([ids[number] for number in chosen], pad_token_id)
        real = inputs["attention_mask"][..., None]
        states = encode(inputs["input_ids"], inputs["attention_mask"]).float()
        found |= dict(zip(chosen, (states * real).sum(1) / real.sum(1), strict=True))
    return torch.stack([found[number] for number in range(len(ids))]).numpy()


def probe(
    features: dict[str, np.ndarray], labels: dict[str, Sequence[int]], part: str = "test"
) -> float:
    """Accuracy of a logistic regression on standardised frozen features, learned on "train"."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=300))
    classifier.fit(features["train"], labels["train"])
    return float(classifier.score(features[part], labels[part]))


dataset = lru_cache(maxsize=4)(load_dataset)  # each load reads and splits all rows again


@lru_cache(maxsize=8)
def labelled(name: str, part: str, count: int | None = None) -> dict[str, list]:
    """The first `count` rows of a shuffled split: as they lie, the movie sentences are sorted."""
    return dataset(name)[part].shuffle(seed=0)[:count]


def questions_probe(
    model: nn.Module, texts: int, first: Sequence[int] = (), last: Sequence[int] = ()
) -> float:
    """Accuracy in telling the six classes of TREC questions from mean frozen states.

    `first` and `last` are the special tokens between which the model is used to read.
    """
    tokenizer = load_tokenizer("course")
    encode = model.eval().encode if isinstance(model, T5) else model.eval().hidden_states
    features, labels = {}, {}
    for part in ("train", "test"):
        chosen = labelled("questions", part, texts)
        ids = [[*first, *row, *last] for row in plain_ids(tokenizer, chosen["text"])]
        features[part] = mean_states(encode, ids, tokenizer.pad_token_id)
        labels[part] = chosen["label"]
    return probe(features, labels)


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Mean, standard deviation (0 of one value) and the values themselves."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {"mean": statistics.fmean(values), "sd": deviation, "values": list(values)}


def by_condition(
    trials: Iterable[dict[str, Any]], key: str, measured: Sequence[str]
) -> list[dict[str, Any]]:
    """One entry a value of `key`, in order of appearance, with the spread of each measured one."""
    groups: dict[Any, list[dict[str, Any]]] = {}
    for trial in trials:
        groups.setdefault(trial[key], []).append(trial)
    return [
        {key: value, "seeds": len(group)} | {m: summary([t[m] for t in group]) for m in measured}
        for value, group in groups.items()
    ]
