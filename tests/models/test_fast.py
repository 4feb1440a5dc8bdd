"""What is fast equals what is plain: chunked loss and cross-entropy, attention and its kernel."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config, fast
from course_utils.models.fast import chunked_cross_entropy, has_attention_kernel
from course_utils.models.layers import attend, attention_weights
from course_utils.objectives import OBJECTIVES, causal_lm, masked_lm, span_corruption
from course_utils.objectives.batch import Batch
from course_utils.training.loop import fast_loss, objective_loss

SIZES = {"vocab_size": 37, "hidden_size": 12, "num_layers": 1, "num_heads": 2}
SIZES |= {"intermediate_size": 20, "dropout": 0.0}


def tensors(rows: int = 23, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
    torch.manual_seed(rows)
    hidden, weight, bias = torch.randn(rows, 5), torch.randn(11, 5), torch.randn(11)
    made = [tensor.to(dtype).requires_grad_() for tensor in (hidden, weight, bias)]
    return *made, torch.randint(11, (rows,))


@pytest.mark.parametrize("chunk", [1, 11, 33, 50, 253, 10**6])  # 1, 1, 3, 4, 23 and all rows
@pytest.mark.parametrize("with_bias", [True, False])
def test_value_and_gradients_are_those_of_cross_entropy(
    chunk: int, with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(fast.CHUNK, "cpu", chunk)
    monkeypatch.setattr(fast, "LEAST_ROWS", 1)
    hidden, weight, bias, labels = tensors()
    bias = bias if with_bias else None
    inputs = [x for x in (hidden, weight, bias) if x is not None]
    wanted = F.cross_entropy(F.linear(hidden, weight, bias), labels)
    got = chunked_cross_entropy(hidden, weight, bias, labels)
    torch.testing.assert_close(got, wanted.float())
    for mine, theirs in zip(
        torch.autograd.grad(3 * got, inputs), torch.autograd.grad(3 * wanted, inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    *inputs, labels = tensors()
    inputs[frozen].requires_grad_(False)
    chunked_cross_entropy(*inputs, labels).backward()
    assert [x.grad is None for x in inputs] == [i == frozen for i in range(3)]


def test_without_gradients_none_are_computed() -> None:
    *inputs, labels = tensors()
    with torch.no_grad():
        loss = chunked_cross_entropy(*inputs, labels)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, chunked_cross_entropy(*inputs, labels).detach())


def test_bf16_autocast_gives_finite_float32_losses_and_gradients() -> None:
    *inputs, labels = tensors(dtype=torch.float32)
    exact = chunked_cross_entropy(*inputs, labels)
    with torch.autocast("cpu", torch.bfloat16):
        loss = chunked_cross_entropy(*inputs, labels)
    assert loss.dtype == torch.float32 and abs(loss - exact) < 0.05
    loss.backward()
    assert all(x.grad.isfinite().all() and x.grad.dtype == torch.float32 for x in inputs)


MODELS = [Bert(BertConfig(**SIZES)), Gpt(GptConfig(**SIZES)), T5(T5Config(head_size=6, **SIZES))]
by_name = pytest.mark.parametrize("model", MODELS, ids=["bert", "gpt", "t5"])
by_objective = pytest.mark.parametrize(
    "objective", [masked_lm, causal_lm, span_corruption], ids=lambda module: module.__name__[24:]
)


def batch_of(model: torch.nn.Module, everywhere: bool = False) -> Batch:
    torch.manual_seed(2)
    inputs = {"input_ids": torch.randint(37, (3, 6))}
    if isinstance(model, T5):
        inputs["decoder_input_ids"] = torch.randint(37, (3, 6))
    labels = torch.randint(37, (3, 6))
    if not everywhere:
        labels[torch.rand(3, 6) < 0.6] = -100
    return Batch(inputs, labels)


@pytest.mark.parametrize("everywhere", [True, False])
@by_objective
@by_name
def test_the_loops_loss_has_the_value_and_gradients_of_the_equations(
    model, objective, everywhere: bool
) -> None:
    batch = batch_of(model, everywhere)
    parameters = list(model.parameters())
    fast_one = objective_loss(objective)
    assert fast_one is fast_loss
    got = fast_one(model, batch)
    mine = torch.autograd.grad(got, parameters, allow_unused=True)
    for select in (None, batch.predicted):  # both forms of logits that a loss accepts
        wanted = objective.loss(model(**batch.inputs, select=select), batch)
        theirs = torch.autograd.grad(wanted, parameters, allow_unused=True)
        torch.testing.assert_close(got, wanted)
        for one, other in zip(mine, theirs, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_every_row_of_the_table_trains_fast() -> None:
    assert {objective_loss(row) for row in OBJECTIVES.values()} == {fast_loss}


def test_an_objective_with_a_loss_of_its_own_is_trained_by_that_loss() -> None:
    class Squared:
        @staticmethod
        def loss(logits: Tensor, batch: Batch) -> Tensor:
            assert logits.shape == (batch.num_predicted, 37)
            return logits.square().mean()

    model = MODELS[0]
    batch = batch_of(model)
    wanted = model(**batch.inputs)[batch.predicted].square().mean()
    torch.testing.assert_close(objective_loss(Squared)(model, batch), wanted)


@by_objective
def test_both_losses_refuse_for_the_same_reasons(objective) -> None:
    model = MODELS[0]
    batch = batch_of(model, everywhere=True)
    nothing = Batch(batch.inputs, torch.full((3, 6), -100))
    shorter = Batch(batch.inputs, batch.labels[:, :5])
    foreign = Batch(batch.inputs, torch.full((3, 6), 99))
    for wrong, message in (
        (nothing, "nothing to predict"),
        (shorter, "do not fit labels"),
        (foreign, "label 99 is outside the 37 classes"),
    ):
        with pytest.raises(ValueError, match=message):
            fast_loss(model, wrong)
        with pytest.raises(ValueError, match=message):
            objective.loss(model(**wrong.inputs), wrong)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("mask", [None, "boolean", "additive"])
def test_attention_in_steps_and_the_kernel_give_the_same(causal: bool, mask: str | None) -> None:
    """On a CPU dropout decides which of the two it is: at a rate near 0 it changes nothing."""
    if causal and mask:
        return  # the models give one or the other
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 5, 4, dtype=torch.float64)
    seen = torch.rand(2, 1, 5, 5) < 0.6
    seen = seen | torch.eye(5, dtype=torch.bool)
    chosen = {None: None, "boolean": seen, "additive": torch.randn(2, 1, 5, 5).double()}[mask]
    results = []
    for rate in (0.0, 1e-9):
        assert has_attention_kernel(query, chosen, rate) == (rate == 0)
        results.append(attend(query, key, value, chosen, scale=0.5, causal=causal, dropout=rate))
    torch.testing.assert_close(*results)
    shown = seen.new_ones(5, 5).tril() if causal else chosen
    torch.testing.assert_close(results[0], attention_weights(query, key, shown, 0.5) @ value)
