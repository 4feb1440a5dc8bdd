"""Checkpoints that are either whole or not there: atomic writes, sha256 manifest, no pickle."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

KEEP = 2
Tensors = dict[str, Tensor]


def save(folder: Path, step: int, tensors: dict[str, Tensors], state: dict[str, Any]) -> Path:
    """Write `folder/step-XXXXXXXX`; each dict of tensors becomes a file, `state` becomes JSON.

    Everything is written and synced beside its place and then renamed into it, so that a reader,
    or a run killed at any moment, finds a whole checkpoint or none. The last two are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".writing-", dir=folder))
    for name, group in tensors.items():
        save_tensors(new / f"{name}.safetensors", group)
    (new / "state.json").write_text(json.dumps(state))
    sums = {path.name: _sha256(path) for path in sorted(new.iterdir())}
    (new / "manifest.json").write_text(json.dumps(sums, indent=1))
    for path in [*new.iterdir(), new]:
        _sync(path)
    place = folder / f"step-{step:08d}"
    shutil.rmtree(place, ignore_errors=True)  # only ever a damaged one, passed over by `load`
    new.rename(place)
    _sync(folder)
    _prune(folder)
    return place


def load(
    folder: Path, say: Callable[[str], None] = print
) -> tuple[dict[str, Tensors], dict] | None:
    """Tensors and state of the newest whole checkpoint; None if there is no checkpoint at all.

    A damaged one is passed over for the one before it, which is said in one line.

    Raises:
        ValueError: there are checkpoints and none is whole.
    """
    places = sorted(folder.glob("step-*"), reverse=True)
    for place in places:
        fault = _fault(place)
        if fault is None:
            files = sorted(place.glob("*.safetensors"))
            state = json.loads((place / "state.json").read_text())
            return {path.stem: load_file(path) for path in files}, state
        say(f"checkpoint {place} is damaged ({fault}): using the one before it")
    if places:
        raise ValueError(f"no whole checkpoint in {folder}: delete the folder to start afresh")
    return None


def save_tensors(path: Path, tensors: Tensors) -> None:
    """Write tensors from any device as one safetensors file; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: t.detach().cpu().contiguous() for key, t in tensors.items()}, path)


def module_tensors(module: nn.Module) -> Tensors:
    """Live weights and buffers by name; a tied weight once, under its first name."""
    seen: dict[int, str] = {}
    state = module.state_dict()
    return {k: t for k, t in state.items() if seen.setdefault(t.data_ptr(), k) == k}


@torch.no_grad()
def restore_module(module: nn.Module, saved: Tensors) -> None:
    """Copy saved weights into a module.

    Raises:
        ValueError: names or shapes differ, naming the first that do.
    """
    live = module_tensors(module)
    wrong = sorted(live.keys() ^ saved.keys())
    wrong += [k for k in live if k in saved and live[k].shape != saved[k].shape]
    if wrong:
        raise ValueError(
            f"the checkpoint is of another model: {wrong[:3]} differ in name or shape; build the "
            "model with the same configuration, or use another folder"
        )
    for name, tensor in live.items():
        tensor.copy_(saved[name])


def optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> Tensors:
    """AdamW's moments and step counts as "parameter name/what"."""
    names = {p: name for name, p in model.named_parameters()}
    return {
        f"{names[p]}/{key}": value
        for p, state in optimizer.state.items()
        for key, value in state.items()
    }


def restore_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: Tensors) -> None:
    """Put saved moments back; the groups' settings stay those of the optimizer."""
    numbers: dict[str, int] = {}
    names = {p: name for name, p in model.named_parameters()}
    for group in optimizer.param_groups:
        numbers |= {names[p]: len(numbers) + i for i, p in enumerate(group["params"])}
    state: dict[int, Tensors] = {}
    for key, value in saved.items():
        name, what = key.rsplit("/", 1)
        state.setdefault(numbers[name], {})[what] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _fault(place: Path) -> str | None:
    """Say what is wrong with a checkpoint, or None."""
    try:
        sums = json.loads((place / "manifest.json").read_text())
        wrong = [name for name, digest in sums.items() if _sha256(place / name) != digest]
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{', '.join(wrong)}: sha256 differs" if wrong else None


def _prune(folder: Path) -> None:
    for old in sorted(folder.glob("step-*"))[:-KEEP]:
        shutil.rmtree(old)
    for half in folder.glob(".writing-*"):
        shutil.rmtree(half)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows has no handle on a directory to sync
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
