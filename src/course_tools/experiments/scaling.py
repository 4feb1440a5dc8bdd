"""A scaling law of our own: held-out loss of GPTs of several sizes, all trained on as many tokens.

L(N) = (N_c / N)^α is fitted as a straight line in log L against log N; N counts no embeddings
(Kaplan et al. 2020, §1.2, eq. 1.1: α = 0.076 for converged models of up to 1.5·10⁹ parameters). The
interval for α is a bootstrap: runs are drawn with replacement within each size, and so are sizes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from course_tools.experiments.small import (
    by_condition,
    held_out_loss,
    rows,
    seeds,
    short_run,
)
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models import Gpt, GptConfig
from course_utils.objectives import causal_lm
from course_utils.objectives.batch import Batch
from course_utils.recipes import seeded
from course_utils.training.loop import objective_loss

SETTINGS: dict[str, Any] = {
    "sources": ["sotu"],
    "sizes": [[1, 24], [1, 40], [2, 48], [2, 64], [3, 80], [4, 96], [4, 128]],  # blocks, d
    "seeds": 2,
    "row_tokens": 65,  # the first is read, never predicted
    "batch_size": 16,
    "steps": 800,
    "embedding_rate": 20.0,
    "learning_rate": 1e-3,  # at d = 128; it falls with the root of d
    "held_out_rows": 512,
}
TINY = {
    "sizes": [[1, 8], [1, 16], [1, 32]],
    "seeds": 2,
    "batch_size": 4,
    "steps": 2,
    "held_out_rows": 8,
}
KAPLAN = {"alpha": 0.076, "log10_N_c": 13.94}  # N_c = 8.8e13; Kaplan et al. 2020, eq. 1.1
SAMPLES = 2000  # of the bootstrap
Trial = dict[str, Any]


def trials(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Every size at every seed."""
    return [
        {"num_layers": depth, "hidden_size": d, "seed": seed}
        for seed in seeds(settings)
        for depth, d in settings["sizes"]
    ]


def measure(settings: dict[str, Any], num_layers: int, hidden_size: int, seed: int) -> Trial:
    """Train one size; parameters without embeddings, tokens, FLOPs, held-out loss (nats)."""
    model = seeded(lambda: small_gpt(num_layers, hidden_size), seed)
    held_out = rows(settings["row_tokens"])[1]
    loss = objective_loss(causal_lm)
    rate = settings["learning_rate"] * (128 / hidden_size) ** 0.5

    def batch_of(ids: Tensor, step: int) -> Batch:
        return causal_lm.corrupt(ids)

    result = short_run(model, batch_of, loss, settings | {"learning_rate": rate}, seed)
    judged = causal_lm.corrupt(held_out[: settings["held_out_rows"]])
    return {
        "parameters": non_embedding(model),
        "all_parameters": sum(p.numel() for p in model.parameters()),
        "tokens": result.tokens,
        "flops": result.flops,
        "loss": held_out_loss(model, [judged], loss),
    }


def small_gpt(num_layers: int, hidden_size: int) -> Gpt:
    """A GPT of the course's vocabulary with heads of 16 or, from d = 64 on, 32 or less."""
    tokenizer = load_tokenizer("course")
    heads = max(1, hidden_size // (32 if hidden_size % 32 == 0 else 16))
    sizes = {"num_heads": heads if hidden_size % heads == 0 else 1, "max_length": 64}
    sizes |= {"num_layers": num_layers, "hidden_size": hidden_size, "dropout": 0.0}
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    ids |= {"vocab_size": len(tokenizer)}
    return Gpt(GptConfig(intermediate_size=4 * hidden_size, **sizes, **ids))


def non_embedding(model: Gpt) -> int:
    """Parameters but for token and position embeddings: Kaplan's N."""
    return sum(p.numel() for n, p in model.named_parameters() if "embedding" not in n)


def fit(sizes: np.ndarray, losses: np.ndarray) -> tuple[float, float]:
    """α and log₁₀ N_c of L = (N_c / N)^α, by least squares on the logarithms."""
    slope, height = np.polyfit(np.log10(sizes), np.log10(losses), 1)
    return float(-slope), float(height / -slope)


def interval(runs: list[dict[str, Any]], samples: int = SAMPLES) -> tuple[float, float]:
    """95% bootstrap interval of α: sizes drawn with replacement, then runs within each size.

    Draws with fewer than three different sizes say nothing about a slope and are drawn again.
    """
    draw = np.random.default_rng(0)
    groups: dict[int, list[float]] = {}
    for run in runs:
        groups.setdefault(run["parameters"], []).append(run["loss"])
    sizes = np.array(list(groups))
    found: list[float] = []
    while len(found) < samples:
        drawn = draw.choice(sizes, len(sizes))
        if len(set(drawn)) >= min(3, len(sizes)):
            losses = [draw.choice(groups[n], len(groups[n])).mean() for n in drawn]
            found.append(fit(drawn, np.array(losses))[0])
    low, high = np.quantile(found, [0.025, 0.975])
    return float(low), float(high)


def summarise(trials: list[dict[str, Any]]) -> dict[str, Any]:
    """Loss by size, the fit with its interval, how well a line fits, and Kaplan's numbers."""
    sizes = np.array([trial["parameters"] for trial in trials], dtype=float)
    losses = np.array([trial["loss"] for trial in trials])
    alpha, scale = fit(sizes, losses)
    low, high = interval(trials)
    off = np.log10(losses) - alpha * (scale - np.log10(sizes))
    return {
        "sizes": by_condition(trials, "parameters", ("loss", "tokens", "flops")),
        "fit": {"alpha": alpha, "low": low, "high": high, "log10_N_c": scale},
        "r_squared": float(1 - off.var() / np.log10(losses).var()),
        "decades": float(np.log10(sizes.max() / sizes.min())),
        "kaplan": KAPLAN,
    }
