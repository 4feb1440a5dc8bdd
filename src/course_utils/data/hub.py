"""The Hugging Face hub: asked once whether it answers, believed only when what it gives loads."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.data.cache import cache_root, offline, sha256_of
from course_utils.data.readers import bucket

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

SPLITS = ("train", "validation", "test")
PATIENCE = 4.0  # seconds for the one question whether the hub is there


@dataclass(frozen=True)
class Repo:
    """Where something is on the hub, and how its columns become ours."""

    id: str
    config: str | None = None
    revision: str | None = None
    columns: tuple[tuple[str, str], ...] = (("text", "text"), ("label", "label"))  # theirs, ours
    limit: int | None = None  # rows of each split; the rest is not downloaded
    join: Callable[[Iterable[str]], list[str]] | None = None  # lines to documents
    auto_class: str = ""  # of transformers, for models

    def __str__(self) -> str:
        """Return the address as the hub writes it."""
        return f"hf.co/{self.id}" + (f" ({self.config})" if self.config else "")


def endpoint() -> str:
    """Return the hub's address: HF_ENDPOINT or the public one."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


def answers() -> bool:
    """Tell whether the hub is there; asks at most once a process, for at most 4 seconds."""
    return not offline() and _asked(endpoint())


@functools.lru_cache
def _asked(address: str) -> bool:
    found: list[bool] = []

    def ask() -> None:
        with contextlib.suppress(OSError, ValueError):
            url = f"{address}/api/models?limit=1"
            with urllib.request.urlopen(url, timeout=PATIENCE) as reply:
                found.append(isinstance(json.load(reply), list))

    # in a thread, because a name server that is silent ignores the timeout of urlopen
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    return bool(found and found[0])


def pretrained(repo: Repo, local: bool) -> tuple[Any, Any] | None:
    """Return model (None when only the tokenizer is wanted) and tokenizer from the hub.

    With `local`, only from the hub's own cache on this machine, None when it is not there.
    """
    import transformers
    from huggingface_hub import try_to_load_from_cache

    if local and not isinstance(try_to_load_from_cache(repo.id, "config.json"), str):
        return None
    options: dict[str, Any] = {"revision": repo.revision or "main", "local_files_only": local}
    model = None
    try:
        if repo.auto_class:
            loader = getattr(transformers, repo.auto_class)
            model = loader.from_pretrained(repo.id, **options).eval()
        return model, transformers.AutoTokenizer.from_pretrained(repo.id, **options)
    except OSError:
        if local:  # half a download of another day: not ours to mend, the hub will
            return None
        raise


def dataset(repo: Repo, local: bool) -> DatasetDict | None:
    """Return train, validation and test from the hub, or with `local` from the cache (or None)."""
    from datasets import load_from_disk

    folder = _folder(repo)
    if local:
        return load_from_disk(str(folder)) if _intact(folder) else None
    parts = _normalised(repo, _fetch(repo))
    with contextlib.suppress(OSError):  # a full or read-only cache costs only the next download
        _keep(parts, folder)
    return parts


def _fetch(repo: Repo) -> dict[str, Dataset]:
    from datasets import Dataset, load_dataset

    loaded = load_dataset(
        repo.id, repo.config, revision=repo.revision, streaming=repo.limit is not None
    )
    names = [name for name in SPLITS if name in loaded]
    if repo.limit is None:
        return {name: loaded[name] for name in names}
    return {name: Dataset.from_list(list(loaded[name].take(repo.limit))) for name in names}


def _normalised(repo: Repo, parts: dict[str, Dataset]) -> DatasetDict:
    """Rename the columns to ours, drop others, and cut the splits that are missing."""
    from datasets import Dataset, DatasetDict

    for name, part in list(parts.items()):
        wanted = [theirs for theirs, _ in repo.columns if theirs in part.column_names]
        part = part.select_columns(wanted).rename_columns(
            {theirs: ours for theirs, ours in repo.columns if theirs in wanted and theirs != ours}
        )
        if "label" in wanted and -1 in part.unique("label"):  # GLUE hides its test labels
            del parts[name]
        else:
            parts[name] = part
    if repo.join:
        return DatasetDict(
            {"train": Dataset.from_dict({"text": repo.join(parts["train"]["text"])})}
        )
    for number, name in ((0, "test"), (1, "validation")):
        if name not in parts and "label" in parts["train"].column_names:
            train = parts["train"]
            parts[name] = train.filter(lambda row, n=number: bucket(row["text"]) == n)
            parts["train"] = train.filter(lambda row, n=number: bucket(row["text"]) != n)
    return DatasetDict(
        {name: parts[name] for name in ("train", "validation", "test") if name in parts}
    )


def _folder(repo: Repo) -> Path:
    return cache_root() / "hub" / "--".join([*repo.id.split("/"), repo.config or "default"])


def _keep(parts: DatasetDict, folder: Path) -> None:
    """Write a data set and the checksums of its files; it appears whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_root(), prefix="partial-") as partial:
        whole = Path(partial) / "whole"
        parts.save_to_disk(str(whole))
        (whole / "sha256.json").write_text(json.dumps(_sums(whole)))
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(whole, folder)


def _sums(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "sha256.json")
    return {str(file.relative_to(folder)): sha256_of(file) for file in files}


def _intact(folder: Path) -> bool:
    try:
        return json.loads((folder / "sha256.json").read_text()) == _sums(folder)
    except (OSError, ValueError):
        return False
