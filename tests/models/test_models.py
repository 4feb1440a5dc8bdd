"""What each model may see, how it starts, what it refuses: no other library is asked here."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.t5.modeling_t5 import T5Attention

from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.models.fast import drop
from course_utils.models.generation import KeyValueCache
from course_utils.models.layers import (
    CrossAttention,
    FeedForward,
    SelfAttention,
)
from course_utils.models.t5 import RelativePositionBias

VOCAB, LENGTH = 61, 12


def tiny_bert(**sizes: object) -> Bert:
    return Bert(BertConfig(**{**SIZES, "max_length": 16, **sizes})).eval()


def tiny_gpt(**sizes: object) -> Gpt:
    return Gpt(GptConfig(**{**SIZES, "max_length": 16, "eos_token_id": 1, **sizes})).eval()


def tiny_t5(**sizes: object) -> T5:
    t5 = {"head_size": 8, "num_decoder_layers": 2, "relative_buckets": 8}
    return T5(T5Config(**{**SIZES, **t5, "relative_max_distance": 10, **sizes})).eval()


SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "num_layers": 2,
    "num_heads": 3,
    "intermediate_size": 40,
    "dropout": 0.0,
}
MODELS = {"bert": tiny_bert, "gpt": tiny_gpt, "t5": tiny_t5}


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    torch.manual_seed(7)


def shaken(model: nn.Module) -> nn.Module:
    """Move the weights off their start, so that biases, norms and attention all matter."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model


def ids_of(*shape: int) -> Tensor:
    return torch.randint(2, VOCAB, shape)


def inputs_for(model: nn.Module, batch: int = 3, length: int = LENGTH) -> dict[str, Tensor]:
    inputs = {"input_ids": ids_of(batch, length)}
    if isinstance(model, T5):
        inputs["decoder_input_ids"] = ids_of(batch, length)
    return inputs


# --- who sees what ------------------------------------------------------------------------------


@pytest.mark.parametrize("position", range(LENGTH))
def test_gpt_never_looks_ahead(position: int) -> None:
    model, ids = shaken(tiny_gpt()), ids_of(2, LENGTH)
    changed = ids.clone()
    changed[:, position] = (changed[:, position] + 1) % VOCAB
    before, after = model(ids), model(changed)
    assert torch.equal(before[:, :position], after[:, :position])
    assert not torch.equal(before[:, position], after[:, position])
    assert (before[:, -1] != after[:, -1]).any()  # and the last position does see it


@pytest.mark.parametrize("position", range(LENGTH))
def test_t5_decoder_never_looks_ahead(position: int) -> None:
    model = shaken(tiny_t5())
    ids, target = ids_of(2, LENGTH), ids_of(2, LENGTH)
    changed = target.clone()
    changed[:, position] = (changed[:, position] + 1) % VOCAB
    before, after = model(ids, target), model(ids, changed)
    assert torch.equal(before[:, :position], after[:, :position])
    assert (before[:, -1] != after[:, -1]).any()


def test_gpt_with_a_padding_mask_never_looks_ahead() -> None:
    model, ids = shaken(tiny_gpt()), ids_of(2, LENGTH)
    mask = torch.ones_like(ids)
    mask[0, :3] = 0
    changed = ids.clone()
    changed[:, 7:] = 2
    before, after = model(ids, mask), model(changed, mask)
    assert torch.equal(before[:, :7], after[:, :7])
    assert not torch.equal(before[:, 7:], after[:, 7:])


def test_a_mask_that_shows_everything_does_not_open_the_future() -> None:
    model, ids = shaken(tiny_gpt()), ids_of(2, LENGTH)
    everything = torch.ones(2, LENGTH, LENGTH, dtype=torch.bool)
    torch.testing.assert_close(model(ids, everything), model(ids), atol=1e-5, rtol=0)
    everything[0, 3, 1] = False
    first = model(ids, everything)
    ids[:, 7:] = 2
    assert torch.equal(first[:, :7], model(ids, everything)[:, :7])


@pytest.mark.parametrize("position", [0, 5, LENGTH - 1])
def test_bert_and_the_t5_encoder_look_both_ways(position: int) -> None:
    bert, t5, ids = shaken(tiny_bert()), shaken(tiny_t5()), ids_of(2, LENGTH)
    changed = ids.clone()
    changed[:, position] = (changed[:, position] + 1) % VOCAB
    assert (bert(ids) != bert(changed)).any(-1).all()
    assert (t5.encode(ids) != t5.encode(changed)).any(-1).all()


def test_every_decoder_position_reads_every_encoder_position() -> None:
    model = shaken(tiny_t5())
    ids, target = ids_of(2, LENGTH), ids_of(2, 4)
    before = model(ids, target)
    for position in range(LENGTH):
        changed = ids.clone()
        changed[:, position] = (changed[:, position] + 1) % VOCAB
        assert (model(changed, target) != before).any(-1).all()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing_for_real_tokens(name: str, side: str) -> None:
    """What stands in the padding is never seen, and with GPT and T5 not even how much there is."""
    model = shaken(MODELS[name]())
    inputs = inputs_for(model, batch=2, length=8)
    mask = torch.ones_like(inputs["input_ids"])
    hidden = slice(0, 3) if side == "left" else slice(5, 8)
    mask[1, hidden] = 0
    first = model(attention_mask=mask, **inputs)
    inputs["input_ids"][1, hidden] = 5
    second = model(attention_mask=mask, **inputs)
    real = slice(None) if name == "t5" else mask.bool()
    assert torch.equal(first[real], second[real])
    if name == "bert" and side == "left":
        return  # BERT's positions are absolute: it is padded on the right
    alone = {**inputs, "input_ids": inputs["input_ids"][1:, mask[1].bool()]}
    if name == "t5":
        alone["decoder_input_ids"] = inputs["decoder_input_ids"][1:]
    wanted = model(**alone)[0]
    got = second[1] if name == "t5" else second[1, mask[1].bool()]
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bool, torch.long, torch.int32, torch.uint8])
def test_masks_of_any_integer_type_mean_the_same(dtype: torch.dtype) -> None:
    model, ids = shaken(tiny_bert()), ids_of(2, LENGTH)
    mask = torch.ones(2, LENGTH, dtype=torch.bool)
    mask[0, 4:] = False
    assert torch.equal(model(ids, mask), model(ids, mask.to(dtype)))
    assert torch.equal(model(ids), model(ids, torch.ones(2, LENGTH, dtype=dtype)))


@pytest.mark.parametrize("name", ["bert", "gpt"])
def test_packed_documents_equal_separate_documents(name: str) -> None:
    model = shaken(MODELS[name]())
    lengths = [5, 1, 6]
    documents = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
    ids = ids_of(1, LENGTH)
    together = model(ids, (documents[:, None] == documents[None, :])[None])
    for number, alone in enumerate(ids.split(lengths, dim=1)):
        packed = together[:, documents == number]
        torch.testing.assert_close(packed, model(alone), atol=1e-5, rtol=0)
    assert (together - model(ids)).abs().max() > 1e-2  # without the mask they do see each other


def test_resetting_positions_alone_does_not_separate_documents() -> None:
    """The trap: with a mask that lets everything through, the second document reads the first."""
    model, ids = shaken(tiny_gpt()), ids_of(1, 10)
    documents = torch.tensor([0] * 5 + [1] * 5)
    same = (documents[:, None] == documents[None, :])[None]
    other = ids.clone()
    other[:, :5] = 2
    assert torch.equal(model(ids, same)[:, 5:], model(other, same)[:, 5:])
    assert not torch.equal(model(ids)[:, 5:], model(other)[:, 5:])


# --- select, ties, counts -----------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_select_gives_the_selected_rows_of_the_full_logits(name: str) -> None:
    model = shaken(MODELS[name]())
    inputs = inputs_for(model)
    select = torch.rand(3, LENGTH) < 0.3
    full, some = model(**inputs), model(**inputs, select=select)
    assert some.shape == (int(select.sum()), VOCAB)
    torch.testing.assert_close(some, full[select], atol=1e-5, rtol=0)
    assert model(**inputs, select=torch.zeros_like(select)).shape == (0, VOCAB)


@pytest.mark.parametrize("name", MODELS)
def test_the_output_matrix_is_the_token_embedding(name: str) -> None:
    model = MODELS[name]()
    inputs = inputs_for(model)
    before = model(**inputs)
    with torch.no_grad():
        model.token_embedding.weight[1] = 0.0  # id 1 is in no input
    after = model(**inputs)
    assert torch.equal(after[..., 1], torch.zeros_like(after[..., 1]))
    assert torch.equal(before[..., 2:], after[..., 2:])


def test_an_untied_t5_has_its_own_head() -> None:
    model = tiny_t5(tied=False)
    inputs, count = inputs_for(model), sum(p.numel() for p in model.parameters())
    assert count - sum(p.numel() for p in tiny_t5().parameters()) == VOCAB * 24
    before = model(**inputs)
    with torch.no_grad():
        model.token_embedding.weight[1] = 0.0
    assert torch.equal(before, model(**inputs))
    torch.testing.assert_close(before, model.head(model.hidden_states(**inputs)))


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def on_meta(make: type, config: object) -> nn.Module:
    with torch.device("meta"):  # shapes without memory
        return make(config)


@pytest.mark.parametrize(
    ("sizes", "encoder_with_pooler"),
    [
        ({}, 109_482_240),
        (
            {"hidden_size": 1024, "num_layers": 24, "num_heads": 16, "intermediate_size": 4096},
            335_141_888,
        ),
    ],
    ids=["base", "large"],
)
def test_bert_has_the_published_number_of_parameters(
    sizes: dict[str, int], encoder_with_pooler: int
) -> None:
    """The counts of the paper's "110M" and "340M" hold the pooler, but neither output head."""
    model = on_meta(Bert, BertConfig(**sizes, next_sentence=True))
    assert count(model) - count(model.head) - count(model.next_sentence) == encoder_with_pooler
    d = model.config.hidden_size
    assert count(model.head) == d * d + d + 2 * d + 30522  # dense, norm, bias; the rest is tied
    assert count(model.next_sentence) == 2 * d + 2


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "parameters"),
    [
        (12, 768, 12, 124_439_808),
        (24, 1024, 16, 354_823_168),
        (36, 1280, 20, 774_030_080),
        (48, 1600, 25, 1_557_611_200),
    ],
)
def test_gpt2_has_the_published_number_of_parameters(
    layers: int, hidden: int, heads: int, parameters: int
) -> None:
    config = GptConfig(
        hidden_size=hidden, num_layers=layers, num_heads=heads, intermediate_size=4 * hidden
    )
    assert count(on_meta(Gpt, config)) == parameters


@pytest.mark.parametrize(
    ("hidden", "layers", "heads", "inner", "parameters"),
    [
        (512, 6, 8, 2048, 60_506_624),
        (768, 12, 12, 3072, 222_903_552),
        (1024, 24, 16, 4096, 737_668_096),  # "large": 16 heads of 64
    ],
)
def test_t5_has_the_published_number_of_parameters(
    hidden: int, layers: int, heads: int, inner: int, parameters: int
) -> None:
    config = T5Config(
        hidden_size=hidden,
        num_layers=layers,
        num_decoder_layers=layers,
        num_heads=heads,
        intermediate_size=inner,
    )
    assert count(on_meta(T5, config)) == parameters


# --- how a model starts, and that it can learn --------------------------------------------------

# Excess of the first loss over ln V is about half the variance of the logits (σ²/2 nats). BERT and
# GPT-2 start with logits of σ ≈ 0.02·√d, T5 with σ ≈ 1.
EXCESS = {"bert": 0.1, "gpt": 0.1, "t5": 0.8, "t5_v1_1": 0.8}


@pytest.mark.parametrize("name", EXCESS)
def test_the_first_loss_is_near_ln_v(name: str) -> None:
    sizes = {"hidden_size": 64, "num_heads": 4, "vocab_size": 997}
    if name.startswith("t5"):
        sizes |= {"head_size": 16, "relative_buckets": 32, "relative_max_distance": 128}
    if name == "t5_v1_1":
        sizes |= {"gated": True, "tied": False}
    model = MODELS[name.removesuffix("_v1_1")](**sizes)
    inputs = {key: torch.randint(997, (64, LENGTH)) for key in inputs_for(model)}
    loss = F.cross_entropy(model(**inputs).flatten(0, 1), torch.randint(997, (64 * LENGTH,)))
    assert -0.05 < loss.item() - math.log(997) < EXCESS[name]


def test_without_its_factor_a_tied_t5_starts_far_above_ln_v() -> None:
    model = tiny_t5(hidden_size=64, scale_logits=False)
    inputs = inputs_for(model, batch=32)
    loss = F.cross_entropy(model(**inputs).flatten(0, 1), torch.randint(VOCAB, (32 * LENGTH,)))
    assert loss.item() > math.log(VOCAB) + 5


@pytest.mark.parametrize("name", [*MODELS, "t5_v1_1"])
def test_one_batch_can_be_learned_by_heart(name: str) -> None:
    extra = {"gated": True, "tied": False} if name == "t5_v1_1" else {}
    model = MODELS[name.removesuffix("_v1_1")](**extra).train()
    labels, inputs = ids_of(4, 8), inputs_for(model, 4, 8)
    for given in inputs.values():  # no two rows start alike: else no model could tell them apart
        given.copy_(torch.randperm(VOCAB)[:32].view(4, 8))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(**inputs).flatten(0, 1), labels.flatten())
        if loss.item() < 0.01:
            return
        loss.backward()
        optimizer.step()
    pytest.fail(f"400 steps on one batch leave a loss of {loss.item():.3f} nats")


def near(weight: Tensor, std: float) -> bool:
    """Standard deviation within 6 standard errors (σ/√2n each): fails by chance once in 5e8."""
    return abs(weight.std().item() / std - 1) < 6 / math.sqrt(2 * weight.numel())


def test_bert_starts_from_n_0_002() -> None:
    model = tiny_bert(hidden_size=48, num_layers=3)
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            assert near(weight, 0.02), name
        else:
            wanted = 1.0 if "norm.weight" in name else 0.0
            assert torch.equal(weight, torch.full_like(weight, wanted)), name


def test_gpt2_starts_with_smaller_residual_projections() -> None:
    model = tiny_gpt(hidden_size=48, num_layers=8)
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            residual = name.endswith(("attention.output.weight", "down.weight"))
            assert near(weight, 0.02 / 4 if residual else 0.02), name  # 1/√(2·8) = 1/4


def test_the_gpt2_stream_does_not_grow_with_depth() -> None:
    """What the factor 1/√(2L) is for: the sum of 2L additions keeps its size."""
    ids = ids_of(8, LENGTH)

    def added(layers: int) -> float:
        model = tiny_gpt(hidden_size=48, num_layers=layers)
        start = model.token_embedding(ids) + model.positions(None, 0, LENGTH)
        x = start
        for block in model.blocks:
            x = block(x, None)
        return (x - start).std().item()

    assert 0.6 < added(16) / added(1) < 1.7


def test_t5_starts_scaled_by_fan_in() -> None:
    d, heads, size, inner = 48, 3, 16, 40
    model = tiny_t5(hidden_size=d, num_heads=heads, head_size=size, intermediate_size=inner)
    width = heads * size
    assert near(model.token_embedding.weight, 1.0)
    for module in model.modules():
        if isinstance(module, SelfAttention):
            query, key, value = module.query_key_value.weight.chunk(3)
            assert near(query, (d * size) ** -0.5)
            assert near(key, d**-0.5) and near(value, d**-0.5)
        elif isinstance(module, CrossAttention):
            assert near(module.query.weight, (d * size) ** -0.5)
            assert near(module.key_value.weight, d**-0.5)
        elif isinstance(module, FeedForward):
            assert near(module.up.weight, d**-0.5) and near(module.down.weight, inner**-0.5)
        elif isinstance(module, RelativePositionBias):
            assert near(module.bias.weight, d**-0.5)
        if isinstance(module, SelfAttention | CrossAttention):
            assert near(module.output.weight, width**-0.5)


# --- the arithmetic, by hand --------------------------------------------------------------------


def test_attention_is_softmax_of_scaled_products() -> None:
    attention = SelfAttention(T5Config(hidden_size=12, num_heads=2, head_size=5, dropout=0.0))
    x, mask = torch.randn(2, 4, 12), torch.ones(4, 4, dtype=torch.bool).tril()
    query, key, value = attention.query_key_value(x).view(2, 4, 3, 2, 5).permute(2, 0, 3, 1, 4)
    scores = (query @ key.mT / math.sqrt(5)).masked_fill(~mask, float("-inf"))
    mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(2, 4, 10)
    torch.testing.assert_close(attention(x, mask), attention.output(mixed))
    attention.causal = True
    torch.testing.assert_close(attention(x), attention.output(mixed))
    torch.testing.assert_close(attention.weights(x, mask), scores.softmax(-1))


def test_t5_attention_is_not_scaled() -> None:
    attention = tiny_t5().encoder.blocks[0].attention
    x = torch.randn(1, 4, 24)
    query, key, _ = attention.query_key_value(x).view(1, 4, 3, 3, 8).permute(2, 0, 3, 1, 4)
    torch.testing.assert_close(attention.weights(x), (query @ key.mT).softmax(-1))
    for block in tiny_t5().decoder.blocks:
        assert block.attention.scale == block.cross_attention.scale == 1.0


def test_the_drawn_weights_are_the_ones_that_are_used() -> None:
    """`weights` is for looking at; it must agree with what the forward pass computes."""
    block = shaken(tiny_bert()).blocks[0]
    x = torch.randn(1, 4, 24)
    _, _, value = block.attention.query_key_value(x).view(1, 4, 3, 3, 8).permute(2, 0, 3, 1, 4)
    mixed = (block.attention.weights(x) @ value).transpose(1, 2).reshape(1, 4, 24)
    torch.testing.assert_close(block.attention(x), block.attention.output(mixed))


def erf_gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def tanh_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@pytest.mark.parametrize(
    ("make", "formula"),
    [(tiny_bert, erf_gelu), (tiny_gpt, tanh_gelu), (tiny_t5, torch.relu)],
    ids=["bert", "gpt", "t5"],
)
def test_each_model_has_its_own_activation(make, formula) -> None:
    model = make()
    layer = (model.encoder if isinstance(model, T5) else model).blocks[0].feed_forward
    x = torch.randn(50, 24) * 30  # far enough out for the two GELUs to differ
    wanted = layer.down(formula(layer.up(x)))
    torch.testing.assert_close(layer(x), wanted, atol=1e-6, rtol=1e-5)
    z = torch.linspace(-4, 4, 1001)
    assert 1e-4 < (erf_gelu(z) - tanh_gelu(z)).abs().max() < 1e-3  # close, not equal


def test_gated_t5_multiplies_tanh_gelu_with_a_second_map() -> None:
    layer = tiny_t5(gated=True).encoder.blocks[0].feed_forward
    x = torch.randn(5, 24) * 10
    torch.testing.assert_close(layer(x), layer.down(tanh_gelu(layer.gate(x)) * layer.up(x)))


def test_bert_normalises_after_and_gpt_before() -> None:
    ids = ids_of(4, LENGTH)
    bert, gpt, t5 = tiny_bert(hidden_size=48), tiny_gpt(hidden_size=48), tiny_t5()
    hidden = bert.hidden_states(ids)  # with weights 1 and biases 0 a norm is the last operation
    torch.testing.assert_close(hidden.mean(-1), torch.zeros(4, LENGTH), atol=1e-5, rtol=0)
    torch.testing.assert_close(hidden.std(-1, correction=0), torch.ones(4, LENGTH))
    stream = gpt.blocks[0](torch.randn(4, LENGTH, 48) * 5, None)
    assert stream.std() > 4  # pre-norm leaves the stream as large as it was
    eps = [norm.eps for norm in bert.modules() if isinstance(norm, nn.LayerNorm)]
    assert eps == [1e-12] * len(eps) and len(eps) == 6  # embedding, 2 a block, head
    eps = [norm.eps for norm in gpt.modules() if isinstance(norm, nn.LayerNorm)]
    assert eps == [1e-5] * 5  # 2 a block, final
    assert not any(isinstance(norm, nn.LayerNorm) for norm in t5.modules())


def test_t5_norms_divide_by_the_root_mean_square_only() -> None:
    norms = [m for m in tiny_t5().modules() if isinstance(m, nn.RMSNorm)]
    assert len(norms) == 2 * 2 + 2 * 3 + 2
    x = torch.randn(3, 24) + 5
    for norm in norms:
        assert norm.eps == 1e-6 and [name for name, _ in norm.named_parameters()] == ["weight"]
        wanted = x / (x.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt()
        torch.testing.assert_close(norm(x), wanted)


@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 10), (12, 100), (64, 300)])
@pytest.mark.parametrize("two_way", [True, False])
def test_relative_buckets_equal_hugging_face_for_every_distance(
    buckets: int, furthest: int, two_way: bool
) -> None:
    distance = torch.arange(-2 * furthest, 2 * furthest + 1)
    wanted = T5Attention._relative_position_bucket(distance, two_way, buckets, furthest)
    config = T5Config(relative_buckets=buckets, relative_max_distance=furthest)
    got = RelativePositionBias(config, two_way).buckets(distance)
    assert torch.equal(got, wanted)
    assert set(got.tolist()) == set(wanted.tolist()) and got.max() < buckets


def test_t5_position_bias_is_one_table_a_stack_and_none_in_cross_attention() -> None:
    model = tiny_t5()
    tables = {n: p.shape for n, p in model.named_parameters() if "position_bias" in n}
    assert tables == {
        "encoder.position_bias.bias.weight": (8, 3),
        "decoder.position_bias.bias.weight": (8, 3),
    }
    assert model.encoder.position_bias.two_way and not model.decoder.position_bias.two_way
    # cross-attention cannot tell the order of the encoder's vectors
    memory, target = torch.randn(1, 6, 24), ids_of(1, 3)
    turned = memory[:, torch.randperm(6)]
    torch.testing.assert_close(
        model.decode(target, model.keys_values(memory)),
        model.decode(target, model.keys_values(turned)),
    )


def test_every_layer_of_a_t5_stack_uses_the_bias() -> None:
    stack = shaken(tiny_t5()).encoder
    x, seen = torch.randn(1, 6, 24), []
    for block in stack.blocks:
        block.attention.register_forward_pre_hook(lambda _, args: seen.append(args[1]))
    stack(x, stack.position_bias(torch.ones(1, 6)))
    assert len(seen) == 2 and torch.equal(seen[0], seen[1]) and seen[0].std() > 0


def test_t5_decoder_starts_with_the_padding_token() -> None:
    assert T5Config().decoder_start_token_id == T5Config().pad_token_id == 0
    with pytest.raises(ValueError, match="ids from -100"):
        tiny_t5()(ids_of(1, 4), torch.tensor([[0, 5, -100]]))


# --- the cache ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("padded", "pieces"),
    [(False, [1] * 10), (False, [4, 6]), (True, [3] + [1] * 7), (True, [4, 1, 5])],
)
def test_reading_in_pieces_with_a_cache_equals_reading_at_once(
    padded: bool, pieces: list[int]
) -> None:
    model, ids = shaken(tiny_gpt()), ids_of(2, 10)
    mask = torch.ones_like(ids)
    if padded:
        mask[0, :2] = 0
    whole = model.hidden_states(ids, mask)
    cache, parts = KeyValueCache(10), []
    for part in ids.split(pieces, dim=1):
        done = cache.length + part.size(1)
        parts.append(model.hidden_states(part, mask[:, :done] if padded else None, cache))
    real = mask.bool()
    torch.testing.assert_close(torch.cat(parts, 1)[real], whole[real], atol=1e-5, rtol=0)
    assert cache.length == 10


def test_packed_documents_can_be_read_in_pieces() -> None:
    model, ids = shaken(tiny_gpt()), ids_of(1, 10)
    documents = torch.tensor([0] * 4 + [1] * 6)
    same = (documents[:, None] == documents[None, :])[None]
    whole, cache = model.hidden_states(ids, same), KeyValueCache(10)
    first = model.hidden_states(ids[:, :7], same[:, :7, :7], cache)
    rest = model.hidden_states(ids[:, 7:], same, cache)
    torch.testing.assert_close(torch.cat([first, rest], 1), whole, atol=1e-5, rtol=0)


def test_t5_decoder_in_pieces_equals_at_once() -> None:
    model, target = shaken(tiny_t5()), ids_of(2, 10)
    memory, cache = model.keys_values(model.encode(ids_of(2, 6))), KeyValueCache(10)
    whole = model.decode(target, memory)
    parts = [model.decode(part, memory, cache) for part in target.split([3, 1, 6], dim=1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=0)


def test_a_full_cache_says_so() -> None:
    model, cache = tiny_gpt(), KeyValueCache(4)
    with pytest.raises(ValueError, match="holds 4 tokens, not 5"):
        model.hidden_states(ids_of(1, 5), None, cache)


# --- other precisions, compiled -----------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_bf16_autocast_trains(name: str) -> None:
    model = MODELS[name]().train()
    inputs = inputs_for(model)
    mask = torch.ones_like(inputs["input_ids"])
    mask[0, -3:] = 0
    exact = model(**inputs, attention_mask=mask)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(**inputs, attention_mask=mask)
    assert (logits - exact)[1:].abs().max() < 0.2
    logits.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", MODELS)
def test_the_forward_pass_is_one_graph(name: str) -> None:
    """The input checks read no values under `torch.compile`, so nothing breaks the graph."""
    model = shaken(MODELS[name]())
    inputs = inputs_for(model)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    inputs["attention_mask"][1, -4:] = 0
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(**inputs), model(**inputs))


def test_a_seed_gives_the_same_model_and_the_same_dropout() -> None:
    def run() -> Tensor:
        torch.manual_seed(3)
        model = tiny_bert(dropout=0.3).train()
        return model(ids_of(2, 5))

    assert torch.equal(run(), run())


@pytest.mark.parametrize("name", MODELS)
def test_dropout_acts_in_training_only(name: str) -> None:
    model = MODELS[name](dropout=0.5)
    inputs = inputs_for(model)
    assert torch.equal(model(**inputs), model(**inputs))
    model.train()
    assert not torch.equal(model(**inputs), model(**inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_zeroes_its_share_and_scales_the_rest(p: float, dtype: torch.dtype) -> None:
    x = torch.ones(999, 1001, dtype=dtype, requires_grad=True)
    kept = drop(x, p)
    assert kept.dtype == dtype
    share, error = (kept == 0).double().mean().item(), math.sqrt(p * (1 - p) / x.numel())
    assert abs(share - p) < 6 * error + 2**-17  # 6 standard errors: by chance once in 5e8
    scale = torch.tensor(1 / (1 - p), dtype=dtype)
    assert set(kept.unique().tolist()) == {0.0, scale.item()}
    neighbours = (kept[:, :-1] == 0) & (kept[:, 1:] == 0)  # draws share words, not bits
    assert abs(neighbours.double().mean().item() - p**2) < 6 * error
    kept.sum().backward()
    assert torch.equal(x.grad, kept.detach())


@pytest.mark.parametrize("numel", range(10))
def test_dropout_of_any_size(numel: int) -> None:
    assert drop(torch.ones(numel), 0.5).shape == (numel,)
    assert torch.equal(drop(torch.ones(numel), 0.0), torch.ones(numel))


# --- input checks -------------------------------------------------------------------------------

IDS = torch.ones(2, 5, dtype=torch.long)
PIECES = {
    "one sequence": (IDS[0], {}, ["(5,)", "torch.tensor(ids)[None]"]),
    "a list": ([[1, 2]], {}, ["got list", "torch.tensor"]),
    "floats": (IDS.float(), {}, ["torch.float32", "int64"]),
    "booleans": (IDS.bool(), {}, ["torch.bool"]),
    "no token": (IDS[:, :0], {}, ["empty", "(2, 0)"]),
    "no text": (IDS[:0], {}, ["empty", "(0, 5)"]),
    "too high": (IDS * 61, {}, ["ids from 61 to 61", "0 to 60", "tokenizer"]),
    "negative": (IDS - 101, {}, ["ids from -100", "tokenizer"]),
    "mask of another shape": (IDS, {"attention_mask": IDS[:, :4]}, ["(2, 5)", "(2, 4)"]),
    "mask of another rank": (IDS, {"attention_mask": IDS[None, None]}, ["(1, 1, 2, 5)"]),
    "float mask": (IDS, {"attention_mask": IDS.float()}, ["torch.float32", "1 = real"]),
    "additive mask": (IDS, {"attention_mask": IDS * -10000}, ["0/1", "1 = real"]),
    "a list as mask": (IDS, {"attention_mask": [[1]]}, ["got list"]),
    "nothing but padding": (
        IDS,
        {"attention_mask": torch.tensor([[1] * 5, [0] * 5])},
        ["row(s) [1]", "drop empty texts"],
    ),
    "select of another shape": (IDS, {"select": IDS[:, :4].bool()}, ["(2, 5)", "(2, 4)", "-100"]),
    "select of integers": (IDS, {"select": IDS}, ["bool", "torch.int64"]),
}


def refusal(call, *args: object, **kwargs: object) -> str:
    with pytest.raises(ValueError) as refused:
        call(*args, **kwargs)
    return str(refused.value)


@pytest.mark.parametrize("what", PIECES)
@pytest.mark.parametrize("name", MODELS)
def test_wrong_inputs_are_refused(name: str, what: str) -> None:
    ids, extra, pieces = PIECES[what]
    call = MODELS[name]()
    if name == "t5":
        message = refusal(call, ids, decoder_input_ids=IDS, **extra)
    else:
        message = refusal(call, ids, **extra)
    assert all(piece in message for piece in pieces), message


@pytest.mark.parametrize(("name", "length"), [("bert", 17), ("gpt", 17)])
def test_too_long_a_text_is_refused(name: str, length: int) -> None:
    model = MODELS[name]()
    message = refusal(model, ids_of(2, length))
    assert "17 tokens" in message and "16 positions" in message
    model(ids_of(2, 16))


@pytest.mark.parametrize("what", ["one sequence", "floats", "too high", "no token"])
def test_wrong_decoder_ids_are_refused(what: str) -> None:
    ids, _, pieces = PIECES[what]
    message = refusal(tiny_t5(), IDS, ids)
    assert "decoder_input_ids" in message
    assert all(piece in message for piece in pieces), message


def test_packed_documents_are_refused_where_a_decoder_would_mix_them() -> None:
    square = torch.eye(5, dtype=torch.long).expand(2, 5, 5)
    message = refusal(tiny_t5(), IDS, IDS, attention_mask=square)
    assert "(2, 5, 5)" in message and "its own row" in message
    assert tiny_t5().encode(IDS, square).shape == (2, 5, 24)


def test_pairs_of_different_numbers_are_refused() -> None:
    message = refusal(tiny_t5(), ids_of(2, 5), ids_of(3, 5))
    assert "input_ids has 2 rows" in message and "decoder_input_ids 3" in message


def test_wrong_segments_are_refused() -> None:
    model = tiny_bert()
    assert "token_type_ids holds ids from 2 to 2" in refusal(model, IDS, None, IDS * 2)
    message = refusal(model, IDS, None, IDS[:1])
    assert "token_type_ids" in message and "(1, 5)" in message and "(2, 5)" in message


def test_next_sentence_logits_need_their_head() -> None:
    hidden = torch.randn(2, 5, 24)
    assert "next_sentence=True" in refusal(tiny_bert().next_sentence_logits, hidden)
    model = tiny_bert(next_sentence=True)
    wanted = model.next_sentence(torch.tanh(model.pooler(hidden[:, 0])))
    assert torch.equal(model.next_sentence_logits(hidden), wanted)


@pytest.mark.parametrize(
    ("make", "sizes", "message"),
    [
        (tiny_bert, {"hidden_size": 25}, "hidden_size 25 is no multiple of num_heads 3"),
        (tiny_gpt, {"num_heads": 5}, "hidden_size 24 is no multiple of num_heads 5"),
        (tiny_gpt, {"vocab_size": 0}, "vocab_size must be at least 1, got 0"),
        (tiny_bert, {"num_layers": -1}, "num_layers must be at least 1, got -1"),
        (tiny_bert, {"intermediate_size": 0}, "intermediate_size must be at least 1, got 0"),
        (tiny_t5, {"intermediate_size": 0}, "intermediate_size must be at least 1, got 0"),
        (tiny_bert, {"type_vocab_size": 0}, "type_vocab_size must be at least 1, got 0"),
        (tiny_gpt, {"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        (tiny_t5, {"head_size": 0}, "head_size must be at least 1"),
        (tiny_t5, {"relative_buckets": 6}, "relative_buckets 6 must be a multiple of 4"),
        (
            tiny_t5,
            {"relative_max_distance": 4},
            "relative_max_distance 4 exceed half of them",
        ),
    ],
)
def test_sizes_that_make_no_model_are_refused(make, sizes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**sizes)


# --- what holds whatever the caller has set ---


@pytest.mark.parametrize("two_way", [True, False])
def test_relative_buckets_do_not_depend_on_the_default_dtype(two_way: bool) -> None:
    bias = RelativePositionBias(T5Config(num_layers=1), two_way)
    distances = torch.arange(-3000, 3001)
    wanted = bias.buckets(distances)
    before = torch.get_default_dtype()
    try:
        for dtype in (torch.bfloat16, torch.float16, torch.float64):
            torch.set_default_dtype(dtype)
            assert torch.equal(bias.buckets(distances), wanted), dtype
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize(
    ("activation", "gated"), [("gelu", False), ("relu", False), ("gelu", True)]
)
def test_dropout_in_the_feed_forward_comes_after_the_activation(
    activation: str, gated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = FeedForward(BertConfig(**SIZES), activation, gated=gated, p=0.5).train()
    dropped: list[Tensor] = []
    into_down: list[Tensor] = []
    part.dropout.register_forward_hook(lambda module, inputs, output: dropped.extend(inputs))
    part.down.register_forward_pre_hook(lambda module, inputs: into_down.extend(inputs))
    x = torch.randn(2, 3, SIZES["hidden_size"])
    part(x)
    inner = part.activation(part.gate(x)) * part.up(x) if gated else part.activation(part.up(x))
    assert torch.equal(dropped[0], inner)
    kept = into_down[0] != 0
    assert 0.3 < (~kept & (inner != 0)).sum() / (inner != 0).sum() < 0.7
    torch.testing.assert_close(into_down[0][kept], 2 * inner[kept])


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_the_hooks_of_every_part_are_called(name: str, training: bool) -> None:
    model = MODELS[name]().train(training)
    called: set[nn.Module] = set()
    for module in model.modules():
        module.register_forward_hook(lambda module, *_: called.add(module))
    model(**inputs_for(model))
    parts = [(name, m) for name, m in model.named_modules() if not isinstance(m, nn.ModuleList)]
    missed = {name for name, module in parts if module not in called}
    # without a mask GPT cuts its positions out of the table
    assert missed == ({"position_embedding"} if name == "gpt" else set())
