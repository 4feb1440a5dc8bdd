"""The one setting for the size of a run."""

from __future__ import annotations

import pytest
from chapter import ROOT

from course_tools.full_size import CHAPTERS, EXERCISES, full_size_table, training_bytes
from course_utils import scale
from course_utils.data.cache import SourceError

TABLE = {"steps": (300, 4000), "encoder": ("minilm-mlm", "bert-base-uncased")}


@pytest.fixture
def machine(monkeypatch):
    """Say what the machine has."""

    def has(memory: float, hub: bool = True) -> None:
        monkeypatch.delenv("COURSE_SCALE", raising=False)
        monkeypatch.setattr(scale, "gpu_memory", lambda: int(memory))
        monkeypatch.setattr(scale.hub, "answers", lambda: hub)

    return has


@pytest.mark.parametrize(
    ("memory", "hub", "steps", "reason"),
    [
        (0, True, 300, "there is no GPU"),
        (8e9, True, 300, "the GPU has 8 GB"),
        (15.8e9, False, 300, "the hub does not answer"),
        (15.8e9, True, 4000, "a GPU of 16 GB and the hub are there"),
    ],
)
def test_auto_looks_at_what_is_there(machine, capsys, memory, hub, steps, reason):
    machine(memory, hub)
    size = scale.pick(**TABLE)
    assert size.steps == steps and size.scale == ("full" if steps == 4000 else "small")
    (line,) = capsys.readouterr().out.splitlines()
    reason += "; with a large GPU and the hub" * (size.scale == "small")
    assert line == f"{size.scale} scale: {reason}: steps 4000, encoder bert-base-uncased"


@pytest.mark.parametrize("setting", ["small", "full"])
def test_a_setting_decides(machine, monkeypatch, setting):
    machine(0)
    monkeypatch.setenv("COURSE_SCALE", setting)
    assert scale.pick(**TABLE).scale == setting


def test_a_trial_loads_what_full_loads_and_counts_little(machine, monkeypatch):
    machine(0)
    monkeypatch.setenv("COURSE_SCALE", "trial")
    size = scale.pick(**TABLE, epochs=3, rate=0.5, long=(None, 4000))
    assert (size.steps, size.encoder) == (scale.MOST, "bert-base-uncased")
    assert size.long == scale.FEW
    assert (size.epochs, size.rate) == (3, 0.5)


def test_a_single_value_holds_at_every_scale(machine, monkeypatch):
    machine(0)
    for setting in ("small", "full"):
        monkeypatch.setenv("COURSE_SCALE", setting)
        assert scale.pick(steps=160).steps == 160


@pytest.mark.parametrize(("setting", "asked"), [("auto", False), ("small", False), ("full", True)])
def test_exercises_are_full_size_only_when_asked(monkeypatch, setting, asked):
    monkeypatch.setenv("COURSE_SCALE", setting)
    assert scale.asked_full() is asked


def test_another_setting_is_refused(machine, monkeypatch):
    machine(0)
    monkeypatch.setenv("COURSE_SCALE", "huge")
    with pytest.raises(SourceError, match="auto, small, full or trial"):
        scale.pick(**TABLE)


def test_memory_of_this_machine():
    import torch

    assert (scale.gpu_memory() > 0) == torch.cuda.is_available()


# -- what full size takes, computed: no GPU was there to measure it on -------------------------

MEASURED = 230  # seconds of computing of the slowest chapter on two cores, without what full adds


@pytest.mark.parametrize("cell", CHAPTERS + EXERCISES, ids=lambda c: f"{c.place} {c.setting}")
def test_a_cell_at_full_size_fits_a_t4(cell):
    folder = "chapters" if cell in CHAPTERS else "solutions"
    (path,) = (ROOT / folder).glob(f"{cell.place}_*.ipynb")
    assert cell.setting in path.read_text("utf-8").replace('\\"', '"')
    assert cell.memory < 14e9
    print(f"{cell.place}: {cell.memory / 1e9:.1f} GB, {cell.seconds:.0f} s more")


@pytest.mark.parametrize("chapter", sorted({cell.place for cell in CHAPTERS}))
def test_a_chapter_at_full_size_ends_in_time(chapter):
    more = sum(cell.seconds for cell in CHAPTERS if cell.place == chapter)
    assert MEASURED + more < 20 * 60


def test_the_page_says_what_is_computed():
    assert full_size_table() in (ROOT / "book/adapting.md").read_text("utf-8")


def test_full_size_is_worth_a_gpu():
    """Each of the three is pre-trained for about ten minutes, and BERT-base learns for minutes."""
    learned = {}
    for cell in CHAPTERS:
        if cell.learned:
            learned[cell.model] = learned.get(cell.model, 0) + cell.seconds
    assert learned.pop("bert-base") > 240
    assert learned.keys() == {"bert-7m", "gpt-7m", "t5-7m"}
    assert all(500 < seconds < 700 for seconds in learned.values())


def test_models_go_to_the_gpu_where_there_is_one(machine, monkeypatch):
    machine(15.8e9)
    assert scale.pick(**TABLE).device == "cuda"
    monkeypatch.setenv("COURSE_SCALE", "small")  # its numbers are the same everywhere
    assert scale.pick(**TABLE).device == "cpu"
    machine(0)
    monkeypatch.setenv("COURSE_SCALE", "full")
    assert scale.pick(**TABLE).device == "cpu"


def test_training_bytes_of_one_layer_by_hand():
    """A linear layer's worth: 1 row, 1 token, width 1, one head is 2·(34 + 5) = 78 bytes."""
    assert training_bytes(0, 1, 1, 1, 1, 1) == 78
    assert training_bytes(10, 0, 1, 1, 1, 1) == 160
