"""`course gpu`: what travels to a machine with a GPU, and what comes back as a record.

`tools/gpu_check.py` runs there, with nothing installed but PyTorch and transformers.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from course_tools.checkout import ROOT
from course_tools.shared import today
from course_utils import records
from course_utils.data.cache import sha256_of
from course_utils.data.examples import draw
from course_utils.data.sources import load_corpus, load_dataset, mixture, split
from course_utils.data.text import plain_ids, token_ids
from course_utils.data.tokenizers import SHIPPED, load_tokenizer
from course_utils.writing import markdown_table, read_json, write_json

SENTENCES = {"train": 1000, "validation": 500, "test": 1000}  # of the films, at most
SOURCES = ["course", "films"]
LUGGAGE = 64 * 2**20  # bytes that may travel
NOT_RUN = ["not run"] * 3  # where, when, at which commit
# Parts of the page's table: what it is, the stage that shows it, and which of its results.
PARTS = (
    ("logits compared with transformers', 32 bits", "checks", "float32"),
    ("logits compared with transformers', bf16", "checks", "bfloat16"),
    ("two processes on one card", "checks", "two processes"),
    ("resume after a stop", "checks", "resume"),
    ("torch.compile", "checks", "compile"),
    ("pre-training of a BERT of 27 M weights", "bert", "training"),
    ("pre-training of a GPT of 27 M weights", "gpt", "training"),
    ("pre-training of a T5 of 27 M weights", "t5", "training"),
    ("speed against transformers", "bench", ""),
    ("chapters and exercises at full size: memory, time", "memory", ""),
)
TRIED = "The script has run at a tiny size on a processor; on a GPU it has not run yet."
NEVER = ("torchrun on several machines", "a T4, as Colab lends it", "Apple's MPS")


def prepare_gpu(
    folder: Path,
    blimp: Path | None = None,
    documents: tuple[Sequence[str], Sequence[str]] | None = None,
) -> dict[str, Any]:
    """Write the mixture as ids, the film sentences and the tokenizer; return the manifest.

    Args:
        folder: where to; the script checks its files against `manifest.json`.
        blimp: an archive of BLiMP that is to travel too.
        documents: training and held-out texts; default the mixture that the course trains on.

    Raises:
        ValueError: the files take more than `LUGGAGE`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copytree(SHIPPED, folder / "tokenizer", dirs_exist_ok=True)
    given = documents is not None
    if documents is None:
        corpus = load_corpus("course")
        documents = (mixture(corpus), split(corpus)[1])
    ids = {"train": laid_out(documents[0]), "held_out": laid_out(documents[1])}
    # of the 16 bits of an id, about nine are kept
    np.savez_compressed(folder / "ids.npz", train=ids["train"], held_out=ids["held_out"])
    write_json(folder / "films.json", films())
    if blimp:
        shutil.copyfile(blimp, folder / "blimp.zip")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if size > LUGGAGE:
        raise ValueError(f"{folder} has {size:,} bytes, and {LUGGAGE:,} may travel; give less text")
    sums = {str(p.relative_to(folder)): sha256_of(p) for p in files if p.name != "manifest.json"}
    manifest = {
        **records.commit(),
        "data": {} if given else records.data(SOURCES),
        "tokens": {name: len(part) for name, part in ids.items()},
        "sha256": sums,
    }
    write_json(folder / "manifest.json", manifest)
    return manifest


def laid_out(documents: Sequence[str]) -> np.ndarray:
    """Ids of all documents, `<eos>` after each: uint16 (tokens,)."""
    tokenizer = load_tokenizer()
    end = [tokenizer.eos_token_id]
    rows = [np.array(row + end, dtype=np.uint16) for row in token_ids(documents, tokenizer)]
    return np.concatenate(rows)


def films() -> dict[str, dict[str, list]]:
    """Film sentences as ids, without special tokens, and their labels; a draw of each part."""
    found = load_dataset("films")
    tokenizer = load_tokenizer()
    parts = {}
    for part, most in SENTENCES.items():
        rows = found[part].select(draw(len(found[part]), most, seed=0))
        parts[part] = {"ids": plain_ids(tokenizer, rows["text"]), "labels": list(rows["label"])}
    return parts


def read_back(out: Path, to: Path = records.RECORDS) -> dict[str, Any]:
    """Make the record `gpu` of what a run left; the book shows it when it is built again.

    Raises:
        ValueError: nothing was measured, or a tiny run, which shows nothing.
    """
    found = read_json(out / "results.json")
    if found["settings"]["tiny"]:
        raise ValueError(f"{out} is of a tiny run: it tried the script and measured nothing")
    record = record_of(found)
    records.save_record(record, to)
    return record


def record_of(found: dict[str, Any]) -> dict[str, Any]:
    """The results file as a record, with the conditions of the machine that it ran on."""
    stages, manifest = found["stages"], found["manifest"]
    machines = [stage["machine"] for stage in stages.values() if "machine" in stage]
    if not machines:
        raise ValueError("no stage began: there is nothing to record")
    machine = machines[0]
    software = {key: machine[key] for key in ("python", "torch", "transformers", "cuda")}
    return {
        "name": "gpu",
        "measures": "what a GPU computes, how fast, and in how much memory",
        "command": "python tools/gpu_check.py",
        "date": today(),
        "seed": 0,
        "settings": found["settings"],
        "data": manifest["data"],
        "commit": manifest["commit"],
        "dirty": manifest["dirty"],
        "machine": f"{machine['name']}, {machine['memory'] / 1e9:.0f} GB",
        "threads": machine["cores"],
        "software": software,
        "seconds": sum(stage["seconds"] for stage in stages.values()),
        "results": summary_of(stages) | {"matmul_peak": machine["matmul_peak"]},
        "trials": [{"stage": name, **stage} for name, stage in stages.items()],
    }


ABOUT = ("status", "seconds", "machine")  # in a stage, beside what it measured


def summary_of(stages: dict[str, Any]) -> dict[str, Any]:
    """The results by stage: rows of a table each, and the trio in one."""
    three = {name: stages[name] for name in ("bert", "gpt", "t5") if name in stages}
    summary: dict[str, Any] = {
        "stages": {name: {key: s[key] for key in ABOUT[:2]} for name, s in stages.items()}
    }
    for name, stage in stages.items():
        if name not in three:
            summary[name] = {key: row for key, row in stage.items() if key not in ABOUT}
    return summary | {"trio": {name: trio_row(stage) for name, stage in three.items()}}


def trio_row(stage: dict[str, Any]) -> dict[str, Any]:
    """One of the trio in a row: what it cost and what it can do, as far as it was measured."""
    training, fit = stage.get("training", {}), stage.get("fit", {})
    last = training.get("history", [{}])[-1]
    transfer = stage.get("transfer", {})
    row = {key: fit.get(key) for key in ("parameters", "limit", "optimizer")}
    row |= {key: training.get(key) for key in ("step", "tokens", "flops", "seconds")}
    row |= {key: last.get(key) for key in ("loss", "validation_loss", "tokens_per_second", "mfu")}
    row["bits_per_byte"] = stage.get("bits", {}).get("bits_per_byte")
    for start in ("pretrained", "random"):
        row[f"films, {start}"] = transfer.get(start, {}).get("test_accuracy")
    for sets in ("minimal_pairs", "blimp"):
        means = [s["mean"] for s in stage.get(sets, {}).values() if isinstance(s, dict)]
        row[sets] = sum(means) / len(means) if means else None
    return row


def hardware_table() -> str:
    """What has run on which hardware, when and at which commit; what has not says so."""
    rows = [
        [f"measured: {name}", *ran_on(records.load(name))]
        for name in records.available()
        if name != "gpu"
    ]
    speed = read_json(ROOT / "book/records/benchmark.json")["conditions"]
    rows.append(["measured: speed against transformers", *ran_on(speed)])
    gpu = records.load("gpu") if "gpu" in records.available() else None
    rows += gpu_rows(gpu)
    rows += [[what, *NOT_RUN] for what in NEVER]
    table = markdown_table(["what", "on which hardware", "when", "commit"], rows)
    return table if gpu else f"{table}\n\n{TRIED}"


def ran_on(record: dict[str, Any]) -> list[str]:
    """Cells of a row: hardware, date, commit."""
    return [record["machine"], record["date"], record["commit"]]


def gpu_rows(record: dict[str, Any] | None) -> list[list[str]]:
    """A row for each part of the script; `record` is `gpu`, if there is one."""
    return [
        [f"on a GPU: {what}", *(ran_on(record) if record and has_run(record, *part) else NOT_RUN)]
        for what, *part in PARTS
    ]


def has_run(record: dict[str, Any], stage: str, part: str) -> bool:
    """Whether a stage measured a part, and none of it ended in an error."""
    for trial in record["trials"]:
        if trial["stage"] == stage:
            rows = [row for key, row in trial.items() if part in key and key not in ABOUT]
            return bool(rows) and not any("error" in row for row in rows)
    return False
