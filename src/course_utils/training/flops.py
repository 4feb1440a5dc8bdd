"""How much a training step computes and reads, counted from the model's shapes."""

from torch import nn

from course_utils.models.layers import CrossAttention, SelfAttention
from course_utils.objectives.batch import Batch
from course_utils.training.checkpoint import Optimizers
from course_utils.training.muon import Muon


def training_flops(model: nn.Module, batch: Batch) -> float:
    """FLOPs of forward and backward: 6·N·tokens for the weights, plus attention.

    6 = (1 forward + 2 backward products) × (multiply + add). N counts each weight matrix with the
    tokens that pass it: T5's encoder with the inputs, its decoder with the targets, the vocabulary
    matrix with the *predicted* tokens only. Attention adds 12·d·T² a row and layer (scores and
    mixing), causal or not. Embedding look-ups, norms and softmax count as nothing, and no layer as
    frozen. Kaplan et al. 2020, §2.1; Chowdhery et al. 2022 (PaLM), app. B.
    """
    rows, read = batch.inputs["input_ids"].shape
    written = batch.inputs.get("decoder_input_ids", batch.inputs["input_ids"]).shape[1]
    total = 6 * _tied_vocabulary(model) * batch.num_predicted
    for name, module in model.named_modules():
        queries = written if name.startswith("decoder.") else read
        keys = read if isinstance(module, CrossAttention) else queries
        if isinstance(module, SelfAttention | CrossAttention):
            total += 12 * rows * queries * keys * module.output.in_features
        elif isinstance(module, nn.Linear):
            tokens = rows * queries
            if name.endswith("cross_attention.key_value"):  # they are made of the inputs
                tokens = rows * read
            if name.partition(".")[0] == "head":
                tokens = batch.num_predicted
            total += 6 * module.weight.numel() * tokens
    return float(total)


def _tied_vocabulary(model: nn.Module) -> int:
    """Size of the output matrix that is the token embedding; 0 for heads and untied models."""
    config = getattr(model, "config", None)
    tied = config is not None and getattr(config, "tied", True)
    return config.vocab_size * config.hidden_size if tied else 0


def num_tokens(batch: Batch) -> int:
    """Real tokens that the model reads and, for T5, writes; padding is not counted."""
    ids = batch.inputs["input_ids"]
    mask = batch.inputs.get("attention_mask")
    padded = mask is not None and mask.shape == ids.shape
    total = int(mask.sum()) if padded else ids.numel()
    if "decoder_input_ids" in batch.inputs:
        total += batch.num_predicted
    return total


def optimizer_flops(optimizers: Optimizers) -> float:
    """FLOPs of one step: the products of Muon; AdamW's few a weight count as nothing."""
    return sum(each.flops() for each in optimizers.values() if isinstance(each, Muon))


def step_counts(model: nn.Module, batch: Batch, optimizers: Optimizers) -> dict[str, float]:
    """What a step on this batch reads, predicts and computes."""
    return {
        "tokens": num_tokens(batch),
        "predicted": batch.num_predicted,
        "flops": training_flops(model, batch) + optimizer_flops(optimizers),
    }
