"""What two live figures need beside the minis: another last block, and what answers from it.

Embeddings and lower blocks stay those of the shipped minis, which the page has anyway, so each part
has 0.2M weights. `course web train` makes them again in some minutes; scores are measured with the
weights as the page has them, rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_tools.experiments import intent_slots
from course_tools.experiments.small import labelled
from course_tools.web.quantize import as_in_the_page, is_rounded, quantize
from course_utils import minis
from course_utils.data.batches import by_length
from course_utils.data.cache import sha256_of
from course_utils.data.flights import INTENTS, TAGS, make_flights
from course_utils.data.sources import CHECKPOINTS, load_pretrained
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models.heads import JointIntentSlots
from course_utils.recipes import seeded
from course_utils.training.finetune import Examples, finetune, make_batch
from course_utils.writing import read_json, write_json

FOLDER = CHECKPOINTS / "page"
ALPHAS = (0.0, 0.1, 0.5, 0.9, 1.0)
ROUTES = {"classify": "bert-mini", "generate": "gpt-mini"}
EPOCHS = {0: 0, 100: 10, 1000: 3, 4000: 2}  # by labelled sentences to learn from
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
    names = ROUTES.values()
    return {name: sha256_of(CHECKPOINTS / name / "model.safetensors") for name in names}


def train(folder: Path = FOLDER, say: Callable[[str], object] = print) -> None:
    """Train the parts that are not there yet, and write them with `record.json` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = kept(folder)

    def keep(part: str, row: dict[str, Any], result: object) -> None:
        found[part].append(row)
        write_json(folder / "record.json", found)
        say(f"{part}: {result}")

    for alpha in ALPHAS:
        if alpha not in [row["alpha"] for row in found["slots"]]:
            row = slots(folder, alpha)
            keep("slots", row, f"alpha {alpha}, {row['all']}")
    for kind, count in missing(found):
        row = route(folder, kind, count)
        keep("routes", row, row)


def kept(folder: Path) -> dict[str, Any]:
    """The record of what stands on minis that have not changed since; the rest is made anew."""
    path = folder / "record.json"
    old = read_json(path) if path.is_file() else {"bases": {}}
    now = bases()
    same = [name for name in now if old["bases"].get(name) == now[name]]
    slots = old["slots"] if "bert-mini" in same else []
    routes = [row for row in old.get("routes", []) if ROUTES[row["route"]] in same]
    return {"bases": now, "slots": slots, "routes": routes}


def missing(found: dict[str, Any]) -> list[tuple[str, int]]:
    """Routes and numbers of labels that are still to be trained; no head answers without labels."""
    done = [("classify", 0), *((row["route"], row["labels"]) for row in found["routes"])]
    return [(kind, count) for kind in ROUTES for count in EPOCHS if (kind, count) not in done]


def slots(folder: Path, alpha: float) -> dict[str, Any]:
    """Flight booking, intent and slots: one α of the joint loss; scores on unseen sentences."""
    data = make_flights()
    parts = {part: intent_slots.encode_flights(data[part][:]) for part in data}
    model = joint()
    pad = load_tokenizer().pad_token_id
    more = {"pad_token_id": pad, "alpha": alpha, "epochs": 10}
    finetune(model, parts["train"], parts["validation"], **more, **HOW)
    save_rounded(folder / f"slots-{alpha}.safetensors", trained(model))
    rounded = as_in_the_page(model).eval()
    found = intent_slots.scores(rounded, parts["test"], data["test"]["novelty"])["test"]
    return {"alpha": alpha, **found}


def joint() -> JointIntentSlots:
    """The joint model before training."""
    backbone = base("bert-mini")
    return seeded(lambda: JointIntentSlots(backbone, len(INTENTS), len(TAGS), dropout=0.1), 0)


def prepare(kind: str, rows: Mapping[str, list]) -> tuple[nn.Module, Examples]:
    """BERT with a head that knows two labels, or GPT that goes on with a word; its examples."""
    model = base(ROUTES[kind])
    examples = minis.encode_sentences(model, rows)
    if kind == "classify":
        return minis.with_label_head(model, 2, 0), examples
    written = words()
    return model, Examples(examples.ids, [[written[label]] for label in rows["label"]])


def words() -> list[int]:
    """Ids of the words that GPT writes for the labels 0 and 1; each is one piece."""
    return [ids[0] for ids in load_tokenizer()(list(minis.WORDS))["input_ids"]]


def route(folder: Path, kind: str, count: int) -> dict[str, Any]:
    """Sentiment of film sentences by one route, learned from `count` labels; test accuracy."""
    model, examples = prepare(kind, labelled("movies", "train", max(count, 1)))
    unseen = prepare(kind, labelled("movies", "validation", 64))[1]
    test = prepare(kind, labelled("movies", "test"))[1]
    if count:
        pad = load_tokenizer().pad_token_id
        finetune(model, examples, unseen, pad_token_id=pad, epochs=EPOCHS[count], **HOW)
    if count == max(EPOCHS):
        save_rounded(folder / f"{kind}.safetensors", trained(model))
    right = accuracy(as_in_the_page(model).eval(), test)
    return {"route": kind, "labels": count, "accuracy": right}


@torch.no_grad()
def accuracy(model: nn.Module, test: Examples) -> float:
    """Share of right answers; of GPT the likelier of its two words counts as the answer."""
    right, pad, written = 0, load_tokenizer().pad_token_id, words()
    for rows in by_length(test.ids, 64):
        batch = make_batch(model, test, rows, pad)
        if batch.labels.dim() == 1:
            right += int((model(**batch.inputs).argmax(-1) == batch.labels).sum())
        else:  # logits only where the word is written
            logits = model(**batch.inputs, select=batch.predicted)[:, written]
            wanted = batch.labels[batch.predicted] == written[1]
            right += int((logits.argmax(-1) == wanted).sum())
    return right / len(test)


def trained(model: nn.Module) -> Tensors:
    """The weights that were trained: name → float tensor; the vocabulary head of BERT is not."""
    named = (
        (n.removeprefix("backbone."), p) for n, p in model.named_parameters() if p.requires_grad
    )
    return {name: p.detach().float() for name, p in named if not name.startswith("head.")}


def save_rounded(path: Path, tensors: Tensors) -> None:
    """Save matrices as integers and scales, everything else as it is."""
    content: Tensors = {}
    for name, tensor in tensors.items():
        content[name] = tensor.contiguous()
        if is_rounded(name, tensor):
            content[name], content[f"{name}.scale"] = quantize(tensor)
    save_file(content, path)


def load_rounded(path: Path) -> Tensors:
    """What `save_rounded` wrote, as floats."""
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
    found = read_json(path) if path.is_file() else None
    return found if found and found["bases"] == bases() else None


def renamed(tensors: Tensors, prefix: str) -> Tensors:
    """Names as the page knows them: `blocks.3.` becomes `block.`, under a prefix."""
    return {f"{prefix}.{name.replace('blocks.3.', 'block.')}": t for name, t in tensors.items()}


def parts(folder: Path = FOLDER) -> dict[str, tuple[str, dict[str, Any], Tensors]]:
    """For the page: name → (kind, what it needs to know, weights). Empty when there are none."""
    found = current(folder)
    if found is None or len(found["slots"]) < len(ALPHAS) or missing(found):
        return {}
    joint_weights: Tensors = {}
    for number, alpha in enumerate(ALPHAS):
        joint_weights |= renamed(
            load_rounded(folder / f"slots-{alpha}.safetensors"), f"alphas.{number}"
        )
    about = {
        "intents": list(INTENTS),
        "tags": list(TAGS),
        "alphas": list(ALPHAS),
        "scores": sorted(found["slots"], key=lambda row: row["alpha"]),
    }
    both: Tensors = {}
    for kind in ROUTES:
        both |= renamed(load_rounded(folder / f"{kind}.safetensors"), kind)
    ways = {"words": words(), "scores": found["routes"]}
    return {
        "intent-slots": ("IntentSlots", about, joint_weights),
        "routes": ("Routes", ways, both),
    }
