"""The course's pre-trained minis as what they are fine-tuned for: one label a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from course_utils.data.batches import by_length
from course_utils.data.cache import sha256_of
from course_utils.data.text import plain_ids
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import T5, Bert
from course_utils.models.heads import SequenceClassifier
from course_utils.recipes import RECIPES, seeded
from course_utils.training.finetune import Examples, finetune, loss_and_accuracy, make_batch
from course_utils.training.loop import TrainResult

Rows = Mapping[str, Sequence]  # "text" and "label"
WORDS = (" bad", " good")  # what a T5 writes for the labels 0 and 1
MAX_LENGTH = 64  # tokens; the longest sentences lose their end


def random_start(name: str, seed: int) -> nn.Module:
    """The same architecture with the weights that pre-training began from."""
    return seeded(lambda: RECIPES[name].build(load_tokenizer("course")), seed)


def folder(settings: Mapping[str, Any], name: str, seed: int) -> Path:
    """Where `course run pretraining` leaves a model."""
    return Path(settings["runs"]) / f"{name}-seed{seed}" / "model"


def pretrained_mini(settings: Mapping[str, Any], name: str, seed: int) -> nn.Module:
    """One of the minis, pre-trained with that seed; with no `runs` in the settings a random one.

    Raises:
        ValueError: it has not been pre-trained here.
    """
    if not settings["runs"]:
        return random_start(name, seed)
    from course_utils.data.readers import checkpoint
    from course_utils.models.huggingface import from_hf

    place = folder(settings, name, seed)
    if not (place / "model.safetensors").is_file():
        raise ValueError(f"{place} is missing; make it: course pretrain {name} --seed {seed}")
    return from_hf(checkpoint(place)[0])


def checksum(settings: Mapping[str, Any], name: str, seed: int) -> str:
    """SHA-256 of the weights that were used; "" for random ones."""
    place = folder(settings, name, seed)
    return sha256_of(place / "model.safetensors") if settings["runs"] else ""


def with_label_head(model: nn.Module, num_labels: int, seed: int) -> nn.Module:
    """BERT and GPT get a linear head; T5 stays as it is and writes a word."""
    if isinstance(model, T5):
        return model
    return seeded(lambda: SequenceClassifier(model, num_labels, dropout=0.1), seed)


def encode_sentences(model: nn.Module, rows: Rows, words: Sequence[str] = WORDS) -> Examples:
    """Texts and labels as a model reads them: [CLS] x [SEP]; x `<eos>`; for T5 a word to write.

    GPT reads its label off the `<eos>`, the only token that has seen the whole sentence.
    """
    tokenizer = load_tokenizer("course")
    end = tokenizer.eos_token_id
    ids = [row[: MAX_LENGTH - 2] for row in plain_ids(tokenizer, rows["text"])]
    if isinstance(model, T5):
        answers = [[*row, end] for row in plain_ids(tokenizer, words)]
        return Examples([[*row, end] for row in ids], [answers[label] for label in rows["label"]])
    first, last = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    wrapped = isinstance(model, Bert)
    wrap = [[first, *row, last] if wrapped else [*row, end] for row in ids]
    return Examples(wrap, list(rows["label"]))


def fit(
    model: nn.Module,
    train: Rows,
    validation: Rows,
    seed: int,
    words: Sequence[str] = WORDS,
    **settings: Any,
) -> tuple[nn.Module, TrainResult]:
    """Fine-tune a whole mini on labelled sentences; the model with its head, and the run."""
    parts = [encode_sentences(model, rows, words) for rows in (train, validation)]
    model = with_label_head(model, 1 + max(train["label"]), seed)
    result = finetune(
        model,
        *parts,
        pad_token_id=load_tokenizer("course").pad_token_id,
        progress=False,
        seed=seed,
        device="cpu",
        mixed_precision="bf16",
        **{"log_every": 10**9, **settings},
    )
    return model, result


@torch.no_grad()
def share_right(model: nn.Module, rows: Rows, words: Sequence[str] = WORDS) -> float:
    """Share of sentences labelled right; of T5, of words written right."""
    examples = encode_sentences(getattr(model, "backbone", model), rows, words)
    pad = load_tokenizer("course").pad_token_id
    batches = [make_batch(model, examples, part, pad) for part in by_length(examples.ids, 64)]
    return loss_and_accuracy(model.eval(), batches, "test")["test_accuracy"]
