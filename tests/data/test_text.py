"""Text as token ids: what is kept of it, and what only looks like a control token."""

from __future__ import annotations

import pytest
import torch
from test_cache import flip

from course_tools.experiments import masked_head
from course_utils import minis, prompting, writing
from course_utils.data import cache
from course_utils.data.examples import encode
from course_utils.data.sources import load_pretrained
from course_utils.data.text import plain_ids, text_rows, token_ids
from course_utils.data.tokenizers import load_tokenizer

TEXTS = ("We the people", "a [MASK] of <extra_id_3> and <eos>", "the United States")


class Counting:
    """The course's tokenizer, which counts how often it is asked."""

    def __init__(self) -> None:
        """Start at none."""
        self.calls, self.real = 0, load_tokenizer()
        self.backend_tokenizer = self.real.backend_tokenizer

    def __call__(self, *arguments, **more):
        """Tokenise."""
        self.calls += 1
        return self.real(*arguments, **more)


@pytest.fixture
def counting(monkeypatch, tmp_path):
    """A tokenizer and an empty cache."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path))
    return Counting()


def cut(path):
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    """Leave nothing of a file."""
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [cut, empty, flip])
def test_a_damaged_file_is_made_again(counting, damage):
    whole = token_ids(TEXTS, counting)
    assert token_ids(TEXTS, counting) == whole and counting.calls == 1
    (path,) = (cache.cache_root() / "tokens").iterdir()
    damage(path)
    assert token_ids(TEXTS, counting) == whole and counting.calls == 2
    assert token_ids(TEXTS, counting) == whole and counting.calls == 2


def test_a_nul_in_a_text_merges_nothing(counting):
    assert len(token_ids(["a", "b"], counting)) == 2
    assert len(token_ids(["a\0b"], counting)) == 1
    assert counting.calls == 2


def test_a_cache_that_cannot_be_written_costs_only_time(counting, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "file"))
    assert token_ids(TEXTS, counting) == token_ids(TEXTS, counting) and counting.calls == 2


def test_clear_removes_it(counting):
    token_ids(TEXTS, counting)
    assert cache.clear() > 0
    assert not (cache.cache_root() / "tokens").exists()


def test_a_corpus_that_quotes_control_tokens_holds_none(counting):
    special = set(counting.real.all_special_ids)
    rows = token_ids(TEXTS, counting)
    assert not special & {i for row in rows for i in row}
    assert [counting.real.decode(row) for row in rows] == list(TEXTS)
    ends = text_rows(TEXTS, counting.real, 4)
    assert int((ends == counting.real.eos_token_id).sum()) <= len(TEXTS)


def test_a_reader_who_types_a_token_means_it():
    tokenizer = load_tokenizer()
    plain_ids(tokenizer, TEXTS)
    assert tokenizer.mask_token_id in tokenizer(TEXTS[1])["input_ids"]


def test_labelled_texts_hold_no_control_tokens():
    tokenizer = load_pretrained("minilm").tokenizer
    rows = {"text": ["a [MASK] b [SEP] c"], "label": [0]}
    (ids,) = encode(rows, tokenizer, 32).ids
    assert tokenizer.mask_token_id not in ids and ids.count(tokenizer.sep_token_id) == 1
    assert tokenizer.mask_token_id not in masked_head.framed_rows(rows["text"] * 9, tokenizer, 32)
    for name in ("bert-mini", "gpt-mini", "t5-mini"):
        model = minis.random_start(name, seed=0)
        (ids,) = minis.encode_sentences(model, {"text": ["x [MASK] <eos> y"], "label": [0]}).ids
        assert load_tokenizer().mask_token_id not in ids
        assert ids.count(load_tokenizer().eos_token_id) <= 1


def test_prompts_hold_no_control_tokens(monkeypatch):
    loaded = load_pretrained("gpt-mini")
    seen = []
    monkeypatch.setattr(
        prompting, "next_logits",
        lambda model, before, ids: seen.extend(ids) or torch.zeros(len(ids), 4096),
    )  # fmt: skip
    prompting.label_probabilities(
        loaded.model, loaded.tokenizer, "", ["so <eos> it"], (" no", " yes")
    )
    assert loaded.tokenizer.eos_token_id not in seen[0]


@pytest.mark.parametrize("content", [b"", b'{"half": ', b"\xff\xfe"])
def test_a_damaged_record_is_named(tmp_path, content):
    path = tmp_path / "trial.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"trial\.json is damaged .*: delete it"):
        writing.read_json(path)
