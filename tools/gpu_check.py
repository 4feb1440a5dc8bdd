"""All that a GPU must show, in one run of ten minutes, with nothing but torch and transformers.

    course gpu prepare FOLDER                                  (where the course is installed)
    python tools/gpu_check.py --data FOLDER --out OUT          (on the machine with the GPU)
    course gpu read OUT                                        (back where the course is installed)

Each stage is a process of its own that is stopped when its time is up; what it has measured by
then stands in OUT/results.json, and the next stage begins. `--tiny` tries the script on a CPU.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

import torch  # noqa: E402
from accelerate import PartialState  # noqa: E402
from torch import Tensor  # noqa: E402

from course_tools import bench, full_size  # noqa: E402
from course_utils.data.batches import generator_at  # noqa: E402
from course_utils.data.cache import sha256_of  # noqa: E402
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config  # noqa: E402
from course_utils.objectives import Batch, causal_lm  # noqa: E402
from course_utils.speed import matmul_peak  # noqa: E402
from course_utils.training.flops import num_tokens  # noqa: E402
from course_utils.training.loop import objective_loss, train  # noqa: E402
from course_utils.training.optim import TrainConfig  # noqa: E402
from course_utils.writing import read_json, write_json  # noqa: E402

# The stages in the order of their value, with seconds, of which each gets its share of the budget.
# Time that one does not need, the next have.
STAGES = {"checks": 70, "bert": 115, "gpt": 115, "t5": 115, "bench": 75, "memory": 40}
BUDGET = 540


# -- the runner


def plan(names: list[str], budget: float) -> dict[str, float]:
    """Seconds of each stage: its share of the budget, as `STAGES` shares it out."""
    scale = budget / sum(STAGES[name] for name in names)
    return {name: STAGES[name] * scale for name in names}


def run_all(
    seconds: dict[str, float],
    budget: float,
    start: Callable[[str, float], str],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[tuple[str, str, float]]:
    """Run stage after stage: name, how it ended, seconds. None begins when the time is up."""
    end = clock() + budget
    later = sum(seconds.values())
    for name, own in seconds.items():
        later -= own
        allowed = max(0.0, end - clock() - later)
        began = clock()
        ended = start(name, allowed) if allowed > 0 else "not started: no time was left"
        yield name, ended, clock() - began


def start_stage(name: str, allowed: float, options: argparse.Namespace) -> str:
    """Run a stage in a process of its own; stop it, and all that it started, in time."""
    command = [sys.executable, __file__, "--data", options.data, "--out", options.out]
    command += ["--stage", name, "--weights", options.weights]
    command += ["--until", str(time.time() + allowed)]
    command += ["--tiny"] if options.tiny else []
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stderr=said, start_new_session=True)
        try:
            code = process.wait(allowed)
        except subprocess.TimeoutExpired:
            return "out of time"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        said.seek(0)
        return "done" if code == 0 else f"failed: {said.read()[-1500:]}"


def main(options: argparse.Namespace) -> None:
    """Print the plan, run it, and print how each stage ended."""
    seconds = plan(options.only or list(STAGES), options.budget)
    for name, planned in seconds.items():
        print(f"{name:8} {planned:4.0f} s", flush=True)
    print(f"together {sum(seconds.values()):4.0f} s of {options.budget:.0f}", flush=True)
    results = Path(options.out) / "results.json"
    manifest = checked(Path(options.data))
    settings = {"seconds": seconds, "budget": options.budget, "tiny": options.tiny}
    write_json(results, {"manifest": manifest, "settings": settings, "stages": {}})
    for name, ended, took in run_all(
        seconds, options.budget, lambda name, allowed: start_stage(name, allowed, options)
    ):
        found = read_json(results)
        found["stages"].setdefault(name, {}).update(status=ended, seconds=round(took, 1))
        write_json(results, found)
        print(f"{name}: {ended.splitlines()[-1]}, {took:.0f} s", flush=True)


def checked(folder: Path) -> dict[str, Any]:
    """The manifest of the prepared folder; stops where a file is not what was prepared."""
    manifest = read_json(folder / "manifest.json")
    wrong = [name for name, sum_ in manifest["sha256"].items() if sha256_of(folder / name) != sum_]
    if wrong:
        raise SystemExit(f"{folder}: {', '.join(wrong)} changed on the way: prepare it again")
    return manifest


@dataclass
class Stage:
    """A running stage: its settings, and the file that its results go to, one by one."""

    name: str
    options: argparse.Namespace

    def __post_init__(self) -> None:
        """Note what runs this."""
        self.tiny = self.options.tiny
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cpu" and not self.tiny:
            raise SystemExit("no CUDA device: on a CPU only --tiny runs")
        if self.name != "two":  # of two at a time, neither writes
            self.put("machine", machine(self.device))

    def left(self) -> float:
        """Seconds until this stage is stopped."""
        return self.options.until - time.time()

    def put(self, key: str, value: Any) -> None:
        """Write a result at once."""
        path = Path(self.options.out) / "results.json"
        found = read_json(path)
        found["stages"].setdefault(self.name, {})[key] = value
        write_json(path, found)

    def attempt(self, key: str, function: Callable[..., Any], *arguments: Any) -> None:
        """Write what a function finds, or its error, which stops nothing else."""
        if self.left() < 1:
            return self.put(key, {"error": "out of time"})
        try:
            self.put(key, function(*arguments))
        except Exception as error:
            self.put(key, {"error": f"{type(error).__name__}: {error}"[:1500]})


def machine(device: str) -> dict[str, Any]:
    """The conditions of the measurement."""
    import transformers

    name = torch.cuda.get_device_name() if device == "cuda" else platform.machine()
    dtypes = ("float32", "bfloat16") if device == "cuda" else ("float32",)
    peaks = {dtype: matmul_peak(device, getattr(torch, dtype)) for dtype in dtypes}
    software = {"python": platform.python_version(), "torch": torch.__version__}
    software |= {"transformers": transformers.__version__, "cuda": str(torch.version.cuda)}
    memory = torch.cuda.get_device_properties(0).total_memory if device == "cuda" else 0
    return {
        "name": name,
        "memory": memory,
        "cores": os.cpu_count(),
        "matmul_peak": peaks,
    } | software


# -- checks: the same numbers, whatever computes them


def checks(stage: Stage) -> None:
    """Parity with transformers, compiled or not, stopped or not, one process or two."""
    for model in bench.MODELS:
        for dtype in ("float32", "bfloat16"):
            stage.attempt(f"parity, {model}, {dtype}", parity, stage, model, dtype)
    stage.attempt("resume", resume, stage)
    if not stage.tiny:
        stage.attempt("compile", compiled, stage)
    stage.attempt("two processes", two_processes, stage)


@torch.no_grad()
def parity(stage: Stage, model: str, dtype: str) -> dict[str, float]:
    """Largest difference of a logit from transformers', at real tokens of padded rows."""
    case = bench.Case(model, "tiny" if stage.tiny else "small", device=stage.device, dtype=dtype)
    pair = {name: m.eval().to(case.precision) for name, m in bench.sides(case).items()}
    inputs = dict(case.batch().to(stage.device).inputs)
    real = torch.ones_like(inputs["input_ids"])
    real[0, real.size(1) // 2 :] = 0  # the first row is half as long
    inputs["attention_mask"] = real
    ours = pair["ours"](**inputs).float()
    theirs = pair["theirs"](**inputs, use_cache=False).logits.float()
    counted = torch.ones_like(ours[..., 0]) if model == "t5" else real
    gap = (ours - theirs).abs()[counted.bool()]
    return {"largest_difference": gap.max().item(), "largest_logit": theirs.abs().max().item()}


def short_run(
    stage: Stage, out: Path | None = None, stop_at: int = -1, **settings: Any
) -> tuple[list[float], Tensor]:
    """Eight steps of a GPT: the losses, and all weights as one vector."""
    case = bench.Case("gpt", "tiny" if stage.tiny else "small")
    model = case.ours()

    def batch_at(step: int) -> Batch:
        if step == stop_at:
            raise InterruptedError
        ids = torch.randint(5, 60, (8, 17), generator=generator_at("gpu", step))
        return causal_lm.corrupt(ids)

    config = TrainConfig(steps=8, checkpoint_every=4, optimizer="muon", **settings)
    found = train(model, batch_at, objective_loss(causal_lm), config, out=out, progress=False)
    weights = torch.cat([p.detach().flatten().cpu() for p in model.parameters()])
    return found.curve("loss")[1], weights


def apart(one: list[float] | Tensor, other: list[float] | Tensor) -> dict[str, Any]:
    """The largest difference of two runs, and whether there is none."""
    gap = (torch.as_tensor(one) - torch.as_tensor(other)).abs().max().item()
    return {"largest_difference": gap, "exact": gap == 0}


def compiled(stage: Stage) -> dict[str, Any]:
    """The losses of a run with torch.compile and without."""
    (plain, _), (faster, _) = short_run(stage), short_run(stage, compile=True)
    return apart(plain, faster) | {"last_loss": plain[-1]}


def resume(stage: Stage) -> dict[str, Any]:
    """The weights of a run that stopped at step 5, with a checkpoint of step 4, and went on."""
    _, whole = short_run(stage, mixed_precision="bf16")
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(InterruptedError):
            short_run(stage, Path(folder), stop_at=5, mixed_precision="bf16")
        _, continued = short_run(stage, Path(folder), mixed_precision="bf16")
    return apart(whole, continued)


def two_processes(stage: Stage) -> dict[str, Any]:
    """The losses of two processes on one card, and of one."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, __file__, "--data", stage.options.data, "--out", stage.options.out]
    command += ["--stage", "two"] + ["--tiny"] * stage.tiny
    world = {"WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    world |= {"GLOO_SOCKET_IFNAME": "lo"}  # a machine without a network knows no name of its own
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen(command, env={**os.environ, **world, "RANK": rank}, **both)
        for rank in ("0", "1")
    ]
    try:
        said = [process.communicate(timeout=max(1, stage.left() - 1)) for process in started]
    finally:  # if one fails, the other waits for it
        for process in started:
            process.kill()
    for process, (_, errors) in zip(started, said, strict=True):
        if process.returncode:
            raise RuntimeError(errors[-1000:])
    found = json.loads(said[0][0].splitlines()[-1])
    if found["processes"] != 2:
        raise RuntimeError(f"of two processes, each trained among {found['processes']}")
    return apart(short_run(stage)[0], found["losses"]) | {"processes": found["processes"]}


def one_of_two(stage: Stage) -> None:
    """Be one of two processes; nccl refuses to serve two on one card, gloo does not."""
    torch.distributed.init_process_group("gloo")
    losses, _ = short_run(stage)
    print(json.dumps({"processes": PartialState().num_processes, "losses": losses}), flush=True)
    torch.distributed.destroy_process_group()


# -- bench: speed against transformers -------------------------------------------------------------

GPU_SIZES = {"gpt": "gpt2", "bert": "bert-base", "t5": "t5-small"}


def speed(stage: Stage) -> None:
    """Training and generation, the plain code first; compiled as far as there is time."""
    for task, compile_both in (("train", False), ("generate", False), ("train", True)):
        for model, size in GPU_SIZES.items():
            if (task, model) == ("generate", "bert") or (stage.tiny and compile_both):
                continue
            case = bench.Case(
                model,
                "tiny" if stage.tiny else size,
                device=stage.device,
                dtype="float32" if stage.tiny else "bfloat16",
                compile=compile_both,
            )
            how = ", compiled" if compile_both else ""
            stage.attempt(f"{task}, {model}{how}", compared, task, case)


def compared(task: str, case: bench.Case) -> dict[str, Any]:
    """Seconds, tokens a second, share of the matmul peak and peak memory of both sides."""
    row = bench.compare(task, case, 5)
    tokens = bench.NEW_TOKENS if task == "generate" else num_tokens(case.batch())
    row["tokens_per_second"] = {side: tokens / row[side]["median"] for side in ("ours", "theirs")}
    if task == "train" and case.device == "cuda" and not case.compile:
        row["peak_memory"] = {side: step_memory(side, case) for side in ("ours", "theirs")}
    return row


def step_memory(side: str, case: bench.Case) -> int:
    """Bytes on the card at most, weights and moments included, in two steps."""
    torch.cuda.empty_cache()
    step = bench.training_step(bench.sides(case)[side], case)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    for _ in range(2):
        step()
    weights = sum(p.nbytes for p in case.ours().parameters())
    return torch.cuda.max_memory_allocated() - before + weights


# -- memory: chapters and exercises at full size


def random_model(name: str, tiny: bool = False) -> Bert | Gpt | T5:
    """A model of a named size with random weights; `tiny`, of its kind only."""
    _, layers, d, heads, pieces = full_size.MODELS[name]
    if tiny:
        layers, d, heads, pieces = 1, 16, 2, 64
    same: dict[str, Any] = {
        "hidden_size": d,
        "num_heads": heads,
        "vocab_size": pieces,
        "intermediate_size": 4 * d,
    }
    if name.startswith("t5"):
        same |= {"num_layers": layers, "num_decoder_layers": layers}
        return T5(T5Config(head_size=d // heads, **same))
    if name.startswith("gpt"):
        return Gpt(GptConfig(num_layers=layers, eos_token_id=None, **same))
    return Bert(BertConfig(num_layers=layers, **same))


def call(cell: full_size.FullSizeCell, stage: Stage) -> Callable[[], object]:
    """One training step of a cell, without the vocabulary's logits, or one batch that is read."""
    model = random_model(cell.model, stage.tiny).to(stage.device)
    inputs = {"input_ids": torch.full((cell.rows, cell.length), 7, device=stage.device)}
    if isinstance(model, T5):
        inputs["decoder_input_ids"] = inputs["input_ids"][:, : max(1, cell.length // 5)]
    if not cell.learned:
        return lambda: torch.no_grad()(model.eval())(**inputs)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    model.train()

    def step() -> None:
        optimizer.zero_grad()
        model.hidden_states(**inputs).square().mean().backward()
        optimizer.step()

    return step


def measure_cell(cell: full_size.FullSizeCell, stage: Stage) -> dict[str, float]:
    """Peak memory and seconds of all batches, also as a T4 would need, beside the rule.

    Memory is taken as it is, seconds by the ratio of what both multiply in 32 bits.
    """
    cuda = stage.device == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    once = call(cell, stage)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        once()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    count = (cell.learned or cell.read) / (cell.rows * cell.length)
    ratio = matmul_peak(stage.device, torch.float32) / full_size.T4.peak
    found = {"seconds": min(seconds) * count, "seconds_on_t4": min(seconds) * count * ratio}
    found |= {"seconds_by_rule": cell.seconds, "memory_by_rule": cell.own_memory}
    return found | ({"memory": torch.cuda.max_memory_allocated()} if cuda else {})


def memory(stage: Stage) -> None:
    """Every cell of chapters and exercises at full size, with random weights."""
    for cell in full_size.CHAPTERS + full_size.EXERCISES:
        stage.attempt(
            f"{cell.place}, {cell.model}, {cell.rows} × {cell.length}", measure_cell, cell, stage
        )


# -- the command


def work(options: argparse.Namespace) -> None:
    """Be the process of one stage."""
    stage = Stage(options.stage, options)
    if os.environ.get("COURSE_GPU_FAIL") == stage.name:  # a test wants to see a stage fail
        raise RuntimeError("made to fail")
    if stage.name in ("bert", "gpt", "t5"):
        from gpu_trio import trio

        trio(stage)
    else:
        {"checks": checks, "two": one_of_two, "bench": speed, "memory": memory}[stage.name](stage)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="what `course gpu prepare` wrote")
    parser.add_argument("--out", required=True, help="folder of results.json")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds in all")
    parser.add_argument("--only", nargs="+", choices=STAGES, help="only these stages")
    parser.add_argument("--tiny", action="store_true", help="the same code in seconds, on a CPU")
    parser.add_argument("--weights", default="", help="keep the weights of this one: bert, gpt, t5")
    parser.add_argument("--stage", help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, default=0.0, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    work(given) if given.stage else main(given)
