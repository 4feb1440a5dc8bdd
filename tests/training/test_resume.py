"""A run that is killed at any moment and started again ends as one that was never disturbed."""

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from course_utils.data.batches import generator_at, rows_at
from course_utils.models import Bert, BertConfig
from course_utils.objectives import masked_lm
from course_utils.training import checkpoint
from course_utils.training.loop import objective_loss, train, validator
from course_utils.training.optim import TrainConfig

STEPS, V = 40, 48
TEXT = torch.randint(5, V, (30, 12), generator=generator_at("text"))
WHAT_VARIES = ("tokens_per_second", "mfu")


def batch_at(step):
    """Rows in a shuffled order that spans epochs, masked afresh at every step."""
    ids = TEXT[rows_at(step, len(TEXT), 8, seed=1)]
    special = {"mask_token_id": 4, "vocab_size": V, "special_ids": [0, 1, 2, 3, 4]}
    return masked_lm.corrupt(ids, **special, generator=generator_at("mask", step))


def run(out, *, batches=batch_at, validate=None, **settings):
    """Everything that has a state: dropout, schedule, moments, records of 3 steps, best weights."""
    torch.manual_seed(0)
    model = Bert(BertConfig(V, 32, 2, 2, 64, max_length=16, dropout=0.2))
    loss = objective_loss(masked_lm)
    more = {"log_every": 3, "validate_every": 7, "patience": 50, "checkpoint_every": 1, **settings}
    config = TrainConfig(steps=STEPS, learning_rate=3e-3, warmup_steps=5, device="cpu", **more)
    validate = validate or validator([batch_at(1000), batch_at(1001)], loss)
    return model, train(model, batches, loss, config, validate=validate, out=out, progress=False)


def state_of(out):
    """Model, moments and best weights bit by bit; history without what the clock decides."""
    tensors, state = checkpoint.load(Path(out) / "checkpoints")
    history = [
        {k: v for k, v in record.items() if k not in WHAT_VARIES}
        for record in state["result"]["history"]
    ]
    return tensors, history, state["result"]["step"]


def assert_same(a, b):
    (tensors, history, step), (others, other_history, other_step) = state_of(a), state_of(b)
    assert history == other_history and step == other_step == STEPS
    assert tensors.keys() == others.keys() and {"model", "adamw", "best"} <= tensors.keys()
    for group, content in tensors.items():
        assert content.keys() == others[group].keys()
        for name, tensor in content.items():
            assert torch.equal(tensor, others[group][name]), f"{group}: {name}"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    run(out)
    return out


def test_the_best_weights_outlive_a_stop(tmp_path):
    """The best validation is the first one, before the stop; the run after it must know."""
    ends = []
    for stop in (None, 10):
        out, values = tmp_path / str(stop), iter([1.0] + [5.0] * 9)

        def validate(model, values=values):
            return {"validation_loss": next(values)}

        if stop:
            with pytest.raises(Stop):
                run(out, batches=lambda k: _raise() if k == 10 else batch_at(k), validate=validate)
        model, result = run(out, validate=validate)
        assert (result.best_step, result.best_loss) == (7, 1.0)
        ends.append(model.state_dict())
    assert all(torch.equal(tensor, ends[1][name]) for name, tensor in ends[0].items())


class Stop(BaseException):
    """Stands for the end of the process where a real kill would be slow to test."""


def interrupted(out, *stops, **settings):
    for stop in stops:

        def until(step, stop=stop):
            if step == stop:
                raise Stop
            return batch_at(step)

        with pytest.raises(Stop):
            run(out, batches=until, **settings)
    return run(out, **settings)


@pytest.mark.parametrize("every", [1, 4])
def test_stopped_at_several_steps_equals_undisturbed(tmp_path, undisturbed, every):
    interrupted(tmp_path, 1, 8, 9, 27, checkpoint_every=every)
    assert_same(tmp_path, undisturbed)
    logs = [
        [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        for out in (tmp_path, undisturbed)
    ]
    steps = [[record["step"] for record in log] for log in logs]
    assert steps[0] == steps[1]  # no line twice, none missing


def test_with_muon_both_optimizers_are_taken_up_exactly(tmp_path):
    run(tmp_path / "whole", optimizer="muon")
    interrupted(tmp_path / "stopped", 8, 27, optimizer="muon")
    tensors, _, _ = state_of(tmp_path / "stopped")
    assert tensors["muon"] and tensors["adamw"]
    assert_same(tmp_path / "stopped", tmp_path / "whole")


def test_a_finished_run_is_not_trained_again(undisturbed):
    def never(step):
        raise AssertionError("no batch should be asked for")

    model, result = run(undisturbed, batches=never)
    tensors, _, _ = state_of(undisturbed)
    assert result.step == STEPS
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, tensors["best"][name])


def test_without_the_moments_or_the_dropout_it_would_not_be_equal(
    tmp_path, undisturbed, monkeypatch
):
    """The comparison above can see a forgotten optimizer state: this breaks it on purpose."""
    weights_only = lambda model, optimizers, saved: model.load_state_dict(saved["model"])  # noqa: E731
    monkeypatch.setattr(checkpoint, "restore", weights_only)
    interrupted(tmp_path, 8)
    with pytest.raises(AssertionError):
        assert_same(tmp_path, undisturbed)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
import test_resume

def batch_at(step):
    print(step, flush=True)
    return test_resume.batch_at(step)

test_resume.run({out!r}, batches=batch_at)
"""


def start(out):
    code = SCRIPT.format(tests=str(Path(__file__).parent), out=str(out))
    # sums over two threads round differently: the comparison is bitwise for equal thread counts
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    environment = {**os.environ, **threads, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_killed_with_sigkill_at_random_moments_equals_undisturbed(tmp_path, undisturbed):
    """Each step writes a checkpoint and takes about as long as that: kills fall into both."""
    chance, reached = random.Random(time.time_ns()), []
    for after in sorted(chance.sample(range(1, STEPS - 5), 4)):
        process = start(tmp_path)
        begun = [int(next(process.stdout))]  # the step that was resumed
        while begun[-1] < after:
            begun.append(int(next(process.stdout)))
        time.sleep(chance.uniform(0, 0.03))  # a step takes 10 ms or so
        process.kill()
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
        found = checkpoint.load(tmp_path / "checkpoints")
        reached.append((after, begun[0], found[1]["result"]["step"]))
    resumed, left = [row[1] for row in reached[1:]], [row[2] for row in reached[:-1]]
    assert resumed == left, reached  # each run began with the step the last one left
    process = start(tmp_path)
    process.communicate()
    assert process.returncode == 0
    assert_same(tmp_path, undisturbed)
    assert not list((tmp_path / "checkpoints").glob(".writing"))


def test_a_folder_that_cannot_be_synced_stops_nothing(tmp_path, monkeypatch):
    """Some network shares answer EINVAL; the file itself is synced and whole."""
    synced = []

    def fsync(handle, real=os.fsync):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        synced.append(handle)
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    checkpoint.save(tmp_path, 1, {"model": {"w": torch.ones(2)}}, {"any": "state"})
    groups, state = checkpoint.load(tmp_path)
    assert synced and state == {"any": "state"} and groups["model"]["w"].tolist() == [1, 1]


def test_a_kill_while_writing_leaves_the_one_before(tmp_path, monkeypatch):
    """Stop at every file operation of `save` in turn: there is always a whole checkpoint."""
    tensors, folder = {"model": {"w": torch.arange(4.0)}}, tmp_path / "c"
    checkpoint.save(folder, 1, tensors, {"step": 1})

    def stop(*arguments):
        raise Stop

    operations = ["save_tensors", "sha256_of", "_sync", "replace", "_prune"]
    for number, name in enumerate(operations, 2):
        with monkeypatch.context() as patch:
            patch.setattr(Path if name == "replace" else checkpoint, name, stop)
            with pytest.raises(Stop):
                checkpoint.save(folder, number, tensors, {"step": number})
        found, state = checkpoint.load(folder)
        assert state["step"] == (number if name == "_prune" else 1)
        assert torch.equal(found["model"]["w"], tensors["model"]["w"])


@pytest.mark.parametrize("damage", ["tensors", "state", "cut"])
def test_a_damaged_checkpoint_is_passed_over_in_one_line(tmp_path, undisturbed, capsys, damage):
    with pytest.raises(Stop):
        run(tmp_path, batches=lambda step: _raise() if step == 20 else batch_at(step))
    kept = sorted((tmp_path / "checkpoints").iterdir())
    assert [path.name[:13] for path in kept] == ["step-00000019", "step-00000020"]
    content = bytearray(kept[-1].read_bytes())
    content[{"tensors": -99, "state": 99, "cut": 0}[damage]] ^= 1
    kept[-1].write_bytes(content if damage != "cut" else content[:-1])
    capsys.readouterr()
    run(tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 1 and "step-00000020" in said[0] and "is damaged" in said[0]
    assert_same(tmp_path, undisturbed)


def test_of_two_checkpoints_at_one_step_the_damaged_one_goes(tmp_path):
    """A damaged one is written again under another name; the one before it is still kept."""
    places = [checkpoint.save(tmp_path, n, {"model": {"w": torch.ones(1)}}, {}) for n in (1, 2)]
    places[1].write_bytes(b"damaged")
    again = checkpoint.save(tmp_path, 2, {"model": {"w": torch.zeros(1)}}, {})
    assert again != places[1] and set(tmp_path.iterdir()) == {places[0], again}


def _raise():
    raise Stop


def test_no_whole_checkpoint_is_an_error_and_not_a_silent_new_start(tmp_path):
    place = checkpoint.save(tmp_path / "checkpoints", 3, {"model": {"w": torch.ones(1)}}, {})
    place.write_text("{")
    with pytest.raises(ValueError, match=r"no whole checkpoint in .*: delete the folder"):
        run(tmp_path)


def test_another_configuration_or_model_is_refused(undisturbed, tmp_path):
    with pytest.raises(ValueError, match=r"another configuration \(seed 0 → 1, weight_decay"):
        run(undisturbed, seed=1, weight_decay=0.5)
    model = Bert(BertConfig(V, 32, 2, 2, 65, max_length=16))
    tensors, _, _ = state_of(undisturbed)
    with pytest.raises(ValueError, match=r"(?s)another model: .*blocks.0.feed_forward.up.weight"):
        checkpoint.restore(model, None, tensors)


def test_nothing_is_pickled(undisturbed):
    files = {path.suffix for path in undisturbed.rglob("*") if path.is_file()}
    assert files == {".safetensors", ".jsonl"}


def test_tied_weights_come_back_tied(tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
            self.b.weight = self.a.weight

    first, second = Tied(), Tied()
    checkpoint.save(tmp_path, 1, {"model": first.state_dict()}, {})
    saved = checkpoint.load(tmp_path)[0] | {"adamw": {}}
    checkpoint.restore(second, {"adamw": torch.optim.AdamW(second.parameters())}, saved)
    assert second.b.weight is second.a.weight and torch.equal(second.b.weight, first.a.weight)
