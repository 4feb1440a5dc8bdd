"""The comparison that the course rests on, read from the records: nothing in it is typed."""

from __future__ import annotations

from typing import Any

from course_utils import records
from course_utils.writing import markdown_table

HEADER = (
    "model", "objective", "parameters", "tokens", "predicted", "FLOPs", "seeds",
    "held-out loss (nats)", "bits per byte", "movies, test accuracy",
)  # fmt: skip


def comparison() -> list[dict[str, Any]]:
    """One entry a paradigm: sizes, cost, losses and downstream score, with spreads over seeds.

    A loss is per predicted token of its own objective, so losses of two entries do not compare; the
    downstream score does.

    Raises:
        ValueError: the records "pretraining" or "finetuning-curves" are not there.
    """
    runs = records.load("pretraining")["results"]["models"]
    tuned = records.load("finetuning-curves")["results"]["models"]
    return [
        {"model": name, "seeds": len(run["validation_loss"]["values"]), **run}
        | {"test_accuracy": tuned[name]["test_accuracy"]}
        for name, run in runs.items()
    ]


def cells(row: dict[str, Any]) -> list[str]:
    """One column of the printed table; ± is the standard deviation over seeds."""
    bits, accuracy = row["bits_per_byte"], row["test_accuracy"]
    return [
        row["model"],
        row["objective"].replace("_", " "),
        f"{row['parameters']:,}",
        f"{row['tokens']:,}",
        f"{row['predicted']['mean']:,.0f}",
        f"{row['flops']['mean']:.2e}",
        str(row["seeds"]),
        plus_minus(row["validation_loss"], 3),
        plus_minus(bits, 3) if bits else "–",
        plus_minus(accuracy | {key: 100 * accuracy[key] for key in ("mean", "sd")}, 1, "%"),
    ]


def plus_minus(spread: dict[str, Any], digits: int, unit: str = "") -> str:
    """Mean ± standard deviation; of one value, the value."""
    if len(spread["values"]) == 1:
        return f"{spread['mean']:.{digits}f}{unit}"
    return f"{spread['mean']:.{digits}f} ± {spread['sd']:.{digits}f}{unit}"


def comparison_table() -> str:
    """The comparison as a Markdown table: a column a paradigm, so that a page holds its width."""
    header, *rows = zip(HEADER, *map(cells, comparison()), strict=True)
    return markdown_table(header, rows)
