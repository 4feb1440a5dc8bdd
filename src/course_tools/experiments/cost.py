"""What training costs: FLOPs by 6·N·D, time and energy; of published models, and of the course's.

Published sizes and token counts are cited; where a paper gives no token count, nothing is computed.
Energy is an estimate on one common footing: as if each model had been trained at the rate and power
that Patterson et al. 2021 (table 4) give for GPT-3 on V100 accelerators. Small models use hardware
less well, so theirs is a lower bound. For our own runs, time is measured and power is assumed.
"""

from __future__ import annotations

from typing import Any

from course_utils import records
from course_utils.cost import train_flops

V100 = {"flops_per_second": 24.6e12, "watts": 330.0, "overhead": 1.10}  # delivered; chip; PUE
WATTS_A_CORE = 10.0  # assumed: the order of a server processor's power divided by its cores
JOULES_A_KWH = 3.6e6

# Parameters, training tokens (None: not published), weights a token passes, BibTeX key, note.
PUBLISHED: dict[str, tuple[float, float | None, float, str, str]] = {
    "GPT-1": (117e6, None, 1.0, "radford-2018-gpt", "epochs are given, tokens are not"),
    "BERT-base": (110e6, 131e9, 1.0, "devlin-2019-bert", "10⁶ steps × 256 × 512 nominal"),
    "BERT-large": (340e6, 131e9, 1.0, "devlin-2019-bert", "10⁶ steps × 256 × 512 nominal"),
    "GPT-2 1.5B": (1.5e9, None, 1.0, "radford-2019-gpt2", "tokens are not published"),
    "T5-base": (
        220e6,
        1e12,
        0.5,
        "raffel-2020-t5",
        "10⁶ steps × 2¹¹ × 512; a token passes one stack",
    ),
    "T5-11B": (
        11e9,
        1e12,
        0.5,
        "raffel-2020-t5",
        "10⁶ steps × 2¹¹ × 512; a token passes one stack",
    ),
    "GPT-3": (175e9, 300e9, 1.0, "brown-2020-gpt3", ""),
}
SETTINGS: dict[str, Any] = {"sources": [], "models": ["published", "course"]}
TINY: dict[str, Any] = {}  # it is tiny


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Published models, and the course's own as far as the record of their runs is there."""
    known = "pretraining" in records.available()
    runs = records.load("pretraining")["sha256"] if known else ""
    which = {"published": "cited", "course": runs}
    return [{"models": models, "of": which[models]} for models in settings["models"]]


def measure(settings: dict[str, Any], models: str, of: str) -> dict[str, Any]:
    """Compute the table of either kind."""
    if models == "published":
        return {"rows": [published(name) for name in PUBLISHED]}
    runs = records.load("pretraining")["results"]["models"] if of else {}
    return {"rows": [own(name, run) for name, run in runs.items()]}


def published(name: str) -> dict[str, Any]:
    """One published model."""
    parameters, tokens, share, source, note = PUBLISHED[name]
    flops = train_flops(parameters * share, tokens) if tokens else None
    seconds = flops / V100["flops_per_second"] if flops else None
    watts = V100["watts"] * V100["overhead"]
    return {
        "model": name,
        "parameters": parameters,
        "tokens": tokens,
        "flops": flops,
        "v100_hours": seconds and seconds / 3600,
        "kilowatt_hours": seconds and seconds * watts / JOULES_A_KWH,
        "source": source,
        "note": note,
    }


def own(name: str, run: dict[str, Any]) -> dict[str, Any]:
    """One of the course's models: 6·N·D beside the exact formula's count."""
    seconds = run["seconds"]["mean"]
    return {
        "model": name,
        "parameters": run["parameters"],
        "tokens": run["tokens"],
        "flops": train_flops(run["parameters"], run["tokens"]),
        "formula_flops": run["flops"]["mean"],
        "hours": seconds / 3600,
        "kilowatt_hours": seconds * WATTS_A_CORE / JOULES_A_KWH,
        "source": "measured",
        "note": f"one core, {WATTS_A_CORE:g} W assumed",
    }


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Both tables and what was assumed."""
    rows = {trial["models"]: trial["rows"] for trial in trials}
    return rows | {"assumed": {"v100": V100, "watts_a_core": WATTS_A_CORE}}
