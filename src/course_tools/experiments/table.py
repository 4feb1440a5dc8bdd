"""The table of everything the book measures, and the runner: trials, resumed, then one record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from course_tools.experiments import (
    cost,
    data_efficiency,
    few_shot,
    finetuning,
    intent_slots,
    masking,
    pretraining,
    scaling,
    sentiment,
    spans,
    tries,
)
from course_utils import records

Settings = dict[str, Any]
Trial = dict[str, Any]


@dataclass(frozen=True)
class Experiment:
    """One row of the table.

    An experiment is a list of independent trials (one model, one seed, one condition) and a
    summary of them. `settings` holds all its numbers; `tiny` replaces some, so that the same code
    runs in seconds. Lists in the settings, and "seeds", only say which trials there are.
    """

    measures: str
    minutes: float  # on two cores
    settings: Settings
    tiny: Settings
    trials: Callable[[Settings], list[Trial]]
    measure: Callable[..., dict[str, Any]]  # measure(settings, **trial)
    summarise: Callable[[list[Trial]], dict[str, Any]]


def _row(module: ModuleType, measures: str, minutes: float) -> Experiment:
    parts = (module.SETTINGS, module.TINY, module.trials, module.measure, module.summarise)
    return Experiment(measures, minutes, *parts)


EXPERIMENTS: dict[str, Experiment] = {
    "pretraining-tries": _row(tries, "the recipe of each paradigm, by as many tries", 20),
    "pretraining": _row(
        pretraining,
        "learning curves of the three objectives: one text, as many weights and FLOPs",
        90,
    ),
    "finetuning-curves": _row(
        finetuning, "F7: the three minis fine-tuned on the movie sentences", 8
    ),
    "data-efficiency": _row(
        data_efficiency, "F6: accuracy by number of labels, pre-trained against random start", 10
    ),
    "masking-ablations": _row(
        masking, "masking rate 10–60%, 80/10/10 against all [MASK], with and without NSP", 15
    ),
    "span-ablations": _row(spans, "span corruption with mean spans of 1 to 10", 8),
    "scaling-law": _row(scaling, "held-out loss of GPTs of seven sizes, and α of L(N)", 16),
    "few-shot": _row(
        few_shot, "SmolLM2 with 0 to 8 examples: sentiment, questions, calibration", 10
    ),
    "cost": _row(cost, "FLOPs by 6·N·D, time and energy of our models and of published ones", 0.1),
    "intent-slots": _row(
        intent_slots, "flight booking: intent and slots together, α from 0 to 1", 4
    ),
    "sentiment": _row(sentiment, "a fine-tuned bert-mini and a lexicon on the movie sentences", 2),
}


def find(name: str) -> Experiment:
    """The row of a name.

    Raises:
        ValueError: an unknown name.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def minutes(name: str) -> float:
    """How long a run takes: as the committed record took, else as estimated."""
    if name in records.available():
        return records.load(name)["seconds"] / 60
    return find(name).minutes


def estimate(names: list[str], tiny: bool = False) -> str:
    """What will be measured and how long it takes, as a few lines."""
    lines = [f"{minutes(name):6.0f} min  {name}: {find(name).measures}" for name in names]
    if tiny:
        return "\n".join(line[12:] for line in lines)
    total = sum(map(minutes, names))
    return "\n".join([*lines, f"{total:6.0f} min  in all, on two cores; less what has already run"])


def run(
    name: str,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    tiny: bool = False,
    say: Callable[[str], object] = print,
) -> Path:
    """Run what is left to run of an experiment; when all trials are there, write its record.

    Args:
        name: a row of `EXPERIMENTS`.
        seed: of the first repetition; the others count on from it.
        out: folder of trials and record. Without it, trials go to runs/NAME, and the record of the
            full experiment at seed 0 replaces the book's.
        tiny: the same code in seconds, to see that it is alive.
        say: gets a line a trial.

    Returns:
        Where the record is.

    Raises:
        ValueError: an unknown name.
    """
    experiment = find(name)
    settings = {**experiment.settings, **(experiment.tiny if tiny else {}), "seed": seed}
    label = name + "-tiny" * tiny + f"-seed{seed}" * bool(seed)
    folder = Path(out) if out else Path("runs") / label
    settings["folder"] = str(folder)
    done, trials = [], experiment.trials(settings)
    now = records.conditions()  # of the code that was loaded, whatever is edited while it runs
    for number, trial in enumerate(trials, 1):
        done.append(_trial(experiment, settings, trial, folder / "trials", now))
        say(f"{name} {number}/{len(trials)}: {describe(trial)}, {done[-1]['seconds']:.0f} s")
    target = folder if out or tiny or seed else records.RECORDS
    command = f"course run {name}" + " --tiny" * tiny + f" --seed {seed}" * bool(seed)
    facts = {"name": name, "measures": experiment.measures, "command": command}
    return records.save(facts | _assemble(experiment, settings, done), target)


def describe(trial: Trial) -> str:
    """A trial in words."""
    return " ".join(f"{key} {value}" for key, value in trial.items())


def _trial(
    experiment: Experiment, settings: Settings, trial: Trial, folder: Path, now: dict[str, Any]
) -> Trial:
    """One trial with results, time and conditions: read if it has run, else run and written."""
    design = ("seed", "seeds", "folder")
    fixed = {k: v for k, v in settings.items() if k not in design and not isinstance(v, list)}
    path = folder / f"{records.digest([fixed, trial])[:16]}.json"
    if not path.is_file():
        began = time.perf_counter()
        results = experiment.measure(settings, **trial)
        seconds = round(time.perf_counter() - began, 2)
        # a trial that only reads an earlier run says itself how long that took
        when = {"seconds": seconds, "date": datetime.now(UTC).strftime("%Y-%m-%d")}
        records.write_json(path, trial | when | results | {"conditions": now})
    return records.read_json(path)


def _assemble(experiment: Experiment, settings: Settings, done: list[Trial]) -> dict[str, Any]:
    """The record of complete trials: what they share is said once."""
    conditions = [trial.pop("conditions") for trial in done]
    shared = dict(conditions[-1])
    for key in ("commit", "machine"):
        shared[key] = ", ".join(dict.fromkeys(c[key] for c in conditions))
    return shared | {
        "dirty": any(c["dirty"] for c in conditions),
        "date": max(trial.pop("date") for trial in done),
        "seed": settings["seed"],
        "settings": {k: v for k, v in settings.items() if k not in ("seed", "sources", "folder")},
        "data": records.data(settings["sources"]),
        "seconds": round(sum(trial["seconds"] for trial in done), 1),
        "results": experiment.summarise(done),
        "trials": done,
    }
