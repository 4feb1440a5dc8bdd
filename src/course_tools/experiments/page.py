"""The book's page "Measured results", written from the records whenever the book is built."""

from __future__ import annotations

import re
from typing import Any

from course_tools.experiments.gates import gates_table
from course_utils import records
from course_utils.comparison import comparison_table
from course_utils.data import sources
from course_utils.writing import markdown_table, raised

Cells = dict[str, str]


def records_page() -> str:
    """What was to be shown, the comparison, then each record: what, how, where, its results."""
    first = [GATES, gates_table(), "## The comparison", COMPARISON, comparison_table()]
    return "\n\n".join([*first, *(record_section(records.load(n)) for n in records.available())])


GATES = """## What worked and what did not

Records that state a question and a rule were made after the rule was written; the older ones were
made before it, and are held to it here. *No* and *not measured* stand here as openly as *yes*: a
model of a million weights, trained for minutes, shows little of what pre-training does at size, and
a reader should know which of the book's effects rest on measurements and which on citations."""

COMPARISON = """One column a paradigm: the same text and tokenizer, equally many parameters and
FLOPs. ± is the standard deviation over seeds. A loss is per token that *this* objective predicts,
so the losses of different columns do not compare. Two rows do: the bits that each model needs for a
byte of held-out text, when it writes the text by a chain rule in the way that the row below names;
and the accuracy on movie sentences after fine-tuning."""


def corpus_sources() -> str:
    """The sources of the mixture: package, terms, share, sizes of both parts."""
    rows = []
    for name, size in records.load("counting")["results"]["sources"].items():
        row = next(
            row for row in sources.TABLE if row.name == {"sentences": "films"}.get(name, name)
        )
        assert row.stand_in
        cells = {
            "source": name,
            "package": str(row.stand_in.wheel),
            "terms": row.stand_in.licence,
            "share": digits(sources.SHARES[row.name]),
            "documents": digits(size["documents"]),
            "MB": f"{size['bytes'] / 1e6:.1f}",
            "words": f"{size['words'] / 1e6:.2f} M",
            "pieces": f"{size['tokens'] / 1e6:.2f} M",
            "held-out documents": digits(size["held_out_documents"]),
            "held-out MB": f"{size['held_out_bytes'] / 1e6:.2f}",
        }
        rows.append(cells)
    return markdown_table(list(rows[0]), [list(cells.values()) for cells in rows])


def corpus_bits() -> str:
    """The 5-gram's nats a piece by source, and its bits a byte with each tokenizer."""
    record = records.load("counting")
    results = record["results"]
    names = list(results["sources"])
    nats = ["nats a piece, mixture, shipped", *(digits(results["nats_a_token"][n]) for n in names)]
    lines = [[*nats, ""]]
    for text, found in results["bits_a_byte"].items():
        for tokenizer, bits in found.items():
            told = tokenizer if tokenizer == "shipped" else f"new, {int(tokenizer):,} pieces"
            counted = "mixture" if text == "course" else "speeches"
            cells = [f"{bits[name]:.3f}" if name in bits else "–" for name in (*names, "all")]
            lines.append([f"bits a byte, {counted}, {told}", *cells])
    verdict = f"{record['question']} *{record['rule']}* **{capital(record['verdict'])}.**"
    return markdown_table(["counted in, tokenizer", *names, "all"], lines) + f"\n\n{verdict}"


def record_section(made: dict[str, Any]) -> str:
    """One record as a section: facts, then results."""
    facts = markdown_table(["", ""], [[key, value] for key, value in how_measured(made).items()])
    tables = [listing(name, content) for name, content in made["results"].items()]
    what = re.sub(r"^F(\d):", r"Figure 9.\1:", capital(made["measures"]))
    parts = [f"## {made['name']}", what + ".", *claim(made), *filter(None, tables), facts]
    return "\n\n".join(parts)


def claim(made: dict[str, Any]) -> list[str]:
    """Question, rule of decision, controls and verdict, a paragraph each; none in older records."""
    said = {key: capital(" ".join(made[key].split())) for key in records.CLAIM if key in made}
    return [f"**{capital(key)}.** {text}" for key, text in said.items()]


def how_measured(made: dict[str, Any]) -> Cells:
    """What a reader needs to judge the numbers or to measure them again."""
    data = (f"{name} (`{found['sha256'][:12]}`)" for name, found in made["data"].items())
    software = (f"{name} {number}" for name, number in made["software"].items())
    changed = ", with changes" if made["dirty"] else ""
    return {
        "command": f"`{made['command']}`",
        "time": f"{made['seconds'] / 60:.1f} minutes, {len(made['trials'])} trials, {made['date']}",
        "configuration": ", ".join(f"{k} {plain(v)}" for k, v in made["settings"].items()),
        "data, sha256": ", ".join(data) or "none",
        "machine": f"{made['machine']}, threads: {made['threads']}",
        "software": ", ".join(software),
        "code": f"commit {made['commit']}{changed}",
    }


def plain(value: Any) -> str:
    """A setting without the brackets of Python."""
    if isinstance(value, list):
        return " ".join("×".join(map(str, v)) if isinstance(v, list) else str(v) for v in value)
    return "all" if value is None else f"`{value}`" if isinstance(value, str) else str(value)


def listing(name: str, content: Any) -> str:
    """A table of a list of entries, or of a dict of them; a line for anything else."""
    if isinstance(content, list) and content:
        return grid([flat(entry) for entry in content])
    if is_table(content):
        return grid([{name.rstrip("s"): key} | flat(entry) for key, entry in content.items()])
    shown = flat({name: content})
    return "; ".join(f"{key} {value}" for key, value in shown.items()) + "." if shown else ""


def is_table(content: Any) -> bool:
    """Whether it is a dict of entries."""
    return isinstance(content, dict) and bool(content) and all(map(is_entry, content.values()))


def is_entry(content: Any) -> bool:
    """Whether it is a dict that is no spread."""
    return isinstance(content, dict) and "values" not in content


def flat(entry: dict[str, Any]) -> Cells:
    """Column → text; dicts inside become columns of their own, curves and lists are left out."""
    cells: Cells = {}
    for key, value in entry.items():
        label = key.replace("_", " ")
        if is_entry(value):
            cells |= {f"{label}, {inner}": text for inner, text in flat(value).items()}
        elif isinstance(value, dict):
            error = f" ± {value['sd']:.2g}" if len(value["values"]) > 1 else ""
            cells[label] = digits(value["mean"]) + error
        elif not isinstance(value, list):
            cells[label] = digits(value)
    return cells


def digits(value: Any) -> str:
    """Digits as far as they say something; nothing for None."""
    if value is None:
        return "–"
    if isinstance(value, float) and not value.is_integer():
        outside = abs(value) < 1e-2 or abs(value) >= 1e5
        return raised(f"{value:.3g}" if outside else f"{value:.4g}")
    if isinstance(value, int | float):
        return f"{value:,.0f}" if abs(value) < 1e9 else raised(f"{value:.3g}")
    return f"{{cite:t}}`{value}`" if re.fullmatch(r"[a-z]+-\d{4}-[a-z0-9]+", value) else str(value)


def grid(rows: list[Cells]) -> str:
    """Rows with some or all columns in common as one table; a few wide ones stand upright."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [columns, *([row.get(column, "–") for column in columns] for row in rows)]
    if len(rows) <= 5 and len(columns) > 6:
        lines = list(map(list, zip(*lines, strict=True)))
    return markdown_table(lines[0], lines[1:])


def capital(text: str) -> str:
    """The text with a capital first letter."""
    return text[:1].upper() + text[1:]
