"""A ranking at a fixed budget: bits a byte on held-out text, computed from handed-in weights.

An entry is a folder that `course pretrain NAME --out FOLDER` wrote: `run.json` and `model/`. Of it
only numbers are believed that can be held against the weights; `again` trains an entry anew.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course_utils.checks import require
from course_utils.cost import train_flops
from course_utils.writing import markdown_table

BUDGET = 4e13  # FLOPs: ten to twenty minutes of two cores
MOST_WEIGHTS = 10_000_000
ROWS, LENGTH = 64, 126  # of held-out speeches, as in the record "yardsticks"
CLASSES = {"bert": "BertForMaskedLM", "gpt2": "GPT2LMHeadModel"}
CLASSES["t5"] = "T5ForConditionalGeneration"
HEAD = ("rank", "who", "model", "weights", "FLOPs", "bits a byte")


@dataclass(frozen=True)
class Entry:
    """What was handed in, or why it cannot be ranked."""

    who: str
    facts: dict[str, Any]
    bits: float = float("inf")
    fault: str = ""

    def cells(self, rank: int | None) -> list[str]:
        """Its line of the table."""
        if self.fault:
            return ["–", self.who, self.fault, "", "", ""]
        numbers = [
            f"{self.facts['parameters']:,}",
            f"{self.facts['flops']:.1e}",
            f"{self.bits:.3f}",
        ]
        return [str(rank), self.who, self.facts["name"], *numbers]


def ranking(folder: Path) -> str:
    """The table of all entries below a folder, the shortest code first; then those with a fault.

    Raises ValueError where the folder holds no `run.json`.
    """
    found = sorted(folder.glob("*/**/run.json"))
    require(bool(found), f"no entries below {folder}: each is a folder with run.json and model/")
    entries = [entry(path.parent, folder) for path in found]
    entries.sort(key=lambda one: (bool(one.fault), one.bits, one.who))
    rows = [one.cells(rank) for rank, one in enumerate(entries, start=1)]
    return markdown_table(HEAD, rows)


def entry(path: Path, folder: Path) -> Entry:
    """Measure one entry; what is wrong with it is said in its place."""
    who = path.relative_to(folder).parts[0]
    try:
        facts = facts_of(path)
        return Entry(who, facts, measured_bits(path / "model", facts))
    except (ValueError, OSError) as error:
        return Entry(who, {}, fault=" ".join(str(error).split())[:160].replace("|", "/"))


def facts_of(path: Path) -> dict[str, Any]:
    """What `run.json` says: name, parameters, tokens and FLOPs, within the budget.

    Raises ValueError, or OSError for a file that cannot be read.
    """
    try:
        facts = json.loads((path / "run.json").read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"run.json is no JSON: {error}") from error
    counts = ("parameters", "tokens", "flops")
    known = isinstance(facts, dict) and all(type(facts.get(k)) in (int, float) for k in counts)
    require(known and isinstance(facts.get("name"), str), f"run.json lacks name or {counts}")
    flops = facts["flops"]
    require(0 < flops <= 1.02 * BUDGET, f"{flops:.2e} FLOPs, the budget is {BUDGET:.0e}")
    return facts


def measured_bits(path: Path, facts: dict[str, Any]) -> float:
    """Bits a byte that the weights in `path` need for the held-out rows, by the chain rule.

    Raises ValueError for a model of another kind, size or vocabulary than `facts` and the course.
    """
    from course_tools.experiments.yardsticks import held_out_rows
    from course_utils.code_length import LEFT_TO_RIGHT, RANDOM, code_length
    from course_utils.data.tokenizers import load_tokenizer
    from course_utils.models import T5, Bert

    model, tokenizer = load(path), load_tokenizer("course")
    weights = sum(parameter.numel() for parameter in model.parameters())
    require(
        weights == facts["parameters"], f"run.json says {facts['parameters']} weights: {weights}"
    )
    vocabulary = model.token_embedding.weight.shape[0]
    require(vocabulary == len(tokenizer), f"{vocabulary} pieces; the course's tokenizer has others")
    blocks = weights - vocabulary * model.token_embedding.weight.shape[1]
    least = train_flops(blocks, facts["tokens"]) / (2 if isinstance(model, T5) else 1)
    require(facts["flops"] > 0.9 * least, f"so many tokens take {least:.1e} FLOPs, not fewer")
    order = RANDOM if isinstance(model, Bert) else LEFT_TO_RIGHT
    return code_length(model, tokenizer, held_out_rows(ROWS, LENGTH), order=order).bits_per_byte


def load(path: Path) -> Any:
    """One of the course's models from `model.safetensors`; never a pickle, nobody's own code.

    Raises ValueError for another class, or more weights than a recipe of the course has.
    """
    import torch
    import transformers

    from course_utils.models.huggingface import from_hf

    config = transformers.AutoConfig.from_pretrained(path, local_files_only=True)
    require(config.model_type in CLASSES, f"{config.model_type} is not one of {', '.join(CLASSES)}")
    kind = getattr(transformers, CLASSES[config.model_type])
    with torch.device("meta"):  # sizes without memory
        size = sum(parameter.numel() for parameter in kind(config).parameters())
    require(size <= MOST_WEIGHTS, f"{size:,} weights; at most {MOST_WEIGHTS:,}")
    found = kind.from_pretrained(path, use_safetensors=True, local_files_only=True)
    return from_hf(found)


def again(path: Path) -> tuple[float, float]:
    """Train an entry anew by its `run.json`: its bits a byte as handed in, and as trained here.

    On one machine with one number of threads both are equal; elsewhere they are near each other.
    """
    import tempfile

    from course_utils.pretrain import pretrain

    facts = facts_of(path)
    changes = {**facts["settings"], **facts["rows"]}
    changes |= {"options": facts["options"], "shares": facts["shares"]}
    with tempfile.TemporaryDirectory() as folder:
        pretrain(facts["name"], out=folder, progress=False, **changes)
        return measured_bits(path / "model", facts), measured_bits(Path(folder) / "model", facts)
