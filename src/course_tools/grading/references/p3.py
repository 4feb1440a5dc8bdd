"""P3: what a tiny decoder gives, and what mistakes make of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from course_tools.grading.cases import case, piece
from course_tools.grading.references.common import (  # noqa: F401
    ALL,
    ROWS,
    SOFTMAX,
    SUM,
    log_softmax,
    loss_mistakes,
    nats,
    single,
)
from course_utils.grading import tiny
from course_utils.grading.plain import made

IGNORED = -100
PROMPT_LOSS = "The prompt is predicted, too: only the answer and its end get labels."
SHIFTED = "The labels are shifted already; here they stand under their own tokens."
NO_END = "The answer has no end: append the end id, and predict it."
CUT_ANSWER = "Too long an example loses its answer: shorten the prompt, never the answer."
CUT_CUE = "A prompt that is too long loses its cue: cut at the beginning of the prompt."
END_UNSEEN = "The end id has no label: a model that never learns to stop goes on writing."
TOO_LONG = "The example is longer than `max_length`."
NO_ROOM = "Where no room is left, `ids[-0:]` keeps the whole prompt: here nothing of it may stay."

PAD_LABELS = "Padding is predicted: its labels are -100."
END_HIDDEN = "Where the pad id is the end id, the real end is lost: pad by position, not by id."
SEEN = "The attention mask lets padding be read."
LEFT = "The padding stands on the left; asked for is the right."

NO_SHIFT = "Nothing is shifted: the logits at position t predict the token at t + 1."
BACK = "Shifted the wrong way: position t predicts token t + 1, not the one before."

LATE = "The logits *at* a token predict the next one: read one position earlier."
PER_PIECE = "That is the mean over the pieces; the probability of an answer is their product."
FIRST = "Only the first piece counts in yours; add up the log-probabilities of all."
LOGITS = "Those are sums of logits: take log-probabilities, else the answers are not comparable."
PROBABILITY = "Those are probabilities: take their logarithms, and add those up."
ONE_PLACE = "You read every piece at the end of the prompt; each follows the pieces before it."
WHOLE = "The prompt's own log-probability is in it; start with the first piece of the answer."

END_PADDING = "You read the last position, which is padding in the shorter prompts."
ANY = "Compare the label pieces only; the likeliest of all pieces may be none of them."
IDS = "Those are ids of pieces; asked for are numbers of labels: 0, 1, …"
LEFT_PADDING = "Padded on the left without a mask: the model reads the padding, at moved positions."
BY_LENGTH = "The answers are in another order than the prompts: sorted by length, and left so."
UPSIDE_DOWN = "You take the least likely label."


def example(prompt: list[int], answer: list[int], end: int, room: int) -> list[list[int]]:
    """Ids and labels of one example."""
    answer = [*answer, end]
    prompt = prompt[max(0, len(prompt) + len(answer) - room) :]
    return [prompt + answer, [IGNORED] * len(prompt) + answer]


def tiny_logits(
    seed: int, rows: Sequence[Sequence[int]], masks: Sequence[Sequence[int]] | None = None
) -> list[np.ndarray]:
    """Logits of a tiny decoder, each row read by itself, with its mask if there is one."""
    model, masks = tiny.gpt(seed, 0.5).eval(), masks or [[1] * len(row) for row in rows]
    with torch.no_grad():
        read = [
            model(input_ids=torch.tensor([row]), attention_mask=torch.tensor([mask]))
            for row, mask in zip(rows, masks, strict=True)
        ]
    return [out.logits[0].numpy() for out in read]


def example_case(prompt: list[int], answer: list[int], room: int) -> dict:
    """A case of `training_example`; the end id is 2."""
    want = example(prompt, answer, 2, room)
    ids, full = want[0], [*prompt, *answer, 2]
    unread = len(ids) - len(answer) - 1
    kept = prompt[: max(0, room - len(answer) - 1)]
    cut_labels = ([IGNORED] * len(prompt) + full[len(prompt) :])[:room]
    mistakes = [
        (PROMPT_LOSS, [ids, ids]),
        (SHIFTED, [ids, [*want[1][1:], IGNORED]]),
        (NO_END, [ids[:-1], want[1][:-1]]),
        (CUT_ANSWER, [full[:room], cut_labels]),
        (CUT_CUE, [[*kept, *answer, 2], want[1]]),
        (
            NO_ROOM if room == len(answer) + 1 else TOO_LONG,
            [full, [IGNORED] * len(prompt) + [*answer, 2]],
        ),
        (END_UNSEEN, [ids, [IGNORED] * unread + [*answer, IGNORED]]),
    ]
    group = "no room" if room == len(answer) + 1 else ""
    return case(prompt, answer, 2, room, expected=want, mistakes=mistakes, group=group)


def collate_case(rows: list[list[list[int]]], pad: int) -> dict:
    """A case of `collate_answers`, where the pad id may be the end id."""
    width = max(len(ids) for ids, _ in rows)

    def padded(column: int, fill: int, left: bool = False) -> np.ndarray:
        gaps = [[fill] * (width - len(row[column])) for row in rows]
        parts = [
            (gap, row[column]) if left else (row[column], gap)
            for row, gap in zip(rows, gaps, strict=True)
        ]
        return np.array([first + second for first, second in parts])

    ids, labels = padded(0, pad), padded(1, IGNORED)
    mask = np.array([[1] * len(r[0]) + [0] * (width - len(r[0])) for r in rows])
    of_labels = [
        (PAD_LABELS, padded(1, pad)),
        (PAD_LABELS, padded(1, 0)),
        (END_HIDDEN, np.where(ids == pad, IGNORED, labels)),
        (PROMPT_LOSS, np.where(mask > 0, ids, IGNORED)),
    ]
    of_masks = [(SEEN, np.ones_like(mask)), (END_HIDDEN, (ids != pad).astype(int))]
    pieces = [
        piece("input_ids", ids, [(LEFT, padded(0, pad, True))]),
        piece("attention_mask", mask, of_masks),
        piece("labels", labels, of_labels),
    ]
    group = "the pad id occurs" if pad in ids[mask > 0] else ""
    return case(rows, pad, expected=pieces, group=group)


def loss_case(logits: np.ndarray, labels: np.ndarray) -> dict:
    """A case of `answer_loss`."""
    z, y = single(logits), torch.tensor(labels)

    late, due = z[:, :-1], y[:, 1:]
    mistakes = [(NO_SHIFT, nats(z, y)), (BACK, nats(z[:, 1:], y[:, :-1]))]
    mistakes += loss_mistakes(late, due)
    return case(z, y, expected=nats(late, due), mistakes=mistakes)


def scores_case(seed: int, prompt: list[int], answers: list[list[int]]) -> dict:
    """A case of `answer_scores` on a tiny decoder that was left in training mode."""
    rows = [prompt + answer for answer in answers]
    raw, begin = tiny_logits(seed, rows), len(prompt)
    logs = [log_softmax(logits) for logits in raw]

    def total(table: list[np.ndarray], start: int, back: int) -> list[float]:
        steps = [np.arange(start, len(row)) for row in rows]
        found = zip(table, steps, rows, strict=True)
        return [float(t[s - back, np.array(row)[s]].sum()) for t, s, row in found]

    want = total(logs, begin, 1)
    sizes = np.array([len(answer) for answer in answers])
    mistakes = [
        (LATE, total(logs, begin, 0)),
        (PER_PIECE, (want / sizes).tolist()),
        (FIRST, [float(t[begin - 1, a[0]]) for t, a in zip(logs, answers, strict=True)]),
        (LOGITS, total(raw, begin, 1)),
        (PROBABILITY, np.exp(want).tolist()),
        (PROBABILITY, total([np.exp(t) for t in logs], begin, 1)),
        (ONE_PLACE, [float(t[begin - 1, a].sum()) for t, a in zip(logs, answers, strict=True)]),
        (WHOLE, total(logs, 1, 1)),
    ]
    model = made("course_utils.grading.tiny:gpt", seed, 0.5)
    return case(model, prompt, answers, expected=want, mistakes=mistakes)


def predict_case(seed: int, prompts: list[list[int]], pieces: list[int]) -> dict:
    """A case of `predict_labels` on prompts of different lengths."""
    width = max(map(len, prompts))
    ends = np.array([logits[-1] for logits in tiny_logits(seed, prompts)])  # (N, V)
    filled = [[*p, *[0] * (width - len(p))] for p in prompts]
    left = [[*[0] * (width - len(p)), *p] for p in prompts]
    masked = [[1] * len(p) + [0] * (width - len(p)) for p in prompts]
    padding = [np.array([z[-1] for z in tiny_logits(seed, filled, m)]) for m in (None, masked)]
    want = ends[:, pieces].argmax(1)
    mistakes = [
        (END_PADDING, padding[0][:, pieces].argmax(1)),
        (END_PADDING, padding[1][:, pieces].argmax(1)),
        (LEFT_PADDING, np.array([z[-1] for z in tiny_logits(seed, left)])[:, pieces].argmax(1)),
        (ANY, ends.argmax(1)),
        (IDS, np.array(pieces)[want]),
        (BY_LENGTH, want[np.argsort([len(p) for p in prompts], kind="stable")]),
        (UPSIDE_DOWN, ends[:, pieces].argmin(1)),
    ]
    model = made("course_utils.grading.tiny:gpt", seed, 0.5)
    likeliest = ends.argmax(1).tolist()
    args = model, prompts, pieces, 0
    return case(*args, expected=want, mistakes=mistakes, likeliest=likeliest)


def contested(seed: int, prompts: list[list[int]], count: int, start: int) -> list[int]:
    """So many pieces that are about equally likely over all prompts: which one wins, varies."""
    ends = np.array([logits[-1] for logits in tiny_logits(seed, prompts)])
    order = 5 + ends[:, 5:].mean(0).argsort()
    return order[start : start + count].tolist()


def public() -> dict[str, list[dict]]:
    """Three texts; examples with much, just enough and no room; batches, answers, prompts."""
    texts = ["A fine film.", "dull , slow and far too long", "Who knew?\nNot I"]
    rows = [example([11, 12, 13, 14], [31], 2, 20), example([15], [32, 33], 2, 20)]
    logits = np.random.default_rng(0).normal(size=(2, 5, 7)) * 2
    labels = np.array([[-100, -100, 3, 2, -100], [-100, 4, 5, 1, 2]])
    prompts = [[5, 9, 14], [8, 22, 30, 41, 7, 11], [6], [33, 12], [50, 9, 31, 8, 60], [17, 18, 19]]
    return {
        "P3.1": [{"texts": texts}],
        "P3.2": [example_case([11, 12, 13, 14, 15], [31, 32], room) for room in (20, 8, 6, 3)],
        "P3.3": [collate_case(rows, pad) for pad in (0, 2)],
        "P3.4": [loss_case(logits, labels)],
        "P3.5": [scores_case(0, [8, 22, 30, 41], [[9], [14, 20], [33, 12, 50]])],
        "P3.6": [predict_case(0, prompts, contested(0, prompts, 3, 20))],
    }
