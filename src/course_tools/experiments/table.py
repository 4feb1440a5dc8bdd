"""The table of everything the book measures, and the runner: trials, resumed, then one record."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from course_tools.experiments import (
    cost,
    counting,
    data_efficiency,
    facts,
    few_shot,
    finetuning,
    intent_slots,
    legibility,
    masking,
    own_transfer,
    pretraining,
    scaling,
    spans,
    transfer,
    tries,
    yardsticks,
)
from course_tools.shared import today
from course_utils import records
from course_utils.writing import read_json, write_json

Settings = dict[str, Any]
Trial = dict[str, Any]
NOT_SETTINGS = ("seed", "sources", "folder", "blimp")  # in a record: elsewhere, or a path


@dataclass(frozen=True)
class Claim:
    """What is asked and how it is decided, written down before the run."""

    question: str
    rule: str  # what counts as yes, as no and as silent
    controls: str  # what an effect must beat
    verdict: Callable[[dict[str, Any]], str]  # of the results: "yes: …", "no: …" or "silent: …"


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
    claim: Claim | None = None


def _row(module: ModuleType, measures: str, minutes: float) -> Experiment:
    """A new experiment: its module says what it asks and how that is decided."""
    claim = Claim(module.QUESTION, module.RULE, module.CONTROLS, module.verdict)
    return replace(_without_claim(module, measures, minutes), claim=claim)


def _without_claim(module: ModuleType, measures: str, minutes: float) -> Experiment:
    """An experiment from before a rule of decision was asked for; add none."""
    parts = (module.SETTINGS, module.TINY, module.trials, module.measure, module.summarise)
    return Experiment(measures, minutes, *parts)


EXPERIMENTS: dict[str, Experiment] = {
    "pretraining-tries": _without_claim(tries, "the recipe of each paradigm, by as many tries", 20),
    "pretraining": _without_claim(
        pretraining,
        "learning curves of the three objectives: one text, as many weights and FLOPs",
        90,
    ),
    "finetuning-curves": _without_claim(
        finetuning, "F7: the three minis fine-tuned on the movie sentences", 8
    ),
    "data-efficiency": _without_claim(
        data_efficiency, "F6: accuracy by number of labels, pre-trained against random start", 10
    ),
    "masking-ablations": _without_claim(
        masking, "masking rate 10–60%, 80/10/10 against all [MASK], with and without NSP", 15
    ),
    "span-ablations": _without_claim(spans, "span corruption with mean spans of 1 to 10", 8),
    "scaling-law": _without_claim(
        scaling, "held-out loss of GPTs of seven sizes, and α of L(N)", 16
    ),
    "few-shot": _without_claim(
        few_shot, "SmolLM2 with 0 to 8 examples: sentiment, questions, calibration", 10
    ),
    "cost": _without_claim(
        cost, "FLOPs by 6·N·D, time and energy of our models and of published ones", 0.1
    ),
    "intent-slots": _without_claim(
        intent_slots, "flight booking: intent and slots together, α from 0 to 1", 4
    ),
    "counting": _row(
        counting, "n-grams of 1 to 5 pieces on speeches and mixture; tokenizers by bits a byte", 20
    ),
    "yardsticks": _row(
        yardsticks,
        "bits a byte of BERT, GPT and T5 by the chain rule, and minimal pairs, beside counting",
        15,
    ),
    "transfer": _row(
        transfer, "F6: MiniLM fine-tuned in full, from scratch and frozen, by number of labels", 240
    ),
    "own-transfer": _row(
        own_transfer, "the three minis with few labels, pre-trained and random, on three tasks", 60
    ),
    "facts": _row(facts, "clozes on capitals and continents, by MiniLM's masked head", 1),
    "legibility": _row(
        legibility, "what gpt-mini writes, read by SmolLM2 beside held-out text and the 5-gram", 4
    ),
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


def run_experiment(
    name: str,
    *,
    seed: int = 0,
    out: str | Path | None = None,
    tiny: bool = False,
    blimp: str | Path | None = None,
    say: Callable[[str], object] = print,
) -> Path:
    """Run what is left to run of an experiment; when all trials are there, write its record.

    Args:
        name: a row of `EXPERIMENTS`.
        seed: of the first repetition; the others count on from it.
        out: folder of trials and record. Without it, trials go to runs/NAME, and the record of the
            full experiment at seed 0 replaces the book's.
        tiny: the same code in seconds, to see that it is alive.
        blimp: an archive of BLiMP, for the experiment that reads it; else the hub is asked.
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
    if blimp:
        settings["blimp"] = str(blimp)
    done, trials = [], experiment.trials(settings)
    now = records.conditions()  # of the code that was loaded, whatever is edited while it runs
    for number, trial in enumerate(trials, 1):
        done.append(_trial(experiment, settings, trial, folder / "trials", now))
        say(f"{name} {number}/{len(trials)}: {describe(trial)}, {done[-1]['seconds']:.0f} s")
    target = folder if out or tiny or seed else records.RECORDS
    command = f"course run {name}" + " --tiny" * tiny + f" --seed {seed}" * bool(seed)
    facts = {"name": name, "measures": experiment.measures, "command": command}
    record = facts | _assemble(experiment, settings, done)
    if claim := experiment.claim:
        told = {key: getattr(claim, key) for key in ("question", "rule", "controls")}
        record |= told | {"verdict": claim.verdict(record["results"])}
    return records.save_record(record, target)


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
        when = {"seconds": seconds, "date": today()}
        write_json(path, trial | when | results | {"conditions": now})
    return read_json(path)


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
        "settings": {k: v for k, v in settings.items() if k not in NOT_SETTINGS},
        "data": records.data(settings["sources"]),
        "seconds": round(sum(trial["seconds"] for trial in done), 1),
        "results": experiment.summarise(done),
        "trials": done,
    }
