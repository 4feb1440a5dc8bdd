"""The table of pre-training runs: comparable models, on real text, resumable, opened by anyone."""

import json
import math

import pytest
import torch
import transformers
from typer.testing import CliRunner

from course_tools.cli import app
from course_utils import pretrain as module
from course_utils import recipes
from course_utils.data.text import text_rows, token_ids
from course_utils.data.tokenizers import load_tokenizer
from course_utils.objectives import OBJECTIVES
from course_utils.pretrain import pretrain
from course_utils.recipes import RECIPES, recipe
from course_utils.training import loop

LINES = [
    "The Congress has met in the city, and the state of the union is told to its members.",
    "Commerce and the treasury grew in the year; the army was paid, the debt was not.",
    "Peace with all nations is the wish of the people, and a canal is to be dug.",
]
TEXTS = ([line * 12 for line in LINES], [LINES[1][::-1] * 6])


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("course")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))


def short(name, out=None, **more):
    settings = {"steps": 4, "step_tokens": 252, "lengths": [126], "log_every": 1, "device": "cpu"}
    settings |= more
    return pretrain(name, documents=TEXTS, out=out, progress=False, **settings)


def test_the_three_models_are_of_one_size(tokenizer):
    sizes = [sum(p.numel() for p in r.build(tokenizer).parameters()) for r in RECIPES.values()]
    assert list(RECIPES) == ["bert-mini", "gpt-mini", "t5-mini"]
    assert max(sizes) / min(sizes) < 1.02 and min(sizes) > 1.2e6


def test_all_end_with_rows_of_one_length_and_read_one_text():
    read_only = {name: r.objective == "causal_lm" for name, r in RECIPES.items()}
    assert {r.lengths[-1] - read_only[name] for name, r in RECIPES.items()} == {126}
    assert len({str(r.shares) for r in RECIPES.values()}) == 1


def test_rows_grow_and_hold_as_much_text():
    row = recipe("bert-mini", steps=50, lengths=(10, 40), step_tokens=400)
    assert [row.rows_of(step) for step in (0, 24, 25, 49)] == [
        (10, 40),
        (10, 40),
        (40, 10),
        (40, 10),
    ]


def test_a_step_has_the_rows_of_its_stage(tokenizer):
    row = recipe("bert-mini", seed=0, steps=4, lengths=(10, 30), step_tokens=60)
    batch_at = module.training_batches(row, TEXTS[0], tokenizer)
    assert [(*batch_at(step).labels.shape,) for step in (0, 3)] == [(6, 12), (2, 32)]


@pytest.mark.parametrize("name", RECIPES)
def test_rows_hold_the_text_in_order(name, tokenizer):
    wrapped, length = RECIPES[name].wrapped, RECIPES[name].lengths[-1]
    rows = text_rows(TEXTS[0], tokenizer, length, wrapped=wrapped)
    if wrapped:
        assert (rows[:, 0] == tokenizer.cls_token_id).all()
        assert (rows[:, -1] == tokenizer.sep_token_id).all()
        rows = rows[:, 1:-1]
    assert rows.shape[1] == length
    end = tokenizer.sep_token if wrapped else tokenizer.eos_token
    written = "".join(text + end for text in TEXTS[0])
    assert len(rows) >= 3 and written.startswith(tokenizer.decode(rows.flatten()))


@pytest.mark.parametrize("name", RECIPES)
def test_a_run_starts_near_ln_v_learns_and_is_opened_by_transformers(name, tmp_path, tokenizer):
    run = short(name, tmp_path)
    losses = run.result.curve("loss")[1]
    assert losses[0] == pytest.approx(math.log(4096), abs=0.7) and losses[-1] < losses[0]
    classes = ("AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM")
    opener = getattr(transformers, classes[list(RECIPES).index(name)])
    theirs = opener.from_pretrained(tmp_path / "model").eval()
    assert len(transformers.AutoTokenizer.from_pretrained(tmp_path / "model")) == 4096
    batch = module.held_out_batches(RECIPES[name], TEXTS[1], tokenizer)[0]
    with torch.no_grad():
        ours, hf = run.model(**batch.inputs), theirs(**batch.inputs).logits
    real = batch.inputs["attention_mask"] if "decoder_input_ids" not in batch.inputs else ...
    torch.testing.assert_close(ours[real], hf[real], atol=1e-4, rtol=1e-4)


def test_facts_are_written_for_the_model_card(tmp_path):
    run = short("gpt-mini", tmp_path, seed=3)
    facts = json.loads((tmp_path / "run.json").read_text())
    assert facts == json.loads(json.dumps(run.facts))
    assert facts["settings"]["seed"] == 3 and facts["step"] == 4
    assert facts["rows"] == {"lengths": [126], "step_tokens": 252}
    assert facts["tokens"] == 4 * 2 * 125 == run.result.tokens
    assert facts["validation_loss"] == run.result.history[-1]["validation_loss"]


def test_seed_decides_and_nothing_else():
    def end(seed):
        return short("bert-mini", seed=seed).result.curve("loss")[1]

    first = end(0)
    torch.rand(3)
    assert first == end(0) != end(1)


def test_what_is_hidden_depends_on_the_seed_too(monkeypatch):
    monkeypatch.setattr(module, "rows_at", lambda *arguments: torch.arange(2))
    monkeypatch.setattr(recipes, "derive_seed", lambda *parts: 1)  # the same weights
    starts = [short("bert-mini", seed=seed).result.history[0]["loss"] for seed in (0, 1)]
    assert starts[0] != starts[1]


def test_held_out_masks_are_the_same_for_every_seed(monkeypatch):
    seen = []
    monkeypatch.setattr(module, "validator", lambda batches, loss: seen.append(batches))
    monkeypatch.setattr(module, "train", lambda *a, **k: loop.TrainResult([{}]))
    for seed in (0, 1):
        with pytest.raises(KeyError):
            short("bert-mini", seed=seed)
    assert torch.equal(seen[0][0].labels, seen[1][0].labels)


def test_stopped_and_started_again_ends_the_same(tmp_path, monkeypatch):
    whole = short("t5-mini", tmp_path / "whole", steps=6, checkpoint_every=1)
    corrupt = OBJECTIVES["span_corruption"].corrupt
    calls = []

    def until(ids, **more):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return corrupt(ids, **more)

    broken = type(OBJECTIVES["span_corruption"])(
        **{**vars(OBJECTIVES["span_corruption"]), "corrupt": until}
    )
    with monkeypatch.context() as patch:
        patch.setitem(OBJECTIVES, "span_corruption", broken)
        with pytest.raises(KeyboardInterrupt):
            short("t5-mini", tmp_path / "cut", steps=6, checkpoint_every=1)
    cut = short("t5-mini", tmp_path / "cut", steps=6, checkpoint_every=1)
    assert cut.result.curve("loss") == whole.result.curve("loss")
    for name, p in whole.model.named_parameters():
        assert torch.equal(p, cut.model.get_parameter(name)), name


def test_options_and_settings_replace_the_recipes():
    run = short("bert-mini", options={"rate": 0.5}, learning_rate=7e-4)
    assert run.facts["options"] == {"rate": 0.5} and run.facts["settings"]["learning_rate"] == 7e-4


def test_text_is_tokenised_once(tokenizer):
    class Counting:
        calls = 0
        backend_tokenizer = tokenizer.backend_tokenizer

        def __call__(self, *arguments, **more):
            Counting.calls += 1
            return tokenizer(*arguments, **more)

    ids = [token_ids(TEXTS[0], Counting()) for _ in range(2)]
    assert Counting.calls == 1 and ids[0] == ids[1]
    assert [tokenizer.decode(row) for row in ids[0]] == list(TEXTS[0])
    token_ids(TEXTS[1], Counting())
    assert Counting.calls == 2


def test_an_unknown_name_is_refused_in_one_line():
    with pytest.raises(ValueError, match="no recipe 'bert'; there are bert-mini, gpt-mini, t5"):
        pretrain("bert")
    done = CliRunner().invoke(app, ["pretrain", "bert"])
    assert done.exit_code == 1 and "there is no recipe 'bert'" in done.output
