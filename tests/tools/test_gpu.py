"""What runs on a GPU is tried on the processor at a tiny size, with the packages that are there."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import torch

from course_tools import gpu
from course_tools.checkout import ROOT
from course_tools.experiments.page import record_section
from course_utils import records
from course_utils.data.minimal_pairs import Pair
from course_utils.data.tokenizers import load_tokenizer
from course_utils.sentence_scores import judge, scorer_of
from course_utils.writing import read_json, write_json

SCRIPT = ROOT / "tools/gpu_check.py"
sys.path.append(str(SCRIPT.parent))
check = import_module("gpu_check")
trio = import_module("gpu_trio")
MISSING = (
    "datasets", "platformdirs", "matplotlib", "typer", "sklearn", "pandas", "IPython",
    "ipywidgets", "nbformat", "vaderSentiment", "gguf", "playwright",
)  # fmt: skip
WITHOUT = f"""
from importlib.machinery import PathFinder

find = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, path=None, target=None: None
    if name.partition(".")[0] in {MISSING}
    else find(name, path, target)
)
"""
TEXT = "The law of the great nation is not new. We have seen that treaty before. " * 12


# -- the runner ----------------------------------------------------------------------------------


class Clock:
    """Time that passes only when a stage says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run_with(seconds: dict[str, float], takes: dict[str, float], budget: float) -> dict:
    """Run the stages on a clock: stage → (allowed seconds, how it ended)."""
    clock = Clock()
    allowed: dict[str, float] = {}

    def start(name: str, most: float) -> str:
        allowed[name] = most
        clock.now += min(takes[name], most)
        return "done" if takes[name] <= most else "out of time"

    ended = {name: how for name, how, _ in check.run_all(seconds, budget, start, clock)}
    assert clock.now <= 100 + budget
    return {name: (allowed.get(name), how) for name, how in ended.items()}


def test_the_plan_fits_the_budget():
    assert sum(check.plan(list(check.STAGES), check.BUDGET).values()) <= check.BUDGET
    assert sum(check.plan(["bert", "gpt"], 50.0).values()) == pytest.approx(50)


def test_what_a_stage_saves_the_next_have():
    found = run_with({"a": 10, "b": 20}, {"a": 4, "b": 26}, budget=30)
    assert found == {"a": (10, "done"), "b": (26, "done")}


def test_a_slow_stage_takes_nothing_from_the_others():
    found = run_with({"a": 10, "b": 20}, {"a": 99, "b": 5}, budget=30)
    assert found == {"a": (10, "out of time"), "b": (20, "done")}


def test_no_stage_begins_when_the_time_is_up():
    found = run_with({"a": 10, "b": 0}, {"a": 10, "b": 0}, budget=10)
    assert found["b"] == (None, "not started: no time was left")


def test_a_stage_that_takes_too_long_is_stopped(tmp_path):
    options = argparse.Namespace(data="", out=str(tmp_path), weights="", tiny=True)
    began = time.monotonic()
    assert check.start_stage("checks", 0.2, options) == "out of time"
    assert time.monotonic() - began < 30


def stage_at(folder: Path) -> argparse.Namespace:
    """A stage that writes into this folder."""
    write_json(folder / "results.json", {"stages": {}})
    here = {"out": str(folder), "data": str(folder)}
    options = argparse.Namespace(**here, until=time.time() + 60, tiny=True, weights="")
    return check.Stage("checks", options)


def test_an_error_is_written_and_stops_nothing(tmp_path):
    stage = stage_at(tmp_path)
    stage.attempt("broken", lambda: 1 / 0)
    stage.attempt("whole", lambda: {"value": 1})
    found = read_json(tmp_path / "results.json")["stages"]["checks"]
    assert found["broken"]["error"].startswith("ZeroDivisionError")
    assert found["whole"] == {"value": 1} and found["machine"]["name"]


def test_files_that_changed_on_the_way_are_refused(tmp_path):
    write_json(tmp_path / "films.json", {})
    write_json(tmp_path / "manifest.json", {"sha256": {"films.json": "0" * 64}})
    with pytest.raises(SystemExit, match="changed on the way"):
        check.checked(tmp_path)


# -- the trio ------------------------------------------------------------------------------------


def test_the_three_have_equally_many_weights():
    with torch.device("meta"):
        models = [trio.build(name, 4096) for name in trio.TRIO]
    sizes = [sum(p.numel() for p in model.parameters()) for model in models]
    assert min(sizes) > 20e6 and max(sizes) < 30e6
    assert max(sizes) / min(sizes) < 1.02


@pytest.mark.parametrize("name", trio.TRIO)
def test_batches_are_of_the_recipe_and_without_a_mask(name):
    tokenizer = load_tokenizer()
    recipe = trio.trio_recipe(name, tiny=True)
    text = trio.Text(torch.arange(5, 2000), tokenizer, "cpu")
    few = len(recipe.lengths)
    recipe = trio.replace(recipe, settings={"steps": few})
    model = recipe.build(tokenizer)
    for step in range(few):
        batch = text.batches(recipe)(step)
        again = text.batches(recipe)(step)
        assert "attention_mask" not in batch.inputs and batch.num_predicted > 0
        assert torch.equal(batch.labels, again.labels)
        assert torch.isfinite(model(**batch.inputs)).all()
    if name == "bert":
        ids = batch.inputs["input_ids"]
        assert (ids[:, 0] == tokenizer.cls_token_id).all()
        assert (ids[:, -1] == tokenizer.sep_token_id).all()


@pytest.mark.parametrize("name", trio.TRIO)
def test_sentences_are_scored_where_the_model_lies(name):
    """Whatever names no device lands on "meta" here, and does not meet the model."""
    tokenizer = load_tokenizer()
    model = trio.build(name, len(tokenizer), tiny=True)
    pairs = [Pair("The law is new.", "The law are new.", "law")] * 2
    with torch.device("meta"):
        assert judge(scorer_of(model, tokenizer), pairs, tokenizer).count == 2


def test_more_than_may_travel_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "films", dict)
    monkeypatch.setattr(gpu, "LUGGAGE", 1000)
    with pytest.raises(ValueError, match="1,000 may travel; give less text"):
        gpu.prepare_gpu(tmp_path, documents=([TEXT], [TEXT]))


# -- what comes back -----------------------------------------------------------------------------


def results(tiny: bool = False) -> dict:
    """A results file as the script writes it."""
    machine = {"name": "A GPU", "memory": 80e9, "cores": 8, "matmul_peak": {"float32": 1e13}}
    machine |= {"python": "3.12", "torch": "2.11", "transformers": "5.17", "cuda": "13.0"}
    ended = {"status": "done", "seconds": 5.0, "machine": machine}
    gap = {"largest_difference": 1e-6, "largest_logit": 2.0}
    training = {"step": 10, "flops": 1e16, "history": [{"loss": 3.0, "validation_loss": 3.1}]}
    stages = {
        "checks": {**ended, "parity, bert, float32": gap, "resume": {"error": "OSError: full"}},
        "gpt": {**ended, "training": training},
    }
    manifest = {"commit": "abc1234", "dirty": False, "data": {}}
    return {"manifest": manifest, "settings": {"tiny": tiny}, "stages": stages}


def test_what_comes_back_is_a_record_and_rows(tmp_path):
    write_json(tmp_path / "results.json", results())
    record = gpu.read_back(tmp_path, tmp_path)
    records.validate(read_json(tmp_path / "gpu.json"))
    assert record["commit"] == "abc1234" and record["machine"] == "A GPU, 80 GB"
    assert record["results"]["trio"]["gpt"]["validation_loss"] == 3.1
    assert "| gpt |" in record_section(record)  # as the book shows it
    rows = {what: cells for what, *cells in gpu.gpu_rows(record)}
    ran = ["A GPU, 80 GB", record["date"], "abc1234"]
    assert rows["on a GPU: logits compared with transformers', 32 bits"] == ran
    assert rows["on a GPU: pre-training of a GPT of 27 M weights"] == ran
    for what in ("on a GPU: resume after a stop", "on a GPU: torch.compile"):
        assert rows[what] == gpu.NOT_RUN


def test_a_tiny_run_makes_no_record(tmp_path):
    write_json(tmp_path / "results.json", results(tiny=True))
    with pytest.raises(ValueError, match="tiny run"):
        gpu.read_back(tmp_path, tmp_path)


def test_the_table_claims_what_the_records_say():
    table = gpu.hardware_table()
    for name in records.available():
        record = records.load(name)
        assert name == "gpu" or f"| measured: {name} | {record['machine']} | " in table
    if "gpu" not in records.available():
        assert table.count("| not run | not run | not run |") == len(gpu.PARTS + gpu.NEVER)
        assert table.endswith(gpu.TRIED)
    assert "<!-- hardware -->" in (ROOT / "book/testing.md").read_text("utf-8")


# -- end to end ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_script_runs_with_the_packages_that_are_there(tmp_path, monkeypatch):
    ids = [[7, 8, 9, 10], [11, 12, 13]] * 8
    films = {part: {"ids": ids, "labels": [0, 1] * 8} for part in gpu.SENTENCES}
    monkeypatch.setattr(gpu, "films", lambda: films)
    data = tmp_path / "data"
    gpu.prepare_gpu(data, documents=([vocabulary()] * 25, [TEXT] * 4))
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "COURSE_GPU_FAIL": "bench"}
    command = [sys.executable, str(SCRIPT), "--data", str(data), "--out", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--tiny", "--weights", "gpt", "--budget", "3000"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[len(check.STAGES)].startswith("together")  # the plan first
    stages = read_json(tmp_path / "out/results.json")["stages"]
    assert list(stages) == list(check.STAGES)
    assert stages["bench"]["status"].endswith("RuntimeError: made to fail\n")
    errors = {
        f"{name}, {key}": row["error"]
        for name, stage in stages.items()
        for key, row in stage.items()
        if isinstance(row, dict) and "error" in row
    }
    ended = {name: stage["status"] for name, stage in stages.items() if name != "bench"}
    assert not errors and set(ended.values()) == {"done"}, ended
    assert stages["checks"]["resume"]["exact"]
    two = stages["checks"]["two processes"]
    assert two["processes"] == 2 and two["largest_difference"] < 1e-4
    flops = [stages[name]["training"]["flops"] for name in trio.TRIO]
    assert max(flops) / min(flops) < 1.1  # whole steps of so few differ more than those of many
    found = read_json(tmp_path / "out/results.json")
    found["settings"]["tiny"] = False
    write_json(tmp_path / "out/results.json", found)
    record = gpu.read_back(tmp_path / "out", tmp_path)  # as if it had been a whole run
    assert set(record["results"]["trio"]) == set(trio.TRIO)
    record_section(record)


def vocabulary() -> str:
    """A text in which every word of the minimal pairs occurs."""
    from course_utils.data.minimal_pairs import minimal_pairs

    sets = minimal_pairs(lambda word: True)
    return " ".join(dict.fromkeys(pair.good for pairs in sets.values() for pair in pairs[:150]))
