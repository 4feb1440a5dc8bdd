"""P6: three objectives written from their formulas, three models pre-trained with them."""

from __future__ import annotations

from functools import cache

import numpy as np

from course_utils.grading.item import (
    Case,
    Item,
    Student,
    array,
    called,
    check_lists,
    compare_pieces,
    require,
)
from course_utils.grading.recorded import number, numbers, record

ITEM = Item("P6", "Three models, pre-trained", "P6_three_models")

FUSED = ["torch.nn.functional:scaled_dot_product_attention"]
PAIR = "`mask_tokens` gives two tensors, inputs and labels, each of the shape of `ids`."
TYPES = "Inputs and labels are ids: whole numbers."
MODELS = ("gpt", "bert", "t5")
ROWS, LENGTH, SYMBOLS = 1000, 16, 8  # of the held-out rows that a record is about
SHOWN = 40  # rows whose own losses are in it
OTHER_ROWS = "'{}': these losses do not rise and fall with what the rows hold: use the given rows."
TOO_GOOD = "'{}': no model gets below the lowest possible loss of these rows: what does it see?"
UNTRAINED = "'{}' is far above the lowest possible loss: train longer, or look for a leak of order."
NO_BETTER = "On text the causal model is no better than the frequencies of characters."


@ITEM.part("P6.1", "80/10/10", 4, ["mask_tokens"])
def check_masking(student: Student, case: Case) -> None:
    """Compare inputs and labels."""
    got = called(student, "mask_tokens", case)
    require(isinstance(got, list) and len(got) == 2, PAIR)
    shape = np.shape(case["args"][0])
    tables = [array(table, "What `mask_tokens` gives") for table in got]
    require(all(table.shape == shape for table in tables), PAIR)
    require(all(table.dtype.kind in "iu" for table in tables), TYPES)
    compare_pieces(tables, case["expected"])


ITEM.calls("P6.2", "The causal mask", 2, "causal_mask")
ITEM.calls("P6.3", "Attention that obeys a mask", 4, "attention", ban=FUSED, rtol=1e-4, atol=1e-6)
ITEM.calls("P6.4", "Span corruption", 4, "corrupt_spans", check_lists)
ITEM.calls("P6.5", "The bound of a span", 2, "span_bound")


@ITEM.part("P6.6", "What you measured", 4, ["recorded_P6"], is_record=True)
def check_record(student: Student, case: Case) -> None:
    """The losses on the given rows: near the lowest possible ones, row by row; never below."""
    found = record(student, "recorded_P6", MODELS)
    for name in MODELS:
        one = found[name]
        complete = isinstance(one, dict) and {"loss", "each", "text", "characters"} <= one.keys()
        require(complete, f"'{name}' lacks 'loss', 'each', 'text' or 'characters'.")
        each = numbers(one["each"], f"'{name}', 'each'", SHOWN)
        best, mean = lowest()[name], number(one["loss"], f"'{name}', 'loss'")
        above = [mean - best.mean(), each.mean() - best[:SHOWN].mean()]
        require(min(above) > -0.03, TOO_GOOD.format(name))
        require(max(above) < 0.25, UNTRAINED.format(name))
        require(np.corrcoef(each, best[:SHOWN])[0, 1] > 0.8, OTHER_ROWS.format(name))
    require(number(found["gpt"]["text"], "'text'") < found["gpt"]["characters"], NO_BETTER)


@cache
def lowest() -> dict[str, np.ndarray]:
    """Nats a predicted symbol that the ideal models pay for each held-out row, (ROWS,)."""
    import torch

    from course_utils.data.known_entropy import MarkovSource

    source = MarkovSource.random(SYMBOLS, seed=1)
    ids = source.sample(ROWS, LENGTH, torch.Generator().manual_seed(0))
    log_p = source.transition.log()
    masked = torch.rand(ids.shape, generator=torch.Generator().manual_seed(1)).argsort(1) < 4

    def unknown(hidden: torch.Tensor) -> torch.Tensor:
        logits = source.best_masked_logits(ids.masked_fill(hidden, SYMBOLS), SYMBOLS)
        return -logits.gather(-1, ids[..., None])[..., 0]

    spans = torch.zeros(ROWS)
    for end, place in ((6, 3), (6, 4), (6, 5), (13, 10), (13, 11), (13, 12)):
        hidden = torch.zeros_like(masked)
        hidden[:, place:end] = True  # what is written already is seen
        hidden[:, 10:13] |= end == 6  # the second span is not
        spans = spans + unknown(hidden)[:, place] / 6
    steps = log_p[ids[:, :-1], ids[:, 1:]]
    per_row = {"gpt": -steps.mean(1), "bert": unknown(masked)[masked].view(ROWS, 4).mean(1)}
    return {name: nats.numpy() for name, nats in {**per_row, "t5": spans}.items()}


ITEM.text("P6.7", "An ablation of yours", 4, "answer_P6")
