"""The one setting for the size of a run."""

from __future__ import annotations

import pytest

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
    assert line == f"scale: {size.scale}, for {reason}; steps {steps}, encoder {size.encoder}"


@pytest.mark.parametrize("setting", scale.SCALES)
def test_a_setting_decides(machine, monkeypatch, setting):
    machine(0)
    monkeypatch.setenv("COURSE_SCALE", setting)
    assert scale.pick(**TABLE).scale == setting


def test_another_setting_is_refused(machine, monkeypatch):
    machine(0)
    monkeypatch.setenv("COURSE_SCALE", "huge")
    with pytest.raises(SourceError, match="auto, small or full"):
        scale.pick(**TABLE)


def test_memory_of_this_machine():
    import torch

    assert (scale.gpu_memory() > 0) == torch.cuda.is_available()
