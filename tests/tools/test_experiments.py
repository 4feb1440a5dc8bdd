"""Every experiment runs, records are whole or not there, committed ones are what the code makes."""

from __future__ import annotations

import json
import platform
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from course_tools.cli import app
from course_tools.experiments import (
    data_efficiency,
    facts,
    few_shot,
    gates,
    intent_slots,
    legibility,
    masking,
    own_transfer,
    page,
    pretraining,
    scaling,
    ship,
    spans,
    table,
    transfer,
    yardsticks,
)
from course_tools.experiments.table import EXPERIMENTS, Experiment
from course_utils import comparison, minis, records
from course_utils.data import sources
from course_utils.data.capitals import clozes
from course_utils.data.examples import draw
from course_utils.data.tokenizers import load_tokenizer
from course_utils.prompting import label_probabilities
from course_utils.recipes import RECIPES
from course_utils.writing import read_json

COMMITTED = [name for name in records.available() if name != "gpu"]  # that one is no experiment
WITHOUT_CLAIM = {  # older than the rule that an experiment says what it asks; never add a name
    "pretraining-tries",
    "pretraining",
    "finetuning-curves",
    "data-efficiency",
    "masking-ablations",
    "span-ablations",
    "scaling-law",
    "few-shot",
    "cost",
    "intent-slots",
}


def quiet(line: str) -> None:
    """Say nothing."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    """Make the tiny record of an experiment, once."""
    made: dict[str, dict] = {}

    def make(name: str) -> dict:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = read_json(table.run_experiment(name, tiny=True, out=folder, say=quiet))
        return made[name]

    return make


def paths(content: object, names: set[str], place: str = "") -> set[str]:
    """Where there is something in a record; names of models and the like are all one "*"."""
    if isinstance(content, dict):
        inner = [(f"{place}.{'*' if k in names else k}", v) for k, v in content.items()]
    elif isinstance(content, list):
        inner = [(f"{place}[]", v) for v in content]
    else:
        return set()
    return {p for p, _ in inner}.union(*(paths(v, names, p) for p, v in inner))


def shape(made: dict) -> set[str]:
    """Paths of results and trials of a record, without BLiMP, which is not at hand everywhere."""
    full = EXPERIMENTS[made["name"]].settings
    names = {str(v) for value in full.values() if isinstance(value, list) for v in value}
    found = paths({key: made[key] for key in ("results", "trials")}, names)
    return {path for path in found if ".blimp[]" not in path}


def rounded(content: object) -> object:
    """To ten digits: the last ones of a fit differ from processor to processor."""
    return json.loads(json.dumps(content), parse_float=lambda text: f"{float(text):.10g}")


# -- every experiment ------------------------------------------------------------------------

LONG = {  # even when tiny
    "transfer",
    "own-transfer",
    "pretraining",
    "yardsticks",
    "data-efficiency",
    "facts",
}
ALIVE = [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in EXPERIMENTS]


@pytest.mark.parametrize("name", ALIVE)
def test_the_code_of_an_experiment_is_alive(name, tiny):
    made = tiny(name)
    records.validate(made)
    assert made["command"] == f"course run {name} --tiny"
    full = EXPERIMENTS[name]
    assert len(full.trials({**full.settings, "seed": 0})) >= len(made["trials"])
    if name in COMMITTED:
        assert shape(made) == shape(records.load(name))


@pytest.mark.parametrize("name", ALIVE)
def test_a_record_names_no_host_and_no_path(name, tiny):
    text = json.dumps(tiny(name))
    for private in (platform.node(), str(Path.home()), str(records.SOURCE), "/tmp", "/var"):
        assert f'"{private}' not in text and f"{private}/" not in text


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_record_is_of_the_full_experiment(name):
    made, full = records.load(name), EXPERIMENTS[name]
    assert made["command"] == f"course run {name}" and made["seed"] == 0
    settings = {k: v for k, v in full.settings.items() if k != "sources"}
    assert made["settings"] == json.loads(json.dumps(settings))
    assert len(made["trials"]) == len(full.trials({**full.settings, "seed": 0}))
    again = full.summarise([*made["trials"]])
    assert rounded(again) == rounded(made["results"])  # nothing in it was picked by hand


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_record_is_of_the_data_we_load(name):
    made = records.load(name)
    assert list(made["data"]) == EXPERIMENTS[name].settings["sources"]
    kinds = {row.name: row.kind for row in sources.rows()}
    for source, found in made["data"].items():
        if kinds[source] == "pretrained":  # of the package; its model need not be loaded for that
            assert found["sha256"] in {wheel.sha256 for wheel in sources.WHEELS.values()}
        else:
            assert found == records.fingerprint(source)


def test_the_recipes_are_among_the_best_of_as_many_tries():
    made = records.load("pretraining-tries")
    chosen = made["results"]["chosen"]
    assert set(chosen) == set(RECIPES) and len({best["tries"] for best in chosen.values()}) == 1
    for name, row in RECIPES.items():
        how = {"model": name, "growing": len(row.lengths) > 1}
        how |= {key: row.settings.get(key) for key in ("learning_rate", "embedding_rate")}
        kind = row.settings.get("optimizer", "adamw")
        (mine,) = (
            trial for trial in made["trials"]
            if how.items() <= trial.items() and trial.get("optimizer", "adamw") == kind
        )  # fmt: skip
        assert mine["validation_loss"] - chosen[name]["validation_loss"] < 0.05


@pytest.mark.parametrize("name", ALIVE)
def test_an_experiment_says_what_it_asks_and_how_that_is_decided(name, tiny):
    claim = EXPERIMENTS[name].claim
    assert (claim is None) == (name in WITHOUT_CLAIM)
    if claim:
        made = tiny(name)
        assert claim.question.strip().endswith("?") or "?" in claim.question
        assert all(word in claim.rule for word in ("Yes", "No", "Silent"))
        for key in ("question", "rule", "controls"):
            assert made[key] == getattr(claim, key)
        assert made["verdict"] == claim.verdict(made["results"])
    if claim and name in COMMITTED:
        committed = records.load(name)
        assert committed["verdict"] == claim.verdict(committed["results"])
        assert (committed["question"], committed["rule"]) == (claim.question, claim.rule)


# -- records -----------------------------------------------------------------------------------


@pytest.fixture
def toy(monkeypatch):
    """An experiment of three trials that counts how often it measures and can be made to fail."""
    calls: list[int] = []
    state = {"calls": calls, "broken": False}

    def measure(settings: dict, number: int) -> dict:
        calls.append(number)
        if state["broken"] and number == 1:
            raise RuntimeError("the lights went out")
        return {"value": number * settings["factor"]}

    monkeypatch.setitem(
        EXPERIMENTS,
        "toy",
        Experiment(
            "nothing",
            1.0,
            {"sources": [], "numbers": [0, 1, 2], "factor": 2},
            {"factor": 3},
            lambda settings: [{"number": n} for n in settings["numbers"]],
            measure,
            lambda trials: {"sum": sum(t["value"] for t in trials)},
        ),
    )
    return state


def test_a_half_run_leaves_no_record_and_goes_on(toy, tmp_path):
    toy["broken"] = True
    with pytest.raises(RuntimeError, match="lights"):
        table.run_experiment("toy", out=tmp_path, say=quiet)
    assert not list(tmp_path.glob("*.json")) and toy["calls"] == [0, 1]
    toy["broken"] = False
    made = read_json(table.run_experiment("toy", out=tmp_path, say=quiet))
    assert toy["calls"] == [0, 1, 1, 2]  # the first trial was not measured again
    assert made["results"] == {"sum": 6}
    assert {path.name for path in tmp_path.iterdir()} == {"trials", "toy.json"}


def test_other_settings_are_other_trials(toy, tmp_path):
    table.run_experiment("toy", out=tmp_path, say=quiet)
    made = read_json(table.run_experiment("toy", out=tmp_path, tiny=True, say=quiet))
    assert made["results"] == {"sum": 9} and len(toy["calls"]) == 6


def test_only_the_full_run_at_seed_0_replaces_a_record_of_the_book(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(records, "RECORDS", tmp_path / "book")
    assert table.run_experiment("toy", tiny=True, say=quiet).parent == Path("runs/toy-tiny")
    assert table.run_experiment("toy", seed=1, say=quiet).parent == Path("runs/toy-seed1")
    assert not (tmp_path / "book").exists()
    assert table.run_experiment("toy", say=quiet).parent == tmp_path / "book"
    assert records.load("toy")["results"] == {"sum": 6}


def test_a_record_that_is_not_right_is_refused(toy, tmp_path, monkeypatch):
    path = table.run_experiment("toy", out=tmp_path, say=quiet)
    good = read_json(path)
    for change, message in [
        ({"results": {}}, "nothing in"),
        ({"seconds": "3"}, "another type"),
        ({"seconds": -1.0}, "seconds"),
        ({"extra": 1}, "missing or unknown"),
    ]:
        bad = good | change
        with pytest.raises(ValueError, match=message):
            records.validate(bad | {"sha256": records.seal(bad)})
    with pytest.raises(ValueError, match="JSON"):
        records.save_record(good | {"results": {"sum": float("nan")}}, tmp_path / "nan")
    assert not list((tmp_path / "nan").glob("*.json"))
    monkeypatch.setattr(records, "RECORDS", tmp_path)
    path.write_text(path.read_text().replace('"sum": 6', '"sum": 7'))
    with pytest.raises(ValueError, match="changed by hand"):
        records.load("toy")
    with pytest.raises(ValueError, match="course run masking"):
        records.load("masking")


def test_a_record_says_all_of_its_claim_or_nothing(toy, tmp_path):
    from dataclasses import replace

    claim = table.Claim(
        "Is it so?", "Yes: 6. No: less. Silent: more.", "none", lambda made: "yes: 6"
    )
    EXPERIMENTS["toy"] = replace(EXPERIMENTS["toy"], claim=claim)
    good = read_json(table.run_experiment("toy", out=tmp_path, say=quiet))
    assert [good[key] for key in records.CLAIM] == [
        claim.question,
        claim.rule,
        claim.controls,
        "yes: 6",
    ]
    records.validate(good)
    shown = page.record_section(good)
    assert "**Question.** Is it so?" in shown and "**Verdict.** Yes: 6" in shown
    without = {key: value for key, value in good.items() if key not in records.CLAIM}
    records.validate(without | {"sha256": records.seal(without)})  # as older records are
    for change, message in [
        ({"verdict": "perhaps"}, "yes, no, silent and a colon"),
        ({"rule": ""}, r"nothing in \['rule'\]"),
        ({"question": 6}, "another type"),
    ]:
        bad = good | change
        with pytest.raises(ValueError, match=message):
            records.validate(bad | {"sha256": records.seal(bad)})
    del good["controls"]
    with pytest.raises(ValueError, match=r"missing or unknown: \['controls'\]"):
        records.validate(good)


def test_a_record_says_where_its_code_was_changed(tmp_path, monkeypatch):
    git = records._git
    monkeypatch.setattr(records, "_git", lambda *a: "" if a[0] == "log" else git(*a))
    assert records.commit() == {
        "commit": f"version {records.version('course-utils')}",
        "dirty": False,
    }
    answers = {"log": "abc1234", "status": " M src/course_utils/bench.py"}
    monkeypatch.setattr(records, "_git", lambda *a: answers[a[0]])
    assert records.commit() == {"commit": "abc1234", "dirty": True}


def test_the_command_lists_estimates_and_refuses(toy):
    shown = CliRunner().invoke(app, ["run"])
    assert shown.exit_code == 0 and toy["calls"] == []
    assert all(name in shown.stdout for name in EXPERIMENTS) and "in all" in shown.stdout
    refused = CliRunner().invoke(app, ["run", "nonsense"])
    assert refused.exit_code == 1 and "scaling-law" in refused.stderr


def test_all_prints_the_whole_estimate_first(toy, tmp_path, monkeypatch):
    for name in set(EXPERIMENTS) - {"toy"}:
        monkeypatch.delitem(EXPERIMENTS, name)
    monkeypatch.setitem(EXPERIMENTS, "second", EXPERIMENTS["toy"])
    shown = CliRunner().invoke(app, ["run", "all", "--out", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.index("2 min  in all") < shown.stdout.index("toy 1/3")
    assert {p.name for p in tmp_path.rglob("*.json")} >= {"toy.json", "second.json"}


# -- what the experiments compute with -----------------------------------------------------------


@pytest.mark.parametrize("name", ["bert-mini", "gpt-mini", "t5-mini"])
def test_the_flop_formula_agrees_with_what_pytorch_counts(name):
    for step in pretraining.one_step(name):
        assert step["formula"] == pytest.approx(step["counted"], rel=0.02)


def test_a_power_law_is_found_again():
    sizes = np.array([1e4, 1e5, 1e6, 1e7])
    alpha, scale = scaling.fit(sizes, (8.8e13 / sizes) ** 0.076)
    assert alpha == pytest.approx(0.076) and scale == pytest.approx(13.9445, abs=1e-3)


def test_the_interval_of_alpha_grows_with_the_noise():
    draw = np.random.default_rng(0)

    def width(noise: float) -> float:
        runs = [
            {"parameters": n, "loss": (1e13 / n) ** 0.1 * float(np.exp(noise * draw.normal()))}
            for n in (10**4, 10**5, 10**6, 10**7)
            for _ in range(2)
        ]
        low, high = scaling.interval(runs, samples=200)
        assert low <= 0.1 <= high or noise == 0
        return high - low

    assert width(0.0) < 1e-9 < width(0.02) < width(0.1)


def test_pairs_for_nsp_follow_or_come_from_another_row():
    ids = torch.arange(100, 100 + 64 * 61).view(64, 61) % 4000 + 90
    plain = masking.pair(ids, None)
    assert plain.inputs["input_ids"].shape == (64, 64) and not plain.next_sentence_label.any()
    assert (plain.inputs["token_type_ids"].sum(1) == 32).all()
    drawn = masking.pair(ids, torch.Generator().manual_seed(0))
    second = drawn.inputs["input_ids"][:, 32:-1]
    same = (second == ids[:, 30:]).all(1)
    assert (
        torch.equal(same, drawn.next_sentence_label == 0) and 0.3 < float(same.float().mean()) < 0.7
    )


def test_the_first_token_of_each_span_is_asked_and_no_other():
    ids = torch.randint(300, 4000, (4, 64), generator=torch.Generator().manual_seed(0))
    batch = spans.corrupt(ids, 3.0, "x")
    asked = spans.first_tokens(batch)
    lowest = load_tokenizer("course").convert_tokens_to_ids("<extra_id_0>") - 63
    for row, full in zip(asked.labels.tolist(), batch.labels.tolist(), strict=True):
        after = [full[i] for i in range(1, len(full)) if full[i - 1] >= lowest]
        assert [label for label in row if label != -100] == after
    assert asked.num_predicted == int((batch.labels >= lowest).sum()) > 4


def test_slots_count_whole():
    tags = ["B-to_city", "I-to_city", "O", "B-date", "B-date", "I-time"]
    found = {(0, 2, "to_city"), (3, 4, "date"), (4, 5, "date"), (5, 6, "time")}
    assert intent_slots.spans(tags) == found
    half = ["B-to_city", "O", "O", "B-date", "B-date", "I-time"]
    assert intent_slots.f1([half], [tags]) == pytest.approx(3 / 4)
    assert intent_slots.f1([["O"]], [["O"]]) == 0.0


def test_tags_stand_at_the_first_piece_of_their_word():
    rows = {"tokens": [["fly", "to", "addis", "ababa"]], "tags": [[0, 0, 3, 4]], "intent": [2]}
    encoded = intent_slots.encode_flights(rows)
    assert [tag for tag in encoded.labels[0] if tag != -100] == [0, 0, 3, 4]
    assert len(encoded.ids[0]) == len(encoded.labels[0]) > 6
    assert encoded.labels[0][0] == encoded.labels[0][-1] == -100


def test_a_failed_fit_is_counted_and_kept():
    band = data_efficiency.band([0.5, 0.51, 0.8], 0.51)
    assert band["failed"] == 2 and band["values"] == [0.5, 0.51, 0.8]
    assert band["low"] < band["mean"] < band["high"]


def test_a_larger_draw_contains_the_smaller():
    small, large = (draw(500, size, 3) for size in (32, 100))
    assert set(small) < set(large) and len(draw(500, 0, 3)) == 500
    assert small != draw(500, 32, 4)


def test_a_prompt_read_once_gives_the_same_as_read_with_each_text():
    model, tokenizer = few_shot.decoder("")
    prompt, texts, words = "The sea is wide.\n\n", ["the ship", "a long way home"], (" a", " the")
    once = label_probabilities(model, tokenizer, prompt, texts, words)
    whole = [tokenizer(t, add_special_tokens=False)["input_ids"] for t in (prompt, *texts)]
    for row, ids in zip(once, whole[1:], strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([whole[0] + ids])).logits[0, -1]
        firsts = [tokenizer(w, add_special_tokens=False)["input_ids"][0] for w in words]
        assert torch.allclose(row, logits[firsts].softmax(-1), atol=2e-3)
    with pytest.raises(ValueError, match="first token"):
        label_probabilities(model, tokenizer, prompt, texts, (" the", " the"))


def test_orders_are_of_the_same_examples_and_differ():
    for shots in (2, 4, 8):
        orders = [few_shot.demonstrations(900, shots, 0, o) for o in range(min(3, shots))]
        assert len({tuple(order) for order in orders}) == len(orders)
        assert len({frozenset(order) for order in orders}) == 1
    assert few_shot.demonstrations(900, 4, 1, 0) != few_shot.demonstrations(900, 4, 0, 0)
    prompts = few_shot.trials({**few_shot.SETTINGS, "seed": 0, "tasks": ["movies"]})
    counts = [sum(p["shots"] == shots for p in prompts) for shots in (0, 1, 2, 4, 8)]
    assert counts == [1, 2, 4, 6, 6]


def test_calibration_takes_out_what_nothing_says(monkeypatch):
    """A model that likes one label everywhere; the text moves it only a little."""
    told = torch.tensor([[0.9, 0.1]] * 3 + [[0.92, 0.08], [0.85, 0.15]] * 3)
    monkeypatch.setattr(few_shot, "label_probabilities", lambda *a: told)
    monkeypatch.setattr(few_shot, "decoder", lambda name: (None, None))
    settings = {**few_shot.SETTINGS, "items": 6}
    result = few_shot.measure(settings, "movies", 0, 0, 0)
    assert result["chosen"] == [6, 0] and result["nothing_says"] == [0.9, 0.1]
    generator = few_shot.generator_at("items")
    rows = torch.randperm(len(sources.load_dataset("movies")["test"]), generator=generator)[:6]
    labels = [sources.load_dataset("movies")["test"][int(i)]["label"] for i in rows]
    right = sum(a == b for a, b in zip(labels, [0, 1] * 3, strict=True)) / 6
    assert result["calibrated_accuracy"] == pytest.approx(right)


def test_a_mini_that_is_not_there_is_named_with_its_command(tmp_path):
    with pytest.raises(ValueError, match="course pretrain bert-mini --seed 7"):
        minis.pretrained_mini({"runs": str(tmp_path)}, "bert-mini", 7)


def test_t5_writes_a_word_and_the_others_read_a_label():
    rows = {"text": ["a good film", "no"], "label": [1, 0]}
    for name, first, last in (("bert-mini", 1, 2), ("gpt-mini", None, 4), ("t5-mini", None, 4)):
        examples = minis.encode_sentences(minis.random_start(name, 0), rows)
        assert all(ids[-1] == last for ids in examples.ids)
        assert first is None or examples.ids[0][0] == first
        assert examples.labels == [1, 0] or examples.labels[0][:-1] == minis_word(1)


def minis_word(label: int) -> list[int]:
    """Pieces of the word that stands for a label."""
    return load_tokenizer("course")(minis.WORDS[label], add_special_tokens=False)["input_ids"]


# -- yardsticks ----------------------------------------------------------------------------------


def judged(model: str, start: str, shares: list[float], low: float = 0.55) -> dict:
    """A trial with these shares on the hardest set; everything else is the same for all."""
    row = {"set": yardsticks.HARDEST, "count": 440, "high": 0.9}
    return [
        {
            "model": model,
            "start": start,
            "seed": seed,
            "bits": [],
            "blimp": [],
            "pairs": [{"scheme": "any", "sets": [row | {"mean": share, "low": low}]}],
        }
        for seed, share in enumerate(shares)
    ]


@pytest.mark.parametrize(
    ("counted", "trained", "untrained", "low", "verdict"),
    [
        (0.4, [0.70, 0.72, 0.68], 0.5, 0.6, "yes: gpt-mini"),
        (0.4, [0.55, 0.58, 0.52], 0.5, 0.51, "no: "),
        (0.4, [0.70], 0.5, 0.6, "silent: "),  # one seed says nothing of seed noise
        (0.4, [0.70, 0.72, 0.68], 0.5, 0.49, "silent: "),
        (0.69, [0.70, 0.72, 0.68], 0.5, 0.6, "silent: "),  # counting can do it too
        (0.4, [0.70, 0.72, 0.68], 0.6, 0.6, "silent: an untrained"),  # the pairs give it away
    ],
)
def test_the_verdict_follows_the_rule(counted, trained, untrained, low, verdict):
    trials = judged("counting", "counted", [counted]) + judged(
        "gpt-mini", "pre-trained", trained, low
    )
    trials += judged("gpt-mini", "untrained", [untrained])
    assert yardsticks.verdict(yardsticks.summarise(trials)).startswith(verdict)


def test_counting_pays_for_the_same_rows_in_the_same_unit():
    found, ids = yardsticks.ngrams(5), yardsticks.held_out_rows(3, 20)
    end = load_tokenizer("course").eos_token_id
    assert ids.shape == (3, 20) and not (ids == end).any()
    whole = torch.cat([torch.full((3, 1), end), ids], 1)
    entry = yardsticks.counted_bits(found, ids, 3)
    assert entry["nats_a_piece"] == pytest.approx(found.loss(whole, 3))
    size = len(load_tokenizer("course").decode(ids.flatten()).encode())
    assert entry["bits_per_byte"] == pytest.approx(entry["nats_a_piece"] * 60 / np.log(2) / size)
    assert entry["low"] <= entry["bits_per_byte"] <= entry["high"]
    sentences = [[*ids[0, :7].tolist()], [*ids[1, :9].tolist()], [*ids[2, :7].tolist()]]
    scores = yardsticks.counted_scores(found, 3)(sentences)
    for sentence, score in zip(sentences, scores, strict=True):
        assert float(score) == pytest.approx(found.log_probs([end, *sentence], 3)[1:].sum())


def test_blimp_is_judged_where_its_archive_is(tmp_path):
    import zipfile

    path = tmp_path / "pairs.zip"
    rows = [
        {"sentence_good": f"The {a} is here.", "sentence_bad": f"The {a} are here.",
         "linguistics_term": "agreement_of_verbs", "UID": "one"} for a in ("law", "man")
    ]  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("one.jsonl", "\n".join(map(json.dumps, rows)))
    settings = {**yardsticks.SETTINGS, **yardsticks.TINY, "seed": 0, "blimp": str(path)}
    made = yardsticks.measure(settings | {"blimp_pairs": 2}, "gpt-mini", "pre-trained", 0)
    assert [(row["set"], row["count"]) for row in made["blimp"][0]["sets"]] == [
        ("agreement of verbs", 2),
        ("all", 2),
    ]


def test_a_seed_that_is_not_shipped_asks_for_its_runs():
    with pytest.raises(ValueError, match="seed 0 only"):
        yardsticks.build(yardsticks.SETTINGS, "gpt-mini", "pre-trained", 1)


# -- facts and legibility ------------------------------------------------------------------------


def test_a_hundred_clozes_are_in_the_vocabulary_and_give_nothing_away():
    tokenizer = sources.load_pretrained("minilm").tokenizer
    every = clozes()
    assert len(every) == len({cloze.text for cloze in every}) == 100
    assert sum(cloze.kind == "capital" for cloze in every) == 60
    for cloze in every:
        assert len(tokenizer.tokenize(cloze.answer)) == 1
        assert cloze.text.count("[MASK]") == cloze.without_name.count("[MASK]") == 1
        assert cloze.answer not in cloze.text and "his country" in cloze.without_name
    continents = [cloze.answer for cloze in every if cloze.kind == "continent"]
    assert max(map(continents.count, set(continents))) <= 14  # a constant answer is right in 35%


def test_answers_are_what_transformers_itself_would_fill_in():
    from transformers import pipeline

    found = sources.load_pretrained("minilm-mlm")
    fill = pipeline("fill-mask", model=found.model, tokenizer=found.tokenizer, top_k=5)
    texts = [cloze.text for cloze in clozes()[::40]]
    theirs = [[each["token_str"] for each in fill(text)] for text in texts]
    assert facts.answers(found.model, found.tokenizer, texts) == theirs


@pytest.mark.parametrize(
    ("right", "verdict"), [(59, "no: 59%"), (60, "yes: 60%"), (0, "no: 0% at top-1, 100% at top-5")]
)
def test_facts_are_known_from_sixty_on(right, verdict):
    given = [
        {"kind": cloze.kind, "answer": cloze.answer}
        | {"five": [cloze.answer.lower(), "x"] if n < right else ["x", cloze.answer.lower()]}
        for n, cloze in enumerate(clozes())
    ]
    shared = {"answers": given, "constant": facts.constant(clozes())}
    results = facts.summarise([{"asked": asked} | shared for asked in ("text", "without_name")])
    assert results["constant"] == pytest.approx(0.15)  # one capital and fourteen times Europe
    assert facts.verdict(results).startswith(verdict)


def test_the_judge_reads_each_text_by_itself_and_counts_the_bytes_it_predicts():
    model, tokenizer = few_shot.decoder("")
    texts = ["The state of the union is strong.", "It is."]
    nats, tokens, sizes = legibility.text_nats(model, tokenizer, texts)
    for text, cost, count, size in zip(texts, nats, tokens, sizes, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            assert cost / count == pytest.approx(float(model(ids, labels=ids).loss), rel=1e-5)
        assert size == len(text) - len(tokenizer.decode(ids[0, :1]))


def test_samples_are_the_seeds_own_and_equally_many():
    settings = {**legibility.SETTINGS, **legibility.TINY}
    for writer in ("gpt-mini", "5-gram"):
        first, again, other = (legibility.written(settings, writer, seed) for seed in (0, 0, 1))
        assert first == again != other and len(first) == 2
    plain, mixed = (
        legibility.written(settings, writer, 0) for writer in ("held-out text", "shuffled words")
    )
    assert [sorted(text.split()) for text in plain] == [sorted(text.split()) for text in mixed]
    assert plain != mixed
    assert legibility.repeated(["a b c d"]) == 0 and legibility.repeated(["a b c a b c"]) == 1 / 4


@pytest.mark.parametrize(
    ("losses", "counted", "again", "verdict"),
    [
        ([3.6, 3.7, 3.8], 4.5, 0.0, "yes: gpt-mini 3.70"),
        ([4.2, 4.3, 4.4], 4.5, 0.0, "no: "),
        ([3.9, 4.0, 4.2], 4.5, 0.0, "silent: "),  # within 1 nat with some seeds only
        ([3.6, 3.7, 3.8], 3.8, 0.0, "silent: "),  # the 5-gram writes as well
        ([3.6, 3.7, 3.8], 4.5, 0.3, "silent: "),  # it repeats itself, which judges like
    ],
)
def test_text_is_legible_by_the_rule(losses, counted, again, verdict):
    def runs(writer: str, values: list[float], repeated: float) -> list[dict]:
        same = {"writer": writer, "bits_per_byte": 1.0, "repeated_triples": repeated}
        return [same | {"nats_a_token": value} for value in values]

    trials = runs("held-out text", [3.1], 0.02) + runs("shuffled words", [7.0], 0.0)
    trials += runs("gpt-mini", losses, again) + runs("5-gram", [counted] * 3, 0.0)
    assert legibility.verdict(legibility.summarise(trials)).startswith(verdict)


# -- the comparison and what is shipped ----------------------------------------------------------


def test_the_comparison_reads_the_records(monkeypatch):
    def spread(*values: float) -> dict:
        return {
            "mean": float(np.mean(values)),
            "sd": float(np.std(values, ddof=1)),
            "values": values,
        }

    run = {"objective": "causal_lm", "parameters": 1334016, "step": 10, "tokens": 20160}
    run |= {key: spread(5e13, 5e13) for key in ("predicted", "flops", "seconds")}
    run |= {"validation_loss": spread(4.0, 4.2), "bits_per_byte": spread(9.9), "one_step": []}
    other = run | {"objective": "masked_lm", "bits_per_byte": None}

    def code(model: str, scheme: str, bits: float, passes: int) -> dict:
        facts = {"model": model, "start": "pre-trained", "scheme": scheme, "seeds": 1}
        return facts | {"bits_per_byte": spread(bits), "passes_a_row": passes}

    codes = [code("counting", "5-gram", 1.5, 0), code("bert-mini", "random", 1.85, 126)]
    codes += [
        code("bert-mini", "left to right", 1.95, 126),
        code("gpt-mini", "left to right", 1.36, 1),
    ]
    made = {
        "pretraining": {"models": {"gpt-mini": run, "bert-mini": other}},
        "yardsticks": {"bits_per_byte": codes},
        "finetuning-curves": {
            "models": {
                name: {"test_accuracy": spread(0.7, 0.72)} for name in ("gpt-mini", "bert-mini")
            }
        },
    }
    monkeypatch.setattr(records, "load", lambda name: {"results": made[name]})
    lines = comparison.comparison_table().splitlines()
    assert len(lines) == len(comparison.HEADER) + 1 and {line.count("|") for line in lines} == {4}
    columns = list(zip(*(line.strip("| ").split(" | ") for line in lines), strict=True))
    assert columns[0][0] == "model" and columns[1][0] == "gpt-mini"
    numbers = ("1,334,016", "5.00·10¹³", "4.100 ± 0.141", "1.36", "71.0 ± 1.4%", "2", "1")
    assert set(numbers) < set(columns[1])
    assert {"1.85", "random", "126"} < set(columns[2])  # not the other order, which was worse
    trio = {"gpt": {"parameters": 25000000, "validation_loss": 3.1, "bits_per_byte": None}}
    made["gpu"] = {"trio": trio}
    monkeypatch.setattr(records, "available", lambda: list(made))
    lines = comparison.comparison_table().splitlines()
    beside = [line.strip("| ").split(" | ")[-1] for line in lines]
    assert beside[0] == "gpt, on a GPU" and {"25,000,000", "3.100"} < set(beside)
    assert beside[comparison.HEADER.index("bits per byte") + 1] == "–"  # a rule below the header


def test_a_run_is_shipped_small_and_loads_in_full_precision(tmp_path):
    from course_utils.data.readers import checkpoint
    from course_utils.pretrain import pretrain

    with pytest.raises(ValueError, match="has not ended"):
        ship.ship("t5-mini", runs=tmp_path, to=tmp_path / "shipped")
    settings = {
        "steps": 1,
        "step_tokens": 254,
        "lengths": [127],
        "progress": False,
        "device": "cpu",
    }
    texts = (["The state of the union is told. " * 40], ["The congress has met again. " * 40])
    run = pretrain("t5-mini", out=tmp_path / "t5-mini-seed0", documents=texts, **settings)
    folder = ship.ship("t5-mini", runs=tmp_path, to=tmp_path / "shipped")
    assert sum(file.stat().st_size for file in folder.iterdir()) < 3e6
    model, tokenizer = checkpoint(folder)
    assert {p.dtype for p in model.parameters()} == {torch.float32} and len(tokenizer) == 4096
    weights = dict(model.named_parameters())
    original = checkpoint(tmp_path / "t5-mini-seed0/model")[0]
    for name, value in original.named_parameters():
        assert torch.allclose(weights[name], value, atol=1e-3, rtol=1e-3)
    text = (folder / "README.md").read_text("utf-8")
    for fact in (f"{run.facts['parameters']:,}", "course pretrain t5-mini --seed 0", "Apache-2.0"):
        assert fact in text


def test_measured_results_stand_a_few_wide_rows_upright_and_cite_their_sources():
    wide = {f"c{n}": str(n) for n in range(7)}
    few, many = (page.grid([wide] * rows).splitlines() for rows in (2, 6))
    assert few[0] == "| c0 | 0 | 0 |" and len(few) == 1 + 7 and len(many) == 2 + 6
    assert page.digits("raffel-2020-t5") == "{cite:t}`raffel-2020-t5`"
    assert page.digits("bert-mini") == "bert-mini"
    spread = {"loss": {"mean": 1.23456, "sd": 0.012345, "values": [1, 2]}}
    assert page.flat(spread) == {"loss": "1.235 ± 0.012"}


# -- what was to be shown ------------------------------------------------------------------------


def test_every_gate_has_a_verdict_on_the_page():
    verdicts = [gate.verdict() for gate in gates.GATES]
    assert len(verdicts) == 13
    assert all(re.match(r"(yes|no|silent|not measured): \S", verdict) for verdict in verdicts)
    shown = page.records_page()
    assert all(gate.rule in shown for gate in gates.GATES)
    assert all(verdict in shown for verdict in verdicts)


@pytest.mark.parametrize(("losses", "answer"), [([3.5, 3.6], "yes"), ([3.5, 3.61], "no")])
def test_counting_is_beaten_only_with_every_seed(monkeypatch, losses, answer):
    made = {
        "pretraining": {"models": {"gpt-mini": {"validation_loss": {"values": losses}}}},
        "counting": {"levels": {"sotu": {"5-gram": 3.75}}},
    }
    monkeypatch.setattr(records, "load", lambda name: {"results": made[name]})
    assert gates.beats_counting().startswith(f"{answer}: ")


GAINS = {"films": 3, "tweets": 3, "questions": 3}


@pytest.mark.parametrize(
    ("bert", "word"),
    [
        (GAINS | {"films": -1}, "yes"),
        (GAINS | {"films": -1, "tweets": 1.9}, "silent"),  # 1.9 is within twice the spread
        (dict.fromkeys(GAINS, 0.5), "no"),
        ({}, "yes"),
    ],
)
def test_the_verdict_on_our_own_transfer_follows_its_rule(bert, word):
    models = {"bert-mini": bert, "gpt-mini": GAINS}
    rows = [
        {"model": model, "task": task, "examples": size, "mean": mean, "sd": 1.0}
        for model, gains in models.items()
        for task, mean in gains.items()
        for size in own_transfer.JUDGED
    ]
    assert own_transfer.verdict({"gains": rows}).startswith(f"{word}: ")
    assert own_transfer.verdict({"gains": []}).startswith("silent: ")


@pytest.mark.parametrize(
    ("gains", "word"),
    [([12, 15, 11], "yes"), ([12, 15, 9], "silent"), ([12, 3, 4], "no"), ([], "silent")],
)
def test_the_verdict_on_transfer_follows_its_rule(gains, word):
    found = [
        {"task": task, "examples": size, "mean": gain, "sd": 1.0}
        for task in ("films", "questions")
        for size, gain in zip(transfer.JUDGED, gains, strict=False)
    ]
    assert transfer.verdict({"gains": found}).startswith(f"{word}: ")


def test_a_gain_within_twice_its_noise_is_not_claimed():
    noisy = [{"task": "films", "examples": 100, "mean": 12.0, "sd": 7.0}]
    assert transfer.verdict({"gains": noisy}).startswith("silent")
