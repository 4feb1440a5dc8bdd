"""The flight language: aligned tags, and a test part that memory alone cannot solve."""

from __future__ import annotations

from collections import Counter

import pytest

from course_utils.data import flights

DATA = flights.make_flights(seed=0)
FEATURES = DATA["train"].features
TAG = FEATURES["tags"].feature.int2str
NOVELTY = FEATURES["novelty"].int2str


def spans(row: dict) -> list[tuple[str, str]]:
    """Read (slot, value) off a row's BIO tags; fails on tags that are not BIO."""
    found: list[tuple[str, str]] = []
    previous = "O"
    for word, tag in zip(row["tokens"], TAG(row["tags"]), strict=True):
        if tag.startswith("B-"):
            found.append((tag[2:], word))
        elif tag.startswith("I-"):
            assert previous[2:] == tag[2:], f"{tag} after {previous}"
            found[-1] = (tag[2:], f"{found[-1][1]} {word}")
        previous = tag
    return found


def skeleton(row: dict) -> str:
    """Return the sentence with its slot values taken out: its template."""
    pairs = zip(row["tokens"], TAG(row["tags"]), strict=True)
    words = [w if tag == "O" else "{" + tag[2:] + "}" for w, tag in pairs if tag[0] != "I"]
    return " ".join(words)


def template_of(row: dict, known: list[str]) -> str:
    """Return the template that the row was made of; fails when there is none."""
    return next(t for t in known if skeleton(row).endswith(t))


def test_tags_spell_values_of_the_grammar():
    for part in DATA.values():
        for row in part:
            for slot, value in spans(row):
                assert value in flights.values(slot, False) + flights.values(slot, True)


@pytest.mark.parametrize("part", ["train", "validation"])
def test_training_never_sees_what_is_held_out(part):
    for row in DATA[part]:
        intent = FEATURES["intent"].int2str(row["intent"])
        assert template_of(row, flights.templates(intent, False))
        assert all(value in flights.values(slot, False) for slot, value in spans(row))


def test_test_is_new_in_the_way_it_says():
    for row in DATA["test"]:
        intent, novelty = FEATURES["intent"].int2str(row["intent"]), NOVELTY(row["novelty"])
        assert template_of(row, flights.templates(intent, novelty in ("template", "both")))
        new = novelty in ("values", "both")
        assert all(value in flights.values(slot, new) for slot, value in spans(row))


def test_held_out_and_known_do_not_meet():
    for slot in flights.SLOTS:
        assert not set(flights.values(slot, True)) & set(flights.values(slot, False))
    for intent in flights.INTENTS:
        assert not set(flights.templates(intent, True)) & set(flights.templates(intent, False))


def test_no_sentence_twice_and_none_in_two_parts():
    sentences = [tuple(row["tokens"]) for part in DATA.values() for row in part]
    assert len(set(sentences)) == len(sentences) == 1400 + 210 + 420


def test_balanced():
    assert set(Counter(DATA["train"]["intent"]).values()) == {200}
    assert Counter(map(NOVELTY, DATA["test"]["novelty"])) == {
        "template": 140, "values": 140, "both": 140,
    }  # fmt: skip
    assert {slot for row in DATA["train"] for slot, _ in spans(row)} == set(flights.SLOTS)


def test_from_and_to_differ():
    for part in DATA.values():
        for row in part:
            found = dict(spans(row))
            assert found.get("from_city") != found.get("to_city", "nowhere")


def test_a_pure_function_of_the_seed():
    again, other = flights.make_flights(seed=0), flights.make_flights(seed=1)
    assert again["test"].to_list() == DATA["test"].to_list()
    assert other["test"].to_list() != DATA["test"].to_list()


def test_more_than_there_is():
    with pytest.raises(ValueError, match="ask for fewer"):
        flights.make_flights(train=100_000)
