"""P3: classification recast as generation with a decoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import Item, Student, array, as_array, compare, require, same
from course_utils.grading.plain import made
from course_utils.grading.recorded import number, record, share

ITEM = Item("P3", "Classification as generation", "P3_classification_as_generation")

IGNORED = -100
LOST_TEXT = "The prompt does not hold the text to classify."
NO_CUE = "Close every prompt with the same cue, after the text: it asks for the answer."
SPACE = (
    "The prompt ends in white space: GPT's pieces carry the space *before* a word. Leave it out."
)
NO_SPACE = "A label word begins with the space that separates it from the prompt."
TWO_WORDS = "Two words are asked for, the negative first: one for each label."
SAME_WORD = "The label words begin with the same piece: their first pieces must differ."
JOINED = "Prompt and word are cut otherwise together than apart: no piece may cross the border."

PROMPT_LOSS = "The prompt is predicted, too: only the answer and its end get labels."
SHIFTED = "The labels are shifted already; here they stand under their own tokens."
NO_END = "The answer has no end: append the end id, and predict it."
CUT_ANSWER = "Too long an example loses its answer: shorten the prompt, never the answer."
CUT_CUE = "A prompt that is too long loses its cue: cut at the beginning of the prompt."
AS_MANY = "Every id needs a label of its own; -100 where nothing is predicted."
END_UNSEEN = "The end id has no label: a model that never learns to stop goes on writing."
TOO_LONG = "The example is longer than `max_length`."
NO_ROOM = "Where no room is left, `ids[-0:]` keeps the whole prompt: here nothing of it may stay."

PAD_LABELS = "Padding is predicted: its labels are -100."
END_HIDDEN = "Where the pad id is the end id, the real end is lost: pad by position, not by id."
SEEN = "The attention mask lets padding be read."
LEFT = "The padding stands on the left; asked for is the right."

NO_SHIFT = "Nothing is shifted: the logits at position t predict the token at t + 1."
BACK = "Shifted the wrong way: position t predicts token t + 1, not the one before."
SUM = "That is the sum; divide by the number of predicted tokens."
ALL = "You divide by all positions; only those with a label count."
TWICE = "The loss function takes the logits themselves: it applies the softmax."
ROWS = "You averaged each example, then the examples; every predicted token counts the same."

LATE = "The logits *at* a token predict the next one: read one position earlier."
PER_PIECE = "That is the mean over the pieces; the probability of an answer is their product."
FIRST = "Only the first piece counts in yours; add up the log-probabilities of all."
LOGITS = "Those are sums of logits: take log-probabilities, else the answers are not comparable."
PROBABILITY = "Those are probabilities: take their logarithms, and add those up."
WHOLE = "The prompt's own log-probability is in it; start with the first piece of the answer."
DROPOUT = "Two calls differ: dropout is on. Put the model into evaluation mode."

END_PADDING = "You read the last position, which is padding in the shorter prompts."
ANY = "Compare the label pieces only; the likeliest of all pieces may be none of them."
IDS = "Those are ids of pieces; asked for are numbers of labels: 0, 1, …"
LEFT_PADDING = "Padded on the left without a mask: the model reads the padding, at moved positions."
UPSIDE_DOWN = "You take the least likely label."

KEYS = ("generation", "head")
FLIPPED = "Far worse than guessing: are labels and label words the wrong way round?"
SLOW = "The seconds of training are to be more than 0."


# -- what is right ---------------------------------------------------------------------------------


def example(prompt: list[int], answer: list[int], end: int, room: int) -> list[list[int]]:
    """Ids and labels of one example."""
    answer = [*answer, end]
    prompt = prompt[max(0, len(prompt) + len(answer) - room) :]
    return [prompt + answer, [IGNORED] * len(prompt) + answer]


def log_probabilities(seed: int, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """What a tiny decoder gives each position of each row: arrays (T, V) of log-probabilities."""
    return [log_softmax(logits) for logits in tiny_logits(seed, rows)]


def tiny_logits(
    seed: int, rows: Sequence[Sequence[int]], masks: Sequence[Sequence[int]] | None = None
) -> tuple[np.ndarray, ...]:
    """Logits of a tiny decoder, each row read by itself, with its mask if there is one."""
    masks = masks or [[1] * len(row) for row in rows]
    return read_by_tiny(seed, tuple(map(tuple, rows)), tuple(map(tuple, masks)))


@lru_cache(32)  # every answer is asked the public check's prompts
def read_by_tiny(seed: int, rows: tuple, masks: tuple) -> tuple[np.ndarray, ...]:
    """What `tiny_logits` gives, for arguments that can be remembered."""
    import torch

    model = tiny.gpt(seed, 0.5).eval()
    with torch.no_grad():
        read = [
            model(input_ids=torch.tensor([row]), attention_mask=torch.tensor([mask]))
            for row, mask in zip(rows, masks, strict=True)
        ]
    return tuple(out.logits[0].numpy() for out in read)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Logarithm of the softmax over the last axis."""
    moved = logits - logits.max(-1, keepdims=True)
    return moved - np.log(np.exp(moved).sum(-1, keepdims=True))


# -- checks ----------------------------------------------------------------------------------------


def check_prompt(student: Student, texts: Sequence[str]) -> None:
    """Properties of any good prompt; its words are free."""
    from course_utils.data.tokenizers import load_tokenizer

    words = student.value("LABEL_WORDS")
    fits = isinstance(words, list) and len(words) == 2 and all(isinstance(w, str) for w in words)
    require(fits, TWO_WORDS)
    require(all(word[:1].isspace() and word.strip() for word in words), NO_SPACE)
    prompts = [student.call("as_prompt", text) for text in texts]
    fits = all(isinstance(prompt, str) and len(prompt) < 10_000 for prompt in prompts)
    require(fits, "`as_prompt` gives no string, or one that is far too long.")
    require(all(t in p for t, p in zip(texts, prompts, strict=True)), LOST_TEXT)
    require(not any(prompt[-1:].isspace() for prompt in prompts), SPACE)
    cues = {p.rpartition(t)[2] for t, p in zip(texts, prompts, strict=True)}
    require(len(cues) == 1 and bool(next(iter(cues)).strip()), NO_CUE)
    tokenizer = load_tokenizer("course")

    def cut(text: str) -> list[int]:
        clean = text.encode("utf-8", "replace").decode()  # a lone surrogate is no text
        return tokenizer(clean, add_special_tokens=False)["input_ids"]

    require(cut(words[0])[0] != cut(words[1])[0], SAME_WORD)
    whole = all(cut(p + w) == cut(p) + cut(w) for p in prompts for w in words)
    require(whole, JOINED)


def check_example(student: Student, prompt: list[int], answer: list[int], room: int) -> None:
    """Compare `training_example`; the end id is 2."""
    want = example(prompt, answer, 2, room)
    ids, full = want[0], [*prompt, *answer, 2]
    hidden = len(ids) - len(answer) - 1
    kept = prompt[: max(0, room - len(answer) - 1)]
    mistakes = {
        PROMPT_LOSS: [ids, ids],
        SHIFTED: [ids, [*want[1][1:], IGNORED]],
        NO_END: [ids[:-1], want[1][:-1]],
        CUT_ANSWER: [full[:room], ([IGNORED] * len(prompt) + full[len(prompt) :])[:room]],
        CUT_CUE: [[*kept, *answer, 2], want[1]],
        NO_ROOM if room == len(answer) + 1 else TOO_LONG: [
            full,
            [IGNORED] * len(prompt) + [*answer, 2],
        ],
        END_UNSEEN: [ids, [IGNORED] * hidden + [*answer, IGNORED]],
    }
    got = student.call("training_example", prompt, answer, 2, room)
    if isinstance(got, dict) and {"input_ids", "labels"} <= got.keys():
        got = [got["input_ids"], got["labels"]]
    got = got.tolist() if isinstance(got, np.ndarray) else got
    require(isinstance(got, list) and len(got) == 2, "`training_example` gives no pair of lists.")
    pair = [listed(part) for part in got]
    require(len(pair[0]) == len(pair[1]), AS_MANY)
    compare(pair[0] + pair[1], want[0] + want[1], joined(mistakes), what="training_example")


def listed(value: Any) -> list:
    """A list of whole numbers; raises Wrong."""
    numbers = array(value, "what `training_example` gives")
    require(numbers.ndim == 1, "`training_example` gives two flat lists.")
    return numbers.tolist()


def joined(mistakes: dict[str, list]) -> dict[str, list]:
    """Both lists of each mistake end to end."""
    return {hint: pair[0] + pair[1] for hint, pair in mistakes.items()}


def check_collate(student: Student, rows: list[list[list[int]]], pad: int) -> None:
    """Compare `collate_answers`, where the pad id may be the end id."""
    width = max(len(ids) for ids, _ in rows)

    def padded(column: int, fill: int, left: bool = False) -> np.ndarray:
        gaps = [[fill] * (width - len(row[column])) for row in rows]
        parts = [(gap, row[column]) if left else (row[column], gap) for row, gap in
                 zip(rows, gaps, strict=True)]  # fmt: skip
        return np.array([a + b for a, b in parts])

    ids, labels = padded(0, pad), padded(1, IGNORED)
    mask = np.array([[1] * len(r[0]) + [0] * (width - len(r[0])) for r in rows])
    got = student.call("collate_answers", rows, pad)
    keys = ("input_ids", "attention_mask", "labels")
    require(isinstance(got, dict) and set(keys) <= got.keys(), f"It lacks one of {keys}.")
    compare(got["input_ids"], ids, {LEFT: padded(0, pad, True)}, what="input_ids")
    mistakes = {SEEN: np.ones_like(mask), END_HIDDEN: (ids != pad).astype(int)}
    compare(array01(got["attention_mask"]), mask, mistakes, what="attention_mask")
    mistakes = {
        PAD_LABELS: padded(1, pad),
        PAD_LABELS + " ": padded(1, 0),
        END_HIDDEN: np.where(ids == pad, IGNORED, labels),
        PROMPT_LOSS: np.where(mask > 0, ids, IGNORED),
    }
    compare(got["labels"], labels, mistakes, what="labels")


def array01(mask: Any) -> Any:
    """A mask of booleans is as good as one of 0 and 1."""
    value = as_array(mask)
    return mask if value is None else value.astype(int) if value.dtype == bool else value


def check_loss(student: Student, logits: np.ndarray, labels: np.ndarray) -> None:
    """Compare `answer_loss`."""
    import torch
    from torch.nn.functional import cross_entropy

    z, y = torch.tensor(logits), torch.tensor(labels)

    def nats(a: Any, b: Any) -> float:
        return cross_entropy(a.flatten(0, 1), b.flatten()).item()

    want, count = nats(z[:, :-1], y[:, 1:]), (labels[:, 1:] != IGNORED).sum()
    rows = [nats(a[None, :-1], b[None, 1:]) for a, b in zip(z, y, strict=True)]
    mistakes = {
        NO_SHIFT: nats(z, y),
        BACK: nats(z[:, 1:], y[:, :-1]),
        SUM: want * count,
        ALL: want * count / labels[:, 1:].size,
        ALL + " ": want * count / labels.size,
        ROWS: np.mean(rows),
        TWICE: nats(z[:, :-1].softmax(-1), y[:, 1:]),
    }
    got = student.call("answer_loss", z, y)
    compare(got, want, mistakes, what="answer_loss", rtol=1e-4, atol=1e-6)


def check_scores(student: Student, seed: int, prompt: list[int], answers: list[list[int]]) -> None:
    """Compare `answer_scores` on a tiny decoder that was left in training mode."""
    rows = [prompt + answer for answer in answers]
    raw, logs, begin = tiny_logits(seed, rows), log_probabilities(seed, rows), len(prompt)

    def total(table: list[np.ndarray], start: int, back: int) -> list[float]:
        steps = [np.arange(start, len(row)) for row in rows]
        return [float(t[s - back, np.array(r)[s]].sum()) for t, s, r in
                zip(table, steps, rows, strict=True)]  # fmt: skip

    want = total(logs, begin, 1)
    sizes = np.array([len(answer) for answer in answers])
    mistakes = {
        LATE: total(logs, begin, 0),
        PER_PIECE: (want / sizes).tolist(),
        FIRST: [float(t[begin - 1, a[0]]) for t, a in zip(logs, answers, strict=True)],
        LOGITS: total(raw, begin, 1),
        PROBABILITY: np.exp(want).tolist(),
        PROBABILITY + " ": total([np.exp(t) for t in logs], begin, 1),
        WHOLE: total(logs, 1, 1),
    }
    model = made("course_utils.grading.tiny:gpt", seed, 0.5)
    got, again = (student.call("answer_scores", model, prompt, answers) for _ in range(2))
    require(same(got, again), DROPOUT)
    compare(got, want, mistakes, what="answer_scores", rtol=1e-3, atol=1e-4)


def check_predict(student: Student, seed: int, prompts: list[list[int]], pieces: list[int]) -> None:
    """Compare `predict_labels` on prompts of different lengths."""
    width = max(map(len, prompts))
    ends = np.array([logits[-1] for logits in tiny_logits(seed, prompts)])  # (N, V)
    filled = [[*p, *[0] * (width - len(p))] for p in prompts]
    left = [[*[0] * (width - len(p)), *p] for p in prompts]
    masked = [[1] * len(p) + [0] * (width - len(p)) for p in prompts]
    padding = [np.array([z[-1] for z in tiny_logits(seed, filled, m)]) for m in (None, masked)]
    want = ends[:, pieces].argmax(1)
    mistakes = {
        END_PADDING: padding[0][:, pieces].argmax(1),
        END_PADDING + " ": padding[1][:, pieces].argmax(1),
        LEFT_PADDING: np.array([z[-1] for z in tiny_logits(seed, left)])[:, pieces].argmax(1),
        ANY: ends.argmax(1),
        IDS: np.array(pieces)[want],
        UPSIDE_DOWN: ends[:, pieces].argmin(1),
    }
    model = made("course_utils.grading.tiny:gpt", seed, 0.5)
    got, again = (student.call("predict_labels", model, prompts, pieces, 0) for _ in range(2))
    require(same(got, again), DROPOUT)
    if not same(got, want) and np.shape(array(got, "predict_labels")) == want.shape:
        outside = set(np.asarray(got).ravel().tolist()) - set(range(len(pieces)))
        require(not outside or same(got, mistakes[IDS]), ANY)
    compare(got, want, mistakes, what="predict_labels")


def contested(seed: int, prompts: list[list[int]], count: int, start: int) -> list[int]:
    """So many pieces that are about equally likely over all prompts: which one wins, varies."""
    ends = np.array([logits[-1] for logits in tiny_logits(seed, prompts)])
    order = 5 + ends[:, 5:].mean(0).argsort()
    return order[start : start + count].tolist()


def check_record(student: Student, rng: Any = None) -> None:
    """The record of both ways: complete, possible, not upside down."""
    keys = [f"{way} {what}" for way in KEYS for what in ("accuracy", "seconds")]
    found = record(student, "recorded_P3", [*keys, "untrained accuracy", "majority", "test_texts"])
    count = int(number(found["test_texts"], "'test_texts'", 50))
    rights = [share(found[f"{way} accuracy"], f"'{way} accuracy'", count) for way in KEYS]
    share(found["untrained accuracy"], "'untrained accuracy'", count)
    rarer = 1 - share(found["majority"], "'majority'", count)  # what the worst guess gets
    require(min(rights) > rarer - 0.15, FLIPPED)
    seconds = [number(found[f"{way} seconds"], f"'{way} seconds'") for way in KEYS]
    require(min(seconds) > 0, SLOW)


# -- parts -----------------------------------------------------------------------------------------

TEXTS = ("A fine film.", "dull , slow and far too long", "Who knew?\nNot I")
LOGITS_DRAWN = np.random.default_rng(0).normal(size=(2, 5, 7)) * 2
ANSWERS = np.array([[-100, -100, 3, 2, -100], [-100, 4, 5, 1, 2]])
PROMPTS = [[5, 9, 14], [8, 22, 30, 41, 7, 11], [6], [33, 12], [50, 9, 31, 8, 60], [17, 18, 19]]


@ITEM.part("P3.1", "A prompt and two words", 2, ["as_prompt", "LABEL_WORDS"])
def prompt(student: Student) -> None:
    """Check three texts."""
    check_prompt(student, TEXTS)


@ITEM.part("P3.2", "Ids and labels", 3, ["training_example"])
def ids(student: Student) -> None:
    """Check an example with room, with just enough, one that is too long, and one with no room."""
    for room in (20, 8, 6, 3):
        check_example(student, [11, 12, 13, 14, 15], [31, 32], room)


@ITEM.part("P3.3", "A batch", 2, ["collate_answers"])
def batch(student: Student) -> None:
    """Check two examples, with a pad id of its own and with that of the end."""
    rows = [example([11, 12, 13, 14], [31], 2, 20), example([15], [32, 33], 2, 20)]
    for pad in (0, 2):
        check_collate(student, rows, pad)


@ITEM.part("P3.4", "The loss of the answers", 3, ["answer_loss"])
def loss(student: Student) -> None:
    """Check two examples with answers of different length."""
    check_loss(student, LOGITS_DRAWN, ANSWERS)


@ITEM.part("P3.5", "How likely an answer is", 3, ["answer_scores"])
def scores(student: Student) -> None:
    """Check three answers of different length."""
    check_scores(student, 0, [8, 22, 30, 41], [[9], [14, 20], [33, 12, 50]])


@ITEM.part("P3.6", "Labels for a batch", 3, ["predict_labels"])
def predictions(student: Student) -> None:
    """Check six prompts and three labels."""
    check_predict(student, 0, PROMPTS, contested(0, PROMPTS, 3, 20))


@ITEM.part("P3.7", "What you measured", 2, ["recorded_P3"])
def measured(student: Student) -> None:
    """Check the record."""
    check_record(student)


ITEM.text(
    "P3.8",
    "Generation or a head?",
    3,
    "answer_P3",
    """1 point: compares accuracy with the own numbers, says whether the difference exceeds the
    uncertainty of the test set, and names that the two models differ, too.
    1 point: compares time: of training by the own numbers; answering costs a pass an answer (or one
    pass when the labels are single pieces); free generation costs one pass a token.
    1 point: compares simplicity and use: no new layer and one format for every task, labels can be
    added in words; against a prompt to design, invalid answers, sensitivity to words; a head gives
    probabilities over exactly the labels.""",
)
