"""The hub's side of the sources table: every row through a loopback hub, and what may go wrong."""

from __future__ import annotations

import re
import urllib.request

import hub_server
import pytest
from hub_client import Client
from hub_content import MODELS, everything
from hub_server import Hub, commit
from pip_index import Index
from project_copy import ROOM
from test_cache import flip

from course_utils.data import sources
from course_utils.data.cache import size_text

LOAD = {"corpus": "load_corpus", "dataset": "load_dataset", "pretrained": "load_pretrained"}
ROWS = [row for row in sources.TABLE if row.hub]
SERVED = {name.split("/", 1)[1] for name in everything()}
SPLITS = {  # rows of train, validation and test; what the hub lacks is cut from train
    "movies": (60, 6, 6),
    "imdb": (56, 4, 6),
    "sst2": (55, 6, 5),
    "cola": (58, 6, 2),
    "mrpc": (60, 6, 6),
    "questions": (56, 4, 6),
    "news": (6, 6, 6),
}
FAULTS = {  # what is said of it
    "404": "it is not there",
    "401": "it asks for an account",
    "garbage": "what answers at its address is no hub",
    "flipped": "arrived damaged and was removed: the checksum is wrong",
    "truncated": "the connection broke",
    "gone": "the connection broke",
    "slow": "it answers too slowly",
    "429": "too many requests",
}
WAITING = ("truncated", "gone", "slow", "429")  # the client tries again, several times
NAMES = (("load_dataset", "movies"), ("load_pretrained", "bert-base-uncased"))


@pytest.fixture(scope="module")
def served():
    """A hub with everything, an index with a stand-in, and a client that sees only these."""
    hub, index = Hub(everything()), Index()
    yield hub, index
    hub.close()
    index.shutdown()
    index.server_close()


@pytest.fixture(scope="module")
def process(served, tmp_path_factory):
    hub, index = served
    client = Client(hub.address, tmp_path_factory.mktemp("home"), **index.environment())
    yield client
    client.close()


@pytest.fixture
def client(served, process):
    """The client, with empty caches and a hub that is well."""
    served[0].fail("")
    process.forget()
    return process


def weights(repo: sources.Repo) -> float:
    """Sum of the sizes of all weights that the hub has, so that none can have been made up."""
    from safetensors.torch import load

    files = everything()[f"models/{repo.id}"]
    tensors = load(files["model.safetensors"]).values()
    return sum(float(tensor.float().abs().sum()) for tensor in tensors)


def test_this_hub_has_all_that_the_table_names():
    lacking = [row.name for row in ROWS if row.hub.id not in SERVED]
    assert len(lacking) <= (ROOM > 0), lacking  # a fork has rows of its own


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.hub.id in SERVED], ids=lambda row: row.name
)
def test_every_row_comes_from_the_hub_and_says_so(served, client, row):
    found = client.load(LOAD[row.kind], row.name, COURSE_MODELS="hub")
    (line,) = found["lines"]
    assert found["where"] == "hub" and f"from {row.hub} [hub]" in line
    if row.name in MODELS:
        assert (found["class"], found["layers"]) == MODELS[row.name]
        assert found["sum"] == pytest.approx(weights(row.hub))
        assert found["types"] == ["torch.float32"]  # SmolLM2 is served as bfloat16
        assert size_text(found["bytes"]) in line
    if row.kind == "pretrained":
        assert found["text"] == "the bank of the river"
    if row.kind == "dataset":
        assert tuple(found["rows"].values()) == SPLITS[row.name]
        assert set(found["first"]) == {ours for _, ours in row.hub.columns}
    if row.kind == "corpus":
        assert len(found["documents"]) == {"wikitext-103": 2, "c4": 3, "babylm": 2}[row.name]
    served[0].fail("")  # the second load asks nobody
    again = client.load(LOAD[row.kind], row.name, COURSE_OFFLINE="1")
    assert again["where"] == "hub, from the cache" and served[0].asked == []
    for key in ("sum", "rows", "first", "documents", "text"):
        assert again.get(key) == found.get(key)


@pytest.mark.parametrize(("load", "name"), NAMES)
def test_what_was_changed_after_it_was_pinned_does_not_come(client, monkeypatch, load, name):
    monkeypatch.setattr(hub_server, "commit", lambda repo: "0" * 40)
    refused = client.load(load, name, COURSE_MODELS="hub")
    assert "it is not there" in refused["error"]


def test_all_is_pinned_to_a_commit():
    assert all(re.fullmatch("[0-9a-f]{40}", row.hub.revision or "") for row in ROWS)


def test_names_of_old_are_redirected(served):
    (hub, _) = served
    hub.fail("")
    with urllib.request.urlopen(f"{hub.address}/bert-base-uncased/resolve/main/vocab.txt") as reply:
        assert "/google-bert/" in reply.url and reply.read().startswith(b"[PAD]")
        assert reply.headers["X-Repo-Commit"] == commit("models/google-bert/bert-base-uncased")


@pytest.mark.parametrize(("load", "name"), NAMES)
@pytest.mark.parametrize(
    "fault", [pytest.param(f, marks=[pytest.mark.slow] * (f in WAITING)) for f in FAULTS]
)
def test_a_fault_stops_with_one_line_and_spoils_nothing(served, client, fault, load, name):
    hub, said = served[0], FAULTS[fault]
    hub.fail(fault, spared=6 if fault == "gone" else 0)  # gone half-way
    refused = client.load(load, name, COURSE_MODELS="hub")
    assert said in refused["error"] and f"did not deliver {name}" in refused["error"]
    assert "\n" not in refused["error"] and refused["lines"] == []
    assert len(hub.asked) < 30  # it gives up
    hub.fail("")
    assert client.load(load, name, COURSE_MODELS="hub") == whole(client, load, name)


def whole(client, load: str, name: str) -> dict:
    """What the same load gives where nothing ever went wrong; `where` may be the cache."""
    after = client.load(load, name, COURSE_MODELS="hub")
    client.forget()
    before = client.load(load, name, COURSE_MODELS="hub")
    assert {**after, "where": "", "lines": []} == {**before, "where": "", "lines": []}
    return before


@pytest.mark.parametrize(("load", "name"), NAMES)
@pytest.mark.parametrize("fault", ["404", "401", "garbage", "flipped"])
def test_a_fault_brings_the_stand_in_and_is_said(served, client, fault, load, name):
    served[0].fail(fault)
    found = client.load(load, name)
    reason, line = found["lines"]
    assert FAULTS[fault] in reason and reason.endswith("the offline stand-in is used.")
    assert found["where"] == "stand-in" and found["identity"].startswith("tinytext==1.0")
    assert "[stand-in]" in line
    assert found.get("class", "BertModel") == "BertModel"


@pytest.mark.parametrize(("load", "name"), NAMES)
def test_a_stand_in_on_the_disk_does_not_go_before_the_hub(served, client, load, name):
    before = client.load(load, name, COURSE_MODELS="offline")
    assert before["where"].startswith("stand-in")  # its files are here now
    found = client.load(load, name)
    assert found["where"] == "hub" and "hf.co/" in found["identity"]


def test_the_settings_keep_from_the_hub(served, client):
    (hub, _) = served
    assert client.load("load_dataset", "movies", COURSE_MODELS="offline")["where"] == "stand-in"
    assert hub.asked == []
    refused = client.load("load_dataset", "cola", COURSE_OFFLINE="1", COURSE_MODELS="hub")
    assert "COURSE_MODELS=hub" in refused["error"] and hub.asked == []


@pytest.mark.parametrize(("load", "name"), NAMES)
def test_a_flipped_byte_in_the_cache_is_fetched_again(served, client, load, name):
    before = client.load(load, name, COURSE_MODELS="hub")
    pattern = "hf/hub/**/model.safetensors" if "pretrained" in load else "course/hub/**/*.arrow"
    flip(next(client.home.glob(pattern)).resolve())
    assert client.load(load, name, COURSE_MODELS="hub") == before


def test_half_a_tokenizer_is_none(served, client):
    client.load("load_pretrained", "gpt2-tokenizer", COURSE_MODELS="hub")
    for path in client.home.glob("hf/hub/**/snapshots/*/*"):
        if path.name != "config.json":
            path.unlink()
    again = client.load("load_pretrained", "gpt2-tokenizer", COURSE_MODELS="hub")
    assert again["where"] == "hub" and again["text"] == "the bank of the river"


def test_a_full_disk(served, client):
    refused = client.load("load_pretrained", "bert-base-uncased", COURSE_MODELS="hub", disk="9000")
    assert refused["error"].endswith("(the disk is full)")
    assert client.load("load_pretrained", "bert-base-uncased", COURSE_MODELS="hub")["layers"] == 12
