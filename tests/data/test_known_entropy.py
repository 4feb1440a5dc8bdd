"""A source with known entropy: the exact bounds against enumeration, sampling and ideal models."""

import math
from itertools import combinations, pairwise, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.data.known_entropy import MarkovSource
from course_utils.models import Bert, BertConfig, Gpt, GptConfig
from course_utils.objectives import causal_lm, masked_lm
from course_utils.training.loop import objective_loss, train
from course_utils.training.optim import TrainConfig

ALPHA = 1e-6


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def probability(source: MarkovSource, sequence: tuple[int, ...]) -> float:
    p = float(source.stationary[sequence[0]])
    for now, following in pairwise(sequence):
        p *= float(source.transition[now, following])
    return p


def conditional_entropy(source: MarkovSource, length: int, t: int, visible: tuple) -> float:
    """H(X_t | X_visible) in nats by enumeration of all sequences."""
    joint: dict = {}
    for sequence in product(range(source.num_symbols), repeat=length):
        seen = tuple(sequence[i] for i in visible)
        table = joint.setdefault(seen, [0.0] * source.num_symbols)
        table[sequence[t]] += probability(source, sequence)
    return sum(-p * math.log(p / sum(table)) for table in joint.values() for p in table if p > 0)


def mlm_by_enumeration(source: MarkovSource, length: int, rate: float, count: str) -> float:
    """Expected loss of all masked tokens over their expected number, over all sets of masks."""
    total = weight = 0.0
    for size in range(1, length + 1):
        for masked in combinations(range(length), size):
            if count == "fixed":
                p = float(size == max(1, math.floor(rate * length + 0.5)))
            else:
                p = rate**size * (1 - rate) ** (length - size)
            if p:
                visible = tuple(i for i in range(length) if i not in masked)
                total += p * sum(conditional_entropy(source, length, t, visible) for t in masked)
                weight += p * size
    return total / weight


@pytest.mark.parametrize("count", ["fixed", "independent"])
@pytest.mark.parametrize(
    ("symbols", "length", "rate"), [(2, 5, 0.15), (2, 5, 0.5), (3, 4, 0.6), (3, 1, 0.3), (2, 4, 1)]
)
def test_best_mlm_loss_is_what_enumeration_gives(symbols, length, rate, count):
    source = MarkovSource.random(symbols, seed=symbols + length)
    expected = mlm_by_enumeration(source, length, rate, count)
    assert source.best_mlm_loss(rate, length, count) == pytest.approx(expected, rel=1e-10)


def test_best_clm_loss_is_what_enumeration_gives():
    source, length = MarkovSource.random(3, seed=1), 4
    entropies = [conditional_entropy(source, length, t, tuple(range(t))) for t in range(length)]
    assert source.best_clm_loss() == pytest.approx(sum(entropies[1:]) / 3, rel=1e-10)
    assert source.best_clm_loss(length) == pytest.approx(sum(entropies) / 4, rel=1e-10)


def test_entropy_of_a_whole_sequence_is_what_enumeration_gives():
    source = MarkovSource.random(3, seed=2)
    ps = [probability(source, s) for s in product(range(3), repeat=5)]
    whole = -sum(p * math.log(p) for p in ps)
    assert sum(ps) == pytest.approx(1.0, rel=1e-12)
    assert whole == pytest.approx(5 * source.best_clm_loss(5), rel=1e-10)


def test_known_values():
    # A symmetric two-state chain that flips with probability f: H(π) = ln 2, h(1) = binary entropy.
    f = 0.1
    source = MarkovSource(torch.tensor([[1 - f, f], [f, 1 - f]], dtype=torch.float64))
    binary = -f * math.log(f) - (1 - f) * math.log(1 - f)
    assert source.entropy_rate == pytest.approx(binary, rel=1e-12)
    assert source.unigram_entropy == pytest.approx(math.log(2), rel=1e-12)
    uniform = MarkovSource(torch.full((4, 4), 0.25, dtype=torch.float64))
    for rate in (0.1, 0.5, 1.0):
        assert uniform.best_mlm_loss(rate, 20) == pytest.approx(math.log(4), rel=1e-12)


@settings(max_examples=50, deadline=None)
@given(
    symbols=st.integers(2, 6),
    seed=st.integers(0, 1000),
    sharpness=st.floats(0.0, 4.0),
    length=st.integers(2, 20),
)
def test_what_must_hold_for_any_source(symbols, seed, sharpness, length):
    source = MarkovSource.random(symbols, seed, sharpness)
    assert torch.allclose(source.stationary @ source.transition, source.stationary, atol=1e-12)
    assert torch.allclose(source.reverse.sum(1), torch.ones(symbols).double())
    h = [source.remaining(n) for n in range(6)]
    assert h[0] == 0 and all(a <= b + 1e-12 for a, b in pairwise(h))
    assert h[-1] <= source.unigram_entropy + 1e-12 <= math.log(symbols) + 2e-12
    losses = [source.best_mlm_loss(r, length, "independent") for r in (0.05, 0.3, 0.7, 1.0)]
    assert all(a <= b + 1e-12 for a, b in pairwise(losses))
    assert losses[-1] == pytest.approx(source.unigram_entropy, abs=1e-12)
    # One masked token with both neighbours is easier than the next token.
    assert 2 * h[1] - h[2] <= losses[0] + 1e-12


def test_samples_follow_the_chain():
    source = MarkovSource.random(4, seed=3)
    ids = source.sample(3000, 6, seeded(1))
    for t in range(6):
        counts = ids[:, t].bincount(minlength=4)
        assert stats.chisquare(counts, source.stationary * 3000).pvalue > ALPHA
    for now in range(4):
        following = ids[:, 3][ids[:, 2] == now].bincount(minlength=4)
        expected = source.transition[now] * following.sum()
        assert (
            stats.chisquare(following, expected / expected.sum() * following.sum()).pvalue > ALPHA
        )
    assert torch.equal(ids, source.sample(3000, 6, seeded(1)))


def per_token(logits: torch.Tensor, batch) -> torch.Tensor:
    """−log P of every predicted token, grouped by row so that rows are independent."""
    picked = logits.gather(2, batch.labels.clamp(min=0)[..., None])[..., 0]
    return (-picked * batch.predicted).sum(1) / batch.predicted.sum(1)


@pytest.mark.parametrize("rate", [0.15, 0.5])
def test_the_ideal_bert_reaches_the_bound_through_our_own_objective(rate):
    source = MarkovSource.random(5, seed=4)
    batch = masked_lm.corrupt(
        source.sample(6000, 20, seeded(2)),
        mask_token_id=5,
        vocab_size=6,
        special_ids=[5],
        rate=rate,
        mask_share=1.0,
        random_share=0.0,
        generator=seeded(3),
    )
    logits = source.best_masked_logits(batch.inputs["input_ids"], mask_token_id=5)
    rows, bound = per_token(logits, batch), source.best_mlm_loss(rate, 20)
    error = float(rows.std()) / math.sqrt(len(rows))
    assert error < 0.02 * bound, "the test must be sharp enough to mean something"
    assert abs(float(masked_lm.loss(logits, batch)) - bound) < 5 * error


def test_the_ideal_gpt_reaches_the_bound_through_our_own_objective():
    source = MarkovSource.random(5, seed=5)
    batch = causal_lm.corrupt(source.sample(4000, 20, seeded(4)))
    logits = source.transition.log()[batch.inputs["input_ids"]]
    rows = per_token(logits, batch)
    error = float(rows.std()) / math.sqrt(len(rows))
    assert error < 0.02 * source.entropy_rate
    assert abs(float(causal_lm.loss(logits, batch)) - source.best_clm_loss()) < 5 * error


def test_the_ideal_bert_is_the_true_conditional():
    source, mask = MarkovSource.random(3, seed=6), 3
    given_ids = (mask, 1, mask, mask, 0)
    logits = source.best_masked_logits(torch.tensor([given_ids]), mask)[0].exp()
    fitting = [
        s
        for s in product(range(3), repeat=5)
        if all(g in (mask, x) for g, x in zip(given_ids, s, strict=True))
    ]
    total = sum(probability(source, s) for s in fitting)
    for t in (0, 2, 3):
        for x in range(3):
            expected = sum(probability(source, s) for s in fitting if s[t] == x) / total
            assert float(logits[t, x]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("transition", "message"),
    [
        (torch.eye(2), r"torch.float32 \(2, 2\) must be float64"),
        (torch.ones(2, 3).double(), "symbols, symbols"),
        (torch.ones(2, 2).double(), "sum to 1"),
        (torch.tensor([[1.5, -0.5], [0.5, 0.5]]).double(), "≥ 0"),
        (torch.eye(2).double(), "irreducible"),
        (torch.eye(2).flip(0).double(), "aperiodic"),
    ],
)
def test_what_is_no_source_is_refused(transition, message):
    with pytest.raises(ValueError, match=message):
        MarkovSource(transition)


def test_unknown_count_is_refused():
    with pytest.raises(ValueError, match="as in masked_lm"):
        MarkovSource.random(2, 0).best_mlm_loss(0.15, 8, count="all")


# --- trained models against the bound -------------------------------------------------------------

SIX, LENGTH, HIDDEN = MarkovSource.random(6, seed=0), 16, 6  # id 6 is [MASK]


def gpt_case():
    def batch(seed: int, rows: int):
        return causal_lm.corrupt(SIX.sample(rows, LENGTH, seeded(seed)))

    model = Gpt(GptConfig(**tiny(32), eos_token_id=7))
    return model, causal_lm, batch, lambda b: SIX.transition.log()[b.inputs["input_ids"]], 300


def bert_case():
    def batch(seed: int, rows: int):
        return masked_lm.corrupt(
            SIX.sample(rows, LENGTH, seeded(seed)),
            mask_token_id=HIDDEN,
            vocab_size=8,
            special_ids=[6, 7],
            rate=0.25,
            mask_share=1.0,
            random_share=0.0,
            generator=seeded(seed + 1),
        )

    def ideal(b):
        return SIX.best_masked_logits(b.inputs["input_ids"], HIDDEN)

    return Bert(BertConfig(**tiny(64))), masked_lm, batch, ideal, 600


def tiny(width: int) -> dict:
    return {
        "vocab_size": 8,
        "hidden_size": width,
        "num_layers": 2,
        "num_heads": width // 16,
        "intermediate_size": 2 * width,
        "max_length": LENGTH,
        "dropout": 0.0,
    }


def excess(logits: torch.Tensor, ideal: torch.Tensor, batch) -> tuple[float, float]:
    """Loss above that of the ideal model on the same tokens, and its standard error, in nats.

    Its expectation is a Kullback–Leibler divergence: never below 0. Paired, because the luck of
    the sample is the same for both.
    """
    difference = per_token(logits.double().log_softmax(-1), batch) - per_token(ideal, batch)
    return float(difference.mean()), float(difference.std()) / math.sqrt(len(difference))


def check_approach(course: list[tuple[float, float]], near: float) -> None:
    """From above, nearer each time, never below the bound by more than chance (1 in 1e6)."""
    assert all(mean > -4.8 * error for mean, error in course), f"below the bound: {course}"
    assert all(b[0] < a[0] for a, b in pairwise(course)), f"not approaching: {course}"
    assert course[0][0] > 0.5 and course[-1][0] < near, f"not near: {course}"


@pytest.mark.slow
@pytest.mark.parametrize(("case", "near"), [(gpt_case, 0.01), (bert_case, 0.06)])
def test_trained_models_approach_the_bound_from_above(case, near):
    torch.manual_seed(0)
    model, objective, batch, ideal, steps = case()
    held_out = batch(10**6, 3000)
    course: list[tuple[float, float]] = []

    def validate(trained) -> dict[str, float]:
        with torch.no_grad():
            logits = trained.eval()(**held_out.inputs)
        course.append(excess(logits, ideal(held_out), held_out))
        return {"validation_loss": course[-1][0]}

    validate(model)
    config = TrainConfig(
        steps, 3e-3, warmup_steps=30, weight_decay=0.0, device="cpu", validate_every=steps // 3
    )
    train(
        model,
        lambda step: batch(10 + 2 * step, 128),
        objective_loss(objective),
        config,
        validate=validate,
        progress=False,
    )
    check_approach(course, near)


def test_a_model_that_sees_the_answer_is_caught_below_the_bound():
    _, _, batch, ideal, _ = gpt_case()
    held_out = batch(0, 500)
    leak = 20.0 * torch.nn.functional.one_hot(held_out.labels, 8)
    with pytest.raises(AssertionError, match="below the bound"):
        check_approach([excess(leak, ideal(held_out), held_out)], near=1.0)
