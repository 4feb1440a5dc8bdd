"""The numbers of a run, its learning rate step by step, AdamW with two groups, freezing."""

import math
from dataclasses import dataclass

import torch
from torch import nn

from course_utils.checks import require

SCHEDULES = ("constant", "linear", "cosine", "wsd")


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

    def __post_init__(self) -> None:
        """Refuse values that would only fail, or silently do nothing, much later."""
        for field, low in [("steps", 1), ("accumulation", 1), ("log_every", 1), ("patience", 0)]:
            self._require(getattr(self, field) >= low, field, f"at least {low}")
        for field in ("warmup_steps", "validate_every", "checkpoint_every", "weight_decay"):
            self._require(getattr(self, field) >= 0, field, "0 or more")
        for field in ("learning_rate", "embedding_rate"):
            self._require(getattr(self, field) > 0, field, "positive")
        self._require(self.warmup_steps <= self.steps, "warmup_steps", f"≤ steps ({self.steps})")
        self._require(0 <= self.final_fraction <= 1, "final_fraction", "from 0 to 1")
        self._require(0 < self.decay_fraction <= 1, "decay_fraction", "above 0, at most 1")
        self._require(self.clip_norm is None or self.clip_norm > 0, "clip_norm", "positive or None")
        self._require(self.schedule in SCHEDULES, "schedule", f"one of {SCHEDULES}")
        self._require(self.mixed_precision in ("no", "bf16"), "mixed_precision", '"no" or "bf16"')
        self._require(self.device in ("auto", "cpu"), "device", '"auto" or "cpu"')

    def _require(self, holds: bool, field: str, what: str) -> None:
        require(holds, f"TrainConfig.{field} is {getattr(self, field)!r}; it must be {what}")


def learning_rate_at(step: int, config: TrainConfig) -> float:
    """Learning rate of step 0, 1, … `config.steps` - 1: warm-up, then the named decay."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    start = config.warmup_steps
    if config.schedule == "wsd":
        start = max(start, config.steps - round(config.decay_fraction * config.steps))
    done = max(0, step - start) / max(1, config.steps - start)  # 0 … just below 1
    shapes = {"constant": 1.0, "cosine": 0.5 * (1 + math.cos(math.pi * done))}
    left = shapes.get(config.schedule, 1 - done)
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * left)


def parameter_groups(model: nn.Module, decay: float, embedding_rate: float = 1.0) -> list[dict]:
    """AdamW's groups: matrices and embeddings decay; norms and every bias do not.

    Embeddings are decayed, as BERT and GPT-2 do; T5's relative attention bias counts as a bias.
    The groups are asserted to be disjoint and to hold every trainable parameter; `factor` times
    the learning rate is a group's own.

    Raises:
        ValueError: nothing is trainable.
    """
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    require(trainable, "no parameter is trainable: every layer is frozen; freeze fewer layers")
    decayed = {name for name, p in trainable.items() if p.ndim >= 2 and "bias" not in name}
    kept = {name for name, p in trainable.items() if p.ndim < 2 or "bias" in name}
    assert not decayed & kept and decayed | kept == trainable.keys(), "groups overlap or leave some"
    embedding = {name for name in decayed if name.endswith("token_embedding.weight")}
    rest = decayed - embedding
    groups = [(rest, decay, 1.0), (embedding, decay, embedding_rate), (kept, 0.0, 1.0)]
    return [
        {"params": [trainable[n] for n in sorted(names)], "weight_decay": rate, "factor": factor}
        for names, rate, factor in groups
        if names
    ]


def make_optimizer(model: nn.Module, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov & Hutter 2019) over `parameter_groups`."""
    groups = parameter_groups(model, config.weight_decay, config.embedding_rate)
    return torch.optim.AdamW(groups, betas=config.betas, eps=config.eps, fused=True)


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
    backbone = getattr(model, "backbone", model)
    stacks = [m.blocks for m in backbone.modules() if hasattr(m, "blocks")]
    embeddings = [m for name, m in backbone.named_children() if "embedding" in name]
    parts = {
        f"bottom:{k}": embeddings + [block for blocks in stacks for block in blocks[:k]]
        for k in range(min(map(len, stacks)) + 1)
    }
    parts["embeddings"] = embeddings
    if backbone is not model or hasattr(model, "head"):
        head = None if backbone is not model else model.head
        parts["all_but_head"] = [m for m in backbone.children() if m is not head]
    asked = f"cannot freeze {what!r} of this {type(model).__name__}, only {', '.join(parts)}"
    tied = "where the output matrix is the token embedding"
    require(what in parts, f"{asked}; {tied}, put a head of models.heads on it first")
    for part in parts[what]:
        part.requires_grad_(False)
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
