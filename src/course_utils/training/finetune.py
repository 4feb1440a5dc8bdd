"""Fine-tuning with the same loop: a text to a label, to tags, to both, or to another text."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from course_utils.checks import require
from course_utils.data.batches import Buckets, pad, pad_inputs
from course_utils.data.examples import Examples, encode
from course_utils.models import T5, Gpt
from course_utils.models.heads import Outputs
from course_utils.objectives.batch import IGNORE_INDEX, Batch
from course_utils.training.loop import TrainResult, total_counts, train, weighted
from course_utils.training.optim import TrainConfig, freeze

__all__ = ["Examples", "encode", "finetune", "loss_and_accuracy", "make_batch", "task_loss"]


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
    texts = [list(examples.ids[row]) for row in rows]
    labels = [examples.labels[row] for row in rows]
    if isinstance(model, T5):
        inputs, target = for_encoder_decoder(texts, labels, pad_token_id, model)
    elif isinstance(model, Gpt):
        inputs, target = for_decoder(texts, labels, pad_token_id)
    else:
        inputs, target = for_encoder(texts, labels, pad_token_id)
    if examples.intents is None:
        return TaskBatch(inputs, target)
    return TaskBatch(inputs, target, intents=torch.tensor([examples.intents[row] for row in rows]))


Ids = list[int]
InputsAndLabels = tuple[dict[str, Tensor], Tensor]


def for_encoder_decoder(
    texts: list[Ids], answers: list[Ids], pad_id: int, model: T5
) -> InputsAndLabels:
    """The encoder reads the text; the decoder reads the answer, one step behind its labels."""
    start = model.config.decoder_start_token_id
    inputs = pad_inputs(texts, pad_id)
    inputs["decoder_input_ids"] = pad([[start, *answer[:-1]] for answer in answers], pad_id)
    return inputs, pad(answers, IGNORE_INDEX)


def for_decoder(texts: list[Ids], answers: list[Ids], pad_id: int) -> InputsAndLabels:
    """Text and answer in one row, for a decoder; only the answer is predicted."""
    pairs = list(zip(texts, answers, strict=True))
    rows = [[*text, *answer[:-1]] for text, answer in pairs]
    labels = [[IGNORE_INDEX] * (len(text) - 1) + [*answer] for text, answer in pairs]
    return pad_inputs(rows, pad_id), pad(labels, IGNORE_INDEX)


def for_encoder(texts: list[Ids], labels: list[int] | list[Ids], pad_id: int) -> InputsAndLabels:
    """Texts with one label each, or with one tag for every token."""
    inputs = pad_inputs(texts, pad_id)
    if isinstance(labels[0], int):
        return inputs, torch.tensor(labels)
    if [*map(len, texts)] != [*map(len, labels)]:
        raise ValueError("there must be one tag for every token, -100 where there is none")
    return inputs, pad(labels, IGNORE_INDEX)


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
    if isinstance(outputs, tuple):
        return joint_task_loss(outputs, batch, alpha)
    labels = batch.labels_for(outputs)
    return F.cross_entropy(outputs.flatten(0, -2), labels.flatten(), ignore_index=IGNORE_INDEX)


def joint_task_loss(
    outputs: tuple[Tensor, Tensor], batch: TaskBatch, alpha: float
) -> dict[str, Tensor]:
    """Both terms of a JointIntentSlots, as `task_loss` says."""
    intents, slots = outputs
    tags = batch.labels_for(slots).flatten()  # −100 where no tag is scored
    slot_loss = F.cross_entropy(slots.flatten(0, -2), tags, ignore_index=IGNORE_INDEX)
    intent_loss = F.cross_entropy(intents, batch.intents)
    return {"row": alpha * intent_loss, "token": (1 - alpha) * slot_loss}


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
def loss_and_accuracy(
    model: nn.Module, batches: Sequence[TaskBatch], prefix: str, alpha: float = 0.5
) -> dict[str, float]:
    """Loss (nats per label) and accuracy over all batches together, as "<prefix>_loss" and so on.

    Each batch counts by what it predicts. The model must be in evaluation mode.
    """
    device = next(model.parameters()).device
    whole = total_counts(batches)
    loss = 0.0
    right = 0
    answers = 0
    for batch in batches:
        batch = batch.to(device)
        outputs = model(**batch.inputs)
        loss += float(weighted(task_loss(outputs, batch, alpha), batch, whole))
        right_here, answers_here = num_right(outputs, batch, model)
        right += right_here
        answers += answers_here
    return {f"{prefix}_loss": loss, f"{prefix}_accuracy": right / answers}


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
        validation: what to judge by; never trained on.
        pad_token_id: what to fill rows with; no attention reads it.
        epochs: passes over the training examples.
        batch_size: examples a step, of like length (see `Buckets`).
        evaluations: how often in the run to judge, evenly spaced, the last at the end. Training
            curves come about in the same way, from the first 512 training examples.
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
    config = bert_recipe(len(train_examples), batch_size, epochs, evaluations, settings)
    run = FineTuning(model, train_examples, validation, pad_token_id, batch_size, alpha)
    return run.train(config, out, progress)


def bert_recipe(
    num_examples: int, batch_size: int, epochs: float, evaluations: int, settings: dict[str, Any]
) -> TrainConfig:
    """The default numbers of a fine-tuning run, and instead of them what `settings` says."""
    what = f"{num_examples} examples in batches of {batch_size}"
    require(num_examples >= 1 and batch_size >= 1, f"{what}: both must be at least 1")
    steps = max(1, round(epochs * math.ceil(num_examples / batch_size)))
    defaults = {
        "steps": steps,
        "learning_rate": 5e-5,
        "warmup_steps": steps // 10,
        "validate_every": max(1, steps // evaluations),
    }
    return TrainConfig(**{**defaults, **settings})


@dataclass(frozen=True)
class FineTuning:
    """A model, the examples it learns from, and those it is judged by."""

    model: nn.Module
    train_examples: Examples
    validation: Examples
    pad_token_id: int
    batch_size: int
    alpha: float

    def train(self, config: TrainConfig, out: str | Path | None, progress: bool) -> TrainResult:
        """Train the model; see `finetune`."""
        lengths = [len(ids) for ids in self.train_examples.ids]
        buckets = Buckets(lengths, self.batch_size, config.seed)

        def batch_at(step: int) -> TaskBatch:
            return make_batch(self.model, self.train_examples, buckets.at(step), self.pad_token_id)

        validate = self.validator()
        return train(
            self.model, batch_at, self.loss, config, validate=validate, out=out, progress=progress
        )

    def loss(self, model: nn.Module, batch: TaskBatch) -> Tensor | dict[str, Tensor]:
        """Equation 9.4 of a batch."""
        return task_loss(model(**batch.inputs), batch, self.alpha)

    def validator(self) -> Callable[[nn.Module], dict[str, float]]:
        """Loss and accuracy on the first 512 training examples, and on all of validation."""
        size = self.batch_size
        seen = batches(self.model, self.train_examples, self.pad_token_id, size, first=512)
        unseen = batches(self.model, self.validation, self.pad_token_id, size)

        def validate(model: nn.Module) -> dict[str, float]:
            trained = loss_and_accuracy(model, seen, "train", self.alpha)
            return trained | loss_and_accuracy(model, unseen, "validation", self.alpha)

        return validate
