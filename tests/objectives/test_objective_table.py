"""The table of objectives: every row works with the course's tokenizer, called in the same way."""

import math

import pytest
import torch

from course_utils.data.tokenizers import load_tokenizer
from course_utils.objectives import OBJECTIVES


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("course")


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_row_corrupts_and_scores(name, tokenizer):
    text = "The state of the union is a message that the president gives to the congress. " * 3
    ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]] * 4)
    objective = OBJECTIVES[name]
    generator = torch.Generator().manual_seed(0)
    batch = objective.corrupt(ids, **objective.settings(tokenizer), generator=generator)
    uniform = torch.zeros(*batch.labels.shape, len(tokenizer))
    assert float(objective.loss(uniform, batch)) == pytest.approx(math.log(len(tokenizer)))
    readers = {"encoder": 2, "decoder": 2, "encoder-decoder": 3}
    assert len(batch.inputs) == readers[objective.architecture]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_row_refuses_ids_of_another_tokenizer(name, tokenizer):
    objective = OBJECTIVES[name]
    foreign = torch.tensor([[5, len(tokenizer), 7]])
    with pytest.raises(ValueError, match=r"the vocabulary has 0 to .* use the tokenizer"):
        objective.corrupt(
            foreign, **objective.settings(tokenizer), generator=torch.Generator().manual_seed(0)
        )


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_what_is_drawn_does_not_depend_on_the_default_dtype(name, dtype, tokenizer):
    objective = OBJECTIVES[name]
    settings = objective.settings(tokenizer)
    ids = torch.randint(300, 600, (8, 60), generator=torch.Generator().manual_seed(1))

    def drawn():
        generator = torch.Generator().manual_seed(0)
        return objective.corrupt(ids, **settings, generator=generator)

    wanted = drawn()
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        got = drawn()
    finally:
        torch.set_default_dtype(before)
    assert torch.equal(got.labels, wanted.labels)
    for key, tensor in wanted.inputs.items():
        assert torch.equal(got.inputs[key], tensor)


def test_sentinels_of_the_course_descend_from_the_top(tokenizer):
    vocabulary = OBJECTIVES["span_corruption"].settings(tokenizer)["vocabulary"]
    first = vocabulary.first_sentinel_id
    assert first == len(tokenizer) - 1
    for k in range(vocabulary.num_sentinels):
        assert tokenizer.convert_tokens_to_ids(f"<extra_id_{k}>") == first - k


def test_equations_of_the_book_have_their_code():
    assert {o.equation for o in OBJECTIVES.values()} == {"9.1", "9.2", "9.3"}
    for objective in OBJECTIVES.values():
        assert f"Equation {objective.equation}" in objective.loss.__doc__
