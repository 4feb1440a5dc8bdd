"""BERT, GPT and T5 of equal size, trained for equal FLOPs and measured; `gpu_check.py` runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from course_utils.code_length import LEFT_TO_RIGHT, code_length
from course_utils.data.batches import derive_seed
from course_utils.data.examples import Examples
from course_utils.data.minimal_pairs import known_words, load_blimp, minimal_pairs
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.models.heads import SequenceClassifier
from course_utils.objectives import OBJECTIVES, Batch
from course_utils.recipes import Recipe, seeded
from course_utils.sentence_scores import judge, scorer_of
from course_utils.training.finetune import batches, finetune, loss_and_accuracy
from course_utils.training.flops import optimizer_flops, training_flops
from course_utils.training.loop import objective_loss, train, validator
from course_utils.training.optim import TrainConfig, make_optimizers

FLOPS = 1e16  # of each
TINY_FLOPS = 4e9
AFTER_TRAINING = 35  # seconds, for what is measured of a trained model
PROBED = 8  # steps, to know the speed

# -- models and recipes


def build(name: str, vocab_size: int, tiny: bool = False) -> Bert | Gpt | T5:
    """One of the three, of 27 to 28 million weights; nothing is dropped out."""
    d, heads, layers = (32, 2, 2) if tiny else (512, 8, 8)
    same = {"vocab_size": vocab_size, "hidden_size": d, "num_heads": heads, "dropout": 0.0}
    if name == "t5":  # cross-attention costs weights, so the feed-forward has fewer
        blocks = {"num_layers": layers // 2, "num_decoder_layers": layers // 2}
        ids = {"pad_token_id": 0, "decoder_start_token_id": 0, "eos_token_id": 4}
        sizes = {"head_size": d // heads, "intermediate_size": 3 * d + d // 16}
        return T5(T5Config(**blocks, **sizes, **ids, **same))
    same |= {"num_layers": layers, "intermediate_size": 4 * d, "max_length": 256}
    if name == "bert":
        return Bert(BertConfig(**same))
    return Gpt(GptConfig(eos_token_id=4, pad_token_id=0, **same))


# Rates are not tuned at this size.
STEADY = {"schedule": "cosine", "final_fraction": 0.1, "mixed_precision": "bf16"}
FASTER = {"learning_rate": 2e-3, "embedding_rate": 5.0}
# Objective, lengths of rows from first to last, its options, rates. Attention starts out even: in
# BERT's first short rows the neighbours are a large part of what is seen. GPT reads one token more,
# the first of a row, and never predicts it.
TRIO: dict[str, tuple[str, tuple[int, ...], dict, dict]] = {
    "bert": (
        "masked_lm",
        (16, 32, 64, 128, 254),
        {"rate": 0.2},
        FASTER | {"learning_rate": 1e-3},
    ),
    "gpt": ("causal_lm", (257,), {}, FASTER),
    "t5": ("span_corruption", (256,), {}, FASTER | {"embedding_rate": 20.0}),
}


def trio_recipe(name: str, tiny: bool = False) -> Recipe:
    """The recipe of one of the three; Muon for the matrices of the blocks."""
    objective, lengths, options, rates = TRIO[name]
    settings = STEADY | rates | {"optimizer": "muon", "compile": not tiny}
    if tiny:
        lengths = tuple(sorted({max(8, length // 8) for length in lengths}))
    return Recipe(
        lambda tokenizer: seeded(lambda: build(name, len(tokenizer), tiny), 0),
        objective,
        lengths=lengths,
        step_tokens=256 if tiny else 32_768,
        wrapped=name == "bert",
        options=options,
        settings=settings,
    )


# -- text on the device


class Text:
    """The prepared ids on the device, and batches that are made there."""

    def __init__(self, ids: Tensor, tokenizer: Any, device: str) -> None:
        self.ids = ids.to(device)
        self.tokenizer = tokenizer
        self.device = device

    def rows(self, length: int, count: int, wrapped: bool, generator: torch.Generator) -> Tensor:
        """Rows that begin anywhere: documents follow each other, each closed by `<eos>`."""
        last = len(self.ids) - length
        starts = torch.randint(last, (count, 1), generator=generator, device=self.device)
        rows = self.ids[starts + torch.arange(length, device=self.device)]
        if not wrapped:
            return rows
        sep = self.tokenizer.sep_token_id
        rows = rows.masked_fill(rows == self.tokenizer.eos_token_id, sep)
        rows = nn.functional.pad(rows, (1, 0), value=self.tokenizer.cls_token_id)
        return nn.functional.pad(rows, (0, 1), value=sep)

    def batches(self, recipe: Recipe, seed: int = 0) -> Callable[[int], Batch]:
        """Step → batch. No row is padded, so no model is given a mask."""
        objective = OBJECTIVES[recipe.objective]
        known = objective.settings(self.tokenizer) | recipe.options

        def batch_at(step: int) -> Batch:
            drawn = torch.Generator(self.device).manual_seed(derive_seed("gpu", seed, step))
            rows = self.rows(*recipe.rows_of(step), recipe.wrapped, drawn)
            batch = objective.corrupt(rows, **known, generator=drawn)
            inputs = {key: ids for key, ids in batch.inputs.items() if key != "attention_mask"}
            return replace(batch, inputs=inputs)

        return batch_at


def packed(folder: Path, part: str) -> Tensor:
    """The prepared ids of a part of the corpus, documents end to end."""
    with np.load(folder / "ids.npz") as parts:
        return torch.from_numpy(parts[part].astype("int64"))


# -- training


def trio(stage: Any) -> None:
    """Train one of the three within its FLOPs and its time, then measure it."""
    folder = Path(stage.options.data)
    tokenizer = load_tokenizer(str(folder / "tokenizer"))
    text, held_out = (Text(packed(folder, p), tokenizer, stage.device) for p in PARTS)
    recipe = trio_recipe(stage.name, stage.tiny)
    model = recipe.build(tokenizer).to(stage.device)
    recipe = fitted(stage, recipe, model, text)
    whole = replace(recipe, lengths=recipe.lengths[-1:])
    loss = objective_loss(OBJECTIVES[recipe.objective])
    validate = validator([held_out.batches(whole, seed=1)(0)], loss)
    config = TrainConfig(**recipe.settings)
    result = train(model, text.batches(recipe), loss, config, validate=validate, progress=False)
    kept = ("step", "tokens", "predicted", "seconds", "flops")
    counts = {key: getattr(result, key) for key in kept}
    stage.put("training", counts | {"history": result.history, "settings": asdict(config)})
    measure_trained(stage, model, tokenizer, text, held_out)


PARTS = ("train", "held_out")


def step_flops(recipe: Recipe, model: nn.Module, text: Text) -> float:
    """FLOPs of a step, the mean over the lengths of rows, Muon's own included."""
    count = len(recipe.lengths)
    every = text.batches(replace(recipe, settings={"steps": count}))
    muon = optimizer_flops(make_optimizers(model, TrainConfig(steps=1, optimizer="muon")))
    return sum(training_flops(model, every(i)) for i in range(count)) / count + muon


def probe(recipe: Recipe, model: nn.Module, text: Text) -> dict[str, float]:
    """A few steps of a copy at the last length: seconds before the first is done, and of a step."""
    few = {"steps": PROBED, "log_every": 1}
    last = replace(recipe, lengths=recipe.lengths[-1:], settings=recipe.settings | few)
    loss = objective_loss(OBJECTIVES[recipe.objective])
    start = time.perf_counter()
    config = TrainConfig(**last.settings)
    history = train(deepcopy(model), text.batches(last), loss, config, progress=False).history
    whole = time.perf_counter() - start
    tokens = [history[i]["tokens"] - history[i - 1]["tokens"] for i in (-2, -1)]
    step = min(n / row["tokens_per_second"] for n, row in zip(tokens, history[-2:], strict=True))
    return {"start_seconds": max(0.0, whole - PROBED * step), "step_seconds": step}


def fitted(stage: Any, recipe: Recipe, model: nn.Module, text: Text) -> Recipe:
    """The recipe with as many steps as its FLOPs ask for, or its time allows: says which."""
    facts: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    try:
        speed = probe(recipe, model, text)
    except Exception as error:
        if not recipe.settings["compile"]:
            raise
        facts["not_compiled_for"] = f"{type(error).__name__}: {error}"[:500]
        recipe = replace(recipe, settings=recipe.settings | {"compile": False})
        speed = probe(recipe, model, text)
    flops = step_flops(recipe, model, text)
    asked = round((TINY_FLOPS if stage.tiny else FLOPS) / flops)
    compiling = speed["start_seconds"] * min(2, len(recipe.lengths))  # then for any length
    seconds = 0.9 * (stage.left() - compiling - (AFTER_TRAINING if stage.left() > 60 else 5))
    allowed = int(seconds / speed["step_seconds"])
    steps = max(10, min(asked, allowed))
    facts |= speed | {"step_flops": flops, "steps_by_flops": asked, "steps_by_time": allowed}
    facts |= {"limit": "flops" if asked <= allowed else "time", "steps": steps}
    stage.put("fit", facts | {"optimizer": recipe.settings["optimizer"]})
    often = {"log_every": max(1, steps // 50), "validate_every": max(1, steps // 10)}
    warmup = {"steps": steps, "warmup_steps": steps // 10}
    return replace(recipe, settings=recipe.settings | warmup | often)


# -- measuring


def measure_trained(
    stage: Any, model: Bert | Gpt | T5, tokenizer: Any, text: Text, held_out: Text
) -> None:
    """All that is measured of a trained model, each by itself; the cheap before the dear."""
    counts = dict(enumerate(text.ids.bincount(minlength=len(tokenizer)).tolist()))
    pairs = minimal_pairs(known_words(tokenizer, counts))
    each = 8 if stage.tiny else 10**6
    stage.attempt("samples", lambda: [sample(model, tokenizer, seed) for seed in (0, 1, 2)])
    stage.attempt("bits", bits, stage, model, tokenizer, held_out)
    stage.attempt("minimal_pairs", accuracies_of, model, tokenizer, pairs, each)
    stage.attempt("transfer", transfer, stage, model, tokenizer)
    blimp = Path(stage.options.data) / "blimp.zip"
    if blimp.is_file():
        found = load_blimp(blimp, 2 if stage.tiny else 100)
        stage.attempt("blimp", accuracies_of, model, tokenizer, found, each)
    if stage.options.weights == stage.name:
        stage.attempt("weights", save_weights, model, Path(stage.options.out))


def bits(stage: Any, model: Bert | Gpt | T5, tokenizer: Any, held_out: Text) -> dict[str, float]:
    """Bits a byte of held-out rows by the chain rule, from left to right, and what it took."""
    length, rows = (16, 2) if stage.tiny else (128, 64)
    drawn = torch.Generator(held_out.device).manual_seed(derive_seed("gpu bits"))
    ids = held_out.rows(length, rows, False, drawn)
    found = code_length(model, tokenizer, ids, order=LEFT_TO_RIGHT, rows_at_once=64)
    return asdict(found) | {"bits_per_byte": found.bits_per_byte}


def accuracies_of(
    model: Bert | Gpt | T5, tokenizer: Any, sets: dict[str, list], each: int
) -> dict[str, dict[str, float]]:
    """Accuracy on sets of pairs, with its interval."""
    scorer = scorer_of(model, tokenizer)
    return {name: asdict(judge(scorer, pairs[:each], tokenizer)) for name, pairs in sets.items()}


def sample(model: Bert | Gpt | T5, tokenizer: Any, seed: int) -> str:
    """What a model writes, unchosen: a text; for a sentinel; or for masks, from the left."""
    device = model.token_embedding.weight.device
    drawn = torch.Generator(device).manual_seed(seed)
    how = {"temperature": 1.0, "top_p": 0.9, "generator": drawn}
    if isinstance(model, Gpt):
        start = torch.tensor([[tokenizer.eos_token_id]], device=device)
        return tokenizer.decode(model.generate(start, max_new_tokens=80, **how).new_ids[0])
    if isinstance(model, T5):
        ids = tokenizer("The people of this country<extra_id_0>.")["input_ids"]
        start = torch.tensor([[*ids, tokenizer.eos_token_id]], device=device)
        return tokenizer.decode(model.generate(start, max_new_tokens=24, **how).new_ids[0])
    ids = tokenizer("[CLS]The people of this country[MASK][MASK][MASK][MASK].[SEP]")["input_ids"]
    row = torch.tensor([ids], device=device)
    for place in (row[0] == tokenizer.mask_token_id).nonzero().flatten():
        with torch.no_grad():
            likely = model(row)[0, place].softmax(-1)
        row[0, place] = torch.multinomial(likely, 1, generator=drawn)[0]
    return tokenizer.decode(row[0])


def transfer(stage: Any, model: Bert | Gpt | T5, tokenizer: Any) -> dict[str, Any]:
    """Test accuracy on film sentences, from the trained weights and from their random start.

    Both starts try the same learning rates; the validation part chooses.
    """
    films = json.loads((Path(stage.options.data) / "films.json").read_text())
    data = {part: examples(model, rows, tokenizer, stage.tiny) for part, rows in films.items()}
    fresh = seeded(lambda: type(model)(model.config), 0).to(stage.device)
    found: dict[str, Any] = {"labels": len(data["train"])}
    for start, weights in (("pretrained", model), ("random", fresh)):
        tried = [fine_tuned(deepcopy(weights), data, rate, stage) for rate in (2e-4, 1e-3)]
        best = max(tried, key=lambda run: run["validation_accuracy"])
        found[start] = best | {"tried": tried}
    return found


def examples(model: Bert | Gpt | T5, rows: dict, tokenizer: Any, tiny: bool) -> Examples:
    """Sentences as a model reads them; T5 answers with one of two words."""
    end = tokenizer.eos_token_id
    most = 16 if tiny else 10**6
    ids, labels = rows["ids"][:most], rows["labels"][:most]
    if isinstance(model, T5):
        words = [[*row, end] for row in tokenizer([" bad", " good"])["input_ids"]]
        return Examples([[*row, end] for row in ids], [words[label] for label in labels])
    if isinstance(model, Gpt):
        return Examples([[*row, end] for row in ids], labels)
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    return Examples([[cls, *row, sep] for row in ids], labels)


def fine_tuned(
    model: Bert | Gpt | T5, data: dict[str, Examples], rate: float, stage: Any
) -> dict[str, float]:
    """Train all weights on the labels; accuracy on both other parts."""
    if not isinstance(model, T5):
        model = seeded(lambda: SequenceClassifier(model, 2, dropout=0.1), 0)
    settings = {"epochs": 1 if stage.tiny else 8, "evaluations": 1, "log_every": 10**6}
    settings |= {"learning_rate": rate, "pad_token_id": 0, "mixed_precision": "bf16"}
    result = finetune(model, data["train"], data["validation"], progress=False, **settings)
    test = loss_and_accuracy(model, batches(model, data["test"], 0, 64), "test")
    validation = result.history[-1]["validation_accuracy"]
    return {"learning_rate": rate, "validation_accuracy": validation, **test}


LARGEST = 15 * 2**20  # bytes of a file


def save_weights(model: nn.Module, out: Path) -> list[str]:
    """Write the weights as 16-bit floats, in files of at most 15 MiB."""
    from safetensors.torch import save_file

    halves = {name: p.detach().half().cpu() for name, p in model.named_parameters()}
    files: list[dict[str, Tensor]] = [{}]
    for name, tensor in halves.items():
        if sum(t.nbytes for t in files[-1].values()) + tensor.nbytes > LARGEST:
            files.append({})
        files[-1][name] = tensor.contiguous()
    names = [f"weights-{number}.safetensors" for number in range(len(files))]
    for name, tensors in zip(names, files, strict=True):
        save_file(tensors, out / name)
    return names
