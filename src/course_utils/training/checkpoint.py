"""Checkpoints that are either whole or not there: one file, renamed into place, no pickle."""

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from course_utils.data.cache import sha256_of

Tensors = dict[str, Tensor]
Groups = dict[str, Tensors]  # "model", "best", and each optimizer by name: "adamw", "muon"
Optimizers = dict[str, torch.optim.Optimizer]


def save(folder: Path, step: int, groups: Groups, state: dict[str, Any]) -> Path:
    """Write `folder/step-<number>-<digest>.safetensors`: tensors as "group/name", `state` as JSON.

    It is written and synced beside its place and then renamed into it, so that a reader, or a run
    killed at any moment, finds a whole checkpoint or none. This one and the one before are kept.
    """
    new = folder / ".writing"
    save_tensors(new, _flat(groups), {"state": json.dumps(state)})
    _sync(new)
    place = folder / f"step-{step:08d}-{sha256_of(new)[:16]}.safetensors"
    new.replace(place)
    _sync(folder)
    _prune(folder, place, step)
    return place


def load(folder: Path, say: Callable[[str], None] = print) -> tuple[Groups, dict] | None:
    """Groups of tensors and state of the newest whole checkpoint; None if there is none at all.

    A damaged one is passed over for the one before it, which is said in one line.

    Raises:
        ValueError: there are checkpoints and none is whole.
    """
    places = sorted(folder.glob("step-*"), reverse=True)
    for place in places:
        if place.stem.endswith(sha256_of(place)[:16]):
            return _read(place)
        say(f"checkpoint {place} is damaged (sha256 differs): using the one before it")
    if places:
        raise ValueError(f"no whole checkpoint in {folder}: delete the folder to start afresh")
    return None


def _read(place: Path) -> tuple[Groups, dict]:
    with safe_open(place, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
        return _grouped(tensors), json.loads(file.metadata()["state"])


def _flat(groups: dict[Any, Tensors]) -> Tensors:
    """Tensors of all groups as "group/name"."""
    return {f"{g}/{name}": t for g, group in groups.items() for name, t in group.items()}


def _grouped(tensors: Tensors) -> Groups:
    """The way back from `_flat`."""
    groups: Groups = {}
    for key, tensor in tensors.items():
        group, _, name = key.partition("/")
        groups.setdefault(group, {})[name] = tensor
    return groups


def save_tensors(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> None:
    """Write tensors from any device as one safetensors file; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # clones, because the format holds no tensor twice and tied weights are one
    kept = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    save_file(kept, path, metadata)


def optimizer_tensors(optimizers: Optimizers) -> Groups:
    """Moments and step counts of each optimizer as "number of the parameter/what"."""
    return {name: _flat(optimizer.state_dict()["state"]) for name, optimizer in optimizers.items()}


def restore(model: nn.Module, optimizers: Optimizers, saved: Groups) -> None:
    """Put saved weights and moments back; the groups' settings stay those of the optimizers.

    Raises:
        ValueError: names or shapes of weights differ, naming those that do.
    """
    try:
        model.load_state_dict(saved["model"])
    except RuntimeError as error:
        remedy = "build the model with the same configuration, or use another folder"
        raise ValueError(f"the checkpoint is of another model: {error}; {remedy}") from None
    for name, optimizer in optimizers.items():
        moments = _grouped(saved[name])
        state = {int(number): values for number, values in moments.items()}
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _prune(folder: Path, newest: Path, step: int) -> None:
    before = [p for p in sorted(folder.glob("step-*")) if p.name < f"step-{step:08d}"]
    for old in set(folder.glob("step-*")) - {newest, *before[-1:]}:
        old.unlink()


def _sync(path: Path) -> None:
    """Have a file, or the list of files of a folder, written to the disk itself."""
    # Windows and some network shares cannot sync a folder: the file in it is whole all the same
    with contextlib.suppress(OSError) if path.is_dir() else contextlib.nullcontext():
        handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
