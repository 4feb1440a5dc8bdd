"""Weights in and out: Hugging Face ⇄ ours. Every key and every shape is accounted for, both ways.

One row of `FAMILIES` a paradigm, with its tables of `huggingface.toml`; both directions read it.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from course_utils.checks import require

from .bert import Bert, BertConfig
from .gpt import Gpt, GptConfig
from .t5 import T5, T5Config

# Names of tensors and settings, theirs beside ours; what its tables mean is said there.
NAMES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


@dataclass(frozen=True)
class Family:
    """One paradigm here and there: classes, and its tables of `huggingface.toml`."""

    ours: type[nn.Module]
    config: type
    theirs: tuple[type[nn.Module], ...]
    layers: dict[str, str]
    fields: dict[str, str]
    only: dict[str, list[str | bool]]


BERTS = (transformers.BertForPreTraining, transformers.BertForMaskedLM, transformers.BertModel)
FAMILIES = (
    Family(Bert, BertConfig, BERTS, **NAMES["bert"]),
    Family(Gpt, GptConfig, (transformers.GPT2LMHeadModel,), **NAMES["gpt"]),
    Family(T5, T5Config, (transformers.T5ForConditionalGeneration,), **NAMES["t5"]),
)
# Repetitions of a tied tensor.
TIED = {"cls.predictions.decoder.weight", "cls.predictions.decoder.bias", "lm_head.weight"}
TIED |= {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}


def _config_from(family: Family, hf: nn.Module) -> Any:
    """Read our configuration out of theirs; refuse, by name, what ours does not compute."""
    config, sizes = hf.config, {}
    for name, known in family.only.items():
        got, allowed = getattr(config, name, known[0]), " or ".join(map(str, known))
        what = f"{config.model_type}: {name}={got!r} is not supported, only {allowed}"
        require(got in known, what)
    for theirs, ours in (NAMES["fields"] | family.fields).items():
        value = getattr(config, theirs, 0)
        what = f"{config.model_type}: {theirs}={value} differs from {sizes.get(ours)}; ours has one"
        require(sizes.setdefault(ours, value) == value, f"{what} {ours}")
    if family.ours is Bert:
        sizes["next_sentence"] = isinstance(hf, transformers.BertForPreTraining)
    elif family.ours is Gpt:
        sizes["intermediate_size"] = config.n_inner or 4 * config.n_embd
    else:
        # `feed_forward_proj` says the same once more, and transformers computes what these say
        kind = (config.dense_act_fn, config.is_gated_act)
        known = {("relu", False): False, ("gelu_new", True): True}
        what = f"t5: dense_act_fn, is_gated_act = {kind} is not supported, only {[*known]}"
        require(kind in known, what)
        sizes["gated"] = known[kind]
        sizes["tied"] = hf.lm_head.weight is hf.shared.weight
        sizes["scale_logits"] = getattr(config, "scale_decoder_outputs", sizes["tied"])
    return family.config(**sizes)


def _untrained(family: Family, config: Any) -> transformers.PreTrainedModel:
    """Build their model of our sizes."""
    fields = NAMES["fields"] | family.fields
    sizes = {theirs: getattr(config, ours) for theirs, ours in fields.items()}
    if family.ours is Bert:
        return family.theirs[not config.next_sentence](transformers.BertConfig(**sizes))
    if family.ours is Gpt:
        sizes["bos_token_id"] = config.eos_token_id
        return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes))
    sizes["feed_forward_proj"] = "gated-gelu" if config.gated else "relu"
    settings = transformers.T5Config(**sizes)
    settings.scale_decoder_outputs = config.scale_logits  # transformers ≥ 5 guesses it from the tie
    hf = transformers.T5ForConditionalGeneration(settings)
    if not config.tied:  # transformers ≥ 5 ties at birth whatever the config says
        hf.lm_head.weight = nn.Parameter(hf.lm_head.weight.detach().clone())
    return hf


def _rules(family: Family, model: nn.Module, bare: bool = False) -> dict[str, list[str]]:
    """For each of our tensors the names of theirs that make it, from the family's `layers`.

    A `bare` BertModel has no head, and names without "bert.".
    """
    table = family.layers
    if getattr(model.config, "gated", False):  # T5 v1.1: the activation sits on wi_0
        table = {k: v.replace(".wi", ".wi_1") if k.endswith(".up") else v for k, v in table.items()}
    rules = {}
    for name in model.state_dict():
        if bare and name.startswith("head."):
            continue
        layer, _, kind = name.rpartition(".")
        number = "".join(re.findall(r"\d+", layer))
        place, _, parts = table[layer.replace(number or "#", "#")].rpartition(".")
        place = f"{place}.".lstrip(".").replace("#", number).removeprefix("bert." * bare)
        rules[name] = [f"{place}{part}.{kind}" for part in parts.split("+")]
    return rules


def _turned(name: str, tensor: Tensor) -> Tensor:
    """GPT-2's Conv1D, called c_…, keeps (in, out) where nn.Linear keeps (out, in)."""
    return tensor.T if re.search(r"\.c_\w+\.weight$", name) else tensor


def _check(hf: nn.Module, expected: set[str], found: set[str]) -> None:
    """Refuse a key too many or too few, and a T5 of more than one token embedding."""
    missing, extra = sorted(expected - found), sorted(found - expected)
    require(not missing, f"{type(hf).__name__} lacks {missing[:5]} ({len(missing)} in all)")
    require(not extra, f"{type(hf).__name__} has unknown {extra[:5]} ({len(extra)} in all)")
    sides = (hf.encoder, hf.decoder) if hasattr(hf, "shared") else ()
    shared = all(torch.equal(side.embed_tokens.weight, hf.shared.weight) for side in sides)
    what = "T5: encoder and decoder must share one token embedding"
    here = "`embed_tokens` differs from `shared`"
    require(shared, f"{what}; here {here} (was the model built with tie_word_embeddings=False?)")


def from_hf(hf: nn.Module) -> Bert | Gpt | T5:
    """Give our model with the weights of a Hugging Face model; logits are the same.

    The weights have their type. Where some have a wider one than the rest, as a T5 in float16 whose
    `wo` transformers keeps in float32, all have that: its numbers would not fit into the other.

    A bare `BertModel` (an encoder without a head) gives a Bert whose MLM head is untrained; its
    pooler, which ours does not have, is left behind.

    Raises:
        ValueError: a class or a setting that ours does not compute, or weights that do not fit.
    """
    known = ", ".join(theirs.__name__ for family in FAMILIES for theirs in family.theirs)
    family = next((family for family in FAMILIES if isinstance(hf, family.theirs)), None)
    require(family is not None, f"{type(hf).__name__} is not supported, only {known}")
    theirs = hf.state_dict()
    # the widest type, where some weights have another than the rest; and never the caller's default
    dtype = reduce(torch.promote_types, {weight.dtype for weight in theirs.values()})
    ours = family.ours(_config_from(family, hf)).to(dtype)
    rules = _rules(family, ours, bare=isinstance(hf, transformers.BertModel))
    named = {name for names in rules.values() for name in names}
    left_behind = {name for name in theirs if name.startswith("pooler.")} | TIED
    _check(hf, named, set(theirs) - (left_behind - named))
    weights = {k: torch.cat([_turned(n, theirs[n]) for n in v]) for k, v in rules.items()}
    ours.load_state_dict(ours.state_dict() | weights)
    return ours.to(hf.device).train(hf.training)


def to_hf(model: Bert | Gpt | T5) -> transformers.PreTrainedModel:
    """Give the Hugging Face model with our weights, ready for `save_pretrained`.

    Raises:
        ValueError: not one of our models, or weights that do not fit.
    """
    family = next((family for family in FAMILIES if isinstance(model, family.ours)), None)
    require(family is not None, f"{type(model).__name__} is not one of Bert, Gpt, T5")
    ours = model.state_dict()
    parameter = next(model.parameters())
    hf = _untrained(family, model.config).to(parameter.dtype)  # before weights are copied into it
    weights: dict[str, Tensor] = {}
    for name, names in _rules(family, model).items():
        parts = zip(names, ours[name].chunk(len(names)), strict=True)
        weights |= {theirs: _turned(theirs, part) for theirs, part in parts}
    hf.load_state_dict(weights, strict=False)  # not strict: what is tied stands there once more
    _check(hf, set(weights), set(hf.state_dict()) - (TIED - set(weights)))
    return hf.to(parameter.device).train(model.training)
