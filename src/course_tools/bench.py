"""`course bench`: a training step, a forward pass and generation, ours against transformers'.

Both sides get the same weights, batches, optimizer, dropout, dtype, attention (SDPA) and threads.
Their runs alternate in one process, so that a busy machine slows both; memory is measured apart,
in a fresh process each. Times are medians; a ratio is theirs/ours, with its quartiles over pairs.
In bfloat16 both train under the same autocast, and write with weights of that dtype; a processor
that does not multiply it fast has no such rows.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from course_tools.shared import conditions, measured_with, publish
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.objectives import causal_lm, masked_lm, span_corruption
from course_utils.objectives.batch import Batch
from course_utils.speed import has_bf16, matmul_peak
from course_utils.training.flops import training_flops
from course_utils.training.loop import objective_loss
from course_utils.writing import markdown_table

NEW_TOKENS = 64
SIZES = {  # d, heads, layers, vocabulary, rows and length of a batch
    "tiny": (16, 2, 2, 64, 2, 16),  # for the tests
    "mini": (128, 4, 4, 4096, 32, 128),
    "small": (256, 4, 4, 8192, 16, 128),
    "gpt2": (768, 12, 12, 50257, 16, 512),  # these three, for a GPU, as published
    "bert-base": (768, 12, 12, 30522, 64, 128),
    "t5-small": (512, 8, 12, 32128, 64, 128),
}
CPU_SIZES = ("mini", "small")
MODELS = ("bert", "gpt", "t5")
# What is aimed at, by what is measured: at least so many times as fast, at most so much memory.
AIMS = {"bert": 1.7, "gpt": 1.25, "t5": 1.2, "memory": 0.8, "mfu": 0.55}
GENERATION_AIMS = {"mini": 2.5, "small": 2.0}  # the larger, the more of it is matrix products


@dataclass(frozen=True)
class Case:
    """One model at one size, with the batch that both sides read."""

    model: str
    size: str
    dropout: float = 0.0
    device: str = "cpu"
    dtype: str = "float32"
    compile: bool = False

    @property
    def precision(self) -> torch.dtype:
        """The dtype of the matrix products."""
        return getattr(torch, self.dtype)

    def autocast(self) -> torch.autocast:
        """What both sides train under."""
        return torch.autocast(self.device, self.precision, enabled=self.dtype != "float32")

    def ours(self) -> nn.Module:
        """Our model, in training mode; the same weights at every call."""
        torch.manual_seed(0)
        d, heads, layers, vocab, _, length = SIZES[self.size]
        same = {
            "vocab_size": vocab,
            "hidden_size": d,
            "num_heads": heads,
            "intermediate_size": 4 * d,
            "dropout": self.dropout,
        }
        if self.model == "bert":
            return Bert(BertConfig(num_layers=layers, max_length=length, **same))
        room = length + NEW_TOKENS
        if self.model == "gpt":
            return Gpt(GptConfig(num_layers=layers, max_length=room, eos_token_id=None, **same))
        # an untrained T5 repeats what it reads: let it not be padding
        t5 = {"head_size": d // heads, "decoder_start_token_id": 5}
        return T5(T5Config(num_layers=layers // 2, num_decoder_layers=layers // 2, **t5, **same))

    def batch(self) -> Batch:
        """Random tokens, corrupted as the objective says: real counts, no padding."""
        _, _, _, vocab, rows, length = SIZES[self.size]
        generator = torch.Generator().manual_seed(0)
        if self.model == "gpt":
            ids = torch.randint(vocab, (rows, length + 1), generator=generator)
            return causal_lm.corrupt(ids)
        if self.model == "bert":
            ids = torch.randint(5, vocab, (rows, length), generator=generator)
            return masked_lm.corrupt(
                ids, mask_token_id=4, vocab_size=vocab, special_ids=range(5), generator=generator
            )
        raw, _ = span_corruption.lengths(length)
        sentinels = length // 4
        ids = torch.randint(2, vocab - sentinels, (rows, raw), generator=generator)
        vocabulary = span_corruption.Vocabulary(vocab - 1, 1, sentinels)
        return span_corruption.corrupt(ids, vocabulary=vocabulary, generator=generator)


def our_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Loss of our model, as the training loop computes it; the same for all objectives."""
    return objective_loss(masked_lm)(model, batch)


def their_loss(model: nn.Module, batch: Batch) -> Tensor:
    """Loss as transformers computes it: logits everywhere, −100 left out of the mean."""
    shifted = {"shift_labels": batch.labels} if model.config.model_type == "gpt2" else {}
    return model(**batch.inputs, labels=batch.labels, use_cache=False, **shifted).loss


def sides(case: Case) -> dict[str, nn.Module]:
    """Both models, with the same weights."""
    from course_utils.models.huggingface import to_hf

    ours = case.ours()
    theirs = to_hf(ours)
    theirs.set_attn_implementation("sdpa")
    return {"ours": ours.to(case.device), "theirs": theirs.to(case.device)}


def training_step(model: nn.Module, case: Case) -> Callable[[], float]:
    """A step: forward, backward, AdamW (fused, on both sides); returns the loss."""
    batch = case.batch().to(case.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    loss_of = our_loss if isinstance(model, Bert | Gpt | T5) else their_loss
    if case.compile:
        compile_forward(model)
    model.train()

    def step() -> float:
        optimizer.zero_grad()
        with case.autocast():
            loss = loss_of(model, batch)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def compile_forward(model: nn.Module) -> None:
    """Compile what takes the time: of ours `hidden_states`, as the training loop does."""
    name = "hidden_states" if isinstance(model, Bert | Gpt | T5) else "forward"
    setattr(model, name, torch.compile(getattr(model, name)))


def forward_pass(model: nn.Module, case: Case) -> Callable[[], float]:
    """All logits, without gradients; returns their mean square."""
    batch = case.batch().to(case.device)
    model.eval().to(case.precision)
    ours = isinstance(model, Bert | Gpt | T5)

    @torch.no_grad()
    def run() -> float:
        output = model(**batch.inputs) if ours else model(**batch.inputs, use_cache=False).logits
        return output.float().square().mean().item()

    return run


def generation(model: nn.Module, case: Case) -> Callable[[], float]:
    """Greedy generation of 64 tokens after a prompt of 16, batch 1; returns the sum of the ids."""
    vocab, length = SIZES[case.size][3], min(16, SIZES[case.size][5])
    prompt = torch.randint(5, vocab, (1, length), generator=torch.Generator().manual_seed(1))
    prompt = prompt.to(case.device)
    model.eval().to(case.precision)
    if isinstance(model, Gpt | T5):
        settings = {"max_new_tokens": NEW_TOKENS, "eos_token_id": None}
        return lambda: float(model.generate(prompt, **settings).new_ids.sum())
    mask = torch.ones_like(prompt)
    settings = {"max_new_tokens": NEW_TOKENS, "do_sample": False, "attention_mask": mask}
    model.generation_config.eos_token_id = None
    return lambda: float(model.generate(prompt, **settings)[:, -NEW_TOKENS:].sum())


def quartiles(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": middle, "low": low, "high": high}


def alternate(ours: Callable, theirs: Callable, repeats: int) -> dict[str, list[float]]:
    """Seconds of each call, the two sides by turns, each going first as often as second."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    both = [("ours", ours), ("theirs", theirs)]
    for turn in range(repeats):
        for name, call in both if turn % 2 else reversed(both):
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def compare(task: str, case: Case, repeats: int) -> dict[str, Any]:
    """One row: medians with quartiles, and theirs/ours over the pairs.

    Raises:
        RuntimeError: the two sides do not compute the same (looked at without dropout).
    """
    models = sides(case)
    make = {"train": training_step, "forward": forward_pass, "generate": generation}[task]
    calls = {name: make(model, case) for name, model in models.items()}
    value = {name: call() for name, call in calls.items()}  # also the first warm-up
    check_equal(task, case, value)
    for call in calls.values():
        call()
    seconds = alternate(**calls, repeats=repeats)
    pairs = zip(seconds["theirs"], seconds["ours"], strict=True)
    row: dict[str, Any] = {"task": task, **vars(case), "value": value}
    row |= {name: quartiles(times) for name, times in seconds.items()}
    row |= {"ratio": quartiles([theirs / ours for theirs, ours in pairs])}
    if task == "train":
        flops = training_flops(models["ours"], case.batch())
        peak = matmul_peak(case.device, case.precision)
        row["mfu"] = {name: flops / row[name]["median"] / peak for name in seconds}
    return row


def check_equal(task: str, case: Case, value: dict[str, float]) -> None:
    """Refuse to time two sides that do not compute the same.

    With dropout they cannot, and in half precision near ties may be written differently.
    """
    if case.dropout or (task == "generate" and case.dtype != "float32"):
        return
    tolerance = 1e-4 if case.dtype == "float32" else 2e-2
    if abs(value["ours"] - value["theirs"]) > tolerance * abs(value["theirs"]):
        raise RuntimeError(f"{task} {case}: {value} differ, so their times cannot be compared")


def compare_memory(case: Case) -> dict[str, Any]:
    """Peak memory in bytes of three training steps, each side in a process of its own."""
    row: dict[str, Any] = {"task": "memory", **vars(case)}
    for name in ("ours", "theirs"):
        call = [sys.executable, "-m", __name__, name, case.model, case.size, str(case.dropout)]
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        done = subprocess.run(call, env=os.environ | threads, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(call)} failed: {done.stderr[-500:]}")
        row[name] = json.loads(done.stdout.splitlines()[-1])
    for what in ("peak", "training"):
        row[f"{what}_ratio"] = row["ours"][what] / row["theirs"][what]
    return row


def peak_memory(name: str, case: Case) -> dict[str, int]:
    """Bytes: `peak` of the whole process, `training` what the steps added to the loaded model."""

    def loaded(case: Case) -> Callable[[], float]:
        model = case.ours() if name == "ours" else sides(case)["theirs"]
        return training_step(model, case)

    loaded(Case(case.model, "tiny", case.dropout))()  # the first step of all imports half of torch
    step = loaded(case)
    before = _held("VmRSS")
    for _ in range(3):
        step()
    return {"peak": _held("VmHWM"), "training": _held("VmHWM") - before}


def _held(field: str) -> int:
    """Bytes of memory: `VmRSS` now, `VmHWM` at most so far (both at most, where Linux is not)."""
    status = Path("/proc/self/status")
    if status.exists():  # not getrusage: a child inherits the maximum of its parent there
        return 1024 * int(re.findall(rf"{field}:\s*(\d+) kB", status.read_text())[0])
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def comparisons(
    sizes: Sequence[str], repeats: int, compiled: bool = False
) -> Iterator[dict[str, Any]]:
    """All comparisons, one by one; `compiled`, a step by `torch.compile` on both sides too."""
    for size in sizes:
        for model in MODELS:
            for dropout in (0.0, 0.1):
                yield compare("train", Case(model, size, dropout), repeats)
            if has_bf16():
                yield compare("train", Case(model, size, dtype="bfloat16"), repeats)
            if compiled:
                yield compare("train", Case(model, size, compile=True), repeats)
            yield compare("forward", Case(model, size), repeats)
            if model != "bert":
                yield compare("generate", Case(model, size), repeats)
            yield compare_memory(Case(model, size, 0.1))


def speed_conditions() -> dict[str, Any]:
    """Everything a reader needs to judge the numbers, or to measure again."""
    columns = ("d", "heads", "layers", "vocab", "rows", "length")
    sizes = {name: SIZES[name] for name in ("tiny", *CPU_SIZES)}
    return conditions("torch", "transformers") | {
        "matmul_peak_gflops": round(matmul_peak() / 1e9, 1),
        "dtype": "float32 where a row names no other",
        "attention": "sdpa",
        "sizes": {name: dict(zip(columns, size, strict=True)) for name, size in sizes.items()},
    }


def speed_cells(row: dict[str, Any]) -> list[str]:
    """Columns of the printed table for one row of the record."""
    task, model = row["task"], row["model"]
    name = f"{row['size']} {model}, dropout {row['dropout']:g}"
    if row.get("dtype", "float32") != "float32":  # of old rows it is not said
        name += f", {row['dtype']}"
    if row.get("compile"):
        name += ", compiled"
    if task == "memory":
        sizes = [f"{row[side]['training'] / 2**20:.0f} MiB" for side in ("ours", "theirs")]
        return [task, name, *sizes, f"{row['training_ratio']:.2f} ×", f"≤ {AIMS[task]} ×", ""]
    times = [f"{1e3 * row[side]['median']:.1f} ms" for side in ("ours", "theirs")]
    if task == "generate":
        times = [f"{NEW_TOKENS / row[side]['median']:.0f} tokens/s" for side in ("ours", "theirs")]
    ratio = "{median:.2f} × ({low:.2f}–{high:.2f})".format(**row["ratio"])
    aim = {"train": AIMS.get(model), "generate": GENERATION_AIMS.get(row["size"])}.get(task)
    mfu = f"{row['mfu']['ours']:.0%}" if task == "train" else ""
    return [task, name, *times, ratio, f"≥ {aim} ×" if aim else "", mfu]


def speed_table(record: dict[str, Any]) -> str:
    """The record as a Markdown table, with its conditions."""
    head = ["what", "model", "ours", "transformers", "ratio (quartiles)", "aim", "MFU"]
    rows = markdown_table(head, map(speed_cells, record["rows"]))
    return f"{rows}\n\n{measured_with(record['conditions'])}"


def measure_speed(
    sizes: Sequence[str],
    repeats: int,
    say: Callable[[str], object] = print,
    compiled: bool = False,
) -> dict[str, Any]:
    """Measure everything; the record holds each row and the conditions.

    Raises:
        ValueError: an unknown size, or fewer than 2 repeats.
        RuntimeError: the two sides differ, or a process failed.
    """
    if repeats < 2 or not set(sizes) <= set(SIZES):
        raise ValueError(f"sizes are {', '.join(SIZES)}, repeats at least 2: {sizes}, {repeats}")
    found = []
    for row in comparisons(sizes, repeats, compiled):
        say(" · ".join(filter(None, speed_cells(row))))
        found.append(row)
    return {"conditions": speed_conditions() | {"repeats": repeats}, "rows": found}


def save_speed(record: dict[str, Any], root: Path) -> None:
    """Write the record into the book of the project at `root`, and its page from it."""
    place = root / "book/records/benchmark.json"
    publish(record, place, "measured", speed_table(record), root / "book/benchmark.md")


if __name__ == "__main__":  # `compare_memory` starts these
    side, model, size, dropout = sys.argv[1:]
    print(json.dumps(peak_memory(side, Case(model, size, float(dropout)))))
