"""The leaderboard believes nothing that it can compute, and opens nobody's pickle."""

import json
import pickle
import shutil

import pytest
from typer.testing import CliRunner

from course_tools.grading import leaderboard
from course_utils.cli import app
from course_utils.data.sources import CHECKPOINTS
from course_utils.pretrain import pretrain

DOCUMENTS = (["A day is long. " * 400], ["The day was short. " * 400])


@pytest.fixture(scope="module")
def entries(tmp_path_factory):
    """One honest entry, and others made of it by changing one thing each."""
    folder = tmp_path_factory.mktemp("entries")
    run = folder / "ann"
    pretrain("gpt-mini", steps=2, out=run, documents=DOCUMENTS, progress=False)

    def changed(who, facts=None, config=None):
        shutil.copytree(run, folder / who)
        for name, new in (("run.json", facts), ("model/config.json", config)):
            path = folder / who / name
            path.write_text(json.dumps(json.loads(path.read_text()) | (new or {})))
        return folder / who

    changed("rich", {"flops": 5e13})
    changed("modest", {"tokens": 10**9})
    changed("other", {"parameters": 7})
    changed("strange", config={"model_type": "llama"})
    changed("huge", config={"n_layer": 4000})
    changed("long", config={"n_layer": 5})
    broken = changed("broken")
    (broken / "run.json").write_text("[1")
    pickled = changed("pickled") / "model"
    (pickled / "model.safetensors").unlink()
    (pickled / "pytorch_model.bin").write_bytes(pickle.dumps({"bomb": print}))
    return folder


@pytest.fixture(scope="module", autouse=True)
def few_rows():
    """Eight held-out rows, so that it is quick."""
    with pytest.MonkeyPatch.context() as patch:
        yield patch.setattr(leaderboard, "ROWS", 8)


@pytest.fixture(scope="module")
def lines(entries):
    """The table: who → cells."""
    table = leaderboard.ranking(entries).splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {row[1]: row for row in cells}


def test_an_entry_is_ranked_by_what_its_weights_give(entries, lines):
    facts = json.loads((entries / "ann/run.json").read_text())
    bits = leaderboard.measured_bits(entries / "ann/model", facts)
    assert lines["ann"][0] == "1" and lines["ann"][5] == f"{bits:.3f}" and 2 < bits < 5
    best = {"parameters": 1_334_016, "tokens": 1, "flops": 4e13}
    assert leaderboard.measured_bits(CHECKPOINTS / "gpt-mini", best) < 2 < bits


@pytest.mark.parametrize(
    "who,words",
    [
        ("rich", "the budget is 4e+13"),
        ("modest", "tokens take"),
        ("other", "run.json says 7 weights"),
        ("strange", "llama is not one of"),
        ("huge", "at most 10,000,000"),
        ("long", "weights"),
        ("broken", "run.json is no JSON"),
        ("pickled", "safetensors"),
    ],
)
def test_what_cannot_be_ranked_says_why(lines, who, words):
    assert lines[who][0] == "–" and words in lines[who][2]


def test_training_an_entry_again_gives_the_same_number(entries, monkeypatch):
    def on_the_same_text(name, **how):
        return pretrain(name, documents=DOCUMENTS, **how)

    monkeypatch.setattr("course_utils.pretrain.pretrain", on_the_same_text)
    handed_in, trained = leaderboard.again(entries / "ann")
    assert handed_in == pytest.approx(trained, abs=1e-6)


def test_the_command_refuses_a_folder_without_entries(tmp_path):
    import course_tools.cli  # noqa: F401

    done = CliRunner().invoke(app, ["leaderboard", str(tmp_path)])
    assert done.exit_code and "no entries below" in str(done.output) + str(done.exception)
