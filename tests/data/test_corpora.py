"""Sizes of published corpora: each has its source, and the rates of conversion are ours."""

import re

import pytest
from chapter import ROOT, Chapter

from course_utils.data.corpora import BYTES_A_WORD, CORPORA, TOKENS_A_WORD
from course_utils.data.sources import load_corpus, load_pretrained

BIBLIOGRAPHY = (ROOT / "book" / "references.bib").read_text("utf-8")


@pytest.mark.parametrize("name", CORPORA)
def test_every_size_has_a_source_that_the_page_cites(name):
    source = CORPORA[name].source
    assert f"{{{source}," in BIBLIOGRAPHY and CORPORA[name].place
    assert source in Chapter("09_1").prose


def test_rates_of_conversion_are_those_of_our_corpus():
    texts = list(load_corpus("sotu"))[::10]
    pieces = load_pretrained("gpt2-tokenizer").tokenizer
    words = sum(len(text.split()) for text in texts)
    tokens = sum(len(pieces(text, verbose=False)["input_ids"]) for text in texts)
    size = sum(len(text.encode()) for text in texts)
    assert size / words == pytest.approx(BYTES_A_WORD, rel=0.03)
    assert tokens / words == pytest.approx(TOKENS_A_WORD, rel=0.03)


def test_conversion_of_bert_agrees_with_its_size_in_bytes_to_a_quarter():
    assert CORPORA["BERT"].words * BYTES_A_WORD == pytest.approx(16e9, rel=0.26)


def test_every_size_is_drawn_and_said():
    (alt,) = [i["alt"] for i in Chapter("09_1").images if i["alt"].startswith("Sizes of pre-")][:1]
    for name, text in CORPORA.items():
        assert re.search(rf"{name} {text.words / 1e9:,.4g}[,.]", alt)
