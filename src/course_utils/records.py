"""Records: what was measured, with all that is needed to judge it and to measure it again.

One JSON file an experiment. It lies in the package, so that a chapter opened alone has it too.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from course_utils.writing import read_json, write_json

SOURCE = Path(__file__).resolve().parents[1]  # of both packages
RECORDS = Path(__file__).with_name("records")
FIELDS: dict[str, type] = {
    "name": str,
    "measures": str,
    "command": str,
    "date": str,  # of the last trial
    "seed": int,  # the first one
    "settings": dict,
    "data": dict,  # name → where from, and the checksum of what was read
    "commit": str,  # the last that changed the code that ran; several if trials ran at several
    "dirty": bool,  # that code differed from the commit
    "machine": str,
    "threads": int,
    "software": dict,
    "seconds": float,  # wall time of all trials together
    "results": dict,
    "trials": list,
    "sha256": str,  # of all the rest
}
# What is claimed, and how that is decided, written before the run: all four, or none in a record
# from before they were asked for.
CLAIM: dict[str, type] = {
    "question": str,
    "rule": str,  # what counts as yes, as no and as silent
    "controls": str,  # what the effect must beat
    "verdict": str,  # "yes: …", "no: …" or "silent: …"
}
VERDICTS = ("yes", "no", "silent")


def load(name: str) -> dict[str, Any]:
    """Return the committed record of an experiment: `load("scaling-law")["results"]`.

    Raises:
        ValueError: there is none of this name, or its file was changed by hand.
    """
    path = RECORDS / f"{name}.json"
    if not path.is_file():
        names = available()
        near = difflib.get_close_matches(name, names, n=1) or names
        raise ValueError(
            f"no record {name!r}; there are: {', '.join(near)}. Make it: course run {name}"
        )
    record = read_json(path)
    validate(record)
    return record


def available() -> list[str]:
    """Names of the committed records."""
    return sorted(path.stem for path in RECORDS.glob("*.json"))


def save_record(record: dict[str, Any], folder: Path) -> Path:
    """Seal a complete record and write it to `folder` at once: a reader finds the old or the new.

    Raises:
        ValueError: see `validate`.
    """
    sealed = record | {"sha256": seal(record)}
    validate(sealed)
    return write_json(folder / f"{record['name']}.json", sealed)


def seal(record: dict[str, Any]) -> str:
    """SHA-256 of a record without its seal."""
    rest = {key: value for key, value in record.items() if key != "sha256"}
    return digest(json.loads(json.dumps(rest)))


def digest(content: Any) -> str:
    """SHA-256 of anything that is JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def validate(record: dict[str, Any]) -> None:
    """Refuse a record with fields missing, unknown, empty or of a wrong type, or a broken seal.

    Raises:
        ValueError: names what is wrong.
    """
    name = record.get("name", "?")
    claims = bool(record.keys() & CLAIM.keys())
    fields = FIELDS | CLAIM if claims else FIELDS
    if wrong := sorted(record.keys() ^ fields.keys()):
        raise ValueError(f"record {name}: fields missing or unknown: {wrong}")
    if wrong := [key for key, kind in fields.items() if not isinstance(record[key], kind)]:
        raise ValueError(f"record {name}: of another type than {fields[wrong[0]]}: {wrong}")
    filled = ["results", "trials", "commit", "machine", *(CLAIM if claims else ())]
    if empty := [key for key in filled if not record[key]]:
        raise ValueError(f"record {name}: nothing in {empty}")
    if claims and record["verdict"].partition(":")[0] not in VERDICTS:
        known = ", ".join(VERDICTS)
        raise ValueError(f"record {name}: its verdict begins with none of {known} and a colon")
    if not 0 <= record["seconds"] < math.inf:
        raise ValueError(f"record {name}: {record['seconds']} seconds")
    if record["sha256"] != seal(record):
        raise ValueError(f"record {name} was changed by hand: run `course run {name}` again")


def conditions() -> dict[str, Any]:
    """Machine, software and commit of the code that is loaded now; no host name, no path."""
    packages = ("torch", "transformers", "datasets", "numpy", "scikit-learn")
    return {
        **commit(),
        "machine": f"{processor()}, {os.cpu_count()} cores",
        "threads": _threads(),
        "software": {"python": platform.python_version()} | {p: version(p) for p in packages},
    }


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def commit() -> dict[str, Any]:
    """The last commit that changed the modules in use, and whether they differ from it.

    Outside a repository the commit is the package's version.
    """
    names = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    files = [name for name in names if name and Path(name).is_relative_to(SOURCE)]
    last = _git("log", "-1", "--format=%h", "--", *files)
    if not last:
        return {"commit": f"version {version('course-utils')}", "dirty": False}
    return {"commit": last, "dirty": bool(_git("status", "--porcelain", "--", *files))}


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(SOURCE), *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:  # no git here
        return ""


def data(names: list[str]) -> dict[str, dict[str, str]]:
    """Where each source came from, and the checksum of what was read."""
    return {name: fingerprint(name) for name in names}


@lru_cache(maxsize=16)
def fingerprint(name: str) -> dict[str, str]:
    """Origin, licence and checksum: of texts and labels; of a model, of the package it lies in."""
    from course_utils.data import sources

    kind = next(row.kind for row in sources.rows() if row.name == name)
    found = getattr(sources, f"load_{kind}")(name)
    origin = found.origin
    if kind == "corpus":
        checksum = digest(list(found))
    elif kind == "dataset":
        checksum = digest({part: rows.to_dict() for part, rows in found.items()})
    else:
        checksum = origin.sha256
    return {"from": origin.identity, "licence": origin.licence, "sha256": checksum}


def processor() -> str:
    """Name of the processor, as the system gives it."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text()) if info.exists() else None
    return found[1] if found else platform.processor() or platform.machine()
