"""One training loop for every model and objective, on any device, exactly resumable.

`_Run.step` is the middle of the loop: forward, loss, backward, clip, step. What stands around it
resumes a run, counts, validates, logs and saves.

A run is a pure function of the model's start, `TrainConfig` and `batch_at`: the batch of a step,
its dropout and its learning rate depend on (seed, step) alone. Resuming needs no generator state.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.checks import check_predictions, require
from course_utils.data.batches import derive_seed
from course_utils.models.fast import chunked_cross_entropy
from course_utils.objectives import causal_lm, masked_lm, span_corruption
from course_utils.objectives.batch import Batch
from course_utils.speed import has_bf16, matmul_peak
from course_utils.training import checkpoint
from course_utils.training.flops import step_counts
from course_utils.training.optim import TrainConfig, make_optimizers, set_learning_rate

# The loss of a batch: its mean over the predicted tokens, in nats. A loss of two terms is a dict,
# {"token": mean over predicted tokens, "row": mean over rows}; their sum is what is minimised.
Loss = Tensor | dict[str, Tensor]
LossFunction = Callable[[nn.Module, Batch], Loss]


class NonFiniteLoss(FloatingPointError):
    """Loss or gradient became NaN or infinite; `.step` says when, `.path` holds the batch."""

    def __init__(self, step: int, what: str, path: Path) -> None:
        remedy = "Look at it, then try a lower learning rate, more warm-up steps or clip_norm=1.0"
        super().__init__(f"{what} at step {step}; the batch is saved in {path}. {remedy}")
        self.step = step
        self.path = path


@dataclass
class TrainResult:
    """What a run leaves. `history`: one dict a logged step, the same as the lines of log.jsonl.

    Keys: step, tokens, predicted, flops (all so far), loss (nats, mean since the last record),
    learning_rate, grad_norm, tokens_per_second, mfu (share of the measured matmul peak), and what
    `validate` returned.
    """

    history: list[dict] = field(default_factory=list)
    step: int = 0
    tokens: int = 0  # read, and by T5 written
    predicted: int = 0
    flops: float = 0.0
    seconds: float = 0.0  # of training steps alone, without validation and writing
    since: list[dict] = field(default_factory=list)  # steps since the last record
    best_loss: float | None = None
    best_step: int = 0
    without_best: int = 0  # validations since the best one
    finished: bool = False

    def curve(self, key: str) -> tuple[list[int], list[float]]:
        """Steps and values of one key of the history, ready to plot."""
        rows = [record for record in self.history if key in record]
        return [record["step"] for record in rows], [record[key] for record in rows]

    def count(self, now: dict[str, float]) -> None:
        """Add what a step did to all that is counted."""
        self.step += 1
        self.since.append(now)
        for key in ("tokens", "predicted", "flops", "seconds"):
            setattr(self, key, getattr(self, key) + now[key])

    def new_record(self, peak: float) -> dict[str, float]:
        """The steps since the last record as one; `peak`: FLOPs per second of the machines."""

        def total(key: str) -> float:
            return sum(now[key] for now in self.since)

        return {
            "step": self.step,
            "tokens": self.tokens,
            "predicted": self.predicted,
            "flops": self.flops,
            "loss": total("loss") / len(self.since),
            "learning_rate": self.since[-1]["learning_rate"],
            "grad_norm": self.since[-1]["grad_norm"],
            "tokens_per_second": total("tokens") / total("seconds"),
            "mfu": total("flops") / total("seconds") / peak,
        }


# Their loss is the cross-entropy at the predicted positions, which `fast_loss` computes faster.
CROSS_ENTROPIES = (masked_lm.loss, causal_lm.loss, span_corruption.loss)


def objective_loss(objective: Any) -> LossFunction:
    """Loss function for `train` of a module of `objectives`, or of a row of its table."""

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        logits = model(**batch.inputs, select=batch.predicted)  # (num_predicted, vocab)
        return objective.loss(logits, batch)

    return fast_loss if objective.loss in CROSS_ENTROPIES else loss


def fast_loss(model: nn.Module, batch: Batch) -> Tensor:
    """The loss of the three objectives, without ever holding all logits: the same in less time."""
    return vocabulary_loss(model, model.hidden_states(**batch.inputs), batch)


def vocabulary_loss(model: nn.Module, hidden: Tensor, batch: Batch) -> Tensor:
    """Mean cross-entropy at the predicted positions of hidden states (B, T, d), in nats.

    Raises what `check_predictions` does.
    """
    logits_shape = (*hidden.shape[:-1], model.config.vocab_size)
    check_predictions(logits_shape, batch.labels, batch.num_predicted, batch.highest_label)
    vector, matrix, bias = model.vocabulary_projection(hidden[batch.predicted])
    return chunked_cross_entropy(vector, matrix, bias, batch.labels[batch.predicted])


def validator(batches: Sequence[Batch], loss_fn: LossFunction) -> Callable[[nn.Module], dict]:
    """Make a `validate` for `train`: the loss over fixed batches, {"validation_loss": nats}.

    Summed loss over the number of predicted tokens, not the mean of batch means; batches are made
    once, so that masks are the same at every call.
    """

    def validate(model: nn.Module) -> dict[str, float]:
        device = next(model.parameters()).device
        whole = total_counts(batches)
        total = 0.0
        for batch in batches:
            batch = batch.to(device)
            total += float(weighted(loss_fn(model, batch), batch, whole))
        return {"validation_loss": total}

    return validate


def train(
    model: nn.Module,
    batch_at: Callable[[int], Batch],
    loss_fn: LossFunction,
    config: TrainConfig,
    *,
    validate: Callable[[nn.Module], dict[str, float]] | None = None,
    out: str | Path | None = None,
    progress: bool = True,
) -> TrainResult:
    """Train `model` in place for `config.steps` steps; leaves it in evaluation mode.

    Args:
        model: any module that `loss_fn` knows how to call.
        batch_at: step 0, 1, … → the whole batch of that step, always the same one. It is cut by
            rows into processes × `config.accumulation` parts; the result does not depend on how.
        loss_fn: see `LossFunction`; `objective_loss(objectives.masked_lm)` makes one.
        config: all numbers.
        validate: model → {"validation_loss": …, …}, called without gradients.
        out: folder for log.jsonl and checkpoints. If it holds a checkpoint, the run goes on from
            there, and ends as if it had never stopped (on CPU with as many threads: bit by bit).
        progress: show a bar with loss, tokens/s and MFU.

    Under `torchrun --nproc_per_node=K` the same call trains on K processes.

    Raises:
        ValueError: a batch with nothing to predict or fewer rows than parts, or a checkpoint of
            another configuration or model.
        NonFiniteLoss: names the step and the file with its batch.
    """
    return _Run(model, loss_fn, config, out, progress).train(batch_at, validate)


class _LossModule(nn.Module):
    """Model and loss in one module, so that DDP and autocast see everything the loss uses."""

    def __init__(self, model: nn.Module, loss_fn: LossFunction) -> None:
        super().__init__()
        self.model = model
        self.loss_fn = loss_fn

    def forward(self, part: Batch, whole: dict[str, int]) -> Tensor:
        """The share that `part` has in the loss of the whole batch."""
        if not part.num_predicted:  # masked by independent draws: nothing here, but DDP waits
            return sum(p.sum() for p in self.parameters() if p.requires_grad) * 0.0
        return weighted(self.loss_fn(self.model, part), part, whole)


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        config: TrainConfig,
        out: str | Path | None,
        progress: bool,
    ) -> None:
        self.model = model
        self.config = config
        self.out = Path(out) if out else None
        self.accelerator = _accelerator(config)
        self.loss = self.accelerator.prepare(_LossModule(model, loss_fn))
        self.optimizers = make_optimizers(model, config)
        self.result = TrainResult()
        self.best: dict[str, Tensor] = {}  # the best weights so far, where `patience` wants them
        self.main = self.accelerator.is_main_process
        self.bar = tqdm(total=config.steps, disable=not (progress and self.main), unit="step")

    def train(self, batch_at: Callable[[int], Batch], validate: Callable | None) -> TrainResult:
        """Resume if there is something to resume, run to the end, leave the model ready to use."""
        self.resume()
        self.model.train()
        with (
            self.bar,
            _own_random_state(self.accelerator.device),
            _compiled(self.model, self.config),
        ):
            while not self.result.finished:
                start = time.perf_counter()
                batch = batch_at(self.result.step)
                now = self.step(self.result.step, batch)
                now["seconds"] = time.perf_counter() - start
                self.result.count(now | step_counts(self.model, batch, self.optimizers))
                self.after_step(validate)
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return self.result

    def step(self, step: int, batch: Batch) -> dict[str, float]:
        """The middle of the loop: forward, loss, backward, clip, step."""
        parts = self.own_parts(step, batch)  # one: the whole batch, unless it must be cut
        whole = total_counts([batch])
        torch.manual_seed(derive_seed(self.config.seed, step, self.accelerator.process_index))
        losses = []
        for part in parts:
            with self.syncing(last=part is parts[-1]):
                loss = self.loss(part.to(self.accelerator.device), whole)  # forward, and loss
                self.accelerator.backward(loss * self.accelerator.num_processes)
            losses.append(loss.detach())
        loss = self.accelerator.reduce(sum(losses), "sum")
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), self.max_norm)
        self.require_finite(step, batch, {"loss": float(loss), "gradient norm": float(norm)})
        rate = set_learning_rate(self.optimizers.values(), step, self.config)
        for optimizer in self.optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        return {"loss": float(loss), "grad_norm": float(norm), "learning_rate": rate}

    @property
    def max_norm(self) -> float:
        """The gradient norm above which gradients are scaled down."""
        return self.config.clip_norm or math.inf

    def own_parts(self, step: int, batch: Batch) -> list[Batch]:
        """The micro-batches of this process; refuses a batch that cannot be cut so."""
        processes = self.accelerator.num_processes
        accumulation = self.config.accumulation
        shape = (*batch.labels.shape,)
        what = f"step {step}: labels {shape}, {batch.num_predicted} of them to be predicted"
        parts = f"{processes} processes × {accumulation} micro-batches"
        enough = batch.num_predicted > 0 and shape[0] >= processes * accumulation
        require(enough, f"{what}, cannot be cut into {parts}; use larger batches")
        cut = micro_batches(batch, processes * accumulation)
        return cut[self.accelerator.process_index :: processes]

    def syncing(self, last: bool) -> AbstractContextManager:
        """Processes add up their gradients after the last micro-batch only.

        DDP divides that sum by their number. The shares in the loss add up already, so each loss is
        multiplied by it first.
        """
        return nullcontext() if last else self.accelerator.no_sync(self.loss)

    def require_finite(self, step: int, batch: Batch, values: dict[str, float]) -> None:
        """Save the batch of a step that would spoil the weights, and stop before it does."""
        for name, value in values.items():
            if not math.isfinite(value):
                folder = self.out or Path(tempfile.mkdtemp(prefix="course-"))
                path = folder / f"bad-batch-step-{step}.safetensors"
                if self.main:
                    checkpoint.save_tensors(path, {"labels": batch.labels, **batch.inputs})
                raise NonFiniteLoss(step, f"the {name} is {value}", path)

    def after_step(self, validate: Callable | None) -> None:
        """As often as the configuration says: validate, log, save."""
        self.bar.update()
        result = self.result
        config = self.config
        last = result.step == config.steps
        checked: dict[str, float] = {}
        if validate and (last or _every(result.step, config.validate_every)):
            checked = self.validated(validate)
        stopped = config.patience > 0 and result.without_best >= config.patience
        result.finished = last or stopped
        if checked or result.finished or _every(result.step, config.log_every):
            self.log(checked)
        if self.out and (result.finished or _every(result.step, config.checkpoint_every)):
            self.save()

    @torch.no_grad()
    def validated(self, validate: Callable[[nn.Module], dict[str, float]]) -> dict[str, float]:
        """Call `validate`; remember the best loss and, for early stopping, its weights."""
        with self.accelerator.autocast():
            values = validate(self.model.eval())
        self.model.train()
        result = self.result
        result.without_best += 1
        loss = values["validation_loss"]
        if math.isfinite(loss) and (result.best_loss is None or loss < result.best_loss):
            result.best_loss = loss
            result.best_step = result.step
            result.without_best = 0
            if self.config.patience:
                self.best = deepcopy(self.model.state_dict())
        return values

    def log(self, checked: dict[str, float]) -> None:
        """Close a record over the steps since the last one: to history, file and bar."""
        dtype = torch.float32 if self.accelerator.mixed_precision == "no" else torch.bfloat16
        peak = matmul_peak(self.accelerator.device.type, dtype)
        record = self.result.new_record(self.accelerator.num_processes * peak)
        record.update(checked)
        self.result.history.append(record)
        self.result.since = []
        if self.out and self.main:
            with (self.out / "log.jsonl").open("a") as file:
                file.write(_line(record))
        speed = f"{record['tokens_per_second']:,.0f} tokens/s, MFU {record['mfu']:.0%}"
        self.bar.set_postfix_str(f"loss {record['loss']:.3f}, {speed}", refresh=False)

    def save(self) -> None:
        """Write a checkpoint: all that `resume` needs."""
        if self.main:
            moments = checkpoint.optimizer_tensors(self.optimizers)
            tensors = {"model": self.model.state_dict(), **moments, "best": self.best}
            state = {"config": asdict(self.config), "result": asdict(self.result)}
            checkpoint.save(self.out / "checkpoints", self.result.step, tensors, state)
        self.accelerator.wait_for_everyone()

    def resume(self) -> None:
        """Take up the newest whole checkpoint in `out`, if any; the log keeps what led to it."""
        if self.out is None:
            return
        found = checkpoint.load(self.out / "checkpoints", self.accelerator.print)
        if found:
            tensors, state = found
            _require_same(state["config"], self.config, self.out)
            checkpoint.restore(self.model, self.optimizers, tensors)
            self.result = TrainResult(**state["result"])
            self.best = tensors.get("best", {})
            self.bar.update(self.result.step)
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "log.jsonl").write_text("".join(map(_line, self.result.history)))


def micro_batches(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch by rows into `parts` batches of nearly equal size."""
    return [batch.map(lambda tensor, i=i: tensor.tensor_split(parts)[i]) for i in range(parts)]


def total_counts(batches: Sequence[Batch]) -> dict[str, int]:
    """What the terms of a loss over all these batches are means over."""
    tokens = sum(batch.num_predicted for batch in batches)
    return {"token": tokens, "row": sum(len(batch.labels) for batch in batches)}


def weighted(loss: Loss, part: Batch, whole: dict[str, int]) -> Tensor:
    """The part's share of the whole's loss, each term by its own count; shares add up exactly."""
    own = total_counts([part])
    terms = loss if isinstance(loss, dict) else {"token": loss}
    return sum(term * (own[name] / whole[name]) for name, term in terms.items())


def _line(record: dict[str, float]) -> str:
    """A record as a line of JSON, which has no NaN and no infinity: null stands for them."""
    finite = {key: value if math.isfinite(value) else None for key, value in record.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


def _every(done: int, interval: int) -> bool:
    return interval > 0 and done % interval == 0


def _own_random_state(device: torch.device) -> AbstractContextManager:
    """Leave the caller's random state as it was: training reseeds at every step."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


@contextmanager
def _compiled(model: nn.Module, config: TrainConfig) -> Iterator[None]:
    """Compile `hidden_states` for as long as the run lasts, if the configuration says so.

    Time goes there, and forward, heads and losses all call it; of a torch.compile(model) they would
    call the method of the model inside, uncompiled.
    """
    backbone = getattr(model, "backbone", model)
    if config.compile:
        backbone.hidden_states = torch.compile(backbone.hidden_states)
    try:
        yield
    finally:
        backbone.__dict__.pop("hidden_states", None)


def _accelerator(config: TrainConfig) -> Accelerator:
    # accelerate keeps its settings for the whole process; a notebook trains with several
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    # a classifier leaves its backbone's vocabulary head unused: DDP must look for such weights
    ddp = DistributedDataParallelKwargs(find_unused_parameters=True)
    # told nothing, accelerate takes several processes without a GPU for one alone, many times over
    cpu = config.device == "cpu" or not torch.accelerator.is_available()
    bf16 = config.mixed_precision == "bf16" and has_bf16(PartialState(cpu=cpu).device.type)
    precision = "bf16" if bf16 else "no"
    return Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[ddp])


def _require_same(saved: dict, config: TrainConfig, out: Path) -> None:
    """Refuse to go on with a run of another configuration."""
    now = json.loads(json.dumps(asdict(config)))
    for free in ("checkpoint_every", "device"):  # they do not change what is computed
        now[free] = saved.get(free)
    differ = [f"{k} {saved.get(k)!r} → {v!r}" for k, v in sorted(now.items()) if v != saved.get(k)]
    what = f"{out} holds a run with another configuration ({', '.join(differ)})"
    require(not differ, f"{what}; go on with the same one, or use another folder")
