"""Weights in and out: Hugging Face ⇄ ours. Every key and every shape is accounted for, both ways.

One table a family says which of their tensors make one of ours; both directions read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import transformers
from torch import Tensor, nn

from .bert import Bert, BertConfig
from .gpt import Gpt, GptConfig
from .t5 import T5, T5Config


@dataclass(frozen=True)
class Rule:
    """Our tensor is theirs, stacked along the output dimension (fused q, k, v) or transposed."""

    ours: str
    theirs: tuple[str, ...]
    transpose: bool = False  # GPT-2's Conv1D keeps (in, out) where nn.Linear keeps (out, in)


def _pair(ours: str, *theirs: str, bias: bool = True, transpose: bool = False) -> Iterator[Rule]:
    """Rules for the weight and, if there is one, the bias of one layer."""
    yield Rule(f"{ours}.weight", tuple(f"{name}.weight" for name in theirs), transpose)
    if bias:
        yield Rule(f"{ours}.bias", tuple(f"{name}.bias" for name in theirs))


def bert_rules(config: BertConfig, prefix: str, head: bool) -> Iterator[Rule]:
    """Name BERT's tensors; `prefix` is `bert.` inside a model with a head."""
    embeddings = f"{prefix}embeddings"
    yield from _pair("token_embedding", f"{embeddings}.word_embeddings", bias=False)
    yield from _pair("position_embedding", f"{embeddings}.position_embeddings", bias=False)
    yield from _pair("segment_embedding", f"{embeddings}.token_type_embeddings", bias=False)
    yield from _pair("embedding_norm", f"{embeddings}.LayerNorm")
    for i in range(config.num_layers):
        ours, theirs = f"blocks.{i}", f"{prefix}encoder.layer.{i}"
        parts = (f"{theirs}.attention.self.{part}" for part in ("query", "key", "value"))
        yield from _pair(f"{ours}.attention.query_key_value", *parts)
        yield from _pair(f"{ours}.attention.output", f"{theirs}.attention.output.dense")
        yield from _pair(f"{ours}.attention_norm", f"{theirs}.attention.output.LayerNorm")
        yield from _pair(f"{ours}.feed_forward.up", f"{theirs}.intermediate.dense")
        yield from _pair(f"{ours}.feed_forward.down", f"{theirs}.output.dense")
        yield from _pair(f"{ours}.feed_forward_norm", f"{theirs}.output.LayerNorm")
    if head:
        yield from _pair("head.dense", "cls.predictions.transform.dense")
        yield from _pair("head.norm", "cls.predictions.transform.LayerNorm")
        yield Rule("head.bias", ("cls.predictions.bias",))
    if config.next_sentence:
        yield from _pair("pooler", f"{prefix}pooler.dense")
        yield from _pair("next_sentence", "cls.seq_relationship")


def gpt_rules(config: GptConfig) -> Iterator[Rule]:
    """Name GPT-2's tensors."""
    yield from _pair("token_embedding", "transformer.wte", bias=False)
    yield from _pair("position_embedding", "transformer.wpe", bias=False)
    for i in range(config.num_layers):
        ours, theirs = f"blocks.{i}", f"transformer.h.{i}"
        yield from _pair(f"{ours}.attention_norm", f"{theirs}.ln_1")
        attention = f"{ours}.attention.query_key_value"
        yield from _pair(attention, f"{theirs}.attn.c_attn", transpose=True)
        yield from _pair(f"{ours}.attention.output", f"{theirs}.attn.c_proj", transpose=True)
        yield from _pair(f"{ours}.feed_forward_norm", f"{theirs}.ln_2")
        yield from _pair(f"{ours}.feed_forward.up", f"{theirs}.mlp.c_fc", transpose=True)
        yield from _pair(f"{ours}.feed_forward.down", f"{theirs}.mlp.c_proj", transpose=True)
    yield from _pair("final_norm", "transformer.ln_f")


def t5_rules(config: T5Config) -> Iterator[Rule]:
    """Name T5's tensors."""
    yield from _pair("token_embedding", "shared", bias=False)
    for side, depth in (("encoder", config.num_layers), ("decoder", config.num_decoder_layers)):
        first = f"{side}.block.0.layer.0.SelfAttention"
        bias = f"{first}.relative_attention_bias"
        yield from _pair(f"{side}.position_bias.bias", bias, bias=False)
        for i in range(depth):
            yield from _t5_block(config, f"{side}.blocks.{i}", f"{side}.block.{i}.layer", side)
        yield from _pair(f"{side}.final_norm", f"{side}.final_layer_norm", bias=False)
    if not config.tied:
        yield from _pair("head", "lm_head", bias=False)


def _t5_block(config: T5Config, ours: str, theirs: str, side: str) -> Iterator[Rule]:
    """Name the tensors of one block; the feed-forward is sub-layer 1, or 2 in the decoder."""
    attention, last = f"{theirs}.0.SelfAttention", 1
    yield from _pair(f"{ours}.attention_norm", f"{theirs}.0.layer_norm", bias=False)
    parts = (f"{attention}.{part}" for part in "qkv")
    yield from _pair(f"{ours}.attention.query_key_value", *parts, bias=False)
    yield from _pair(f"{ours}.attention.output", f"{attention}.o", bias=False)
    if side == "decoder":
        cross, last = f"{theirs}.1.EncDecAttention", 2
        yield from _pair(f"{ours}.cross_norm", f"{theirs}.1.layer_norm", bias=False)
        yield from _pair(f"{ours}.cross_attention.query", f"{cross}.q", bias=False)
        yield from _pair(
            f"{ours}.cross_attention.key_value", f"{cross}.k", f"{cross}.v", bias=False
        )
        yield from _pair(f"{ours}.cross_attention.output", f"{cross}.o", bias=False)
    yield from _pair(f"{ours}.feed_forward_norm", f"{theirs}.{last}.layer_norm", bias=False)
    dense, names = f"{theirs}.{last}.DenseReluDense", {"up": "wi", "down": "wo"}
    if config.gated:  # v1.1: the activation sits on wi_0
        names = {"gate": "wi_0", "up": "wi_1", "down": "wo"}
    for name, their_name in names.items():
        yield from _pair(f"{ours}.feed_forward.{name}", f"{dense}.{their_name}", bias=False)


# Repetitions of a tied tensor, and parts that hold no weight of the model proper.
TIED = {
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "lm_head.weight",
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
}

# Our field of the configuration = theirs. One dropout rate of ours stands for several of theirs.
BERT_FIELDS = """vocab_size=vocab_size hidden_size=hidden_size num_layers=num_hidden_layers
    num_heads=num_attention_heads intermediate_size=intermediate_size
    max_length=max_position_embeddings type_vocab_size=type_vocab_size
    layer_norm_eps=layer_norm_eps pad_token_id=pad_token_id
    dropout=hidden_dropout_prob dropout=attention_probs_dropout_prob"""
GPT_FIELDS = """vocab_size=vocab_size hidden_size=n_embd num_layers=n_layer num_heads=n_head
    intermediate_size=n_inner max_length=n_positions layer_norm_eps=layer_norm_epsilon
    eos_token_id=eos_token_id pad_token_id=pad_token_id
    dropout=resid_pdrop dropout=embd_pdrop dropout=attn_pdrop"""
T5_FIELDS = """vocab_size=vocab_size hidden_size=d_model head_size=d_kv num_layers=num_layers
    num_decoder_layers=num_decoder_layers num_heads=num_heads intermediate_size=d_ff
    relative_buckets=relative_attention_num_buckets dropout=dropout_rate
    relative_max_distance=relative_attention_max_distance layer_norm_eps=layer_norm_epsilon
    pad_token_id=pad_token_id eos_token_id=eos_token_id"""


def _fields(table: str) -> list[tuple[str, str]]:
    return [tuple(field.split("=")) for field in table.split()]


def _sizes_from(hf: transformers.PreTrainedConfig, table: str) -> dict[str, object]:
    """Read our fields out of their configuration; refuse two values for one field of ours."""
    sizes: dict[str, object] = {}
    for ours, theirs in _fields(table):
        value = getattr(hf, theirs)
        if sizes.setdefault(ours, value) != value:
            raise ValueError(
                f"{hf.model_type}: {theirs}={value} differs from {sizes[ours]}; ours has one {ours}"
            )
    return sizes


def _sizes_to(config: object, table: str) -> dict[str, object]:
    return {theirs: getattr(config, ours) for ours, theirs in _fields(table)}


def _refuse(hf: transformers.PreTrainedConfig, **supported: tuple[object, ...]) -> None:
    """Refuse, by name, a setting that ours does not compute."""
    for name, values in supported.items():
        if (got := getattr(hf, name, values[0])) not in values:
            raise ValueError(
                f"{hf.model_type}: {name}={got!r} is not supported, only "
                + " or ".join(map(repr, values))
            )


def _bert_config(hf: transformers.BertConfig, next_sentence: bool) -> BertConfig:
    _refuse(
        hf,
        hidden_act=("gelu",),
        is_decoder=(False,),
        add_cross_attention=(False,),
        position_embedding_type=("absolute",),
        tie_word_embeddings=(True,),
    )
    return BertConfig(**_sizes_from(hf, BERT_FIELDS), next_sentence=next_sentence)


def _gpt_config(hf: transformers.GPT2Config) -> GptConfig:
    _refuse(
        hf,
        activation_function=("gelu_new", "gelu_pytorch_tanh"),
        add_cross_attention=(False,),
        scale_attn_weights=(True,),
        scale_attn_by_inverse_layer_idx=(False,),
        tie_word_embeddings=(True,),
    )
    sizes = _sizes_from(hf, GPT_FIELDS)
    return GptConfig(**sizes | {"intermediate_size": hf.n_inner or 4 * hf.n_embd})


def _t5_config(hf: transformers.T5Config, tied: bool) -> T5Config:
    _refuse(hf, feed_forward_proj=("relu", "gated-gelu"))
    return T5Config(
        **_sizes_from(hf, T5_FIELDS),
        gated=hf.feed_forward_proj == "gated-gelu",
        tied=tied,
        scale_logits=getattr(hf, "scale_decoder_outputs", tied),
        decoder_start_token_id=getattr(hf, "decoder_start_token_id", hf.pad_token_id),
    )


def _hf_t5_config(config: T5Config) -> transformers.T5Config:
    hf = transformers.T5Config(
        **_sizes_to(config, T5_FIELDS),
        feed_forward_proj="gated-gelu" if config.gated else "relu",
        decoder_start_token_id=config.decoder_start_token_id,
    )
    hf.scale_decoder_outputs = config.scale_logits  # transformers ≥ 5 guesses it from the tie
    return hf


def _rules_for_hf(hf: nn.Module) -> tuple[nn.Module, list[Rule]]:
    """Build our untrained twin of a Hugging Face model, and the table that connects them."""
    if isinstance(hf, transformers.BertForPreTraining | transformers.BertForMaskedLM):
        config = _bert_config(hf.config, isinstance(hf, transformers.BertForPreTraining))
        return Bert(config), list(bert_rules(config, "bert.", head=True))
    if isinstance(hf, transformers.BertModel):
        config = _bert_config(hf.config, next_sentence=False)
        return Bert(config), list(bert_rules(config, "", head=False))
    if isinstance(hf, transformers.GPT2LMHeadModel):
        config = _gpt_config(hf.config)
        return Gpt(config), list(gpt_rules(config))
    if isinstance(hf, transformers.T5ForConditionalGeneration):
        config = _t5_config(hf.config, tied=hf.lm_head.weight is hf.shared.weight)
        return T5(config), list(t5_rules(config))
    raise ValueError(
        f"{type(hf).__name__} is not supported: BertForMaskedLM, BertForPreTraining, BertModel, "
        "GPT2LMHeadModel and T5ForConditionalGeneration are"
    )


def _check_keys(what: str, expected: set[str], found: set[str]) -> None:
    """Refuse a state dict with a key too many or too few."""
    if missing := sorted(expected - found):
        raise ValueError(f"{what} lacks {missing[:5]} ({len(missing)} in all)")
    if extra := sorted(found - expected):
        raise ValueError(f"{what} has unknown {extra[:5]} ({len(extra)} in all)")


def from_hf(hf: nn.Module) -> Bert | Gpt | T5:
    """Give our model with the weights of a Hugging Face model; logits are the same.

    A bare `BertModel` (an encoder without a head) gives a Bert whose MLM head is untrained; its
    pooler, which ours does not have, is left behind.

    Raises:
        ValueError: a class or a setting that ours does not compute, or weights that do not fit.
    """
    ours, rules = _rules_for_hf(hf)
    _check_ties(hf)
    theirs = hf.state_dict()
    named = {name for rule in rules for name in rule.theirs}
    bare = {name for name in theirs if name.startswith("pooler.")} | TIED
    if not getattr(ours.config, "tied", True):
        bare -= {"lm_head.weight"}
    _check_keys(type(hf).__name__, named, set(theirs) - (bare - named))
    weights = {rule.ours: _read(rule, theirs) for rule in rules}
    state = ours.state_dict()
    if isinstance(hf, transformers.BertModel):
        weights = {
            name: value for name, value in state.items() if name.startswith("head.")
        } | weights
    _check_keys("the table of weights", set(state), set(weights))
    ours.load_state_dict(weights)
    dtype = next(hf.parameters()).dtype
    return ours.to(device=hf.device, dtype=dtype).train(hf.training)


def _check_ties(hf: nn.Module) -> None:
    """Refuse a T5 whose encoder or decoder reads another embedding than the shared one."""
    if isinstance(hf, transformers.T5ForConditionalGeneration):
        for side in (hf.encoder, hf.decoder):
            if not torch.equal(side.embed_tokens.weight, hf.shared.weight):
                raise ValueError(
                    "T5: encoder and decoder must share one token embedding; here `embed_tokens` "
                    "differs from `shared` (was the model built with tie_word_embeddings=False?)"
                )


def _read(rule: Rule, theirs: dict[str, Tensor]) -> Tensor:
    parts = [theirs[name].T if rule.transpose else theirs[name] for name in rule.theirs]
    return torch.cat(parts) if len(parts) > 1 else parts[0]


def to_hf(model: Bert | Gpt | T5) -> transformers.PreTrainedModel:
    """Give the Hugging Face model with our weights, ready for `save_pretrained`.

    Raises:
        ValueError: not one of our models, or weights that do not fit.
    """
    hf, rules = _rules_for_ours(model)
    ours, theirs = model.state_dict(), hf.state_dict()
    _check_keys("the table of weights", set(ours), {rule.ours for rule in rules})
    weights: dict[str, Tensor] = {}
    for rule in rules:
        parts = ours[rule.ours].chunk(len(rule.theirs))
        for name, part in zip(rule.theirs, parts, strict=True):
            weights[name] = part.T if rule.transpose else part
    _check_keys(type(hf).__name__, set(weights), set(theirs) - (TIED - set(weights)))
    missing, _ = hf.load_state_dict(weights, strict=False)
    _check_keys("the copy", set(missing) & TIED, set(missing))
    _check_ties(hf)
    parameter = next(model.parameters())
    return hf.to(device=parameter.device, dtype=parameter.dtype).train(model.training)


def _rules_for_ours(model: nn.Module) -> tuple[transformers.PreTrainedModel, list[Rule]]:
    """Build the untrained Hugging Face twin of our model, and the table that connects them."""
    config = getattr(model, "config", None)
    if isinstance(model, Bert):
        names = (transformers.BertForMaskedLM, transformers.BertForPreTraining)
        hf = names[config.next_sentence](transformers.BertConfig(**_sizes_to(config, BERT_FIELDS)))
        return hf, list(bert_rules(config, "bert.", head=True))
    if isinstance(model, Gpt):
        sizes = _sizes_to(config, GPT_FIELDS) | {"bos_token_id": config.eos_token_id}
        hf = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
        return hf, list(gpt_rules(config))
    if isinstance(model, T5):
        hf = transformers.T5ForConditionalGeneration(_hf_t5_config(config))
        if not config.tied:  # transformers ≥ 5 ties at birth whatever the config says
            hf.lm_head.weight = nn.Parameter(hf.lm_head.weight.detach().clone())
        return hf, list(t5_rules(config))
    raise ValueError(f"{type(model).__name__} is not one of Bert, Gpt, T5")
