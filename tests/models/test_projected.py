"""The chunked loss is cross-entropy: same value, same gradients, same refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.objectives import projected
from course_utils.objectives.batch import Batch, token_loss

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
    monkeypatch.setitem(projected.CHUNK, "cpu", chunk)
    monkeypatch.setattr(projected, "LEAST_ROWS", 1)
    hidden, weight, bias, labels = tensors()
    bias = bias if with_bias else None
    inputs = [x for x in (hidden, weight, bias) if x is not None]
    wanted = F.cross_entropy(F.linear(hidden, weight, bias), labels)
    got = projected.projected_loss(hidden, weight, bias, labels)
    torch.testing.assert_close(got, wanted.float())
    for mine, theirs in zip(
        torch.autograd.grad(3 * got, inputs), torch.autograd.grad(3 * wanted, inputs), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("frozen", [0, 1, 2])
def test_what_is_frozen_gets_no_gradient(frozen: int) -> None:
    *inputs, labels = tensors()
    inputs[frozen].requires_grad_(False)
    projected.projected_loss(*inputs, labels).backward()
    assert [x.grad is None for x in inputs] == [i == frozen for i in range(3)]


def test_without_gradients_none_are_computed() -> None:
    *inputs, labels = tensors()
    with torch.no_grad():
        loss = projected.projected_loss(*inputs, labels)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, projected.projected_loss(*inputs, labels).detach())


def test_bf16_autocast_gives_finite_float32_losses_and_gradients() -> None:
    *inputs, labels = tensors(dtype=torch.float32)
    exact = projected.projected_loss(*inputs, labels)
    with torch.autocast("cpu", torch.bfloat16):
        loss = projected.projected_loss(*inputs, labels)
    assert loss.dtype == torch.float32 and abs(loss - exact) < 0.05
    loss.backward()
    assert all(x.grad.isfinite().all() and x.grad.dtype == torch.float32 for x in inputs)


@pytest.mark.parametrize("everywhere", [True, False])
@pytest.mark.parametrize(
    "model",
    [Bert(BertConfig(**SIZES)), Gpt(GptConfig(**SIZES)), T5(T5Config(head_size=6, **SIZES))],
    ids=["bert", "gpt", "t5"],
)
def test_a_models_projection_gives_the_loss_of_its_logits(model, everywhere: bool) -> None:
    torch.manual_seed(2)
    inputs = {"input_ids": torch.randint(37, (3, 6))}
    if isinstance(model, T5):
        inputs["decoder_input_ids"] = torch.randint(37, (3, 6))
    labels = torch.randint(37, (3, 6))
    if not everywhere:
        labels[torch.rand(3, 6) < 0.6] = -100
    batch = Batch(inputs, labels)
    wanted = token_loss(model(**inputs, select=batch.predicted), batch)
    hidden = model.hidden_states(**inputs)
    parameters = list(model.parameters())
    theirs = torch.autograd.grad(wanted, parameters, allow_unused=True)
    for states in (hidden[batch.predicted], hidden):  # both forms that token_loss accepts
        got = token_loss(model.project(states), batch)
        torch.testing.assert_close(got, wanted)
        mine = torch.autograd.grad(got, parameters, retain_graph=True, allow_unused=True)
        for one, other in zip(mine, theirs, strict=True):
            assert (one is None) == (other is None)
            if one is not None:
                torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-4)


def test_a_projection_is_refused_for_the_same_reasons_as_logits() -> None:
    hidden, weight, _, _ = tensors(6, torch.float32)
    labels = torch.tensor([[1, 2, 3], [4, 5, 6]])
    nothing = Batch({}, torch.full((2, 3), -100))
    for batch, states, message in (
        (nothing, hidden[:0], "nothing to predict"),
        (Batch({}, labels), hidden[:4], "do not fit labels"),
        (Batch({}, labels + 9), hidden, "label 15 is outside the 11 classes"),
    ):
        with pytest.raises(ValueError, match=message):
            token_loss((states, weight, None), batch)
