"""One training loop for every model and objective, on any device, exactly resumable.

A run is a pure function of the model's start, `TrainConfig` and `batch_at`: the batch of a step,
its dropout and its learning rate depend on (seed, step) alone. Resuming needs no generator state.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState, PartialState
from torch import Tensor, nn
from tqdm import tqdm

from course_utils.checks import require
from course_utils.data.batches import derive_seed
from course_utils.objectives.batch import Batch
from course_utils.speed import has_bf16, matmul_peak, num_tokens, training_flops
from course_utils.training import checkpoint
from course_utils.training.optim import TrainConfig, learning_rate_at, make_optimizer

# The loss of a batch: its mean over the predicted tokens, in nats. A loss of two terms is a dict,
# {"token": mean over predicted tokens, "row": mean over rows}; their sum is what is minimised.
LossFunction = Callable[[nn.Module, Batch], Tensor | dict[str, Tensor]]


class NonFiniteLoss(FloatingPointError):
    """Loss or gradient became NaN or infinite; `.step` says when, `.path` holds the batch."""

    def __init__(self, step: int, what: str, path: Path) -> None:
        remedy = "Look at it, then try a lower learning rate, more warm-up steps or clip_norm=1.0"
        super().__init__(f"{what} at step {step}; the batch is saved in {path}. {remedy}")
        self.step, self.path = step, path


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


def objective_loss(objective: object) -> LossFunction:
    """Loss function of a module of `objectives`, from the hidden states at predicted positions.

    The objective gets the projection to the vocabulary, not its result: see `token_loss`.
    """

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        hidden = model.hidden_states(**batch.inputs)
        if batch.num_predicted < batch.labels.numel():
            hidden = hidden[batch.predicted]
        return objective.loss(model.project(hidden), batch)

    return loss


def validator(batches: Sequence[Batch], loss_fn: LossFunction) -> Callable[[nn.Module], dict]:
    """Make a `validate` for `train`: the loss over fixed batches, {"validation_loss": nats}.

    Summed loss over the number of predicted tokens, not the mean of batch means; batches are made
    once, so that masks are the same at every call.
    """

    def validate(model: nn.Module) -> dict[str, float]:
        device, whole = next(model.parameters()).device, total_counts(batches)
        moved = (batch.to(device) for batch in batches)
        parts = (float(weighted(loss_fn(model, batch), batch, whole)) for batch in moved)
        return {"validation_loss": sum(parts)}

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
    return _Run(model, batch_at, loss_fn, config, validate, out, progress).go()


class _LossModule(nn.Module):
    """Model and loss in one module, so that DDP and autocast see everything the loss uses."""

    def __init__(self, model: nn.Module, loss_fn: LossFunction) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def forward(self, part: Batch, whole: dict[str, int]) -> Tensor:
        if not part.num_predicted:  # masked by independent draws: nothing here, but DDP waits
            return sum(p.sum() for p in self.parameters() if p.requires_grad) * 0.0
        return weighted(self.loss_fn(self.model, part), part, whole)


class _Run:
    """The state of one call of `train`."""

    def __init__(self, model, batch_at, loss_fn, config, validate, out, progress) -> None:
        self.batch_at, self.config, self.validate = batch_at, config, validate
        self.model, self.out = model, Path(out) if out else None
        self.accelerator = _accelerator(config)
        self.device, self.processes = self.accelerator.device, self.accelerator.num_processes
        self.raw_optimizer = make_optimizer(model, config)
        both = _LossModule(model, loss_fn)
        self.module, self.optimizer = self.accelerator.prepare(both, self.raw_optimizer)
        self.result, self.best = TrainResult(), {}
        self.main = self.accelerator.is_main_process
        self.bar = tqdm(total=config.steps, disable=not (progress and self.main), unit="step")

    def go(self) -> TrainResult:
        """Resume if there is something to resume, run to the end, leave the model ready to use."""
        self._resume()
        self.model.train()
        # leave the caller's random state as it was: training reseeds at every step
        devices = [self.device] if self.device.type == "cuda" else []
        # Time goes into `hidden_states`, which forward, heads and losses all call; of a
        # torch.compile(model) they would call the method of the model inside, uncompiled.
        backbone = getattr(self.model, "backbone", self.model)
        if self.config.compile:
            backbone.hidden_states = torch.compile(backbone.hidden_states)
        try:
            with self.bar, torch.random.fork_rng(devices):
                while not self.result.finished:
                    self._step(self.result.step)
        finally:
            backbone.__dict__.pop("hidden_states", None)
        if self.best:
            self.model.load_state_dict(self.best)
        self.model.eval()
        return self.result

    def _step(self, step: int) -> None:
        start, batch = time.perf_counter(), self.batch_at(step)
        self._check(batch, step)
        torch.manual_seed(derive_seed(self.config.seed, step, self.accelerator.process_index))
        rate = learning_rate_at(step, self.config)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        loss = self._backward(batch)
        self._require_finite(loss, "the loss is", step, batch)
        limit = self.config.clip_norm or math.inf
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), limit))
        self._require_finite(norm, "the gradient norm is", step, batch)
        self.optimizer.step()
        self.optimizer.zero_grad()
        now = {"loss": loss, "learning_rate": rate, "grad_norm": norm}
        now |= {"tokens": num_tokens(batch), "predicted": batch.num_predicted}
        now |= {"flops": training_flops(self.model, batch)}
        self._after(step + 1, now | {"seconds": time.perf_counter() - start})

    def _backward(self, batch: Batch) -> float:
        """Gradients of the whole batch's mean loss, part by part; returns that loss, in nats."""
        parts = split(batch, self.processes * self.config.accumulation)
        own = parts[self.accelerator.process_index :: self.processes]
        whole, total = total_counts([batch]), torch.zeros((), device=self.device)
        for number, part in enumerate(own, 1):
            last = number == len(own)
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                loss = self.module(part.to(self.device), whole)
                # DDP divides by the number of processes; the shares already add up
                self.accelerator.backward(loss * self.processes)
            total += loss.detach()
        return float(self.accelerator.reduce(total, "sum"))

    def _check(self, batch: Batch, step: int) -> None:
        shape, micro = (*batch.labels.shape,), self.config.accumulation
        what = f"step {step}: labels {shape}, {batch.num_predicted} of them to be predicted"
        parts = f"{self.processes} processes × {micro} micro-batches"
        enough = batch.num_predicted > 0 and shape[0] >= self.processes * micro
        require(enough, f"{what}, cannot be cut into {parts}; use larger batches")

    def _require_finite(self, value: float, what: str, step: int, batch: Batch) -> None:
        if not math.isfinite(value):
            folder = self.out or Path(tempfile.mkdtemp(prefix="course-"))
            path = folder / f"bad-batch-step-{step}.safetensors"
            if self.main:
                checkpoint.save_tensors(path, {"labels": batch.labels, **batch.inputs})
            raise NonFiniteLoss(step, f"{what} {value}", path)

    def _after(self, done: int, now: dict[str, float]) -> None:
        """Count, and as often as the configuration says: validate, log, save."""
        result, config = self.result, self.config
        result.step = done
        result.since.append(now)
        for key in ("tokens", "predicted", "flops", "seconds"):
            setattr(result, key, getattr(result, key) + now[key])
        self.bar.update()
        last, checked = done == config.steps, {}
        if self.validate and (last or _every(done, config.validate_every)):
            checked = self._validated(done)
        result.finished = last or bool(config.patience and result.without_best >= config.patience)
        if checked or result.finished or _every(done, config.log_every):
            self._log(checked)
        if self.out and (result.finished or _every(done, config.checkpoint_every)):
            self._save()

    @torch.no_grad()
    def _validated(self, done: int) -> dict[str, float]:
        """Call `validate`; remember the best loss and, for early stopping, its weights."""
        with self.accelerator.autocast():
            values = self.validate(self.model.eval())
        self.model.train()
        result, loss = self.result, values["validation_loss"]
        result.without_best += 1
        if result.best_loss is None or loss < result.best_loss:
            result.best_loss, result.best_step, result.without_best = loss, done, 0
            if self.config.patience:
                self.best = deepcopy(self.model.state_dict())
        return values

    def _log(self, checked: dict[str, float]) -> None:
        """Close a record over the steps since the last one: to history, file and bar."""
        result, since = self.result, self.result.since

        def total(key: str) -> float:
            return sum(now[key] for now in since)

        dtype = torch.float32 if self.accelerator.mixed_precision == "no" else torch.bfloat16
        peak = self.processes * matmul_peak(self.device.type, dtype)
        record = {
            **{key: getattr(result, key) for key in ("step", "tokens", "predicted", "flops")},
            "loss": total("loss") / len(since),
            **{key: since[-1][key] for key in ("learning_rate", "grad_norm")},
            "tokens_per_second": total("tokens") / total("seconds"),
            "mfu": total("flops") / total("seconds") / peak,
            **checked,
        }
        result.history.append(record)
        result.since = []
        if self.out and self.main:
            with (self.out / "log.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")
        speed = f"{record['tokens_per_second']:,.0f} tokens/s, MFU {record['mfu']:.0%}"
        self.bar.set_postfix_str(f"loss {record['loss']:.3f}, {speed}", refresh=False)

    def _save(self) -> None:
        if self.main:
            moments = checkpoint.optimizer_tensors(self.raw_optimizer)
            tensors = {"model": self.model.state_dict(), "optimizer": moments, "best": self.best}
            state = {"config": asdict(self.config), "result": asdict(self.result)}
            checkpoint.save(self.out / "checkpoints", self.result.step, tensors, state)
        self.accelerator.wait_for_everyone()

    def _resume(self) -> None:
        """Take up the newest whole checkpoint in `out`, if any; the log keeps what led to it."""
        if self.out is None:
            return
        found = checkpoint.load(self.out / "checkpoints", self.accelerator.print)
        if found:
            tensors, state = found
            _require_same(state["config"], self.config, self.out)
            checkpoint.restore(self.model, self.raw_optimizer, tensors)
            self.result, self.best = TrainResult(**state["result"]), tensors.get("best", {})
            self.bar.update(self.result.step)
        if self.main:
            self.out.mkdir(parents=True, exist_ok=True)
            lines = (json.dumps(record) + "\n" for record in self.result.history)
            (self.out / "log.jsonl").write_text("".join(lines))


def split(batch: Batch, parts: int) -> list[Batch]:
    """Cut a batch by rows into `parts` batches of nearly equal size."""
    return [batch.map(lambda tensor, i=i: tensor.tensor_split(parts)[i]) for i in range(parts)]


def total_counts(batches: Sequence[Batch]) -> dict[str, int]:
    """What the terms of a loss over all these batches are means over."""
    tokens = sum(batch.num_predicted for batch in batches)
    return {"token": tokens, "row": sum(len(batch.labels) for batch in batches)}


def weighted(loss: Tensor | dict[str, Tensor], part: Batch, whole: dict[str, int]) -> Tensor:
    """The part's share of the whole's loss, each term by its own count; shares add up exactly."""
    own = total_counts([part])
    terms = loss if isinstance(loss, dict) else {"token": loss}
    return sum(term * (own[name] / whole[name]) for name, term in terms.items())


def _every(done: int, interval: int) -> bool:
    return interval > 0 and done % interval == 0


def _accelerator(config: TrainConfig) -> Accelerator:
    # accelerate keeps its settings for the whole process; a notebook trains with several
    AcceleratorState._reset_state(reset_partial_state=not torch.distributed.is_initialized())
    # a classifier leaves its backbone's vocabulary head unused: DDP must look for such weights
    ddp = DistributedDataParallelKwargs(find_unused_parameters=True)
    cpu = config.device == "cpu"
    bf16 = config.mixed_precision == "bf16" and has_bf16(PartialState(cpu=cpu).device.type)
    precision = "bf16" if bf16 else "no"
    return Accelerator(cpu=cpu, mixed_precision=precision, kwargs_handlers=[ddp])


def _require_same(saved: dict, config: TrainConfig, out: Path) -> None:
    now = json.loads(json.dumps(asdict(config)))
    for free in ("checkpoint_every", "device"):  # they do not change what is computed
        now[free] = saved.get(free)
    differ = [f"{k} {saved.get(k)!r} → {v!r}" for k, v in sorted(now.items()) if v != saved.get(k)]
    what = f"{out} holds a run with another configuration ({', '.join(differ)})"
    require(not differ, f"{what}; go on with the same one, or use another folder")
