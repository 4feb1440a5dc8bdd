"""Few-shot prompts: labelled examples as text, and what a decoder then thinks of each label.

*Contextual calibration* (Zhao et al. 2021, §5) divides each label's probability by what it gets
when the text says nothing (`NOTHING`): that takes out a preference that the prompt brings about.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_utils.data.batches import by_length, pad_inputs
from course_utils.data.text import plain_ids
from course_utils.speed import autocast


@dataclass(frozen=True)
class Task:
    """How a labelled text is written: what comes before the text, before the label, the labels."""

    text: str
    label: str
    words: tuple[str, ...]


TASKS = {
    "movies": Task("Review:", "Sentiment:", (" negative", " positive")),
    "questions": Task(
        "Question:",
        "Answer type:",
        (" abbreviation", " thing", " description", " person", " place", " number"),
    ),
}
NOTHING = ("N/A", "[MASK]", "")


def written(form: Task, text: str, label: int | None = None) -> str:
    """A text as the prompt shows it, with its label or waiting for one."""
    answer = "" if label is None else form.words[label]
    return f"{form.text} {text}\n{form.label}{answer}"


@torch.no_grad()
def label_probabilities(
    model: Any, tokenizer: Any, prompt: str, texts: list[str], words: tuple[str, ...]
) -> Tensor:
    """P(label) after prompt and text, among the labels' first tokens: (texts, labels).

    The prompt is read once; its keys and values serve every text.
    """
    firsts = [first for first, *_ in plain_ids(tokenizer, words)]
    if len(set(firsts)) < len(words):
        raise ValueError(f"labels {words} do not differ in their first token")
    before = read_prompt(model, tokenizer, prompt) if prompt else None
    ids = plain_ids(tokenizer, texts)
    found = torch.zeros(len(ids), len(words))
    for rows in by_length(ids, 16):
        logits = next_logits(model, before, [ids[i] for i in rows])
        found[rows] = logits[:, firsts].float().softmax(-1)
    return found


def read_prompt(model: Any, tokenizer: Any, prompt: str) -> Any:
    """Keys and values of a prompt."""
    ids = torch.tensor(plain_ids(tokenizer, [prompt]))
    with autocast():
        return model.base_model(ids, use_cache=True).past_key_values


def next_logits(model: Any, before: Any, ids: list[list[int]]) -> Tensor:
    """Logits after the last real token of each row, (rows, vocabulary), given what was read."""
    inputs = pad_inputs(ids, 0)
    real, cache = inputs["attention_mask"].long(), copy.deepcopy(before)
    if cache is not None:
        seen = real.new_ones(len(ids), cache.get_seq_length())
        cache.batch_repeat_interleave(len(ids))
        inputs["attention_mask"] = torch.cat([seen, real], 1)
    with autocast():
        hidden = model.base_model(**inputs, past_key_values=cache).last_hidden_state
        last = hidden[torch.arange(len(ids)), real.sum(1) - 1]
        return model.get_output_embeddings()(last)
