"""Minimal pairs, in the words of the course's corpus and BLiMP's: one sentence right, one wrong.

Two sentences differ in one place, and one of them is right. Large sets such as BLiMP (Warstadt et
al. 2020) use words that a model of 12 MB of speeches has never seen; these templates use nouns,
verbs and adjectives that are one piece of the vocabulary and frequent in the corpus.

Every set is *counterbalanced*: as often as `a` is right and `b` wrong, elsewhere `b` is right and
`a` wrong. Whoever only likes some words more than others is right in exactly half of the pairs.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from course_utils.checks import require

Known = Callable[[str], bool]  # whether a word may be used


@dataclass(frozen=True)
class Pair:
    """A right and a wrong sentence; pairs of one group share what most decides the answer."""

    good: str
    bad: str
    group: str


def known_words(tokenizer: Any, counts: Mapping[int, int], at_least: int = 20) -> Known:
    """Words that are one piece with a space before them, found `at_least` times in the corpus.

    `counts` maps ids of pieces to how often they occur.
    """

    def known(word: str) -> bool:
        ids = tokenizer(f" {word}", add_special_tokens=False)["input_ids"]
        return len(ids) == 1 and counts.get(ids[0], 0) >= at_least

    return known


# -- agreement: the verb with its subject, the noun with its determiner --------------------------

NOUNS = """
man law treaty state nation citizen officer ship vessel port bank school home family farmer
industry business market price tax duty bond loan payment fund bill act measure plan program
policy principle question subject matter report word power right interest party government country
city island land railroad line office department court force war friend parent job wage year day
month cause result effect condition system claim case problem difficulty danger demand need cost
expense product article import export recommendation appropriation expenditure revenue dollar hand
place point time class order form benefit advantage object purpose obligation service improvement
change increase decision effort step action fact reason opportunity value community child life
"""
IRREGULAR = {"man": "men", "child": "children", "life": "lives"}
VERBS = (("is", "are"), ("was", "were"), ("has", "have"))
ENDS = {"is": "not new", "was": "very great", "has": "not been lost"}
ADJECTIVES = ("great", "new", "other", "public", "large", "present")
DETERMINERS = (("this", "these"), ("that", "those"))


def plural(noun: str) -> str:
    """The plural of one of `NOUNS`."""
    if noun in IRREGULAR:
        return IRREGULAR[noun]
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return f"{noun[:-1]}ies"
    return noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def nouns(known: Known) -> list[tuple[str, str]]:
    """Singular and plural of the nouns that may be used."""
    both = ((noun, plural(noun)) for noun in NOUNS.split())
    return [pair for pair in both if all(map(known, pair))]


def agreement(known: Known) -> Iterator[Pair]:
    """The verb stands beside its subject: "The law is not new." and not "The law are"."""
    for noun in nouns(known):
        for verbs in VERBS:
            yield from _fitting_verb(noun, verbs, noun[0])


def attractor(known: Known) -> Iterator[Pair]:
    """A noun of the other number stands in between: "The law of the (great) nations is".

    Counting the words beside the verb misleads here. With the adjective, even the four words
    before the verb do not hold the subject.
    """
    found = nouns(known)
    for number, noun in enumerate(found):
        one, several = found[(number * 7 + 3) % len(found)]
        verbs = VERBS[number % len(VERBS)]
        adjective = ADJECTIVES[number % len(ADJECTIVES)]
        for extra in ("", f"{adjective} "):
            subjects = (f"{noun[0]} of the {extra}{several}", f"{noun[1]} of the {extra}{one}")
            yield from _fitting_verb(subjects, verbs, noun[0])


def _fitting_verb(subjects: tuple[str, str], verbs: tuple[str, str], group: str) -> Iterator[Pair]:
    """A subject of each number, with the verb that fits it and with the other."""
    for number, subject in enumerate(subjects):
        frame = f"The {subject} {{}} {ENDS[verbs[0]]}."
        yield Pair(frame.format(verbs[number]), frame.format(verbs[1 - number]), group)


def determiner(known: Known) -> Iterator[Pair]:
    """The noun fits its determiner, also across an adjective: "of these (new) laws", not "law"."""
    for number, noun in enumerate(nouns(known)):
        determiners = DETERMINERS[number % len(DETERMINERS)]
        for extra in ("", f"{ADJECTIVES[number % len(ADJECTIVES)]} "):
            for n in (0, 1):
                start = f"It was the result of {determiners[n]} {extra}"
                yield Pair(f"{start}{noun[n]}.", f"{start}{noun[1 - n]}.", noun[0])


# -- word order: the same words, two neighbours exchanged ----------------------------------------

ORDERS = (  # what is exchanged stands between bars
    "The |{adjective}|{noun}| was not lost.",
    "It was the act |of|the| {noun}.",
    "We |have|seen| that {noun} before.",
    "They will |not|change| the {noun}.",
)


def word_order(known: Known) -> Iterator[Pair]:
    """Two neighbours are exchanged: "It was the act of the nation", not "the of nation"."""
    for number, (noun, _) in enumerate(nouns(known)):
        for frame in ORDERS:
            adjective = ADJECTIVES[number % len(ADJECTIVES)]
            before, a, b, after = frame.format(adjective=adjective, noun=noun).split("|")
            yield Pair(f"{before}{a} {b}{after}", f"{before}{b} {a}{after}", noun)


# -- meaning: a word of another kind, and the one word that a context calls for ------------------

KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {  # contexts, and words that fit them
    "person": (
        ("The {} said that he was ready.", "The old {} was born here.", "The {} loved his wife."),
        ("man", "citizen", "officer", "farmer", "friend", "child"),
    ),
    "text": (
        ("The {} was signed by both sides.", "The Senate passed the {} in May.",
         "The second part of the {} was read."),
        ("law", "treaty", "bill", "act", "article", "report"),
    ),
    "place": (
        ("They lived in the {} of their fathers.", "The roads of the {} are good.",
         "The army marched into the {}."),
        ("city", "country", "island", "state", "land", "territory"),
    ),
    "time": (
        ("It took more than a {} to build it.", "He died within a {}.",
         "Less than one {} ago it was new."),
        ("day", "year", "month", "hour", "century", "generation"),
    ),
    "money": (
        ("We must pay the {} in gold.", "The {} is five per cent.",
         "They cannot afford so high a {}."),
        ("tax", "price", "debt", "loan", "cost", "duty"),
    ),
}  # fmt: skip


ROLES = (  # who does it, and to what
    ("The {} signed the {}.", "person", "text"),
    ("The {} read the {} with care.", "person", "text"),
    ("The {} paid the {} in gold.", "person", "money"),
    ("The {} left the {} at once.", "person", "place"),
    ("The {} came back to the {}.", "person", "place"),
)


def roles(known: Known) -> Iterator[Pair]:
    """Two nouns far apart are exchanged: "The officer signed the law", not "The law signed"."""
    for frame, one, other in ROLES:
        for a in filter(known, KINDS[one][1]):
            for b in filter(known, KINDS[other][1]):
                yield Pair(frame.format(a, b), frame.format(b, a), f"{a}, {b}")


def replaced_word(known: Known) -> Iterator[Pair]:
    """One noun is of a kind that does not fit: "The officer loved his wife", not "The tax"."""
    kinds = [
        (contexts, [word for word in words if known(word)]) for contexts, words in KINDS.values()
    ]
    for (contexts, words), (others, other_words) in combinations(kinds, 2):
        for context, other in zip(contexts, others, strict=True):
            for number, a in enumerate(words):
                for b in (other_words * 2)[number : number + 2]:
                    yield Pair(context.format(a), context.format(b), context)
                    yield Pair(other.format(b), other.format(a), other)


CLOZES = (
    ("The children learn to read at {}.", "school"),
    ("After the war the two nations made {}.", "peace"),
    ("The banks lent them {}.", "money"),
    ("His first {} was John.", "name"),
    ("He lost his {} in the war and was buried there.", "life"),
    ("The horses drink clean {}.", "water"),
    ("The workers earn higher {}.", "wages"),
    ("He paid the {} on his income.", "tax"),
    ("The Constitution gives him the {} to appoint officers.", "power"),
    ("The citizens may {} for whom they like.", "vote"),
    ("They were tried before a {}.", "court"),
    ("The corn grows on the {}.", "land"),
    ("The bill became a {}.", "law"),
    ("On the other {}, much was lost.", "hand"),
    ("We are friends with the rest of the {}.", "world"),
    ("It happened at the same {} as the first battle.", "time"),
    ("The vessels were built in the {}.", "port"),
    ("The doctors care for our {}.", "health"),
    ("The lamps burn {}.", "oil"),
    ("Men and {} are equal before God.", "women"),
    ("The mother held her {} in her arms.", "child"),
    ("The week has seven {}.", "days"),
    ("The railroad carries {} to market.", "goods"),
)


def cloze(known: Known) -> Iterator[Pair]:
    """The word that a sentence calls for, against one that another sentence calls for."""
    usable = [(context, word) for context, word in CLOZES if known(word)]
    for (context, word), (other, other_word) in combinations(usable, 2):
        yield Pair(context.format(word), context.format(other_word), context)
        yield Pair(other.format(other_word), other.format(word), other)


SETS: dict[str, Callable[[Known], Iterator[Pair]]] = {
    "agreement": agreement,
    "agreement, attractor": attractor,
    "determiner and noun": determiner,
    "word order": word_order,
    "exchanged roles": roles,
    "replaced word": replaced_word,
    "cloze": cloze,
}


def minimal_pairs(known: Known) -> dict[str, list[Pair]]:
    """All sets, from words that are `known`; the same words give the same pairs.

    Raises:
        ValueError: a set would be empty, because the vocabulary knows too few of its words.
    """
    sets = {name: list(make(known)) for name, make in SETS.items()}
    empty = [name for name, pairs in sets.items() if not pairs]
    require(not empty, f"too few words of the templates are in this vocabulary for {empty}")
    return sets


# -- BLiMP ---------------------------------------------------------------------------------------

BLIMP = "nyu-mll/blimp"
BLIMP_REVISION = "877fba0801ffb7cbd8c39c1ff314a46f053f6036"


def load_blimp(path: str | Path | None = None, each: int = 1000) -> dict[str, list[Pair]]:
    """BLiMP's pairs, the first `each` of its 67 sets, by phenomenon; a pair's group is its set.

    Args:
        path: a zip archive of its `.jsonl` files; without one the hub is asked.
        each: pairs of a set, of 1,000.

    Raises:
        ValueError: the file is no such archive.
        SourceError: no path is given, and the hub does not answer.
    """
    rows = _from_archive(Path(path)) if path else _from_hub()
    phenomena: dict[str, list[Pair]] = {}
    taken: dict[str, int] = {}
    for row in rows:
        name = row["UID"]
        taken[name] = taken.get(name, 0) + 1
        if taken[name] <= each:
            pair = Pair(row["sentence_good"], row["sentence_bad"], name)
            phenomena.setdefault(row["linguistics_term"].replace("_", " "), []).append(pair)
    return dict(sorted(phenomena.items()))


def _from_archive(path: Path) -> Iterator[dict[str, Any]]:
    require(zipfile.is_zipfile(path), f"{path} is no zip archive of BLiMP's .jsonl files")
    with zipfile.ZipFile(path) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jsonl"))
        require(bool(names), f"{path} holds no .jsonl files: it is not BLiMP")
        for name in names:
            for line in io.TextIOWrapper(archive.open(name), "utf-8"):
                yield json.loads(line)


def _from_hub() -> Iterator[dict[str, Any]]:
    from datasets import get_dataset_config_names, load_dataset

    from course_utils.data import hub
    from course_utils.data.cache import SourceError

    if not hub.answers():
        raise SourceError(f"BLiMP is at hf.co/{BLIMP}, which does not answer; or give its archive")
    for name in sorted(get_dataset_config_names(BLIMP, revision=BLIMP_REVISION)):
        yield from load_dataset(BLIMP, name, split="train", revision=BLIMP_REVISION)
