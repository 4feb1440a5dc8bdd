"""P5: what a tiny T5 writes, ROUGE, and what mistakes make of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import torch
from rouge_score.rouge_scorer import RougeScorer

from course_tools.grading.cases import case
from course_tools.grading.references.common import (  # noqa: F401
    ALL,
    ROWS,
    SOFTMAX,
    SUM,
    loss_mistakes,
    nats,
    single,
)
from course_utils.grading import tiny
from course_utils.grading.items.p5 import PERCENT, SCORES, WITH_END, WITH_START
from course_utils.grading.plain import made

IGNORED = -100
NO_PREFIX = "The prefix is missing: without it a T5 does not know which task it is to do."
PREFIX_CUT = "Too long a text loses the prefix: cut at the end of the text."
NO_END = "The end id is missing: T5 closes inputs and targets with it."
END_CUT = "Cutting took the end id with it: make room for it first."
TOO_LONG = "It is longer than allowed: prefix and end count, too."
BEGINNING = "Too long a text loses ids at its end, not at its beginning."
PREFIXED = "The prefix says what to do with the source; the target is the summary alone."
LONE_END = "The target needs its own end id; the model must learn where to stop."

NOT_SHIFTED = "Nothing is shifted: the decoder would read the token that it is to predict."
HIDDEN_LEFT = "-100 is no token: where the labels hold it, the decoder reads padding."
WRAPPED = "The last label came to the front; there stands the start id."
LEFT = "Shifted the wrong way: the decoder reads the token *before* the one it predicts."
START = "The first column holds the start id that was given, whatever it is."
LONGER = "It is one longer than the labels: the last label is never read."

TWICE = "Here nothing is left to shift: the decoder's inputs are shifted already."

UNMASKED = "The encoder reads the padding: give it the attention mask."
GOES_ON = "After its end id a summary is finished, also when others in the batch go on."
ALL_STOP = "You stop all texts where the first one ends; the others go on."
NO_MEMORY = "The decoder saw the last token only; give it all that it has written so far."

RECALL = "That is the recall (shared / in the reference); asked for is F1."
PRECISION = "That is the precision (shared / in the summary); asked for is F1."
ANY_N = "Yours counts single words, whatever `n` is."
OF_WORDS = "Divide by the number of n-grams: a text of k words has k - n + 1 of them, not k."
LAST_GRAM = "The last n-gram is missing: a text of k words has k - n + 1 of them."
ONCE = "A repeated n-gram counts as often as it occurs, up to the other text's count."
UNCLIPPED = "A word that is repeated in the summary counts at most as often as in the reference."
MEAN = "F1 is the harmonic mean of precision and recall, not their plain mean."
DIVIDED = "Texts with nothing in common have an F1 of 0, not an error."
LENGTH = "That is the number of words that are shared; asked for is the F1."
GREEDY = "Taking each word where it comes next may miss the longest subsequence: fill the table."
SUBSTRING = "That is the longest common *run*; in a subsequence words may be left out."
BAG = "That is ROUGE-1: it forgets the order."
DIFFLIB = "`difflib` takes the longest *run* first, and so may miss the longest subsequence."
ADDED = "You added up; asked for are means over the texts."
NO_STEM = "Stem the words, as said: `use_stemmer=True`."
JOINED = "You joined all texts into one; score each pair, then take the mean."


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
    return SequenceMatcher(None, a, b, autojunk=False).find_longest_match().size


def walk(a: Sequence[str], b: Sequence[str]) -> int:
    """How many words are shared in order if each is taken where it comes next."""
    at = count = 0
    for word in a:
        if word in b[at:]:
            at, count = list(b).index(word, at) + 1, count + 1
    return count


def f1(shared: float, in_reference: int, in_summary: int) -> float:
    """Harmonic mean of recall and precision; 0 where nothing is shared."""
    return 2 * shared / (in_reference + in_summary) if shared else 0.0


def grams(words: Sequence[str], n: int) -> Counter:
    """The n-grams of a text and how often each occurs."""
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def packaged(references: Sequence[str], summaries: Sequence[str], stem: bool = True) -> Any:
    """Scores of the rouge-score package: one dictionary of precision, recall, F1 for each pair."""
    scorer = RougeScorer(list(SCORES), use_stemmer=stem)
    return [scorer.score(a, b) for a, b in zip(references, summaries, strict=True)]


def mean_of(scores: Sequence[dict], field: str = "fmeasure", times: float = 1.0) -> dict:
    """Mean over texts of one field of each score."""
    return {k: times * float(np.mean([getattr(s[k], field) for s in scores])) for k in SCORES}


def continued(
    seed: int, ids: np.ndarray, mask: np.ndarray | None, steps: int, memory: bool = True
) -> np.ndarray:
    """What a tiny T5 writes greedily, without stopping: (texts, steps)."""
    model, read = tiny.t5(seed), torch.tensor(ids)
    real = None if mask is None else torch.tensor(mask)
    out = torch.zeros(len(ids), 1, dtype=torch.long)
    with torch.no_grad():
        for _ in range(steps):
            given = out if memory else out[:, -1:]
            logits = model(input_ids=read, attention_mask=real, decoder_input_ids=given).logits
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


def pair_case(
    before: list[int], text: list[int], summary: list[int], most: tuple[int, int]
) -> dict:
    """A case of `summarization_pair`; the end id is 2."""
    source, target = most
    room = source - len(before) - 1
    want = [[*before, *text[:room], 2], [*summary[: target - 1], 2]]
    full = [*before, *text, 2]
    mistakes = [
        (NO_PREFIX, [[*text[: source - 1], 2], want[1]]),
        (PREFIX_CUT, [full[-source:], want[1]]),
        (END_CUT, [full[:source], [*summary, 2][:target]]),
        (NO_END, [full[:-1][:source], summary[:target]]),
        (NO_END, [full[:-1][:source], want[1]]),
        (TOO_LONG, [full, [*summary, 2]]),
        (TOO_LONG, [[*before, *text[: source - 1], 2], want[1]]),
        (TOO_LONG, [[*full[:-1][:source], 2], [*summary[:target], 2]]),
        (BEGINNING, [[*before, *text[-room:], 2], want[1]]),
        (PREFIXED, [want[0], [*[*before, *summary][: target - 1], 2]]),
        (LONE_END, [want[0], summary[:target]]),
    ]
    return case(before, text, summary, 2, source, target, expected=want, mistakes=mistakes)


def shift_case(labels: np.ndarray, start: int, pad: int) -> dict:
    """A case of `shift_right`."""
    real = np.where(labels == IGNORED, pad, labels)
    first = np.full((len(labels), 1), start)
    mistakes = [
        (NOT_SHIFTED, real),
        (NOT_SHIFTED, np.concatenate([first, real[:, 1:]], 1)),
        (HIDDEN_LEFT, np.concatenate([first, labels[:, :-1]], 1)),
        (WRAPPED, np.roll(real, 1, 1)),
        (LEFT, np.concatenate([real[:, 1:], first], 1)),
        (LONGER, np.concatenate([first, real], 1)),
        (START, np.concatenate([0 * first, real[:, :-1]], 1)),
    ]
    want = np.concatenate([first, real[:, :-1]], 1)
    return case(torch.tensor(labels), start, pad, expected=want, mistakes=mistakes)


def loss_case(logits: np.ndarray, labels: np.ndarray) -> dict:
    """A case of `summary_loss`."""
    z, y = single(logits), torch.tensor(labels)

    mistakes = [(TWICE, nats(z[:, :-1], y[:, 1:])), *loss_mistakes(z, y)]
    return case(z, y, expected=nats(z, y), mistakes=mistakes)


def greedy_case(seed: int, ids: np.ndarray, mask: np.ndarray) -> dict:
    """A case of `greedy_summaries` on a tiny T5."""
    raw = continued(seed, ids, mask, 8)
    end = an_end(raw)
    first = min(map(len, until(raw, end)))
    mistakes = [
        (UNMASKED, until(continued(seed, ids, None, 8), end)),
        (WITH_START, [[0, *row] for row in until(raw, end)]),
        (WITH_END, until(raw, end, keep=True)),
        (GOES_ON, raw.tolist()),
        (ALL_STOP, raw[:, :first].tolist()),
        (NO_MEMORY, until(continued(seed, ids, mask, 8, memory=False), end)),
    ]
    args = made("course_utils.grading.tiny:t5", seed), torch.tensor(ids), torch.tensor(mask)
    return case(*args, 8, 0, end, expected=until(raw, end), mistakes=mistakes)


def rouge_n_case(reference: list[str], summary: list[str], n: int) -> dict:
    """A case of `rouge_n` by its definition (and in the tests, that with rouge-score)."""
    a, b = grams(reference, n), grams(summary, n)
    shared, sizes = sum((a & b).values()), (sum(a.values()), sum(b.values()))
    lengths = len(reference), len(summary)
    recall, precision = shared / max(1, sizes[0]), shared / max(1, sizes[1])
    loose = sum(count for gram, count in b.items() if gram in a)
    cut = [grams(text[: max(0, len(text) - 1)], n) for text in (reference, summary)]
    mistakes = [
        (OF_WORDS, f1(shared, *lengths)),
        (ONCE, f1(len(a.keys() & b.keys()), len(a), len(b))),
        (ONCE, f1(len(a.keys() & b.keys()), *sizes)),
        (UNCLIPPED, f1(loose, *sizes)),
        (RECALL, recall),
        (PRECISION, precision),
        (MEAN, (recall + precision) / 2),
        (ANY_N, f1(sum((grams(reference, 1) & grams(summary, 1)).values()), *lengths)),
        (LAST_GRAM, f1(sum((cut[0] & cut[1]).values()), *(sum(c.values()) for c in cut))),
    ]
    want = f1(shared, *sizes)
    return case(reference, summary, n, expected=want, mistakes=mistakes, **nothing_shared(want))


def rouge_l_case(reference: list[str], summary: list[str]) -> dict:
    """A case of `rouge_l`."""
    shared, sizes = lcs(reference, summary), (len(reference), len(summary))
    recall, precision = shared / max(1, sizes[0]), shared / max(1, sizes[1])
    bag = sum((Counter(reference) & Counter(summary)).values())
    blocks = SequenceMatcher(None, reference, summary, autojunk=False).get_matching_blocks()
    mistakes = [
        (LENGTH, shared),
        (SUBSTRING, f1(run(reference, summary), *sizes)),
        (BAG, f1(bag, *sizes)),
        (BAG, f1(len(set(reference) & set(summary)), *sizes)),
        (DIFFLIB, f1(sum(block.size for block in blocks), *sizes)),
        (GREEDY, f1(walk(reference, summary), *sizes)),
        (GREEDY, f1(walk(summary, reference), *sizes)),
        (RECALL, recall),
        (PRECISION, precision),
        (MEAN, (recall + precision) / 2),
    ]
    want = f1(shared, *sizes)
    return case(reference, summary, expected=want, mistakes=mistakes, **nothing_shared(want))


def nothing_shared(score: float) -> dict[str, str]:
    """The hint for texts that have nothing in common, where a formula divides by zero."""
    return {} if score else {"otherwise": DIVIDED}


def corpus_case(references: list[str], summaries: list[str]) -> dict:
    """A case of `corpus_rouge` by rouge-score."""
    scores = packaged(references, summaries)
    mistakes = [
        (NO_STEM, mean_of(packaged(references, summaries, stem=False))),
        (JOINED, mean_of(packaged([" ".join(references)], [" ".join(summaries)]))),
        (RECALL, mean_of(scores, "recall")),
        (PRECISION, mean_of(scores, "precision")),
        (PERCENT, mean_of(scores, times=100)),
        (ADDED, mean_of(scores, times=len(scores))),
    ]
    return case(references, summaries, expected=mean_of(scores), mistakes=mistakes)


LABELS = np.array([[5, 2, -100, -100], [7, 8, 6, 2]])
IDS = np.array([[31, 9, 14, 30, 2], [40, 22, 2, 0, 0], [12, 2, 0, 0, 0]])
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


def public() -> dict[str, list[dict]]:
    """Pairs with room and without; labels, texts of several lengths, and with nothing in common."""
    text, summary = [11, 12, 13, 14, 15, 16], [31, 32, 33]
    logits = np.random.default_rng(0).normal(size=(2, 4, 11)) * 2
    return {
        "P5.1": [pair_case([5, 6], text, summary, most) for most in ((20, 20), (9, 4), (6, 3))],
        "P5.2": [shift_case(LABELS, 0, 0), shift_case(LABELS, 4, 0)],
        "P5.3": [loss_case(logits, LABELS)],
        "P5.4": [greedy_case(30, IDS, (IDS > 0).astype(int))],
        "P5.5": [
            rouge_n_case(CAT, DOG, 1),
            rouge_n_case(CAT, DOG, 2),
            rouge_n_case(["a", "b"], ["c"], 1),
            rouge_n_case(["a", "b"], ["a"], 2),
        ],
        "P5.6": [
            rouge_l_case(list("abcbdfeg"), list("cdgfbcegd")),  # every shortcut gives its own
            rouge_l_case(list("pqrabz"), list("abpxqyrz")),
            rouge_l_case(CAT, DOG),
            rouge_l_case(CAT[:6], CAT[5::-1]),
            rouge_l_case(["a", "b"], ["c"]),
        ],
        "P5.7": [corpus_case(NEWS, SHORT)],
    }
