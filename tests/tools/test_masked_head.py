"""The masked-language-model head that the course trains for MiniLM, and what is shipped of it."""

import json

import pytest
import torch
from safetensors.torch import load_file

from course_tools.experiments import masked_head
from course_utils.data.sources import CHECKPOINTS, load_pretrained
from course_utils.models.huggingface import from_hf
from course_utils.objectives.batch import Batch

SHIPPED = CHECKPOINTS / "minilm-mlm"


@pytest.fixture(scope="module")
def pretrained():
    return load_pretrained("minilm-mlm")


def test_only_what_was_trained_is_shipped_and_it_is_small():
    weights = load_file(SHIPPED / "trained.safetensors")
    kept = {name.split(".layer.")[-1].split(".")[0] for name in weights if ".layer." in name}
    assert kept == {"3", "4", "5"}
    assert not any("embeddings" in name or "decoder" in name for name in weights)
    assert (SHIPPED / "trained.safetensors").stat().st_size < 12e6


def test_embeddings_and_lower_blocks_are_the_published_ones(pretrained):
    bare, trained = load_pretrained("minilm").model.state_dict(), pretrained.model.bert.state_dict()
    same = {name for name in trained if torch.equal(trained[name], bare[name])}
    assert {name for name in trained if ".layer." not in name} <= same
    assert {name for name in trained if ".layer.2." in name} <= same
    assert not {name for name in trained if ".layer.5." in name} & same


def test_it_completes_what_the_corpus_says_often(pretrained):
    model, tokenizer = from_hf(pretrained.model), pretrained.tokenizer
    ids = tokenizer("the congress of the united [MASK].", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        logits = model(ids, select=ids == tokenizer.mask_token_id)
    assert tokenizer.convert_ids_to_tokens(int(logits.argmax())) == "states"


def test_the_record_belongs_to_the_shipped_recipe():
    record = json.loads((SHIPPED / "record.json").read_text("utf-8"))
    assert record["recipe"] == masked_head.HeadRecipe().__dict__
    recipe = masked_head.HeadRecipe()
    assert record["tokens"] == recipe.steps * recipe.batch_size * recipe.length
    for part in record["held_out"].values():
        total = part["accuracy"][-1]
        assert total["class"] == "all" and 0 < total["top1"] < total["top5"] < 1
        assert total["pieces"] == sum(row["pieces"] for row in part["accuracy"][:-1])


def test_accuracy_by_frequency_counts_by_hand():
    """Piece 7 is the commonest of 2,000 and guessed first; piece 5 is rare and guessed third."""
    frequencies = torch.arange(2000, 0, -1).double()
    frequencies[7], frequencies[5] = 1e6, 0.5

    def model(input_ids, select):
        logits = torch.zeros(int(select.sum()), 2000)
        logits[:, 7], logits[:, 9], logits[:, 5] = 3.0, 2.0, 1.0
        return logits

    labels = torch.tensor([[7, -100, 5, 5]])
    batch = Batch({"input_ids": torch.zeros(1, 4, dtype=torch.long)}, labels)
    rows = {r["class"]: r for r in masked_head.accuracy_by_frequency(model, [batch], frequencies)}
    assert rows["rank 1–100"] == {"class": "rank 1–100", "pieces": 1, "top1": 1.0, "top5": 1.0}
    assert rows["rank 1,001–10,000"]["top1"] == 0.0 and rows["rank 1,001–10,000"]["top5"] == 1.0
    assert rows["all"]["pieces"] == 3 and abs(rows["all"]["top1"] - 1 / 3) < 1e-6


@pytest.mark.slow
def test_a_short_run_learns_and_ships_the_same_parts(tmp_path):
    recipe = masked_head.HeadRecipe(steps=6, batch_size=4)
    record = masked_head.train_head(tmp_path, recipe)
    log = [json.loads(line) for line in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert record["tokens"] == 6 * 4 * recipe.length and log[-1]["loss"] < 8.5  # ln V is 10.3
    written, shipped = (load_file(p / "trained.safetensors") for p in (tmp_path, SHIPPED))
    assert {n: t.shape for n, t in written.items()} == {n: t.shape for n, t in shipped.items()}
