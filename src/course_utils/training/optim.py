"""The numbers of a run, its learning rate step by step, its optimizers, freezing."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from course_utils.checks import require
from course_utils.training.muon import Muon

CHOICES = {
    "schedule": ("constant", "linear", "cosine", "wsd"),
    "optimizer": ("adamw", "muon"),
    "mixed_precision": ("no", "bf16"),
    "device": ("auto", "cpu"),
}


@dataclass(frozen=True)
class TrainConfig:
    """Every number of a training run. A run is a pure function of this, the model and the batches.

    Attributes:
        steps: optimizer steps in the whole run (the schedule is drawn over them).
        learning_rate: the highest rate, reached after `warmup_steps` steps of linear rise.
        embedding_rate: times that rate for the token embedding. T5's starts at N(0, 1), ten times
            as large as its other weights, and Adafactor, with which T5 was trained, moves a weight
            in proportion to its size (Shazeer & Stern 2018, section 8); AdamW moves all alike.
        schedule: "constant", "linear" (BERT), "cosine" (GPT-3) or "wsd": stable, then a linear
            decay over the last `decay_fraction` of the steps (Hu et al. 2024, MiniCPM, section 4).
        final_fraction: where the decay ends, as a fraction of `learning_rate`.
        clip_norm: global gradient norm above which gradients are scaled down; None: never.
        accumulation: micro-batches that one batch is cut into; the result does not depend on it.
        mixed_precision: "no" (fp32) or "bf16": autocast where the machine multiplies it fast
            (`speed.has_bf16`); the weights stay fp32.
        device: "auto" (CUDA, else MPS, else CPU) or "cpu".
        patience: stop after so many validations without a new best loss and take the best weights
            back; 0: never.
        validate_every, checkpoint_every, log_every: in steps; 0 for the first two: only at the end.
        optimizer: "adamw" (Loshchilov & Hutter 2019) for all weights, or "muon" (Jordan et al.
            2024) for the matrices of the blocks and AdamW for the rest: see `make_optimizers`.
    """

    steps: int
    learning_rate: float = 1e-3
    embedding_rate: float = 1.0
    schedule: str = "linear"
    warmup_steps: int = 0
    final_fraction: float = 0.0
    decay_fraction: float = 0.2
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip_norm: float | None = 1.0
    accumulation: int = 1
    mixed_precision: str = "no"
    device: str = "auto"
    compile: bool = False
    seed: int = 0
    patience: int = 0
    validate_every: int = 0
    checkpoint_every: int = 0
    log_every: int = 1
    optimizer: str = "adamw"

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, much later."""
        for field, low in [("steps", 1), ("accumulation", 1), ("log_every", 1), ("patience", 0)]:
            self._require(field, getattr(self, field) >= low, f"at least {low}")
        for field in ("warmup_steps", "validate_every", "checkpoint_every", "weight_decay"):
            self._require(field, getattr(self, field) >= 0, "0 or more")
        for field in ("learning_rate", "embedding_rate"):
            self._require(field, getattr(self, field) > 0, "positive")
        for field, names in CHOICES.items():
            self._require(field, getattr(self, field) in names, f"one of {names}")
        self._require("warmup_steps", self.warmup_steps <= self.steps, f"≤ steps ({self.steps})")
        self._require("final_fraction", 0 <= self.final_fraction <= 1, "from 0 to 1")
        self._require("decay_fraction", 0 < self.decay_fraction <= 1, "above 0, at most 1")
        self._require("clip_norm", self.clip_norm is None or self.clip_norm > 0, "positive or None")

    def _require(self, field: str, holds: bool, what: str) -> None:
        require(holds, f"TrainConfig.{field} is {getattr(self, field)!r}; it must be {what}")


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of step 0, 1, … `config.steps` - 1: warm-up, then the named decay."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    start = config.warmup_steps
    if config.schedule == "wsd":
        start = max(start, config.steps - round(config.decay_fraction * config.steps))
    done = max(0, step - start) / max(1, config.steps - start)  # 0 … just below 1
    left = 1 - done  # "linear", and the end of "wsd"
    if config.schedule == "constant":
        left = 1.0
    elif config.schedule == "cosine":
        left = 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * left)


def set_learning_rate(
    optimizers: Iterable[torch.optim.Optimizer], step: int, config: TrainConfig
) -> float:
    """Give every group its rate of this step, and return the rate itself."""
    rate = learning_rate_at(step, config)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
    return rate


def kind_of(name: str, parameter: nn.Parameter) -> str:
    """The kind of a weight, on which its decay, its rate and its optimizer depend."""
    if parameter.ndim < 2 or "bias" in name:  # T5's relative attention bias counts as a bias
        return "norm or bias"
    if name.endswith("token_embedding.weight"):
        return "token embedding"
    if "blocks." in name:
        return "matrix of a block"
    return "other matrix"  # positions, segments, heads


Groups = list[dict]


def parameter_groups(
    model: nn.Module, decay: float, embedding_rate: float = 1.0, optimizer: str = "adamw"
) -> dict[str, Groups]:
    """The groups of each optimizer: matrices and embeddings decay; norms and every bias do not.

    Embeddings are decayed, as BERT and GPT-2 do. `factor` times the learning rate is a group's own.
    The groups are asserted to be disjoint and to hold every trainable parameter.

    Raises:
        ValueError: nothing is trainable.
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    require(trainable, "no parameter is trainable: every layer is frozen; freeze fewer layers")
    blocks = {"matrix of a block"} if optimizer == "muon" else set()
    matrices = {"matrix of a block", "other matrix"} - blocks
    muon = [_group(trainable, blocks, decay)]
    adamw = [
        _group(trainable, matrices, decay),
        _group(trainable, {"token embedding"}, decay, embedding_rate),
        _group(trainable, {"norm or bias"}, 0.0),
    ]
    grouped = [id(parameter) for group in muon + adamw for parameter in group["params"]]
    assert sorted(grouped) == sorted(map(id, trainable.values())), "groups overlap or leave some"
    return {"muon": _filled(muon), "adamw": _filled(adamw)}


def _group(
    trainable: dict[str, nn.Parameter], kinds: set[str], decay: float, factor: float = 1.0
) -> dict:
    """The group of all parameters of these kinds, in the order of their names."""
    names = sorted(name for name, p in trainable.items() if kind_of(name, p) in kinds)
    params = [trainable[name] for name in names]
    return {"params": params, "weight_decay": decay, "factor": factor}


def _filled(groups: Groups) -> Groups:
    return [group for group in groups if group["params"]]


def make_optimizers(model: nn.Module, config: TrainConfig) -> dict[str, torch.optim.Optimizer]:
    """The optimizers of a run, which together hold every trainable parameter once.

    AdamW for everything; or `Muon` for the matrices of the blocks, and AdamW for embeddings, norms,
    biases and heads. Queries, keys and values are one matrix here; Jordan's own code orthogonalises
    them apart.

    Raises:
        ValueError: nothing is trainable.
    """
    groups = parameter_groups(model, config.weight_decay, config.embedding_rate, config.optimizer)
    optimizers: dict[str, torch.optim.Optimizer] = {}
    if groups["adamw"]:
        more = {"betas": config.betas, "eps": config.eps, "fused": True}
        optimizers["adamw"] = torch.optim.AdamW(groups["adamw"], **more)
    if groups["muon"]:
        optimizers["muon"] = Muon(groups["muon"])
    return optimizers


def freeze(model: nn.Module, what: str) -> int:
    """Stop training a part of a model; call it before `train`. Returns the weights still trained.

    Args:
        model: a Bert, Gpt or T5, or a head of `models.heads` over one.
        what: "embeddings"; "bottom:k": embeddings and the lowest k blocks (of T5: of either
            stack); "all_but_head": the whole backbone, or all of Bert but its vocabulary head.
            A tied output matrix *is* the token embedding and freezes with it.

    Raises:
        ValueError: an unknown name, more blocks than there are, or a model without its own head.
    """
    parts = freezable(model)
    refused = f"cannot freeze {what!r} of this {type(model).__name__}, only {', '.join(parts)}"
    tied = "where the output matrix is the token embedding"
    require(what in parts, f"{refused}; {tied}, put a head of models.heads on it first")
    for part in parts[what]:
        part.requires_grad_(False)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def freezable(model: nn.Module) -> dict[str, list[nn.Module]]:
    """The parts of a model that `freeze` knows, by name."""
    backbone = getattr(model, "backbone", model)
    stacks = [m.blocks for m in backbone.modules() if hasattr(m, "blocks")]
    embeddings = [m for name, m in backbone.named_children() if "embedding" in name]
    parts = {}
    for k in range(min(map(len, stacks)) + 1):
        parts[f"bottom:{k}"] = embeddings + [block for blocks in stacks for block in blocks[:k]]
    parts["embeddings"] = embeddings
    if backbone is not model:
        parts["all_but_head"] = list(backbone.children())
    elif hasattr(model, "head"):
        parts["all_but_head"] = [m for m in model.children() if m is not model.head]
    return parts
