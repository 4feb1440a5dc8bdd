"""What the course set out to show on models of its own, how that is decided, and what came of it.

Each gate is a rule, and a verdict read from the records. Records with a claim were made after the
rule was written; the older ones before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from course_utils import records
from course_utils.comparison import code_lengths
from course_utils.writing import markdown_table, raised


@dataclass(frozen=True)
class Gate:
    """A rule and its verdict: "yes: …", "no: …", or "not measured: …"."""

    rule: str
    verdict: Callable[[], str]


def results(name: str) -> dict[str, Any]:
    """The results of a record."""
    return records.load(name)["results"]


def decided(met: bool, found: str) -> str:
    """A verdict in words."""
    return f"{'yes' if met else 'no'}: {found}"


def beats_counting() -> str:
    """Gate 1: every seed of gpt-mini against the 5-gram."""
    losses = results("pretraining")["models"]["gpt-mini"]["validation_loss"]["values"]
    level = results("counting")["levels"]["sotu"]["5-gram"]
    shown = ", ".join(f"{loss:.2f}" for loss in losses)
    return decided(max(losses) <= level - 0.15, f"{shown} nats a piece; the 5-gram {level:.2f}")


def one_unit() -> str:
    """Gate 2: a code length for each paradigm and for counting."""
    ways = {name: found[0] for name, found in code_lengths().items()}
    shown = ", ".join(f"{n} {way['bits_per_byte']['mean']:.2f}" for n, way in ways.items())
    return decided({"bert-mini", "gpt-mini", "t5-mini"} <= ways.keys(), f"{shown} bits a byte")


def straight_line() -> str:
    """Gate 8: the exponent of L(N), and how many tokens its runs had."""
    found = records.load("scaling-law")
    fit, tokens = found["results"]["fit"], max(trial["tokens"] for trial in found["trials"])
    shown = f"α = {fit['alpha']:.3f} ({fit['low']:.3f} to {fit['high']:.3f}), one budget of"
    return f"no: {shown} {tokens / 1e6:.1f}M tokens; the points bend"


def enough_items() -> str:
    """Gate 9: how many items a task of the few-shot record has."""
    count = records.load("few-shot")["settings"]["items"]
    return decided(count >= 500, f"{count} items a task, no chat template")


def ablation_budget() -> str:
    """Gate 10: the largest budget of a run."""
    most = max(trial["flops"] for trial in records.load("span-ablations")["trials"])
    return decided(most >= 4e13, f"spans at {raised(f'{most:.1e}')} FLOPs a run")


def verdict_of(name: str) -> Callable[[], str]:
    """The verdict that stands in a record, if it has been made."""

    def verdict() -> str:
        measured = name in records.available()
        return records.load(name)["verdict"] if measured else f"not measured: course run {name}"

    return verdict


def known(verdict: str) -> Callable[[], str]:
    """A verdict that no record holds."""
    return lambda: verdict


GATES = (
    Gate("gpt-mini is 0.15 nats a piece below the 5-gram, with every seed.", beats_counting),
    Gate("The three paradigms are measured in one unit, on the same text.", one_unit),
    Gate(
        "A paradigm agrees the verb across a noun of the other number in 60% of the pairs or more, "
        "and counting does not.",
        verdict_of("yardsticks"),
    ),
    Gate(
        "MiniLM, fine-tuned in full, is 10 points above the same architecture from scratch at 100 "
        "to 1,000 labels.",
        verdict_of("transfer"),
    ),
    Gate(
        "Pre-training helps each of our models at 316 and 1,000 labels, on two tasks of three.",
        verdict_of("own-transfer"),
    ),
    Gate("SmolLM2 finds samples nearly as likely as held-out text.", verdict_of("legibility")),
    Gate(
        "T5 restores a quarter of single masked words.",
        known("not measured: by this rule; Section 9.4 counts restored spans of t5-mini"),
    ),
    Gate("Loss against size is a straight line on logarithmic axes.", straight_line),
    Gate("Few-shot accuracies rest on 500 items a task or more.", enough_items),
    Gate("Ablations have 4e13 FLOPs a run or more.", ablation_budget),
    Gate(
        "MLM and CLM reach their exact bounds within 0.03 nats.",
        known("yes: in Section 9.5, where the page trains both and a test holds it"),
    ),
    Gate(
        "Each pitfall of fine-tuning does damage that one number shows.",
        known("not measured: by a rule written before the run"),
    ),
    Gate(
        "MiniLM's masked head knows 60% of capitals and continents at its first guess.",
        verdict_of("facts"),
    ),
)


def gates_table() -> str:
    """Rule and verdict of each gate as a Markdown table."""
    rows = [[str(number), g.rule, g.verdict()] for number, g in enumerate(GATES, start=1)]
    return markdown_table(["", "what was to be shown", "what was found"], rows)
