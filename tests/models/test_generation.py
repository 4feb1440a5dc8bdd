"""Writing a text token by token: what is chosen, how likely it was, when it stops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from course_utils.models import T5, Gpt, GptConfig, T5Config
from course_utils.models.generation import choose_next, keep_top_k, keep_top_p
from course_utils.models.huggingface import to_hf

VOCAB, EOS, PAD = 23, 1, 0


def make(name: str, seed: int = 0) -> Gpt | T5:
    """Build a model with weights far from their start: it writes varied text and ends some rows."""
    torch.manual_seed(seed)
    if name == "gpt":
        model = Gpt(GptConfig(VOCAB, 24, 2, 3, 40, 48, eos_token_id=EOS, pad_token_id=PAD))
    else:  # untied: a tied head without training repeats the token that it reads
        sizes = {"relative_buckets": 8, "relative_max_distance": 10, "tied": False}
        model = T5(T5Config(VOCAB, 24, 8, 2, 2, 3, 40, **sizes))
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):  # whatever order they are made in
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def prompts(padded: bool) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    ids = torch.randint(2, VOCAB, (6, 7), generator=generator)
    mask = torch.ones_like(ids)
    if padded:
        for row, hidden in enumerate([0, 3, 6, 1, 5, 2]):
            mask[row, :hidden], ids[row, :hidden] = 0, PAD
    return {"input_ids": ids, "attention_mask": mask}


def same_up_to_length(ours: Tensor, theirs: Tensor) -> bool:
    """Tell whether both hold the same tokens; one may end earlier, the other in padding."""
    shorter = min(ours.size(1), theirs.size(1))
    rest = (ours[:, shorter:], theirs[:, shorter:])
    return torch.equal(ours[:, :shorter], theirs[:, :shorter]) and all(
        (r == PAD).all() for r in rest
    )


# --- greedy -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_greedy_equals_hugging_face(name: str, padded: bool, seed: int) -> None:
    ours, inputs = make(name, seed), prompts(padded)
    theirs = to_hf(ours).generate(
        **inputs, max_new_tokens=20, do_sample=False, eos_token_id=EOS, pad_token_id=PAD
    )
    wrote = ours.generate(**inputs, max_new_tokens=20)
    assert same_up_to_length(wrote.ids, theirs)
    assert len(wrote.new_ids.unique()) > 3  # a text, not one token again and again


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_the_cache_changes_nothing_but_the_time(name: str, padded: bool) -> None:
    model, inputs = make(name), prompts(padded)
    fast = model.generate(**inputs, max_new_tokens=20)
    slow = model.generate(**inputs, max_new_tokens=20, use_cache=False)
    assert torch.equal(fast.ids, slow.ids)
    torch.testing.assert_close(fast.probabilities, slow.probabilities, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_with_a_cache_each_token_is_read_once(name: str) -> None:
    model, inputs, read = make(name), prompts(False), []
    block = (model.decoder if name == "t5" else model).blocks[0]
    block.register_forward_pre_hook(lambda _, args: read.append(args[0].size(1)))
    model.generate(**inputs, max_new_tokens=5, eos_token_id=None)
    assert read == [1 if name == "t5" else 7, 1, 1, 1, 1]


@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_a_padded_row_writes_what_it_writes_alone(name: str) -> None:
    model, inputs = make(name), prompts(True)
    together = model.generate(**inputs, max_new_tokens=15)
    for row in range(6):
        alone = inputs["input_ids"][row : row + 1, inputs["attention_mask"][row].bool()]
        single = model.generate(alone, max_new_tokens=15)
        length = single.new_ids.size(1)
        assert torch.equal(together.new_ids[row, :length], single.new_ids[0])
        torch.testing.assert_close(
            together.probabilities[row, :length], single.probabilities[0], atol=1e-5, rtol=1e-4
        )


def test_t5_inputs_may_be_padded_on_the_right_too() -> None:
    model, inputs = make("t5"), prompts(True)
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    rolled = [row.roll(-int(n)) for row, n in zip(ids, (mask == 0).sum(1), strict=True)]
    right = model.generate(torch.stack(rolled), mask.flip(1), max_new_tokens=15)
    assert torch.equal(right.ids, model.generate(ids, mask, max_new_tokens=15).ids)


# --- the end ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_a_row_stops_at_eos_and_is_padded_after_it(name: str) -> None:
    model, inputs = make(name), prompts(False)
    free = model.generate(**inputs, max_new_tokens=20, eos_token_id=None)
    assert free.new_ids.shape == (6, 20)
    end = int(free.new_ids[0, 3])  # a token that some rows write: it becomes the end
    ended = model.generate(**inputs, max_new_tokens=20, eos_token_id=end)
    lengths = []
    for row, wanted in zip(ended.new_ids, free.new_ids, strict=True):
        found = (wanted == end).nonzero().flatten().tolist()
        stop = found[0] + 1 if found else 20
        lengths.append(stop)
        assert torch.equal(row[:stop], wanted[: row.size(0)][:stop])
        assert (row[stop:] == PAD).all()
    assert ended.new_ids.size(1) == max(lengths) and min(lengths) < max(lengths)
    past_end = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    assert (ended.probabilities[past_end] == 1).all()  # no choice was made there
    assert (ended.probabilities[~past_end] < 1).all()


@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_generation_ends_when_every_row_has_ended(name: str) -> None:
    model, inputs = make(name), prompts(False)
    first = int(model.generate(**inputs, max_new_tokens=1).new_ids[0, 0])
    one = {key: value[:1] for key, value in inputs.items()}
    assert model.generate(**one, max_new_tokens=20, eos_token_id=first).new_ids.tolist() == [
        [first]
    ]


def test_without_a_pad_token_eos_pads() -> None:
    torch.manual_seed(0)
    model = Gpt(GptConfig(VOCAB, 24, 2, 3, 40, 48, eos_token_id=EOS, pad_token_id=None))
    with torch.no_grad():
        for _, parameter in sorted(model.named_parameters()):  # whatever order they are made in
            parameter.add_(torch.randn_like(parameter) * 0.3)
    inputs = prompts(False)
    end = int(model.generate(**inputs, max_new_tokens=3).new_ids[0, 1])
    wrote = model.generate(**inputs, max_new_tokens=10, eos_token_id=end).new_ids
    assert wrote.size(1) > 2 and (wrote[0, 2:] == end).all()


# --- probabilities ------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [{}, {"temperature": 0.7, "top_k": 3}])
@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_probabilities_are_the_models_own(name: str, choice: dict) -> None:
    """Not those after temperature and cutting: they say how sure the *model* was."""
    model, inputs = make(name), prompts(True)
    torch.manual_seed(1)
    wrote = model.generate(
        **inputs, max_new_tokens=8, eos_token_id=None, keep_distributions=True, **choice
    )
    if name == "gpt":
        mask = torch.cat([inputs["attention_mask"], torch.ones(6, 8, dtype=torch.long)], 1)
        logits = model(wrote.ids, mask)[:, 6:-1]
    else:
        logits = model(decoder_input_ids=wrote.ids[:, :-1], **inputs)
    wanted = logits.softmax(-1)
    torch.testing.assert_close(wrote.distributions, wanted, atol=1e-5, rtol=1e-4)
    chosen = wanted.gather(-1, wrote.new_ids[..., None]).squeeze(-1)
    torch.testing.assert_close(wrote.probabilities, chosen, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(wrote.distributions.sum(-1), torch.ones(6, 8))
    assert model.generate(**inputs, max_new_tokens=2).distributions is None


# --- drawing ------------------------------------------------------------------------------------

PROBABILITIES = torch.tensor([0.4, 0.25, 0.2, 0.1, 0.05])
DRAWS = 20_000
CUTS = {
    "as it is": ({"temperature": 1.0}, PROBABILITIES),
    "cooler": ({"temperature": 0.5}, PROBABILITIES**2),
    "hotter": ({"temperature": 2.0}, PROBABILITIES**0.5),
    "top 1": ({"temperature": 1.0, "top_k": 1}, torch.tensor([1.0, 0, 0, 0, 0])),
    "top 3": ({"temperature": 1.0, "top_k": 3}, PROBABILITIES * torch.tensor([1, 1, 1, 0, 0])),
    "top 99": ({"temperature": 1.0, "top_k": 99}, PROBABILITIES),
    "nucleus 0.3": ({"temperature": 1.0, "top_p": 0.3}, torch.tensor([1.0, 0, 0, 0, 0])),
    "nucleus 0.7": (
        {"temperature": 1.0, "top_p": 0.7},  # 0.4 + 0.25 is not enough, with 0.2 it is
        PROBABILITIES * torch.tensor([1, 1, 1, 0, 0]),
    ),
    "nucleus 1": ({"temperature": 1.0, "top_p": 1.0}, PROBABILITIES),
    "both": (
        {"temperature": 1.0, "top_k": 4, "top_p": 0.7},  # of what top-k left, 0.95 in all
        PROBABILITIES * torch.tensor([1, 1, 1, 0, 0]),
    ),
    "temperature comes first": (
        {"temperature": 0.5, "top_p": 0.7},  # squared and normalised: 0.56, 0.22, …
        PROBABILITIES**2 * torch.tensor([1, 1, 0, 0, 0]),
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_draws_follow_the_cut_distribution(name: str) -> None:
    """χ² with at most 4 degrees of freedom: a right sampler exceeds 29 once in 100,000 seeds."""
    choice, wanted = CUTS[name]
    logits = (PROBABILITIES.log() + 3.0).expand(DRAWS, -1)  # a constant changes nothing
    drawn = choose_next(logits, generator=torch.Generator().manual_seed(5), **choice)
    counts = torch.bincount(drawn, minlength=5).double()
    expected = wanted.double() / wanted.sum() * DRAWS
    assert (counts[expected == 0] == 0).all()
    seen = expected > 0
    chi2 = ((counts - expected)[seen] ** 2 / expected[seen]).sum()
    assert chi2 < 29


def test_rows_are_drawn_independently() -> None:
    logits = torch.zeros(DRAWS, 2, 4)
    drawn = choose_next(
        logits.view(-1, 4), temperature=1.0, generator=torch.Generator().manual_seed(6)
    )
    pairs = torch.bincount(drawn.view(DRAWS, 2) @ torch.tensor([4, 1]), minlength=16)
    chi2 = ((pairs - DRAWS / 16) ** 2 / (DRAWS / 16)).sum()
    assert chi2 < 53  # 15 degrees of freedom: once in 200,000 seeds


def test_temperature_0_is_the_limit_of_low_temperatures() -> None:
    logits = torch.randn(50, 9, generator=torch.Generator().manual_seed(7))
    assert torch.equal(choose_next(logits), logits.argmax(-1))
    assert torch.equal(choose_next(logits, temperature=1e-4), logits.argmax(-1))


def test_ties_at_the_edge() -> None:
    flat = torch.zeros(1, 4)
    assert keep_top_p(flat, 0.5).isfinite().sum() == 2  # exactly half of the mass, no more
    assert keep_top_p(flat, 0.51).isfinite().sum() == 3
    assert keep_top_p(flat, 1e-9).isfinite().sum() == 1  # never nothing
    assert keep_top_k(torch.tensor([[3.0, 1.0, 1.0, 0.0]]), 2).isfinite().sum() == 3  # both kept


def test_the_nucleus_is_the_smallest_set_that_reaches_p() -> None:
    logits = torch.randn(200, 30, generator=torch.Generator().manual_seed(8)) * 2
    for p in (0.1, 0.5, 0.9, 0.99):
        kept = keep_top_p(logits, p).isfinite()
        mass = (logits.softmax(-1) * kept).sum(-1)
        assert (mass >= p - 1e-6).all()
        least = logits.softmax(-1).masked_fill(~kept, 2.0).amin(-1)
        assert (mass - least < p + 1e-6).all()  # without its least likely member it falls short
        assert (
            logits.masked_fill(kept, -math.inf).amax(-1)
            <= logits.masked_fill(~kept, math.inf).amin(-1)
        ).all()


@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_a_generator_makes_it_reproducible(name: str) -> None:
    model, inputs = make(name), prompts(True)

    def write(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return model.generate(
            **inputs, max_new_tokens=12, temperature=1.0, eos_token_id=None, generator=generator
        ).ids

    assert torch.equal(write(1), write(1))
    assert not torch.equal(write(1), write(2))


# --- manners ------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_the_mode_is_restored_and_dropout_is_off_meanwhile(name: str, training: bool) -> None:
    model, inputs = make(name), prompts(False)
    wanted = model.generate(**inputs, max_new_tokens=10).ids
    model.train(training)
    assert torch.equal(model.generate(**inputs, max_new_tokens=10).ids, wanted)
    assert all(module.training is training for module in model.modules())
    with pytest.raises(ValueError, match="top_k"):
        model.generate(**inputs, top_k=0)
    assert model.training is training  # also after an error


@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_what_is_written_can_be_trained_on(name: str) -> None:
    model, inputs = make(name).train(), prompts(False)
    wrote = model.generate(**inputs, max_new_tokens=4)
    assert not wrote.probabilities.requires_grad
    args = (wrote.ids,) if name == "gpt" else (inputs["input_ids"], wrote.ids)
    model(*args).sum().backward()
    before = inputs["input_ids"].clone()
    model.generate(**inputs, max_new_tokens=4)
    assert torch.equal(inputs["input_ids"], before)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1, got 0"),
        ({"temperature": -1.0}, "temperature must be 0 or more, got -1.0"),
        ({"top_k": 0, "temperature": 1.0}, "top_k must be at least 1, got 0"),
        ({"top_p": 0.0, "temperature": 1.0}, r"top_p must lie in \(0, 1\], got 0.0"),
        ({"top_p": 1.5, "temperature": 1.0}, "got 1.5"),
    ],
)
@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_settings_out_of_range_are_refused(name: str, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(name).generate(**prompts(False), **settings)


def test_gpt_refuses_right_padding_and_too_long_texts() -> None:
    model, inputs = make("gpt"), prompts(True)
    with pytest.raises(ValueError, match="pad on the left"):
        model.generate(inputs["input_ids"], inputs["attention_mask"].flip(1))
    with pytest.raises(ValueError, match="49 tokens, but the model has 48 positions; shorten"):
        model.generate(inputs["input_ids"], max_new_tokens=42)
    assert (
        model.generate(inputs["input_ids"], max_new_tokens=41, eos_token_id=None).ids.size(1) == 48
    )


@pytest.mark.parametrize("name", ["gpt", "t5"])
def test_wrong_prompts_are_refused(name: str) -> None:
    model = make(name)
    with pytest.raises(ValueError, match=r"torch.tensor\(ids\)\[None\]"):
        model.generate([[3, 4]])
    with pytest.raises(ValueError, match="the vocabulary has 0 to 22"):
        model.generate(torch.tensor([[3, 99]]))
    with pytest.raises(ValueError, match="drop empty texts"):
        model.generate(torch.tensor([[3], [4]]), torch.tensor([[1], [0]]))
