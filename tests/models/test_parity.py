"""Our models compute what Hugging Face's compute: logits, gradients, files, refusals."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
import torch
import transformers
from torch import Tensor, nn

from course_utils.data.sources import load_pretrained
from course_utils.models import T5, Bert, BertConfig, Gpt, GptConfig, T5Config
from course_utils.models import huggingface as bridge
from course_utils.models.huggingface import from_hf, to_hf

SEEDS = range(8)
FAMILIES = ("masked_lm", "pretraining", "encoder", "gpt2", "t5", "t5_v1_1")
LOGITS, GRADIENTS = 1e-4, 1e-3  # absolute; relative to the norm of each tensor's gradient


@dataclass
class Case:
    """One random Hugging Face model with inputs for it."""

    hf: nn.Module
    input_ids: Tensor
    mask: Tensor  # (B, T), 1 = real
    extra: dict[str, Tensor]  # token types, or decoder ids


def bert_config(draw: random.Random) -> transformers.BertConfig:
    heads, head_size = draw.choice([1, 2, 3]), draw.choice([5, 8, 12])
    return transformers.BertConfig(
        vocab_size=draw.randint(30, 99),
        hidden_size=heads * head_size,
        num_hidden_layers=draw.randint(1, 3),
        num_attention_heads=heads,
        intermediate_size=draw.randint(9, 61),
        max_position_embeddings=draw.randint(17, 33),
        type_vocab_size=draw.randint(1, 3),
        layer_norm_eps=draw.choice([1e-12, 1e-5, 1e-2]),
    )


def gpt_config(draw: random.Random) -> transformers.GPT2Config:
    heads, head_size = draw.choice([1, 2, 3]), draw.choice([5, 8, 12])
    return transformers.GPT2Config(
        vocab_size=draw.randint(30, 99),
        n_embd=heads * head_size,
        n_layer=draw.randint(1, 3),
        n_head=heads,
        n_inner=draw.choice([None, 9, 61]),
        n_positions=draw.randint(17, 33),
        layer_norm_epsilon=draw.choice([1e-5, 1e-2]),
        activation_function=draw.choice(["gelu_new", "gelu_pytorch_tanh"]),
        eos_token_id=1,
        bos_token_id=1,
    )


def t5_config(draw: random.Random, gated: bool) -> transformers.T5Config:
    buckets = draw.choice([4, 8, 12, 32])
    return transformers.T5Config(
        vocab_size=draw.randint(30, 99),
        d_model=draw.randint(5, 31),  # no multiple of anything: T5 frees d from heads × head size
        d_kv=draw.choice([3, 7, 8]),
        d_ff=draw.randint(9, 61),
        num_layers=draw.randint(1, 3),
        num_decoder_layers=draw.randint(1, 3),
        num_heads=draw.randint(1, 4),
        relative_attention_num_buckets=buckets,
        relative_attention_max_distance=draw.randint(buckets, 40),
        layer_norm_epsilon=draw.choice([1e-6, 1e-2]),
        feed_forward_proj="gated-gelu" if gated else "relu",
        decoder_start_token_id=0,
    )


def build(family: str, draw: random.Random) -> nn.Module:
    if family == "gpt2":
        return transformers.GPT2LMHeadModel(gpt_config(draw))
    if family.startswith("t5"):
        hf = transformers.T5ForConditionalGeneration(t5_config(draw, family == "t5_v1_1"))
        if family == "t5_v1_1":  # untied by hand: transformers 5 ties whatever the config says
            hf.lm_head.weight = nn.Parameter(torch.randn_like(hf.lm_head.weight))
            hf.config.scale_decoder_outputs = False
            hf.config.tie_word_embeddings = False
        return hf
    kind = {
        "masked_lm": transformers.BertForMaskedLM,
        "pretraining": transformers.BertForPreTraining,
        "encoder": transformers.BertModel,
    }[family]
    return kind(bert_config(draw))


def perturb(model: nn.Module) -> None:
    """Move every weight away from its start, so that no bias is 0 and no norm is 1."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * (0.1 if parameter.dim() > 1 else 0.3))


def padding_mask(batch: int, length: int, side: str, draw: random.Random) -> Tensor:
    mask = torch.ones(batch, length, dtype=torch.long)
    for row in range(batch):
        hidden = 0 if row == 0 else draw.randrange(length)  # at least one real token
        where = slice(0, hidden) if side == "left" else slice(length - hidden, length)
        mask[row, where] = 0 if side != "none" else 1
    return mask


def make_case(family: str, seed: int) -> Case:
    draw = random.Random(seed)
    torch.manual_seed(seed)
    hf = build(family, draw).eval()
    perturb(hf)
    vocab = hf.config.vocab_size
    batch, length = draw.randint(2, 4), 1 if seed == 0 else draw.randint(2, 17)
    side = ("none", "right", "left")[seed % 3]
    extra = {}
    if family.startswith("t5"):
        extra["decoder_input_ids"] = torch.randint(vocab, (batch, draw.randint(1, 19)))
        length = 1 if seed == 0 else draw.randint(2, 50)  # beyond the relative distance
    elif family != "gpt2":
        extra["token_type_ids"] = torch.randint(hf.config.type_vocab_size, (batch, length))
    # real tokens are never [PAD]: Hugging Face's BERT keeps gradients out of that one embedding
    ids = torch.randint(1, vocab, (batch, length))
    mask = padding_mask(batch, length, side, draw)
    return Case(hf, ids * mask, mask, extra)


def hf_outputs(case: Case) -> list[Tensor]:
    extra = dict(case.extra)
    if isinstance(case.hf, transformers.GPT2LMHeadModel):
        # ours counts real tokens; Hugging Face does so inside `generate`, and here when told
        extra["position_ids"] = (case.mask.cumsum(1) - 1).clamp(min=0)
    out = case.hf(input_ids=case.input_ids, attention_mask=case.mask, **extra)
    if isinstance(case.hf, transformers.BertModel):
        return [out.last_hidden_state]
    if isinstance(case.hf, transformers.BertForPreTraining):
        return [out.prediction_logits, out.seq_relationship_logits]
    return [out.logits]


def our_outputs(ours: nn.Module, case: Case) -> list[Tensor]:
    inputs = {"input_ids": case.input_ids, "attention_mask": case.mask, **case.extra}
    if isinstance(case.hf, transformers.BertModel):
        return [ours.hidden_states(**inputs)]
    if isinstance(case.hf, transformers.BertForPreTraining):
        # with left padding the first position is padding in both: a number nobody should use
        return [ours(**inputs), ours.next_sentence_logits(ours.hidden_states(**inputs))]
    return [ours(**inputs)]


def read_by(case: Case, output: Tensor, name: str) -> Tensor:
    """Rows of an output that stand for real tokens."""
    if name.startswith("t5"):
        return output.flatten(0, 1)
    if output.dim() == 2:
        return output[case.mask[:, 0].bool()]
    return output[case.mask.bool()]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_equal_hugging_face(family: str, seed: int) -> None:
    case = make_case(family, seed)
    ours = from_hf(case.hf)
    assert not ours.training
    theirs_out, ours_out = hf_outputs(case), our_outputs(ours, case)
    for theirs, mine in zip(theirs_out, ours_out, strict=True):
        assert theirs.shape == mine.shape
        theirs, mine = read_by(case, theirs, family), read_by(case, mine, family)
        assert (theirs - mine).abs().max() <= LOGITS
        assert theirs.std() > 0.01  # the comparison is of something
        weights = torch.randn_like(theirs)
        (theirs * weights).sum().backward(retain_graph=True)
        (mine * weights).sum().backward(retain_graph=True)
    compare_gradients(case.hf, ours, family)


def compare_gradients(hf: nn.Module, ours: nn.Module, family: str) -> None:
    named = hf.named_parameters(remove_duplicate=False)
    theirs = {name: p.grad if p.grad is not None else torch.zeros_like(p) for name, p in named}
    row = next(row for row in bridge.FAMILIES if isinstance(hf, row.theirs))
    rules = bridge._rules(row, ours, bare=family == "encoder")
    mine = dict(ours.named_parameters())
    # a gradient that is 0 but for rounding has no relative error (one key: attention is constant)
    floor = 1e-6 * torch.stack([grad.norm() for grad in theirs.values()]).norm()
    for name, names in rules.items():
        wanted = torch.cat([bridge._turned(part, theirs[part]) for part in names])
        got = mine.pop(name).grad
        assert (got - wanted).norm() <= GRADIENTS * wanted.norm() + floor, name
    # what is left has no counterpart: the untrained MLM head over a bare encoder
    assert all(family == "encoder" and name.startswith("head.") for name in mine), list(mine)


def same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        assert torch.equal(tensor, other[name]), name


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("family", [f for f in FAMILIES if f != "encoder"])
def test_round_trip_is_exact(family: str, seed: int) -> None:
    case = make_case(family, seed)
    ours = from_hf(case.hf)
    back = to_hf(ours)
    assert type(back) is type(case.hf)
    same_state(case.hf.state_dict(), back.state_dict())
    again = from_hf(back)
    assert again.config == ours.config
    same_state(ours.state_dict(), again.state_dict())


def test_a_copy_shares_no_memory_with_the_original() -> None:
    hf = make_case("gpt2", 1).hf
    ours = from_hf(hf)
    before = {name: tensor.clone() for name, tensor in hf.state_dict().items()}
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    same_state(before, hf.state_dict())
    back = to_hf(ours)
    with torch.no_grad():
        ours.token_embedding.weight.fill_(3.0)
    assert not back.state_dict()["transformer.wte.weight"].any()


OURS = {
    "bert": lambda: Bert(BertConfig(61, 24, 2, 3, 40, 20, 2)),
    "bert_nsp": lambda: Bert(BertConfig(61, 24, 2, 3, 40, 20, 2, next_sentence=True)),
    "gpt": lambda: Gpt(GptConfig(61, 24, 2, 3, 40, 20, eos_token_id=5, pad_token_id=2)),
    "t5": lambda: T5(T5Config(61, 24, 8, 2, 1, 3, 40)),
    "t5_v1_1": lambda: T5(T5Config(61, 24, 8, 2, 1, 3, 40, gated=True, tied=False)),
}
AUTO = {
    "bert": transformers.AutoModelForMaskedLM,
    "bert_nsp": transformers.AutoModelForPreTraining,
    "gpt": transformers.AutoModelForCausalLM,
    "t5": transformers.AutoModelForSeq2SeqLM,
    "t5_v1_1": transformers.AutoModelForSeq2SeqLM,
}


@pytest.mark.parametrize("name", OURS)
def test_what_auto_classes_open_is_what_was_saved(name: str, tmp_path) -> None:
    torch.manual_seed(1)
    ours = OURS[name]().eval()
    perturb(ours)
    to_hf(ours).save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").exists()
    opened = AUTO[name].from_pretrained(tmp_path).eval()
    ids = torch.randint(61, (2, 9))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    inputs["attention_mask"][1, 6:] = 0
    if name.startswith("t5"):
        inputs["decoder_input_ids"] = torch.randint(61, (2, 4))
    out = opened(**inputs)
    theirs = out.prediction_logits if name == "bert_nsp" else out.logits
    real = slice(None) if name.startswith("t5") else inputs["attention_mask"].bool()
    torch.testing.assert_close(ours(**inputs)[real], theirs[real], atol=LOGITS, rtol=0)
    again = from_hf(opened)
    assert again.config == ours.config
    same_state(ours.state_dict(), again.state_dict())


def test_a_bare_encoder_keeps_its_hidden_states_and_gets_a_new_head() -> None:
    case = make_case("encoder", 4)
    ours = from_hf(case.hf)
    assert not ours.config.next_sentence
    logits = ours(case.input_ids)
    assert logits.shape == (*case.input_ids.shape, case.hf.config.vocab_size)
    assert torch.equal(ours.head.bias, torch.zeros_like(ours.head.bias))


def test_dtype_and_mode_are_kept() -> None:
    hf = make_case("gpt2", 2).hf.to(torch.bfloat16).train()
    ours = from_hf(hf)
    assert ours.training and ours.token_embedding.weight.dtype == torch.bfloat16
    back = to_hf(ours.eval())
    assert not back.training and back.dtype == torch.bfloat16


def test_a_t5_whose_output_matrices_are_wider_loses_nothing() -> None:
    """In a T5 of float16 transformers keeps `wo` in float32, for its numbers do not fit."""
    hf = transformers.T5ForConditionalGeneration(tiny_t5(feed_forward_proj="gated-gelu")).half()
    for name, module in hf.named_modules():
        if name.endswith(".wo"):
            module.float()
            module.weight.data *= 1e6
    ours = from_hf(hf)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}
    wo = hf.encoder.block[0].layer[1].DenseReluDense.wo.weight
    assert torch.equal(ours.encoder.blocks[0].feed_forward.down.weight, wo)
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        assert ours(ids, ids).isfinite().all()


@pytest.mark.parametrize("kind", ["gpt2", "masked_lm"])
def test_weights_do_not_pass_through_the_callers_default_dtype(kind: str) -> None:
    hf = make_case(kind, 3).hf
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        back = to_hf(from_hf(hf))
    finally:
        torch.set_default_dtype(before)
    for name, weight in back.state_dict().items():
        assert torch.equal(weight, hf.state_dict()[name]), name


REFUSED = {
    "relative-key BERT": (
        lambda: transformers.BertForMaskedLM(tiny_bert(position_embedding_type="relative_key")),
        "position_embedding_type='relative_key'",
    ),
    "decoder BERT": (
        lambda: transformers.BertForMaskedLM(tiny_bert(is_decoder=True)),
        "is_decoder=True",
    ),
    "BERT with ReLU": (
        lambda: transformers.BertForMaskedLM(tiny_bert(hidden_act="relu")),
        "hidden_act='relu'",
    ),
    "BERT with tanh GELU": (
        lambda: transformers.BertForMaskedLM(tiny_bert(hidden_act="gelu_new")),
        "hidden_act='gelu_new'",
    ),
    "BERT with two dropout rates": (
        lambda: transformers.BertForMaskedLM(tiny_bert(attention_probs_dropout_prob=0.3)),
        "attention_probs_dropout_prob=0.3 differs from 0.1",
    ),
    "BERT with an untied head": (
        lambda: transformers.BertForMaskedLM(tiny_bert(tie_word_embeddings=False)),
        "tie_word_embeddings=False",
    ),
    "cross-attention GPT-2": (
        lambda: transformers.GPT2LMHeadModel(tiny_gpt(add_cross_attention=True)),
        "add_cross_attention=True",
    ),
    "GPT-2 with erf GELU": (
        lambda: transformers.GPT2LMHeadModel(tiny_gpt(activation_function="gelu")),
        "activation_function='gelu'",
    ),
    "GPT-2 with unscaled attention": (
        lambda: transformers.GPT2LMHeadModel(tiny_gpt(scale_attn_weights=False)),
        "scale_attn_weights=False",
    ),
    "GPT-2 with attention scaled by layer": (
        lambda: transformers.GPT2LMHeadModel(tiny_gpt(scale_attn_by_inverse_layer_idx=True)),
        "scale_attn_by_inverse_layer_idx=True",
    ),
    "GPT-2 with two dropout rates": (
        lambda: transformers.GPT2LMHeadModel(tiny_gpt(attn_pdrop=0.0)),
        "attn_pdrop=0.0 differs from 0.1",
    ),
    "T5 with gated SiLU": (
        lambda: transformers.T5ForConditionalGeneration(tiny_t5(feed_forward_proj="gated-silu")),
        "('silu', True) is not supported",
    ),
    "another class": (
        lambda: transformers.GPT2Model(tiny_gpt()),
        "GPT2Model is not supported",
    ),
}


def tiny_bert(**settings: object) -> transformers.BertConfig:
    sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 9}
    sizes |= {"vocab_size": 11, "num_hidden_layers": 1, "max_position_embeddings": 7}
    return transformers.BertConfig(**sizes | settings)


def tiny_gpt(**settings: object) -> transformers.GPT2Config:
    sizes = {"vocab_size": 11, "n_embd": 8, "n_head": 2, "n_layer": 1, "n_positions": 7}
    return transformers.GPT2Config(**sizes | settings)


def tiny_t5(**settings: object) -> transformers.T5Config:
    sizes = {"vocab_size": 11, "d_model": 8, "d_kv": 4, "d_ff": 9, "num_heads": 2, "num_layers": 1}
    return transformers.T5Config(**sizes | settings)


@pytest.mark.parametrize("name", REFUSED)
def test_a_config_that_ours_cannot_honour_is_refused_by_name(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError) as refused:
        from_hf(make())
    assert message in str(refused.value)


def contradictory(gated: bool) -> nn.Module:
    """A T5 whose activation is another than its `feed_forward_proj` says; the last word counts."""
    config = tiny_t5(feed_forward_proj="gated-gelu" if gated else "relu")
    config.dense_act_fn = "relu" if gated else "gelu_new"
    return transformers.T5ForConditionalGeneration(config)


@pytest.mark.parametrize("gated", [False, True])
def test_a_setting_that_stands_twice_is_read_where_transformers_reads_it(gated: bool) -> None:
    with pytest.raises(ValueError, match="dense_act_fn, is_gated_act"):
        from_hf(contradictory(gated))


SPECIAL = {  # a special token that is no single id, and what is said of it
    "gpt2, several ends": (lambda: transformers.GPT2LMHeadModel(tiny_gpt(eos_token_id=[1, 2])),
                           r"GptConfig.eos_token_id must be one id .* or None, got \[1, 2\]"),
    "t5, several ends": (lambda: transformers.T5ForConditionalGeneration(
        tiny_t5(eos_token_id=[1, 2])), r"T5Config.eos_token_id must be one id .*got \[1, 2\]"),
    "t5, no start": (lambda: transformers.T5ForConditionalGeneration(
        tiny_t5(decoder_start_token_id=None)), "T5Config.decoder_start_token_id .* got None"),
    "bert, no padding": (lambda: transformers.BertForMaskedLM(tiny_bert(pad_token_id=None)),
                         "BertConfig.pad_token_id .* got None"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_a_special_token_is_one_id(name: str) -> None:
    make, message = SPECIAL[name]
    with pytest.raises(ValueError, match=message):
        from_hf(make())


def test_the_plain_tiny_configs_are_accepted() -> None:
    """Else the refusals above would prove nothing."""
    for hf in (
        transformers.BertForMaskedLM(tiny_bert()),
        transformers.GPT2LMHeadModel(tiny_gpt()),
        transformers.T5ForConditionalGeneration(tiny_t5()),
    ):
        from_hf(hf)


def test_a_t5_with_two_embeddings_is_refused() -> None:
    hf = transformers.T5ForConditionalGeneration(tiny_t5())
    hf.decoder.embed_tokens = nn.Embedding(11, 8)
    with pytest.raises(ValueError, match="share one token embedding"):
        from_hf(hf)


def test_weights_too_many_or_too_few_are_named() -> None:
    hf = transformers.GPT2LMHeadModel(tiny_gpt())
    hf.transformer.adapter = nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"unknown \['transformer.adapter.bias'"):
        from_hf(hf)
    hf = transformers.GPT2LMHeadModel(tiny_gpt())
    del hf.transformer.ln_f
    with pytest.raises(ValueError, match=r"lacks \['transformer.ln_f.bias'"):
        from_hf(hf)


def test_to_hf_refuses_what_is_not_ours() -> None:
    with pytest.raises(ValueError, match="Linear is not one of Bert, Gpt, T5"):
        to_hf(nn.Linear(2, 2))


def test_the_real_minilm_encoder() -> None:
    """22.7 million trained weights: hidden states equal, padding included."""
    real = load_pretrained("minilm")
    texts = ["The states are united.", "A much longer sentence, so that the first one is padded."]
    inputs = real.tokenizer(texts, padding=True, return_tensors="pt")
    ours = from_hf(real.model.eval())
    assert inputs["attention_mask"].sum() < inputs["attention_mask"].numel()
    with torch.no_grad():
        theirs = real.model(**inputs).last_hidden_state
        mine = ours.hidden_states(**inputs)
    seen = inputs["attention_mask"].bool()
    torch.testing.assert_close(mine[seen], theirs[seen], atol=LOGITS, rtol=0)
    assert theirs[seen].std() > 0.1
    back = to_hf(ours).state_dict()
    kept = {k: v for k, v in real.model.state_dict().items() if not k.startswith("pooler.")}
    same_state(kept, {name: back[f"bert.{name}"] for name in kept})
