"""Two processes under torchrun (gloo, loopback) train as one does on the same global batch."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_utils.data.batches import generator_at
from course_utils.models import Bert, BertConfig
from course_utils.models.heads import SequenceClassifier
from course_utils.objectives import masked_lm
from course_utils.objectives.batch import Batch
from course_utils.training.finetune import task_loss
from course_utils.training.loop import micro_batches, objective_loss, train, validator
from course_utils.training.optim import TrainConfig

V = 48
# By its default, as `course pretrain` has it, wherever that is the processor.
DEVICE = "cpu" if torch.accelerator.is_available() else TrainConfig(steps=1).device


def batch_at(step):
    """Seven rows, masked by independent draws: the processes get unequal numbers of tokens."""
    ids = torch.randint(5, V, (7, 12), generator=generator_at("text", step))
    special = {"mask_token_id": 4, "vocab_size": V, "special_ids": [0, 1, 2, 3, 4]}
    draw = generator_at("mask", step)
    return masked_lm.corrupt(ids, **special, count="independent", rate=0.1, generator=draw)


def labelled_at(step):
    batch = batch_at(step)
    return Batch(batch.inputs, batch.inputs["input_ids"][:, 0] % 2)


def run(kind, out=None, steps=8, **settings):
    torch.manual_seed(0)
    model = Bert(BertConfig(V, 32, 2, 2, 64, max_length=16, dropout=0.0))
    config = TrainConfig(steps=steps, learning_rate=3e-3, device=DEVICE, eps=1e-4, **settings)
    if kind == "classify":  # leaves the vocabulary head without a gradient
        loss, batches = (lambda m, b: task_loss(m(**b.inputs), b)), labelled_at
        model = SequenceClassifier(model, 2)
    else:
        loss, batches = objective_loss(masked_lm), batch_at
    check = validator([batches(99)], loss)
    return model, train(model, batches, loss, config, validate=check, out=out, progress=False)


def torchrun(processes, *arguments, nodes=1):
    """Start the lines of the instructor guide, each node's on this machine; wait for all."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
    command += [f"--nnodes={nodes}", "--master_addr=127.0.0.1", f"--master_port={port}"]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo",
    }
    started = [
        subprocess.Popen(
            [*command, f"--node_rank={node}", __file__, *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for node in range(nodes)
    ]
    for process in started:
        _, said = process.communicate(timeout=300)
        assert process.returncode == 0, said[-3000:]


def history(out):
    return [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]


def test_the_parts_are_really_unequal():
    cut = [micro_batches(batch_at(step), 4) for step in range(8)]
    counts = [[part.num_predicted for part in parts] for parts in cut]
    assert any(len(set(row)) > 1 for row in counts) and any(0 in row for row in counts)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "accumulation"), [("mlm", 1), ("mlm", 2), ("classify", 1)])
def test_two_processes_equal_one(tmp_path, kind, accumulation):
    torchrun(2, kind, str(tmp_path), str(accumulation))
    _, alone = run(kind)
    for key in ("loss", "validation_loss", "grad_norm"):
        together = [record[key] for record in history(tmp_path) if key in record]
        assert together == pytest.approx(alone.curve(key)[1], abs=1e-5), key
    assert len(history(tmp_path)) == 8


@pytest.mark.slow
def test_two_nodes_equal_one_process(tmp_path):
    torchrun(1, "mlm", str(tmp_path), "1", nodes=2)
    _, alone = run("mlm")
    found = [record["loss"] for record in history(tmp_path)]
    assert found == pytest.approx(alone.curve("loss")[1], abs=1e-5)


@pytest.mark.slow
def test_two_processes_go_on_where_they_stopped(tmp_path):
    torchrun(2, "mlm", str(tmp_path / "cut"), "1", "5")
    torchrun(2, "mlm", str(tmp_path / "cut"), "1")
    _, alone = run("mlm")
    found = [record["loss"] for record in history(tmp_path / "cut")]
    assert found == pytest.approx(alone.curve("loss")[1], abs=1e-5)


class Stop(BaseException):
    """Ends a run early."""


if __name__ == "__main__":
    kind, out, accumulation, *until = sys.argv[1:]
    if until:
        whole = batch_at

        def batch_at(step):
            """Stop both processes before step `until`."""
            if step == int(until[0]):
                sys.exit(0)
            return whole(step)

    run(kind, out, accumulation=int(accumulation), checkpoint_every=2)
