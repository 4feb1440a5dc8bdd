"""P5: summarization with a T5, and ROUGE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from course_utils.grading import tiny
from course_utils.grading.item import Item, Student, Wrong, array, compare, require, same
from course_utils.grading.plain import made
from course_utils.grading.recorded import number, record

ITEM = Item("P5", "Summarization, text to text", "P5_summarization")

IGNORED = -100
NO_PREFIX = "The prefix is missing: without it a T5 does not know which task it is to do."
PREFIX_CUT = "Too long a text loses the prefix: cut at the end of the text."
NO_END = "The end id is missing: T5 closes inputs and targets with it."
END_CUT = "Cutting took the end id with it: make room for it first."
TOO_LONG = "It is longer than allowed: prefix and end count, too."
LONE_END = "The target needs its own end id; the model must learn where to stop."

NOT_SHIFTED = "Nothing is shifted: the decoder would read the token that it is to predict."
HIDDEN_LEFT = "-100 is no token: where the labels hold it, the decoder reads padding."
WRAPPED = "The last label came to the front; there stands the start id."
LEFT = "Shifted the wrong way: the decoder reads the token *before* the one it predicts."
START = "The first column holds the start id that was given, whatever it is."
LONGER = "It is one longer than the labels: the last label is never read."
IN_PLACE = "Your function changes the labels that it was given; work on a copy."

TWICE = "Here nothing is left to shift: the decoder's inputs are shifted already."
SUM = "That is the sum; divide by the number of predicted tokens."
ALL = "You divide by all positions; only those with a label count."
SOFTMAX = "The loss function takes the logits themselves: it applies the softmax."
ROWS = "You averaged each summary, then the summaries; every predicted token counts the same."

UNMASKED = "The encoder reads the padding: give it the attention mask."
WITH_START = "The start id is no part of the summary."
WITH_END = "The end id is no part of the summary."
GOES_ON = "After its end id a summary is finished, also when others in the batch go on."
NO_MEMORY = "The decoder saw the last token only; give it all that it has written so far."

RECALL = "That is the recall (shared / in the reference); asked for is F1."
PRECISION = "That is the precision (shared / in the summary); asked for is F1."
LAST_GRAM = "The last n-gram is missing: a text of k words has k - n + 1 of them."
ONCE = "A repeated n-gram counts as often as it occurs, up to the other text's count."
UNCLIPPED = "A word that is repeated in the summary counts at most as often as in the reference."
MEAN = "F1 is the harmonic mean of precision and recall, not their plain mean."
DIVIDED = "Texts with nothing in common have an F1 of 0, not an error."
SUBSTRING = "That is the longest common *run*; in a subsequence words may be left out."
BAG = "That is ROUGE-1: it forgets the order."
DIFFLIB = "`difflib` takes the longest *run* first, and so may miss the longest subsequence."
NO_STEM = "Stem the words, as said: `use_stemmer=True`."
JOINED = "You joined all texts into one; score each pair, then take the mean."
MEANS = "Each of the three is one number: the mean over the texts of the F1."
PERCENT = "Those are percentages; asked for are numbers between 0 and 1."

# what `rouge_n` and `rouge_l` are to be written instead of
PACKAGE = [f"rouge_score.rouge_scorer:{n}" for n in ("RougeScorer", "_score_ngrams", "_score_lcs")]
SCORES = ("rouge1", "rouge2", "rougeL")
SYSTEMS = ("lead", "model 1", "model 2")
EQUAL = "A model has the scores of the lead to the last digit: were its own summaries scored?"
ORDER = "ROUGE-2 of a system is larger than its ROUGE-1, which cannot be in the mean."


# -- what is right ---------------------------------------------------------------------------------


def lcs(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(b) + 1)
    for word in a:
        before = row[:]
        for j, other in enumerate(b, 1):
            row[j] = before[j - 1] + 1 if word == other else max(before[j], row[j - 1])
    return row[-1]


def run(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common run of words."""
    starts = [(i, j) for i in range(len(a)) for j in range(len(b))]
    return max((prefix(a[i:], b[j:]) for i, j in starts), default=0)


def prefix(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words agree from the start."""
    pairs = list(zip(a, b, strict=False))
    return next((n for n, (x, y) in enumerate(pairs) if x != y), len(pairs))


def f1(shared: float, in_reference: int, in_summary: int) -> float:
    """Harmonic mean of recall and precision; 0 where nothing is shared."""
    return 2 * shared / (in_reference + in_summary) if shared else 0.0


def grams(words: Sequence[str], n: int) -> Counter:
    """The n-grams of a text and how often each occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def packaged(references: Sequence[str], summaries: Sequence[str], stem: bool = True) -> Any:
    """Scores of the rouge-score package: one dictionary of precision, recall, F1 for each pair."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(list(SCORES), use_stemmer=stem)
    return [scorer.score(a, b) for a, b in zip(references, summaries, strict=True)]


def mean_of(scores: Sequence[dict], field: str = "fmeasure", times: float = 1.0) -> dict:
    """Mean over texts of one field of each score."""
    return {k: times * float(np.mean([getattr(s[k], field) for s in scores])) for k in SCORES}


def written(
    seed: int, ids: np.ndarray, mask: np.ndarray | None, steps: int, memory: bool = True
) -> np.ndarray:
    """What a tiny T5 writes greedily, without stopping: (texts, steps)."""
    import torch

    model, ids = tiny.t5(seed), torch.tensor(ids)
    real = None if mask is None else torch.tensor(mask)
    out = torch.zeros(len(ids), 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(steps):
            given = out if memory else out[:, -1:]
            logits = model(input_ids=ids, attention_mask=real, decoder_input_ids=given).logits
            out = torch.cat([out, logits[:, -1:].argmax(-1)], 1)
    return out[:, 1:].numpy()


def until(rows: np.ndarray, end: int, keep: bool = False) -> list[list[int]]:
    """Each row up to its first end id, which `keep` leaves in."""
    ends = [row.index(end) if end in row else len(row) for row in rows.tolist()]
    return [row[: at + keep] for row, at in zip(rows.tolist(), ends, strict=True)]


def an_end(raw: np.ndarray) -> int:
    """A token that as an end id gives summaries of the most different lengths, none empty."""

    def worth(end: int) -> tuple[bool, int]:
        lengths = [len(row) for row in until(raw, end)]
        return min(lengths) > 0, len(set(lengths))

    return max(sorted(set(raw.ravel().tolist()) - {0}), key=worth)


# -- checks ----------------------------------------------------------------------------------------


def check_pair(
    student: Student, before: list[int], text: list[int], summary: list[int], most: tuple[int, int]
) -> None:
    """Compare `summarization_pair`; the end id is 2."""
    source, target = most
    room = source - len(before) - 1
    want = [*before, *text[:room], 2], [*summary[: target - 1], 2]
    full = [*before, *text, 2]
    mistakes = {
        NO_PREFIX: ([*text[: source - 1], 2], want[1]),
        PREFIX_CUT: (full[-source:], want[1]),
        END_CUT: (full[:source], [*summary, 2][:target]),
        NO_END: (full[:-1][:source], summary[:target]),
        NO_END + " ": (full[:-1][:source], want[1]),
        TOO_LONG: (full, [*summary, 2]),
        TOO_LONG + " ": ([*before, *text[: source - 1], 2], want[1]),
        LONE_END: (want[0], summary[:target]),
    }
    got = student.call("summarization_pair", before, text, summary, 2, source, target)
    got = got.tolist() if isinstance(got, np.ndarray) else got
    require(isinstance(got, list) and len(got) == 2, "It gives no pair of lists.")
    flat = [array(part, "`summarization_pair`").tolist() for part in got]
    require(all(isinstance(part, list) for part in flat), "It gives no pair of flat lists.")
    # a mark between both, so that nothing can move from one to the other
    joined = {hint: [*pair[0], -1, *pair[1]] for hint, pair in mistakes.items()}
    compare([*flat[0], -1, *flat[1]], [*want[0], -1, *want[1]], joined, what="the pair")


def check_shift(student: Student, labels: np.ndarray, start: int, pad: int) -> None:
    """Compare `shift_right`."""
    import torch

    real = np.where(labels == IGNORED, pad, labels)
    first = np.full((len(labels), 1), start)
    mistakes = {
        NOT_SHIFTED: real,
        NOT_SHIFTED + " ": np.concatenate([first, real[:, 1:]], 1),
        HIDDEN_LEFT: np.concatenate([first, labels[:, :-1]], 1),
        WRAPPED: np.roll(real, 1, 1),
        LEFT: np.concatenate([real[:, 1:], first], 1),
        LONGER: np.concatenate([first, real], 1),
        START: np.concatenate([0 * first, real[:, :-1]], 1),
    }
    got, after = student.call_after("shift_right", torch.tensor(labels), start, pad)
    want = np.concatenate([first, real[:, :-1]], 1)
    compare(got, want, mistakes, what="shift_right")
    require(same(after[0], labels), IN_PLACE)


def check_loss(student: Student, logits: np.ndarray, labels: np.ndarray) -> None:
    """Compare `summary_loss`."""
    import torch
    from torch.nn.functional import cross_entropy

    z, y = torch.tensor(logits), torch.tensor(labels)

    def nats(a: Any, b: Any) -> float:
        return cross_entropy(a.flatten(0, 1), b.flatten()).item()

    want, count = nats(z, y), (labels != IGNORED).sum()
    mistakes = {
        TWICE: nats(z[:, :-1], y[:, 1:]),
        SUM: want * count,
        ALL: want * count / labels.size,
        SOFTMAX: nats(z.softmax(-1), y),
        ROWS: np.mean([nats(a[None], b[None]) for a, b in zip(z, y, strict=True)]),
    }
    got = student.call("summary_loss", z, y)
    compare(got, want, mistakes, what="summary_loss", rtol=1e-4, atol=1e-6)


def check_greedy(student: Student, seed: int, ids: np.ndarray, mask: np.ndarray) -> None:
    """Compare `greedy_summaries` with what a tiny T5 writes."""
    import torch

    raw = written(seed, ids, mask, 8)
    end = an_end(raw)
    mistakes = {
        UNMASKED: until(written(seed, ids, None, 8), end),
        WITH_START: [[0, *row] for row in until(raw, end)],
        WITH_END: until(raw, end, keep=True),
        GOES_ON: raw.tolist(),
        NO_MEMORY: until(written(seed, ids, mask, 8, memory=False), end),
    }
    model = made("course_utils.grading.tiny:t5", seed)
    given = torch.tensor(ids), torch.tensor(mask)
    got = student.call("greedy_summaries", model, *given, 8, 0, end)
    rows = got.tolist() if isinstance(got, np.ndarray) else got
    require(isinstance(rows, list) and len(rows) == len(ids), "One list of ids for each text.")
    rows = [array(row, "a summary").tolist() if np.size(row) else [] for row in map(flat, rows)]
    want = until(raw, end)
    for hint, mistaken in mistakes.items():
        require(rows == want or rows != mistaken, hint)
    # what does not stop where it should may begin wrongly, too: name what shows
    require(not all(row[:1] == [0] for row in rows) or any(r[:1] == [0] for r in want), WITH_START)
    require(not any(end in row for row in rows), WITH_END)
    require(rows == want, "`greedy_summaries` is not right.")


def flat(row: Any) -> Any:
    """A row as it is; raises Wrong when it is no flat list of numbers."""
    if isinstance(row, list) and not row:
        return []
    require(array(row, "a summary").ndim == 1 or np.shape(row) == (1,), "Not a flat list of ids.")
    return np.atleast_1d(np.asarray(row))


def check_rouge_n(student: Student, reference: list[str], summary: list[str], n: int) -> None:
    """Compare `rouge_n` with the definition (and in the tests, that with rouge-score)."""
    a, b = grams(reference, n), grams(summary, n)
    shared, sizes = sum((a & b).values()), (sum(a.values()), sum(b.values()))
    want = f1(shared, *sizes)
    recall, precision = shared / max(1, sizes[0]), shared / max(1, sizes[1])
    loose = sum(count for gram, count in b.items() if gram in a)
    cut = [grams(text[: max(0, len(text) - 1)], n) for text in (reference, summary)]
    mistakes = {
        ONCE: f1(len(a.keys() & b.keys()), len(a), len(b)),
        ONCE + " ": f1(len(a.keys() & b.keys()), *sizes),
        UNCLIPPED: f1(loose, *sizes),
        RECALL: recall,
        PRECISION: precision,
        MEAN: (recall + precision) / 2,
        LAST_GRAM: f1(sum((cut[0] & cut[1]).values()), *(sum(c.values()) for c in cut)),
    }
    score(student, "rouge_n", (reference, summary, n), want, mistakes)


def check_rouge_l(student: Student, reference: list[str], summary: list[str]) -> None:
    """Compare `rouge_l`."""
    shared, sizes = lcs(reference, summary), (len(reference), len(summary))
    recall, precision = shared / max(1, sizes[0]), shared / max(1, sizes[1])
    bag = sum((Counter(reference) & Counter(summary)).values())
    blocks = SequenceMatcher(None, reference, summary, autojunk=False).get_matching_blocks()
    mistakes = {
        SUBSTRING: f1(run(reference, summary), *sizes),
        BAG: f1(bag, *sizes),
        BAG + " ": f1(len(set(reference) & set(summary)), *sizes),
        DIFFLIB: f1(sum(block.size for block in blocks), *sizes),
        RECALL: recall,
        PRECISION: precision,
        MEAN: (recall + precision) / 2,
    }
    score(student, "rouge_l", (reference, summary), f1(shared, *sizes), mistakes)


def score(student: Student, name: str, args: tuple, want: float, mistakes: dict) -> None:
    """Compare a score; an error where nothing is shared gets its own hint."""
    try:
        got = student.call(name, *args, ban=PACKAGE)
    except Wrong as wrong:
        if want == 0 and "ZeroDivisionError" in wrong.hint:
            raise Wrong(DIVIDED, wrong.detail) from wrong
        raise
    compare(got, want, mistakes, what=name, rtol=1e-4, atol=1e-6)


def check_corpus(student: Student, references: list[str], summaries: list[str]) -> None:
    """Compare `corpus_rouge` with rouge-score."""
    scores = packaged(references, summaries)
    mistakes = {
        NO_STEM: mean_of(packaged(references, summaries, stem=False)),
        JOINED: mean_of(packaged([" ".join(references)], [" ".join(summaries)])),
        RECALL: mean_of(scores, "recall"),
        PRECISION: mean_of(scores, "precision"),
        PERCENT: mean_of(scores, times=100),
    }
    got = student.call("corpus_rouge", references, summaries)
    require(isinstance(got, dict) and set(SCORES) <= set(got), f"It lacks one of {SCORES}.")
    got = {key: got[key] for key in SCORES}
    require(all(np.ndim(value) == 0 for value in got.values()), MEANS)
    compare(got, mean_of(scores), mistakes, what="corpus_rouge", rtol=1e-4, atol=1e-6)


def check_record(student: Student, rng: Any = None) -> None:
    """The record of three systems: complete, possible, each its own."""
    found = record(student, "recorded_P5", [*SYSTEMS, "test_texts"])
    number(found["test_texts"], "'test_texts'", 20)
    rows = []
    for system in SYSTEMS:
        row = found[system]
        require(isinstance(row, dict) and set(SCORES) <= set(row), f"'{system}' lacks a score.")
        values = [number(row[key], f"{key} of '{system}'") for key in SCORES]
        require(max(values) <= 1, PERCENT)
        require(values[1] <= values[0], ORDER)
        rows.append(tuple(values))
    require(rows[0] not in rows[1:], EQUAL)


# -- parts -----------------------------------------------------------------------------------------

LABELS = np.array([[5, 2, -100, -100], [7, 8, 6, 2]])
IDS = np.array([[31, 9, 14, 30, 2], [40, 22, 2, 0, 0], [12, 2, 0, 0, 0]])
MASK = (IDS > 0).astype(int)
CAT = ["the", "cat", "sat", "on", "the", "mat", "because", "the", "mat", "was", "warm"]
DOG = ["the", "warm", "cat", "sat", "on", "a", "mat", "the", "the", "the", "now", "then", "again"]
NEWS = [
    "Ministers agreed on new fishing limits, officials said on Monday.",
    "The storms are moving north and schools stay closed.",
    "Shares fell.",
]
SHORT = [
    "A minister said fishing is limited.",
    "Storm moves north; school closed.",
    "Share prices are falling, and falling, and nobody knows why.",
]


@ITEM.part("P5.1", "Source and target", 2, ["summarization_pair"])
def pair(student: Student) -> None:
    """Check a pair with room, and one that must be cut on both sides."""
    text, summary = [11, 12, 13, 14, 15, 16], [31, 32, 33]
    for most in ((20, 20), (9, 4), (6, 3)):
        check_pair(student, [5, 6], text, summary, most)


@ITEM.part("P5.2", "What the decoder reads", 3, ["shift_right"])
def shift(student: Student) -> None:
    """Check a start id that is the pad id, as T5's, and one that is not."""
    check_shift(student, LABELS, 0, 0)
    check_shift(student, LABELS, 4, 0)


@ITEM.part("P5.3", "The loss", 2, ["summary_loss"])
def loss(student: Student) -> None:
    """Check two summaries of different length."""
    check_loss(student, np.random.default_rng(0).normal(size=(2, 4, 11)) * 2, LABELS)


@ITEM.part("P5.4", "Writing a summary", 3, ["greedy_summaries"])
def greedy(student: Student) -> None:
    """Check three texts of different length on a tiny T5."""
    check_greedy(student, 30, IDS, MASK)


@ITEM.part("P5.5", "ROUGE-N", 2, ["rouge_n"])
def rouge_grams(student: Student) -> None:
    """Check single words, pairs, and texts with nothing in common."""
    for n in (1, 2):
        check_rouge_n(student, CAT, DOG, n)
    check_rouge_n(student, ["a", "b"], ["c"], 1)
    check_rouge_n(student, ["a", "b"], ["a"], 2)


@ITEM.part("P5.6", "ROUGE-L", 3, ["rouge_l"])
def rouge_longest(student: Student) -> None:
    """Check texts with gaps, one in reverse, and nothing in common."""
    check_rouge_l(student, list("pqrabz"), list("abpxqyrz"))
    check_rouge_l(student, CAT, DOG)
    check_rouge_l(student, CAT[:6], CAT[5::-1])
    check_rouge_l(student, ["a", "b"], ["c"])


@ITEM.part("P5.7", "ROUGE of a test set", 2, ["corpus_rouge"])
def rouge_corpus(student: Student) -> None:
    """Check three pairs."""
    check_corpus(student, NEWS, SHORT)


@ITEM.part("P5.8", "What you measured", 2, ["recorded_P5"])
def measured(student: Student) -> None:
    """Check the record."""
    check_record(student)


ITEM.text(
    "P5.9",
    "What the scores say",
    3,
    "answer_P5",
    """1 point: compares both models and the lead baseline with numbers of the own run, and does not
    call a difference real that the test set cannot show.
    1 point: says what ROUGE rewards (shared words and their order) and what it cannot see (truth,
    other words for the same, grammar), with an example from the own outputs.
    1 point: names what limits these summaries: size, pre-training text, the cut source, greedy
    decoding, few examples; and one thing that a larger model or beam search would change.""",
)
