"""What one live figure needs beside bert-mini: another last block, and what answers from it.

Embeddings and lower blocks stay those of the shipped mini, which the page has anyway, so each part
has 0.2M weights. `course web train` makes them again in some minutes; scores are measured with the
weights as the page has them, rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from course_tools.experiments import intent_slots
from course_tools.web.quantize import as_in_the_page, is_rounded, quantize
from course_utils.data.cache import sha256_of
from course_utils.data.flights import INTENTS, TAGS, make_flights
from course_utils.data.sources import CHECKPOINTS, load_pretrained
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models.heads import JointIntentSlots
from course_utils.recipes import seeded
from course_utils.training.finetune import finetune
from course_utils.writing import read_json, write_json

FOLDER = CHECKPOINTS / "page"
ALPHAS = (0.0, 0.1, 0.5, 0.9, 1.0)
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
    """SHA-256 of the mini that the parts stand on."""
    return {"bert-mini": sha256_of(CHECKPOINTS / "bert-mini/model.safetensors")}


def train(folder: Path = FOLDER, say: Callable[[str], object] = print) -> None:
    """Train the parts that are not there yet, and write them with `record.json` to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    found = kept(folder)
    for alpha in missing(found):
        row = slots(folder, alpha)
        found["slots"].append(row)
        write_json(folder / "record.json", found)
        say(f"alpha {alpha}, {row['all']}")


def kept(folder: Path) -> dict[str, Any]:
    """The record, if it stands on the mini that is shipped now, else an empty one."""
    return current(folder) or {"bases": bases(), "slots": []}


def missing(found: dict[str, Any]) -> list[float]:
    """Weights of the intent's loss that are still to be trained."""
    return [alpha for alpha in ALPHAS if alpha not in [row["alpha"] for row in found["slots"]]]


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
    if found is None or missing(found):
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
    return {"intent-slots": ("IntentSlots", about, joint_weights)}
