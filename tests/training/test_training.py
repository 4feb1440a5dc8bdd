"""The loop: schedules, groups, accumulation, clipping, stopping, and what it says when it fails."""

import json
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file
from torch.utils.flop_counter import FlopCounterMode

from course_utils.data.batches import generator_at
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.models.heads import JointIntentSlots, SequenceClassifier, TokenClassifier
from course_utils.objectives import causal_lm, masked_lm, span_corruption
from course_utils.objectives.batch import IGNORE_INDEX, Batch
from course_utils.speed import matmul_peak
from course_utils.training import loop
from course_utils.training.finetune import (
    Examples,
    TaskBatch,
    finetune,
    loss_and_accuracy,
    make_batch,
    task_loss,
)
from course_utils.training.flops import num_tokens, training_flops
from course_utils.training.loop import (
    NonFiniteLoss,
    micro_batches,
    objective_loss,
    train,
    validator,
)
from course_utils.training.muon import Muon, orthogonalised
from course_utils.training.optim import (
    TrainConfig,
    freeze,
    learning_rate_at,
    make_optimizers,
    parameter_groups,
    set_learning_rate,
)

V = 48
SIZES = {"vocab_size": V, "hidden_size": 32, "num_layers": 2, "num_heads": 2}
mlm_loss, clm_loss = objective_loss(masked_lm), objective_loss(causal_lm)


def bert(dropout=0.0, **more):
    torch.manual_seed(0)
    return Bert(BertConfig(**SIZES, intermediate_size=64, max_length=16, dropout=dropout, **more))


def gpt(dropout=0.0):
    torch.manual_seed(0)
    return Gpt(GptConfig(**SIZES, intermediate_size=64, max_length=16, dropout=dropout))


def t5(dropout=0.0):
    torch.manual_seed(0)
    more = {"num_decoder_layers": 1, "intermediate_size": 64, "dropout": dropout}
    return T5(T5Config(**SIZES, head_size=16, **more))


def ids_at(step, rows=8):
    return torch.randint(5, V, (rows, 12), generator=generator_at("text", step))


def mlm_at(step, count="independent"):
    return masked_lm.corrupt(
        ids_at(step),
        mask_token_id=4,
        vocab_size=V,
        special_ids=[0, 1, 2, 3, 4],
        count=count,
        generator=generator_at("mask", step),
    )


def clm_at(step):
    return causal_lm.corrupt(ids_at(step))


def text_to_text(rows=8):
    ids = ids_at(0, rows)
    start = torch.zeros(rows, 1, dtype=torch.long)
    inputs = {"input_ids": ids, "decoder_input_ids": torch.cat([start, ids[:, :4]], 1)}
    return Batch(inputs, ids[:, :5].clone())


def run(model, batch_at, loss_fn, steps=6, **settings):
    more = {k: settings.pop(k) for k in ("validate", "out") if k in settings}
    config = TrainConfig(**{"steps": steps, "learning_rate": 1e-3, "device": "cpu", **settings})
    return train(model, batch_at, loss_fn, config, progress=False, **more)


def weights(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


# --- the numbers -------------------------------------------------------------------------------


def rates(schedule, **settings):
    config = TrainConfig(steps=100, learning_rate=2.0, schedule=schedule, **settings)
    return [learning_rate_at(step, config) for step in range(100)]


def test_warm_up_rises_linearly_to_the_full_rate():
    rising = rates("constant", warmup_steps=10)
    assert rising[:10] == pytest.approx([0.2 * k for k in range(1, 11)])
    assert rising[10:] == [2.0] * 90


def test_linear_falls_by_equal_steps_towards_the_final_fraction():
    falling = rates("linear", warmup_steps=20, final_fraction=0.1)
    assert falling[20] == 2.0 and falling[60] == pytest.approx(2.0 * 0.55)
    steps = torch.tensor(falling[20:]).diff()
    assert torch.allclose(steps, torch.full((79,), -1.8 / 80), atol=1e-6)


def test_cosine_is_half_way_at_half_time():
    falling = rates("cosine", warmup_steps=20, final_fraction=0.5)
    assert falling[60] == pytest.approx(1.5)
    assert falling[40] == pytest.approx(1 + 0.5 * (1 + math.cos(math.pi / 4)))
    assert falling == sorted(falling[:20]) + sorted(falling[20:], reverse=True)


def test_wsd_is_stable_then_falls_in_the_last_part():
    stable = rates("wsd", warmup_steps=10, decay_fraction=0.25)
    assert stable[10:76] == [2.0] * 66
    assert stable[75:] == pytest.approx([2.0 * (100 - step) / 25 for step in range(75, 100)])


def test_the_loop_uses_the_schedule():
    result = run(bert(), mlm_at, mlm_loss, schedule="cosine", warmup_steps=2)
    config = TrainConfig(steps=6, learning_rate=1e-3, schedule="cosine", warmup_steps=2)
    expected = [learning_rate_at(step, config) for step in range(6)]
    assert result.curve("learning_rate") == ([1, 2, 3, 4, 5, 6], expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"accumulation": 0}, "accumulation is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be positive"),
        ({"warmup_steps": 11}, r"warmup_steps is 11; it must be ≤ steps \(10\)"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; it must be one of"),
        ({"schedule": "sine"}, "schedule is 'sine'; it must be one of"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; it must be positive or None"),
        ({"mixed_precision": "fp8"}, "mixed_precision is 'fp8'"),
        ({"final_fraction": 2.0}, "final_fraction is 2.0"),
        ({"decay_fraction": 0.0}, "decay_fraction is 0.0"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"patience": -1}, "patience is -1"),
    ],
)
def test_a_configuration_checks_itself(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{"steps": 10, **settings})


# --- what is trained ---------------------------------------------------------------------------


@pytest.mark.parametrize("make", [bert, gpt, t5])
def test_groups_hold_every_weight_once_and_decay_no_norm_and_no_bias(make):
    model = make()
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, 0.1)["adamw"]
    assert {g["weight_decay"] for g in groups} == {0.1, 0.0}
    decayed, kept = (
        [names[id(p)] for g in groups if g["weight_decay"] == decay for p in g["params"]]
        for decay in (0.1, 0.0)
    )
    assert sorted(decayed + kept) == sorted(names.values())
    assert all("norm" in name or "bias" in name for name in kept)
    assert not any("norm" in name or "bias" in name for name in decayed)
    assert "token_embedding.weight" in decayed


@pytest.mark.parametrize(
    "make",
    [bert, gpt, t5, lambda: SequenceClassifier(bert(), 3)],
    ids=["bert", "gpt", "t5", "head"],
)
def test_muon_has_the_matrices_of_the_blocks_and_adamw_all_the_rest(make):
    model = make()
    names = {id(p): name for name, p in model.named_parameters()}
    optimizers = make_optimizers(model, TrainConfig(steps=1, optimizer="muon"))
    held = {
        kind: [names[id(p)] for group in optimizer.param_groups for p in group["params"]]
        for kind, optimizer in optimizers.items()
    }
    assert isinstance(optimizers["muon"], Muon)
    assert isinstance(optimizers["adamw"], torch.optim.AdamW)
    assert sorted(held["muon"] + held["adamw"]) == sorted(names.values())  # each once
    shapes = dict(model.named_parameters())
    in_blocks = {name for name, p in shapes.items() if "blocks." in name and p.ndim == 2}
    assert set(held["muon"]) == in_blocks and in_blocks


@pytest.mark.parametrize(("make", "batch_at"), [(bert, mlm_at), (gpt, clm_at)])
def test_muon_learns(make, batch_at):
    batch = batch_at(0)
    settings = {"steps": 60, "learning_rate": 1e-2, "optimizer": "muon", "weight_decay": 0.0}
    losses = run(make(), lambda step: batch, mlm_loss, **settings).curve("loss")[1]
    assert losses[0] == pytest.approx(math.log(V), abs=0.8) and losses[-1] < 0.3


def test_the_rates_of_both_optimizers_follow_the_schedule():
    optimizers = make_optimizers(
        t5(), TrainConfig(steps=4, optimizer="muon", embedding_rate=3.0, learning_rate=0.5)
    )
    config = TrainConfig(steps=4, learning_rate=0.5)
    assert set_learning_rate(optimizers.values(), 2, config) == 0.25
    rates = {name: {g["lr"] for g in o.param_groups} for name, o in optimizers.items()}
    assert rates == {"muon": {0.25}, "adamw": {0.25, 0.75}}


@pytest.mark.parametrize("shape", [(12, 12), (6, 40), (40, 6)])
def test_the_step_of_muon_is_an_orthogonal_matrix_that_points_as_the_gradient(shape):
    gradient = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(gradient, full_matrices=False)
    step = orthogonalised(gradient, steps=8)
    values = torch.linalg.svdvals(step)
    assert step.shape == shape and values.min() > 0.6 and values.max() < 1.3
    assert torch.cosine_similarity(step.flatten(), (left @ right).flatten(), dim=0) > 0.98


def test_the_arithmetic_of_muon_by_hand_and_in_the_count_of_a_run():
    """A matrix 2 × 3: 5·(2·4·3 + 2·8 + 2·4·3) FLOPs."""
    assert Muon([torch.nn.Parameter(torch.ones(2, 3))]).flops() == 5 * (24 + 16 + 24)
    with_muon = run(bert(), mlm_at, mlm_loss, optimizer="muon")
    without = run(bert(), mlm_at, mlm_loss)
    optimizers = make_optimizers(bert(), TrainConfig(steps=1, optimizer="muon"))
    more = with_muon.step * optimizers["muon"].flops()
    assert more > 0 and with_muon.flops == pytest.approx(without.flops + more)


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="needs PyTorch 2.9")
@pytest.mark.parametrize("shape", [(24, 24), (8, 32), (32, 8)])
def test_muon_is_pytorchs_but_for_the_rounding(shape):
    ours, theirs = (torch.nn.Parameter(torch.ones(shape)) for _ in range(2))
    settings = {"lr": 0.02, "weight_decay": 0.1}
    optimizers = [
        Muon([ours], **settings),
        torch.optim.Muon([theirs], **settings, adjust_lr_fn="match_rms_adamw"),
    ]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        ours.grad = torch.randn(shape, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    moved = (theirs - 1).abs().mean()  # PyTorch's is in bfloat16, three decimal digits
    assert (ours - theirs).abs().mean() < 0.02 * moved


def test_the_token_embedding_has_a_rate_of_its_own():
    model, batch = t5(), text_to_text()
    before = weights(model)
    loss = objective_loss(span_corruption)
    run(model, lambda step: batch, loss, steps=1, embedding_rate=7.0, weight_decay=0.0)
    # AdamW's first step moves every weight that has a gradient by its rate
    moved = {name: (now - before[name]).abs().max().item() for name, now in weights(model).items()}
    assert moved.pop("token_embedding.weight") == pytest.approx(7e-3, rel=0.01)
    assert all(step == pytest.approx(1e-3, rel=0.01) for step in moved.values())


def test_freezing_by_name():
    def still_trained(model, what):
        left = freeze(model, what)
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        assert left == sum(p.numel() for p in model.parameters() if p.requires_grad)
        return names

    names = still_trained(bert(), "embeddings")
    assert names[0].startswith("blocks.0") and "head.bias" in names
    names = still_trained(gpt(), "bottom:1")
    assert {name.split(".")[1] for name in names if name.startswith("blocks")} == {"1"}
    assert "final_norm.weight" in names and "position_embedding.weight" not in names
    names = still_trained(t5(), "bottom:1")
    assert (
        not any("blocks.0" in name for name in names) and "encoder.blocks.1" in names[0] + names[1]
    )
    names = still_trained(SequenceClassifier(gpt(), 3), "all_but_head")
    assert names == ["output.weight", "output.bias"]
    names = still_trained(JointIntentSlots(bert(), 3, 4), "all_but_head")
    assert len(names) == 4 and not any("backbone" in name for name in names)
    assert all(name.startswith("head.") for name in still_trained(bert(), "all_but_head"))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "bottom:3",
            "cannot freeze 'bottom:3' of this Gpt, only bottom:0, bottom:1, bottom:2, emb",
        ),
        ("top:1", "cannot freeze 'top:1'"),
        ("bottom", "cannot freeze 'bottom'"),
        ("all_but_head", "put a head of models.heads on it first"),
    ],
)
def test_freezing_what_is_not_there_is_refused(what, message):
    with pytest.raises(ValueError, match=message):
        freeze(gpt(), what)


def test_frozen_weights_stay_and_the_others_move():
    model = bert()
    freeze(model, "bottom:1")
    before = weights(model)
    run(model, mlm_at, mlm_loss, weight_decay=0.1)
    moved = {name for name, p in weights(model).items() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}


def test_nothing_left_to_train_is_refused():
    model = bert()
    model.requires_grad_(False)
    with pytest.raises(ValueError, match="every layer is frozen"):
        run(model, mlm_at, mlm_loss)


# --- the step ----------------------------------------------------------------------------------


@pytest.mark.parametrize("accumulation", [2, 3, 8])
def test_accumulation_equals_the_big_batch(accumulation):
    # independent draws: parts predict different numbers of tokens, one row often none at all
    counts = [part.num_predicted for part in micro_batches(mlm_at(0), accumulation)]
    assert len(set(counts)) > 1
    whole, parts = bert(), bert()
    big = run(whole, mlm_at, mlm_loss, eps=1e-4)
    cut = run(parts, mlm_at, mlm_loss, eps=1e-4, accumulation=accumulation)
    assert cut.curve("loss")[1] == pytest.approx(big.curve("loss")[1], abs=2e-6)
    assert cut.curve("grad_norm")[1] == pytest.approx(big.curve("grad_norm")[1], rel=1e-4)
    for name, p in weights(whole).items():
        torch.testing.assert_close(weights(parts)[name], p, atol=1e-5, rtol=1e-4)


def test_each_term_of_a_loss_is_weighed_by_its_own_count():
    def two_terms(model, batch):
        hidden = model.hidden_states(**batch.inputs)
        first = model.next_sentence_logits(hidden)
        row = torch.nn.functional.cross_entropy(first, batch.next_sentence_label)
        return {"token": mlm_loss(model, batch), "row": row}

    def batch_at(step):
        return replace(mlm_at(step, "fixed"), next_sentence_label=ids_at(step)[:, 0] % 2)

    def uneven(step):  # rows of very different numbers of labels
        batch = batch_at(step)
        labels = batch.labels.clone()
        labels[0] = batch.inputs["input_ids"][0]
        return replace(batch, labels=labels)

    curves = [
        run(bert(next_sentence=True), uneven, two_terms, accumulation=k).curve("loss")[1]
        for k in (1, 4)
    ]
    assert curves[0] == pytest.approx(curves[1], abs=1e-5)


def test_clipping_bounds_the_gradient_that_the_optimizer_sees():
    # with a large eps AdamW's step grows with the gradient, so a clipped one hardly moves
    moved = {}
    for clip in (None, 1e-4):
        model = bert()
        before = weights(model)
        result = run(model, mlm_at, mlm_loss, steps=1, eps=1.0, weight_decay=0.0, clip_norm=clip)
        moved[clip] = sum(float((p - before[n]).norm()) for n, p in weights(model).items())
        assert result.history[0]["grad_norm"] > 0.1  # the norm before clipping is what is logged
    assert moved[1e-4] < 1e-3 * moved[None]


@pytest.mark.parametrize(("make", "batch", "loss"), [
    (bert, mlm_at(0, "fixed"), mlm_loss),
    (gpt, clm_at(0), clm_loss),
    (t5, text_to_text(), clm_loss),
])  # fmt: skip
def test_the_loss_starts_near_ln_v_and_one_batch_can_be_learnt_by_heart(make, batch, loss):
    settings = {"steps": 150, "learning_rate": 1e-2, "schedule": "cosine", "weight_decay": 0.0}
    result = run(make(), lambda step: batch, loss, **settings)
    assert result.history[0]["loss"] == pytest.approx(
        math.log(V), abs=0.8
    )  # a wrong scale gives 10s
    assert result.history[-1]["loss"] < 0.1


def test_the_same_seed_gives_the_same_run_whatever_was_drawn_before():
    def one(seed, draws):
        model = bert(dropout=0.2)
        torch.rand(draws)
        return run(model, mlm_at, mlm_loss, seed=seed).curve("loss")[1], weights(model)

    (first, end), (again, same), (other, _) = one(1, 0), one(1, 7), one(2, 0)
    assert first == again and all(torch.equal(p, same[name]) for name, p in end.items())
    assert first != other  # dropout differs


def test_training_leaves_the_callers_random_state_alone():
    model = bert(dropout=0.2)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(model, mlm_at, mlm_loss)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.slow
def test_bf16_stays_close_to_fp32_and_keeps_fp32_weights(monkeypatch):
    monkeypatch.setattr(loop, "has_bf16", lambda device: True)
    model = bert()
    exact = run(bert(), mlm_at, mlm_loss).curve("loss")[1]
    rounded = run(model, mlm_at, mlm_loss, mixed_precision="bf16").curve("loss")[1]
    assert exact != rounded and rounded == pytest.approx(exact, abs=0.03)
    assert all(p.dtype == torch.float32 for p in model.parameters())


def test_bf16_is_left_where_it_is_slow(monkeypatch):
    monkeypatch.setattr(loop, "has_bf16", lambda device: False)
    exact = run(bert(), mlm_at, mlm_loss).curve("loss")
    assert run(bert(), mlm_at, mlm_loss, mixed_precision="bf16").curve("loss") == exact


@pytest.mark.slow
def test_compiled_equals_eager():
    eager = run(gpt(), clm_at, clm_loss, steps=3).curve("loss")[1]
    model, graphs = gpt(), torch._dynamo.utils.counters["stats"]
    torch._dynamo.reset()
    graphs.clear()
    try:
        compiled = run(model, clm_at, clm_loss, steps=3, compile=True).curve("loss")[1]
    except torch._inductor.exc.InductorError as error:
        pytest.skip(f"torch.compile needs a C++ compiler here: {str(error)[:60]}")
    assert graphs["unique_graphs"] == 1  # hidden_states, whole
    assert compiled == pytest.approx(eager, abs=1e-4)
    assert list(model.state_dict()) == list(gpt().state_dict())
    assert "hidden_states" not in vars(model)  # compiled for the run only


@pytest.mark.parametrize("make", [bert, gpt])
def test_a_head_trains_over_a_compiled_backbone(make, monkeypatch):
    compile_ = partial(torch.compile, backend="eager")  # what is compiled matters here, not how
    monkeypatch.setattr(torch, "compile", compile_)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    model, examples = SequenceClassifier(make(), 3), Examples([[5, 6], [7, 8]], [0, 1])
    finetune(model, examples, examples, pad_token_id=0, epochs=1, compile=True, progress=False)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 1
    assert "hidden_states" not in vars(model.backbone)


# --- stopping ----------------------------------------------------------------------------------


def nan_at(bad_step, where):
    calls = []

    def loss(model, batch):
        value = mlm_loss(model, batch)
        calls.append(1)
        if len(calls) - 1 == bad_step:
            # an infinite loss, or a finite loss whose gradient is not: d√x/dx at 0
            value = value / 0 if where == "loss" else value + ((value - value.detach()) * 0).sqrt()
        return value

    return loss


@pytest.mark.parametrize(
    ("where", "said"), [("loss", "the loss is inf"), ("gradient", "norm is nan")]
)
def test_a_non_finite_step_stops_names_the_step_and_saves_its_batch(tmp_path, where, said):
    model = bert()
    with pytest.raises(NonFiniteLoss, match=f"{said} at step 3") as caught:
        run(model, mlm_at, nan_at(3, where), out=tmp_path)
    saved = load_file(caught.value.path)
    assert caught.value.step == 3 and caught.value.path.parent == tmp_path
    batch = mlm_at(3)
    assert torch.equal(saved["labels"], batch.labels)
    assert torch.equal(saved["input_ids"], batch.inputs["input_ids"])
    assert all(p.isfinite().all() for p in model.parameters())  # the bad step was not taken


def test_early_stopping_takes_the_best_weights_back():
    model, seen = bert(), []
    losses = iter([3.0, 2.0, 2.5, 2.0, 1.0])

    def validate(module):
        assert not module.training and not torch.is_grad_enabled()
        seen.append(weights(module))
        return {"validation_loss": next(losses)}

    result = run(model, mlm_at, mlm_loss, 10, validate=validate, validate_every=2, patience=2)
    assert (result.step, result.best_step, result.best_loss) == (8, 4, 2.0)
    assert all(torch.equal(p, seen[1][name]) for name, p in weights(model).items())
    assert not torch.equal(seen[1]["head.bias"], seen[3]["head.bias"])


def test_a_validation_loss_of_nan_is_never_the_best_and_the_log_stays_json(tmp_path):
    losses = iter([math.nan, 3.0, 2.0, math.inf])

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    def validate(module):
        return {"validation_loss": next(losses)}

    more = {"validate": validate, "validate_every": 1, "patience": 4, "out": tmp_path}
    result = run(bert(), mlm_at, mlm_loss, 4, **more)
    assert (result.best_step, result.best_loss) == (3, 2.0)
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    found = [json.loads(line, parse_constant=refuse)["validation_loss"] for line in lines]
    assert found == [None, 3.0, 2.0, None]


def test_validation_weighs_every_batch_by_what_it_predicts():
    model = bert().eval()
    batches = [mlm_at(step) for step in range(4)]
    counts = [batch.num_predicted for batch in batches]
    means = [float(mlm_loss(model, batch).detach()) for batch in batches]
    expected = sum(m * n for m, n in zip(means, counts, strict=True)) / sum(counts)
    assert len(set(counts)) > 1
    with torch.no_grad():
        found = validator(batches, mlm_loss)(model)["validation_loss"]
    assert found == pytest.approx(expected, abs=1e-6)


def test_bad_batches_are_refused_by_step():
    empty = Batch(mlm_at(0).inputs, torch.full((8, 12), IGNORE_INDEX))
    with pytest.raises(ValueError, match=r"step 2: labels \(8, 12\), 0 of them to be predicted"):
        run(bert(), lambda step: empty if step == 2 else mlm_at(step), mlm_loss)
    with pytest.raises(ValueError, match=r"\(8, 12\), .* cannot be cut into 1 processes × 9"):
        run(bert(), mlm_at, mlm_loss, accumulation=9)


# --- what is said ------------------------------------------------------------------------------


def test_the_log_holds_the_history(tmp_path):
    batches = [mlm_at(100)]
    settings = {"validate": validator(batches, mlm_loss), "validate_every": 4, "log_every": 3}
    result = run(bert(), mlm_at, mlm_loss, 8, out=tmp_path, **settings)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines == result.history
    assert result.curve("loss")[0] == [3, 4, 6, 8] and result.curve("validation_loss")[0] == [4, 8]
    every = run(bert(), mlm_at, mlm_loss, 8).curve("loss")[1]
    means = [sum(every[:3]) / 3, every[3], sum(every[4:6]) / 2, sum(every[6:]) / 2]
    assert result.curve("loss")[1] == pytest.approx(means)
    assert result.tokens == 8 * 8 * 12 and 0 < lines[0]["mfu"] < 1.5


@pytest.mark.parametrize(("make", "batch", "loss"), [
    (bert, mlm_at(0, "fixed"), mlm_loss),
    (gpt, clm_at(0), clm_loss),
    (t5, text_to_text(), clm_loss),
    (lambda: T5(T5Config(**SIZES, head_size=8, intermediate_size=64, gated=True, tied=False)),
     text_to_text(), clm_loss),
])  # fmt: skip
def test_the_flops_formula_agrees_with_counted_products(make, batch, loss):
    model = make()
    plain = torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH)
    with plain, FlopCounterMode(display=False) as counter:
        loss(model, batch).backward()
    assert training_flops(model, batch) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_padding_is_not_counted_as_tokens():
    assert num_tokens(make_batch(bert(), Examples([[5, 6], [7]], [0, 1]), [0, 1], 0)) == 3
    assert num_tokens(text_to_text()) == 8 * (12 + 5)


def test_the_matmul_peak_is_measured_once_and_plausible():
    a = torch.randn(256, 256)
    matmul_peak()
    assert 1e9 < matmul_peak() < 1e14 and matmul_peak.cache_info().hits >= 1
    assert (a @ a).isfinite().all()


# --- fine-tuning -------------------------------------------------------------------------------


def task(count, seed):
    """Texts of unlike length; the label says whether most ids are above 26."""
    generator = generator_at("task", seed)
    sizes = torch.randint(3, 12, (count,), generator=generator).tolist()
    ids = [[1, *torch.randint(5, V, (n,), generator=generator).tolist()] for n in sizes]
    tags = [[IGNORE_INDEX, *(int(i > 26) for i in row[1:])] for row in ids]
    return ids, [int(sum(t[1:]) * 2 > len(t) - 1) for t in tags], tags


def tune(model, kind, **settings):
    def examples(count, seed):
        ids, labels, tags = task(count, seed)
        if kind == "answer":
            return Examples(ids, [[3 + label, 2] for label in labels])
        return Examples(
            ids, labels if kind == "label" else tags, labels if kind == "both" else None
        )

    settings = {"epochs": 6, "learning_rate": 5e-3, "evaluations": 4, **settings}
    options = {"pad_token_id": 0, "progress": False, "device": "cpu"}
    return finetune(model, examples(320, 1), examples(64, 2), **options, **settings)


@pytest.mark.parametrize(("make", "kind", "least"), [
    (lambda: SequenceClassifier(bert(), 2), "label", 0.9),
    (lambda: SequenceClassifier(gpt(), 2), "label", 0.85),
    (lambda: TokenClassifier(bert(), 2), "tags", 0.99),
    (lambda: JointIntentSlots(bert(), 2, 2), "both", 0.9),
    (t5, "answer", 0.75),
    (gpt, "answer", 0.75),
])  # fmt: skip
def test_fine_tuning_learns_the_task(make, kind, least):
    result = tune(make(), kind, epochs=40 if kind == "answer" else 6)
    assert result.history[-1]["validation_accuracy"] >= least
    steps, accuracy = result.curve("validation_accuracy")
    assert len(steps) >= 4 and steps[-1] == result.step
    assert accuracy[-1] > accuracy[0] or accuracy[0] > least
    assert {"train_loss", "train_accuracy", "validation_loss"} <= result.history[-1].keys()


def test_measured_accuracy_and_loss_are_those_of_the_model_one_by_one():
    model = SequenceClassifier(bert(), 2)
    result = tune(model, "label", epochs=1)
    ids, labels, _ = task(64, 2)
    logits = torch.cat([model(torch.tensor([row])) for row in ids]).detach()
    right = (logits.argmax(-1) == torch.tensor(labels)).float().mean()
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    assert result.history[-1]["validation_accuracy"] == pytest.approx(float(right))
    assert result.history[-1]["validation_loss"] == pytest.approx(float(loss), abs=1e-5)


def test_tag_accuracy_counts_tags_only():
    model = TokenClassifier(bert(), 2).eval()
    ids, _, tags = task(64, 2)
    right = [
        int(model(torch.tensor([row]))[0, k].argmax()) == tag
        for row, own in zip(ids, tags, strict=True)
        for k, tag in enumerate(own)
        if tag != IGNORE_INDEX
    ]
    batches = [make_batch(model, Examples(ids, tags), range(64), 0)]
    accuracy = loss_and_accuracy(model, batches, "some")["some_accuracy"]
    assert accuracy == pytest.approx(sum(right) / len(right)) and 0.1 < accuracy < 0.9


def test_equation_9_4_is_the_mean_of_minus_log_p():
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 3.0]])
    batch = TaskBatch({}, torch.tensor([0, 0, 1]))
    p = [math.exp(2) / (math.exp(2) + 1), 1 / (1 + math.e), 0.5]
    assert float(task_loss(logits, batch)) == pytest.approx(-sum(map(math.log, p)) / 3)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_joint_loss_weighs_intent_and_slots_with_alpha(alpha):
    from course_utils.models.heads import joint_loss

    ids, labels, tags = task(6, 0)
    model = JointIntentSlots(bert(), 2, 2).eval()
    batch = make_batch(model, Examples(ids, tags, labels), range(6), 0)
    outputs = model(**batch.inputs)
    terms = task_loss(outputs, batch, alpha)
    expected = joint_loss(*outputs, batch.intents, batch.labels, alpha)
    assert float(sum(terms.values()).detach()) == pytest.approx(float(expected.detach()), abs=1e-6)
    curves = [tune(JointIntentSlots(bert(), 2, 2), "both", epochs=1, accumulation=k, alpha=alpha)
              for k in (1, 4)]  # fmt: skip
    assert curves[0].curve("loss")[1] == pytest.approx(curves[1].curve("loss")[1], abs=1e-4)


def test_a_gpt_that_answers_predicts_the_answer_only():
    batch = make_batch(gpt(), Examples([[7, 8, 9], [6]], [[3, 2], [4, 2]]), [0, 1], 0)
    assert batch.inputs["input_ids"].tolist() == [[7, 8, 9, 3], [6, 4, 0, 0]]
    assert batch.labels.tolist() == [[-100, -100, 3, 2], [4, 2, -100, -100]]


def test_a_t5_that_answers_reads_the_answer_shifted():
    batch = make_batch(t5(), Examples([[7, 8, 9], [6]], [[3, 2], [4]]), [0, 1], 0)
    assert batch.inputs["input_ids"].tolist() == [[7, 8, 9], [6, 0, 0]]
    assert batch.inputs["decoder_input_ids"].tolist() == [[0, 3], [0, 0]]
    assert batch.labels.tolist() == [[3, 2], [4, -100]]


def test_a_frozen_backbone_stays_as_it_was_pre_trained():
    model = SequenceClassifier(bert(), 2)
    before = weights(model)
    tune(model, "label", epochs=1, frozen="all_but_head")
    moved = {name for name, p in weights(model).items() if not torch.equal(p, before[name])}
    assert moved == {"output.weight", "output.bias"}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Examples([[1]], [0, 1]), r"must be as many, at least one: \[1, 2\]"),
        (lambda: Examples([], []), r"at least one: \[0, 0\]"),
        (
            lambda: make_batch(
                TokenClassifier(bert(), 2), Examples([[1, 5]], [[-100]]), [0], pad_token_id=0
            ),
            "one tag for every token",
        ),
        (
            lambda: tune(SequenceClassifier(bert(), 1), "label", epochs=1),
            "label 1 is outside the 1",
        ),
    ],
)
def test_fine_tuning_refuses_wrong_inputs(call, message):
    with pytest.raises(ValueError, match=message):
        call()
