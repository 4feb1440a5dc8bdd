"""The Hugging Face hub: asked once whether it answers, believed only when what it gives loads."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import shutil
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course_utils.data.cache import FULL, cache_root, offline, sha256_of
from course_utils.data.readers import bucket

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

SPLITS = ("train", "validation", "test")
PATIENCE = 4.0  # seconds for the one question whether the hub is there


class Damaged(OSError):
    """A file whose content is not what its checksum says."""


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


def ask_again() -> None:
    """Forget the answer: a hub that broke off must not cost its patience at every later load."""
    _asked.cache_clear()


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
    Weights are safetensors, for pickles are never opened, and become float32, as those of all our
    readers: what a model was stored in (SmolLM2: bfloat16) must not decide what a cell may do.
    """
    import transformers
    from huggingface_hub import try_to_load_from_cache

    revision = repo.revision or "main"
    known = try_to_load_from_cache(repo.id, "config.json", revision=revision)
    if local and not isinstance(known, str):
        return None
    options: dict[str, Any] = {"revision": revision, "local_files_only": local}
    model = None
    try:
        with _verified(repo, "model", local):
            if repo.auto_class:
                loader = getattr(transformers, repo.auto_class)
                asked = {"use_safetensors": True, "dtype": "float32"}
                model = loader.from_pretrained(repo.id, **asked, **options).eval()
            return model, _whole(transformers.AutoTokenizer.from_pretrained(repo.id, **options))
    except OSError:
        if local:  # half a download of another day: not ours to mend, the hub will
            return None
        raise


def _whole(tokenizer: Any) -> Any:
    """Return the tokenizer; transformers makes an empty one when the vocabulary is missing."""
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise OSError("its tokenizer came without a vocabulary")
    return tokenizer


def dataset(repo: Repo, local: bool) -> DatasetDict | None:
    """Return train, validation and test from the hub, or with `local` from the cache (or None)."""
    from datasets import load_from_disk

    folder = _folder(repo)
    if local:
        return load_from_disk(str(folder)) if _intact(folder) else None
    scratch = tempfile.TemporaryDirectory(prefix="course-", ignore_cleanup_errors=True)
    with _verified(repo, "dataset", local):
        parts = _normalised(repo, _fetch(repo, scratch.name))
    with contextlib.suppress(OSError):  # a full or read-only cache costs only the next download
        _keep(parts, folder)
        return load_from_disk(str(folder))
    parts.scratch = scratch  # its tables lie there; it goes when they do
    return parts


def _fetch(repo: Repo, scratch: str) -> dict[str, Dataset]:
    from datasets import Dataset, load_dataset
    from datasets.exceptions import DatasetNotFoundError
    from huggingface_hub import auth_check

    try:
        loaded = load_dataset(
            repo.id,
            repo.config,
            revision=repo.revision,
            streaming=repo.limit is not None,
            cache_dir=scratch,  # what `datasets` makes of a damaged file must not outlive this load
        )
    except DatasetNotFoundError:  # `datasets` says so of one that asks for an account as well
        auth_check(repo.id, repo_type="dataset")
        raise
    names = [name for name in SPLITS if name in loaded]
    if repo.limit is None:
        return {name: loaded[name] for name in names}
    return {name: Dataset.from_list(list(loaded[name].take(repo.limit))) for name in names}


@contextlib.contextmanager
def _verified(repo: Repo, kind: str, local: bool) -> Iterator[None]:
    """Compare files with their checksums before a load from the disk, and after one from the hub.

    The hub's cache names each content by the checksum that the hub stated; nobody else compares.
    A damaged file is removed, so that the next load fetches it again; `Damaged` says so.
    """
    if not local:
        _drop_damaged(repo, kind)
        try:
            yield
        finally:  # also when it did not even load: this is then the better reason
            _refuse(_drop_damaged(repo, kind), "arrived damaged and was removed")
    else:
        _refuse(_drop_damaged(repo, kind), "in the hub's cache is damaged and was removed")
        yield


def _refuse(damaged: list[str], what: str) -> None:
    if damaged:
        raise Damaged(f"{', '.join(damaged)} {what}: the checksum is wrong")


def _drop_damaged(repo: Repo, kind: str) -> list[str]:
    """Remove the files of one snapshot whose content is not what their name says; return them."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    home = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo.id, repo_type=kind)
    revision = repo.revision or "main"  # a commit, or a name that leads to one
    reference = home / "refs" / revision
    commit = reference.read_text() if reference.is_file() else revision
    damaged = []
    for link in (home / "snapshots" / commit).rglob("*"):
        blob = link.resolve()
        if link.is_symlink() and blob.is_file() and _content_name(blob) != blob.name:
            damaged.append(link.name)
            link.unlink()
            blob.unlink()
    return damaged


def _content_name(path: Path) -> str:
    """Return what the hub calls this content: its SHA-256, or for small files git's SHA-1."""
    if len(path.name) == 64:
        return sha256_of(path)
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


STATUSES = {
    401: "it asks for an account: accept its terms on its page, then run  hf auth login",
    403: "this account may not read it: ask for access on its page",
    404: "it is not there: moved, renamed or private",
    429: "too many requests from this address: wait some minutes, or run  hf auth login",
}


# Classes by name: the client below huggingface_hub is httpx or httpx2, as its version will have it.
KINDS = {
    "TimeoutException": "it answers too slowly",
    "TransportError": "the connection broke",
    "ConnectionError": "it answers too slowly, or not at all",
    "DatasetNotFoundError": STATUSES[404],
    "OfflineModeIsEnabled": "HF_HUB_OFFLINE is set",
    "LocalEntryNotFoundError": "what answers at its address is no hub",
}


def why(error: BaseException) -> str:
    """Return in one sentence why the hub did not deliver; looks through all causes.

    The libraries put errors of their own around the one that tells, so each kind is looked for in
    the whole chain before the next kind is.
    """
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    for each in chain:
        status = getattr(getattr(each, "response", None), "status_code", None)
        if isinstance(each, Damaged):
            return str(each)
        if isinstance(each, OSError) and each.errno in FULL:
            return "the disk is full"
        if status in STATUSES:
            return STATUSES[status]
    names = {kind.__name__ for each in chain for kind in type(each).__mro__}
    for name, sentence in KINDS.items():
        if name in names:
            return sentence
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:120]}"


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
    revision = (repo.revision or "main").replace("/", "-")[:12]
    parts = [*repo.id.split("/"), repo.config or "default", revision]
    return cache_root() / "hub" / "--".join(parts)


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
