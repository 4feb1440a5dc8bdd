"""Fine-tuning on the same loop: a text to a label, to tags, to both, or to another text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.data.batches import Buckets, pad, pad_inputs
from course_utils.data.examples import Examples, encode
from course_utils.models import T5, Gpt
from course_utils.models.heads import Outputs
from course_utils.objectives.batch import IGNORE_INDEX, Batch, token_loss
from course_utils.training.loop import TrainResult, total_counts, train, weighted
from course_utils.training.optim import TrainConfig, freeze

__all__ = ["Examples", "TaskBatch", "encode", "finetune", "make_batch", "measure", "task_loss"]


@dataclass(frozen=True)
class TaskBatch(Batch):
    """A batch that may also carry one intent a row, (batch,)."""

    intents: Tensor | None = None


def make_batch(
    model: nn.Module, examples: Examples, rows: Sequence[int], pad_token_id: int
) -> TaskBatch:
    """The examples numbered `rows` as `model` wants them: padded on the right, -100 at padding.

    Raises:
        ValueError: as many tags as tokens are needed, or an empty text.
    """
    ids = [list(examples.ids[row]) for row in rows]
    labels = [examples.labels[row] for row in rows]
    if isinstance(model, Gpt):  # prompt and answer in one row; only the answer is predicted
        hidden = [[IGNORE_INDEX] * (len(prompt) - 1) for prompt in ids]
        ids = [prompt + list(answer)[:-1] for prompt, answer in zip(ids, labels, strict=True)]
        labels = [gap + list(answer) for gap, answer in zip(hidden, labels, strict=True)]
    inputs = pad_inputs(ids, pad_token_id)
    if isinstance(model, T5):
        start = model.config.decoder_start_token_id
        inputs["decoder_input_ids"] = pad([[start, *a[:-1]] for a in labels], pad_token_id)
    elif not isinstance(labels[0], int) and [*map(len, ids)] != [*map(len, labels)]:
        raise ValueError("there must be one tag for every token, -100 where there is none")
    target = torch.tensor(labels) if isinstance(labels[0], int) else pad(labels, IGNORE_INDEX)
    if examples.intents is None:
        return TaskBatch(inputs, target)
    return TaskBatch(inputs, target, intents=torch.tensor([examples.intents[row] for row in rows]))


def batches(
    model: nn.Module, examples: Examples, pad_token_id: int, size: int, first: int | None = None
) -> list[TaskBatch]:
    """All examples, or the `first` so many, in their order, `size` to a batch."""
    rows = range(len(examples))[:first]
    parts = (rows[start : start + size] for start in range(0, len(rows), size))
    return [make_batch(model, examples, part, pad_token_id) for part in parts]


def task_loss(outputs: Outputs, batch: TaskBatch, alpha: float = 0.5) -> Tensor | dict[str, Tensor]:
    r"""Equation 9.4, in nats per label: how surprised the fine-tuned model is by the right label.

    .. math:: L_{fine-tune} = -\frac{1}{N}\sum_{i=1}^{N} \log P(y_i \mid x_i; \theta),
              \quad \theta \text{ starting from } \theta_{pre-trained}

    The mean over labels in place of the sum, so that learning rates do not depend on N. Outputs of
    a JointIntentSlots give α·L_intent + (1−α)·L_slot (Chen et al. 2019), each over its own count.
    Source: Devlin et al. 2019, §4.1; Radford et al. 2018, eq. 4.
    """
    if not isinstance(outputs, tuple):
        return token_loss(outputs, batch)
    intent, slots = outputs
    return {
        "row": alpha * F.cross_entropy(intent, batch.intents),
        "token": (1 - alpha) * token_loss(slots, batch),
    }


def num_right(outputs: Outputs, batch: TaskBatch, model: nn.Module) -> tuple[int, int]:
    """Right answers and answers: labels, tags or intents; of T5 and Gpt, whole answers.

    An answer that is right token by token when read along is what greedy decoding would write.
    """
    if isinstance(outputs, tuple):
        return int((outputs[0].argmax(-1) == batch.intents).sum()), len(batch.intents)
    right = (outputs.argmax(-1) == batch.labels) | ~batch.predicted
    if isinstance(model, T5 | Gpt):
        return int(right.all(-1).sum()), len(right)
    return int((right & batch.predicted).sum()), batch.num_predicted


@torch.no_grad()
def measure(
    model: nn.Module, batches: Sequence[TaskBatch], prefix: str, alpha: float = 0.5
) -> dict[str, float]:
    """Loss (nats per label) and accuracy over all batches together, as "<prefix>_loss" and so on.

    Each batch counts by what it predicts. The model must be in evaluation mode.
    """
    device = next(model.parameters()).device
    sums, whole, right, asked = 0.0, total_counts(batches), 0, 0
    for batch in (batch.to(device) for batch in batches):
        outputs = model(**batch.inputs)
        sums += float(weighted(task_loss(outputs, batch, alpha), batch, whole))
        good, answers = num_right(outputs, batch, model)
        right, asked = right + good, asked + answers
    return {f"{prefix}_loss": sums, f"{prefix}_accuracy": right / asked}


def finetune(
    model: nn.Module,
    train_examples: Examples,
    validation: Examples,
    *,
    pad_token_id: int,
    epochs: float = 3,
    batch_size: int = 32,
    evaluations: int = 10,
    frozen: str | None = None,
    alpha: float = 0.5,
    out: str | Path | None = None,
    progress: bool = True,
    **settings: Any,
) -> TrainResult:
    """Train a pre-trained (or random) model on a task, and watch it on examples it never sees.

    Args:
        model: a head of `models.heads`, or a T5 or Gpt that answers in text.
        train_examples: what to learn from, see `Examples`.
        validation: what to measure on; never trained on.
        pad_token_id: what to fill rows with; attention never sees it.
        epochs: passes over the training examples.
        batch_size: examples a step, of like length (see `Buckets`).
        evaluations: how often in the run to measure, evenly spaced, the last at the end. Training
            curves are measured the same way, on the first 512 training examples.
        frozen: what stays as it was pre-trained: see `optim.freeze`.
        alpha: weight of the intent beside the slots (JointIntentSlots).
        out: folder for log and checkpoints, see `train`.
        progress: show a bar.
        settings: any field of `TrainConfig`; the default is BERT's recipe (Devlin et al. 2019,
            app. A.3): 5e-5, falling linearly after 10% warm-up.

    Returns:
        A history with the curves "loss", "train_loss", "train_accuracy", "validation_loss" and
        "validation_accuracy".
    """
    if frozen:
        freeze(model, frozen)
    buckets = Buckets([len(ids) for ids in train_examples.ids], batch_size, settings.get("seed", 0))
    steps = max(1, round(epochs * len(buckets)))
    recipe = {"learning_rate": 5e-5, "warmup_steps": steps // 10, "steps": steps}
    recipe |= {"validate_every": max(1, steps // evaluations)}
    seen = batches(model, train_examples, pad_token_id, batch_size, first=512)
    unseen = batches(model, validation, pad_token_id, batch_size)

    def batch_at(step: int) -> TaskBatch:
        return make_batch(model, train_examples, buckets.at(step), pad_token_id)

    def loss(module: nn.Module, batch: TaskBatch) -> Tensor | dict[str, Tensor]:
        return task_loss(module(**batch.inputs), batch, alpha)

    def validate(module: nn.Module) -> dict[str, float]:
        return measure(module, seen, "train", alpha) | measure(module, unseen, "validation", alpha)

    config = TrainConfig(**recipe | settings)
    return train(model, batch_at, loss, config, validate=validate, out=out, progress=progress)
