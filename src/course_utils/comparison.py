"""The comparison that the course rests on, read from the records: nothing in it is typed."""

from __future__ import annotations

from typing import Any

from course_utils import records
from course_utils.writing import markdown_table, raised

HEADER = (
    "model", "objective", "parameters", "tokens", "predicted", "FLOPs", "seeds",
    "held-out loss (nats)", "bits per byte", "code written", "forward passes a row",
    "movies, test accuracy",
)  # fmt: skip


def comparison() -> list[dict[str, Any]]:
    """One entry a paradigm: sizes, cost, losses and downstream score, with spreads over seeds.

    A loss is per predicted token of its own objective, so losses of two entries do not compare.
    Bits a byte do, for they are code lengths of the same text (`code_length`; of BERT's two orders
    the random one), and so does the downstream score.

    Raises:
        ValueError: the record "pretraining", "yardsticks" or "finetuning-curves" is not there.
    """
    runs = records.load("pretraining")["results"]["models"]
    tuned = records.load("finetuning-curves")["results"]["models"]
    codes = code_lengths()
    return [
        {"model": name, "seeds": len(run["validation_loss"]["values"]), **run}
        | {"code": codes[name][0], "test_accuracy": tuned[name]["test_accuracy"]}
        for name, run in runs.items()
    ]


def code_lengths() -> dict[str, list[dict[str, Any]]]:
    """Model → its code lengths of the held-out rows, an entry for each way of writing them.

    "counting" is one of the models; its ways are the n-grams.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for row in records.load("yardsticks")["results"]["bits_per_byte"]:
        found.setdefault(row["model"], []).append(row)
    return found


def cells(row: dict[str, Any]) -> list[str]:
    """One column of the printed table; ± is the standard deviation over seeds."""
    code, accuracy = row["code"], row["test_accuracy"]
    return [
        row["model"],
        row["objective"].replace("_", " "),
        f"{row['parameters']:,}",
        f"{row['tokens']:,}",
        f"{row['predicted']['mean']:,.0f}",
        raised(f"{row['flops']['mean']:.2e}"),
        str(row["seeds"]),
        plus_minus(row["validation_loss"], 3),
        plus_minus(code["bits_per_byte"], 2),
        code["scheme"],
        f"{code['passes_a_row']:.0f}",
        plus_minus(accuracy | {key: 100 * accuracy[key] for key in ("mean", "sd")}, 1, "%"),
    ]


def plus_minus(spread: dict[str, Any], digits: int, unit: str = "") -> str:
    """Mean ± standard deviation; of one value, the value."""
    if len(spread["values"]) == 1:
        return f"{spread['mean']:.{digits}f}{unit}"
    return f"{spread['mean']:.{digits}f} ± {spread['sd']:.{digits}f}{unit}"


def comparison_table() -> str:
    """The comparison as a Markdown table: a column a paradigm, so that a page holds its width.

    Where a GPU has trained three larger ones (record "gpu"), they stand beside.
    """
    columns = [*map(cells, comparison())]
    if "gpu" in records.available():
        trio = records.load("gpu")["results"]["trio"]
        columns += [larger_cells(name, row) for name, row in trio.items()]
    header, *rows = zip(HEADER, *columns, strict=True)
    return markdown_table(header, rows)


def larger_cells(name: str, row: dict[str, Any]) -> list[str]:
    """A column of one of them, with one seed; what was not measured is a dash."""

    def shown(key: str, form: str) -> str:
        return "–" if row.get(key) is None else format(row[key], form)

    films = shown("films, pretrained", ".1%")
    sizes = [shown("parameters", ","), shown("tokens", ","), "–", shown("flops", ".2e"), "1"]
    losses = [shown("validation_loss", ".3f"), shown("bits_per_byte", ".2f")]
    return [f"{name}, on a GPU", "–", *sizes, *losses, "–", "–", films]
