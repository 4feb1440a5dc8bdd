"""What two live figures need beside the minis: a new last block and a head, trained for the page.

Embeddings and lower blocks stay those of the shipped minis, which the page has anyway, so each part
has 0.2M weights. `course web train` makes them again in some minutes; scores are measured with the
weights as the page has them, rounded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_utils.data.cache import sha256_of
from course_utils.data.flights import INTENTS, TAGS, make_flights
from course_utils.data.sources import CHECKPOINTS, load_pretrained
from course_utils.data.tokenizers import load_tokenizer
from course_utils.experiments import intent_slots, minis
from course_utils.experiments.small import labelled, seeded
from course_utils.models.heads import JointIntentSlots
from course_utils.training.finetune import Examples, finetune, make_batch, measure
from course_utils.web.quantize import as_in_the_page, is_rounded, quantize

FOLDER = CHECKPOINTS / "page"
ALPHAS = (0.0, 0.1, 0.5, 0.9, 1.0)
LABELS = (0, 100, 1000, 6000)  # labelled sentences of either route
HOW: dict[str, Any] = {
    "frozen": "bottom:3",
    "evaluations": 1,
    "progress": False,
    "device": "cpu",
    "mixed_precision": "bf16",
    "log_every": 10**9,
    "learning_rate": 1e-3,
    "seed": 0,
}
Tensors = dict[str, Tensor]


def base(name: str) -> nn.Module:
    """A shipped mini as a model of this package."""
    from course_utils.models.huggingface import from_hf

    return from_hf(load_pretrained(name).model)


def bases() -> dict[str, str]:
    """SHA-256 of the minis that the parts stand on."""
    names = ("bert-mini", "gpt-mini")
    return {name: sha256_of(CHECKPOINTS / name / "model.safetensors") for name in names}


def train(folder: Path = FOLDER, say: Callable[[str], object] = print) -> None:
    """Train the parts that are not there yet, and write them with `record.json` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = current(folder) or {"bases": bases(), "slots": [], "routes": []}

    def keep(kind: str, row: dict[str, Any]) -> None:
        found[kind].append(row)
        (folder / "record.json").write_text(json.dumps(found, indent=1) + "\n")
        say(f"{kind}: {row}")

    for alpha in ALPHAS:
        if alpha not in [row["alpha"] for row in found["slots"]]:
            keep("slots", slots(folder, alpha))
    for kind, count in ((kind, count) for kind in ROUTES for count in LABELS):
        done = [row["labels"] for row in found["routes"] if row["route"] == kind]
        if count not in done and (kind, count) != ("classify", 0):  # a head without labels is noise
            keep("routes", route(folder, kind, count))


def slots(folder: Path, alpha: float) -> dict[str, Any]:
    """Flight booking, intent and slots: one α of the joint loss; scores on unseen sentences."""
    data = make_flights()
    parts = {part: intent_slots.encode(data[part][:]) for part in data}
    model = joint()
    pad = load_tokenizer().pad_token_id
    more = {"pad_token_id": pad, "alpha": alpha, "epochs": 10}
    finetune(model, parts["train"], parts["validation"], **more, **HOW)
    write(folder / f"slots-{alpha}.safetensors", trained(model))
    rounded = as_in_the_page(model).eval()
    found = intent_slots.scores(rounded, parts["test"], data["test"]["novelty"])["test"]
    return {"alpha": alpha, **found}


def joint() -> JointIntentSlots:
    """The joint model before training."""
    backbone = base("bert-mini")
    return seeded(lambda: JointIntentSlots(backbone, len(INTENTS), len(TAGS), dropout=0.1), 0)


def classify(model: nn.Module, rows: Mapping[str, list]) -> tuple[nn.Module, Examples]:
    """The route of BERT: a head with one logit a label."""
    return minis.classifier(model, 2, 0), minis.encode(model, rows)


def generate(model: nn.Module, rows: Mapping[str, list]) -> tuple[nn.Module, Examples]:
    """The route of GPT: it goes on after `<eos>` with a word."""
    words = load_tokenizer()(list(minis.WORDS), add_special_tokens=False)["input_ids"]
    examples = minis.encode(model, rows)
    return model, Examples(examples.ids, [words[label] for label in rows["label"]])


ROUTES = {"classify": ("bert-mini", classify), "generate": ("gpt-mini", generate)}


def route(folder: Path, kind: str, count: int) -> dict[str, Any]:
    """Sentiment of film sentences by one route, learned from `count` labels; test accuracy.

    Without labels only the generating route answers: which of two words it likes better. The page
    gets the weights that learned from most.
    """
    name, prepare = ROUTES[kind]
    model = base(name)
    rows = {part: labelled("movies", part, count or 1) for part in ("train", "validation")}
    rows["test"] = labelled("movies", "test")
    examples = {part: prepare(model, some)[1] for part, some in rows.items()}
    model = prepare(model, rows["train"])[0]
    if count:
        pad = load_tokenizer().pad_token_id
        epochs = max(2, min(20, 4000 / count))
        finetune(
            model, examples["train"], examples["validation"], pad_token_id=pad, epochs=epochs, **HOW
        )
    if count == max(LABELS):
        write(folder / f"{kind}.safetensors", trained(model))
    right = accuracy(as_in_the_page(model).eval(), examples["test"])
    return {"route": kind, "labels": count, "accuracy": right}


@torch.no_grad()
def accuracy(model: nn.Module, examples: Examples) -> float:
    """Share of right answers; of written ones the likelier of the two words counts."""
    pad = load_tokenizer().pad_token_id
    order = sorted(range(len(examples)), key=lambda i: len(examples.ids[i]))
    batches = [
        make_batch(model, examples, order[i : i + 64], pad) for i in range(0, len(order), 64)
    ]
    if isinstance(examples.labels[0], int):
        return measure(model, batches, "test")["test_accuracy"]
    words = torch.tensor(load_tokenizer()(list(minis.WORDS), add_special_tokens=False)["input_ids"])
    right = 0
    for batch in batches:
        logits = model(**batch.inputs)[batch.predicted]  # one word a sentence
        answers = words[logits[:, words[:, 0]].argmax(-1), 0]
        right += int((answers == batch.labels[batch.predicted]).sum())
    return right / len(examples)


def trained(model: nn.Module) -> Tensors:
    """The weights that were trained: name → float tensor; the vocabulary head of BERT is not."""
    named = (
        (n.removeprefix("backbone."), p) for n, p in model.named_parameters() if p.requires_grad
    )
    return {name: p.detach().float() for name, p in named if not name.startswith("head.")}


def write(path: Path, tensors: Tensors) -> None:
    """Save matrices as integers and scales, everything else as it is."""
    content: Tensors = {}
    for name, tensor in tensors.items():
        content[name] = tensor.contiguous()
        if is_rounded(tensor):
            content[name], content[f"{name}.scale"] = quantize(tensor)
    save_file(content, path)


def read(path: Path) -> Tensors:
    """What `write` wrote, as floats."""
    content = load_file(path)
    scales = {name for name in content if name.endswith(".scale")}
    return {
        name: t * content[f"{name}.scale"][:, None] if f"{name}.scale" in scales else t
        for name, t in content.items()
        if name not in scales
    }


def current(folder: Path = FOLDER) -> dict[str, Any] | None:
    """The record, if the parts are there and stand on the minis that are shipped now."""
    path = folder / "record.json"
    found = json.loads(path.read_text("utf-8")) if path.is_file() else None
    return found if found and found["bases"] == bases() else None


def renamed(tensors: Tensors, prefix: str) -> Tensors:
    """Names as the page knows them: `blocks.3.` becomes `block.`, under a prefix."""
    return {f"{prefix}.{name.replace('blocks.3.', 'block.')}": t for name, t in tensors.items()}


def parts(folder: Path = FOLDER) -> dict[str, tuple[str, dict[str, Any], Tensors]]:
    """For the page: name → (kind, what it needs to know, weights). Empty when there are none."""
    found = current(folder)
    if found is None or len(found["routes"]) < 2 * len(LABELS) - 1:  # not yet complete
        return {}
    joint_weights: Tensors = {}
    for number, alpha in enumerate(ALPHAS):
        path = folder / f"slots-{alpha}.safetensors"
        joint_weights |= renamed(read(path), f"alphas.{number}")
    both = {
        k: t
        for kind in ROUTES
        for k, t in renamed(read(folder / f"{kind}.safetensors"), kind).items()
    }
    about = {
        "intents": list(INTENTS),
        "tags": list(TAGS),
        "alphas": list(ALPHAS),
        "scores": found["slots"],
    }
    words = load_tokenizer()(list(minis.WORDS), add_special_tokens=False)["input_ids"]
    return {
        "intent-slots": ("IntentSlots", about, joint_weights),
        "routes": ("Routes", {"words": [w[0] for w in words], "scores": found["routes"]}, both),
    }
