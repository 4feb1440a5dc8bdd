"""The benchmark compares like with like and records what it did; no test here looks at a clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from course_tools import bench
from course_tools.bench import Case
from course_tools.shared import block

ROOT = Path(__file__).parents[2]
TASKS = [("train", m) for m in bench.MODELS] + [("forward", m) for m in bench.MODELS]
TASKS += [("generate", "gpt"), ("generate", "t5")]


@pytest.fixture(scope="module")
def record() -> dict:
    """Measure the tiny size, memory of one model only (each costs two processes)."""
    rows = [bench.compare(task, Case(model, "tiny"), 3) for task, model in TASKS]
    rows.append(bench.compare("train", Case("gpt", "tiny", 0.1), 2))
    ballast = torch.ones(2**28)  # 1 GiB in this process must not show in the measured ones
    rows.append(bench.compare_memory(Case("gpt", "tiny")))
    assert rows[-1]["theirs"]["peak"] < ballast.nbytes
    return {"conditions": bench.speed_conditions() | {"repeats": 3}, "rows": rows}


@pytest.mark.slow
def test_both_sides_compute_the_same(record: dict) -> None:
    for row in record["rows"]:
        if row["task"] != "memory" and row["dropout"] == 0:
            assert row["value"]["ours"] == pytest.approx(row["value"]["theirs"], rel=1e-4)
            assert row["value"]["ours"] > 0


@pytest.mark.slow
def test_a_row_says_everything(record: dict) -> None:
    for row in record["rows"][:-1]:
        for name in ("ours", "theirs", "ratio"):
            assert 0 < row[name]["low"] <= row[name]["median"] <= row[name]["high"]
        assert {"task", "model", "size", "dropout"} <= row.keys()
        assert ("mfu" in row) is (row["task"] == "train")
    memory = record["rows"][-1]
    for name in ("ours", "theirs"):
        assert memory[name]["peak"] > memory[name]["training"] > 0
    assert memory["peak_ratio"] == memory["ours"]["peak"] / memory["theirs"]["peak"]
    wanted = {"date", "commit", "machine", "threads", "torch", "transformers", "python", "repeats"}
    wanted |= {"dtype", "attention", "sizes", "matmul_peak_gflops"}
    assert wanted == record["conditions"].keys()
    assert all(value for key, value in record["conditions"].items() if key != "commit")
    assert json.loads(json.dumps(record)) == record


@pytest.mark.parametrize("fast", [False, True])
def test_bfloat16_has_rows_where_it_is_fast(monkeypatch: pytest.MonkeyPatch, fast: bool) -> None:
    compared: list[Case] = []
    monkeypatch.setattr(bench, "has_bf16", lambda: fast)
    monkeypatch.setattr(bench, "compare", lambda task, case, repeats: compared.append(case))
    monkeypatch.setattr(bench, "compare_memory", lambda case: None)
    list(bench.comparisons(["tiny"], 2))
    found = [case.model for case in compared if case.dtype == "bfloat16"]
    assert found == (list(bench.MODELS) if fast else [])


@pytest.mark.slow
@pytest.mark.parametrize("model", bench.MODELS)
def test_a_row_in_bfloat16_says_so(model: str) -> None:
    row = bench.compare("train", Case(model, "tiny", dtype="bfloat16"), 2)
    assert bench.speed_cells(row)[1] == f"tiny {model}, dropout 0, bfloat16"


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("model", bench.MODELS)
def test_the_two_sides_are_the_same_but_for_the_code(model: str, dropout: float) -> None:
    pair = bench.sides(Case(model, "tiny", dropout))
    sizes = [sum(p.numel() for p in side.parameters()) for side in pair.values()]
    assert sizes[0] == sizes[1]
    assert pair["theirs"].config._attn_implementation == "sdpa"
    for side in pair.values():
        rates = {m.p for m in side.modules() if isinstance(m, nn.Dropout)}
        assert rates | {0.0} == {dropout, 0.0}
        assert {p.dtype for p in side.parameters()} == {torch.float32}
    batch = Case(model, "tiny").batch()
    assert batch.inputs["attention_mask"].all() and batch.num_predicted > 0


def test_a_difference_stops_the_benchmark(monkeypatch: pytest.MonkeyPatch) -> None:
    def unequal(case: Case) -> dict[str, nn.Module]:
        pair = real(case)
        with torch.no_grad():
            pair["theirs"].transformer.ln_f.weight.mul_(1.5)
        return pair

    real = bench.sides
    monkeypatch.setattr(bench, "sides", unequal)
    for task in ("train", "forward"):
        with pytest.raises(RuntimeError, match="cannot be compared"):
            bench.compare(task, Case("gpt", "tiny"), 2)


def test_the_sides_take_turns() -> None:
    called: list[str] = []
    bench.alternate(lambda: called.append("A"), lambda: called.append("B"), 4)
    assert "".join(called) == "BAABBAAB"


@pytest.mark.slow
def test_the_table_shows_each_row_and_the_conditions(record: dict) -> None:
    *lines, _, conditions = bench.speed_table(record).splitlines()
    assert len(lines) == len(record["rows"]) + 2
    assert {line.count("|") for line in lines} == {8}
    assert record["conditions"]["machine"] in conditions and "sizes" not in conditions


def test_the_page_of_the_book_is_made_from_the_committed_record() -> None:
    committed = json.loads((ROOT / "book/records/benchmark.json").read_text())
    shown = block("measured", (ROOT / "book/benchmark.md").read_text())
    assert shown == bench.speed_table(committed) + "\n"
    assert {row["size"] for row in committed["rows"]} == {"mini", "small"}


def test_unknown_sizes_and_too_few_repeats_are_refused() -> None:
    for sizes, repeats in ((["huge"], 3), (["tiny"], 1)):
        with pytest.raises(ValueError, match="sizes are tiny, mini, small"):
            bench.measure_speed(sizes, repeats)
