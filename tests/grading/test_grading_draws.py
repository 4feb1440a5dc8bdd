"""Wrong programs that only some draws catch: a fixed case catches each of them, whatever is drawn.

Everyone of these got full marks with some seeds; who handed it in was lucky or not.
"""

from pathlib import Path

import pytest
from judged_here import here

from course_tools.grading.judge import load_hidden
from course_utils.grading.items import all_items

ROOT = Path(__file__).resolve().parents[2]
SEEDS = range(12)

BEST = """import numpy as np
def best_accuracy(scores, labels):
    return max(float(((scores < cut) == labels).mean()) for cut in CUTS)"""
BEST_CUTS = {
    "a grid of a hundred": "[-9, *np.linspace(0, 1, 101), 9]",
    "a grid of a thousand": "[-9, *np.linspace(-2, 2, 4001), 9]",
    "a grid of its own range": "[*np.linspace(scores.min(), scores.max() + 0.01, 1000)]",
    "one is above all": "[*np.unique(scores), 1.5]",
    "nothing is below zero": "[0, *np.unique(scores[scores > 0]), 9]",
    "percentiles": "[*np.percentile(scores, range(101)), 9]",
    "rounded": "[*np.unique(np.round(scores, 3)), 9]",
    "the middles, no end": "[*(np.unique(scores)[1:] + np.unique(scores)[:-1]) / 2, -99]",
}
SPLIT = """import numpy as np
def best_accuracy(scores, labels):
    order = np.argsort(KEY, kind="stable")
    sorted_ = labels[order]
    return max(((sorted_[:n] == FIRST).sum() + (sorted_[n:] == 1 - FIRST).sum()) / len(labels)
               for n in range(len(labels) + 1))"""
BITS = """import numpy as np
def mlm_bits_per_token(h, rate):
    far = np.arange(1, min(LONGEST, (len(h) - 1) // 2) + 1)
    p = (1 - rate) * rate ** (far - 1.0)
    return rate * float(p @ (h[far][:, None] + h[far] - h[far[:, None] + far]) @ p)"""
LCS = """def rouge_l(reference, summary):
    shared = SHARED
    return 2 * shared / (len(reference) + len(summary))
def greedy(a, b):
    at = count = 0
    for word in a:
        if word in b[at:]:
            at = b.index(word, at) + 1
            count += 1
    return count
def rising(a, b):
    last = {word: place for place, word in enumerate(b)}
    found = [last[word] for word in a if word in last]
    best = [1] * len(found)
    for i in range(len(found)):
        best[i] = 1 + max((best[j] for j in range(i) if found[j] < found[i]), default=0)
    return max(best, default=0)
def lcs(a, b):
    row = [0] * (len(b) + 1)
    for word in a:
        above = row[:]
        for j, other in enumerate(b, 1):
            row[j] = above[j - 1] + 1 if word == other else max(above[j], row[j - 1])
    return row[-1]
def blocks(a, b):
    import difflib
    found = difflib.SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return sum(block.size for block in found)"""
SHARED = {
    "greedy": "greedy(reference, summary)",
    "greedy, the other way": "greedy(summary, reference)",
    "the better of two greedy ones": "max(greedy(reference, summary), greedy(summary, reference))",
    "the best of four greedy ones": "max(greedy(a[::s], b[::s]) for s in (1, -1) for a, b in "
    "((reference, summary), (summary, reference)))",
    "each word once": "lcs(list(dict.fromkeys(reference)), list(dict.fromkeys(summary)))",
    "the last place of each word": "rising(reference, summary)",
    "the first place of each word": "rising(reference[::-1], summary[::-1])",
    "difflib": "blocks(reference, summary)",
    "difflib, the better way": "max(blocks(reference, summary), blocks(summary, reference))",
    "only the first twenty": "lcs(reference[:20], summary[:20])",
    "only a hundred": "lcs(reference[:100], summary[:100])",
}
WRONG = [
    *(("T3", "T3.4", name, BEST.replace("CUTS", cuts)) for name, cuts in BEST_CUTS.items()),
    (
        "T3",
        "T3.4",
        "ties apart, lowest first",
        SPLIT.replace("KEY", "scores").replace("FIRST", "1"),
    ),
    ("T3", "T3.4", "ties apart", SPLIT.replace("KEY", "-scores").replace("FIRST", "0")),
    *(("T4", "T4.7", f"{n} terms", BITS.replace("LONGEST", str(n))) for n in (10, 16, 20, 25, 30)),
    *(("P5", "P5.6", name, LCS.replace("SHARED", text)) for name, text in SHARED.items()),
]


@pytest.mark.parametrize(("item", "part", "name", "source"), WRONG, ids=[w[2] for w in WRONG])
def test_a_wrong_program_passes_with_no_draw(item, part, name, source):
    item = all_items()[item]
    only = type(item)(item.name, item.title, item.notebook, {part: item.parts[part]})
    hidden = load_hidden(ROOT / "solutions/hidden", item)
    for seed in SEEDS:
        (mark,) = here(only, hidden, [source], seed)
        assert mark.state == "wrong", f"{name} with seed {seed}"
