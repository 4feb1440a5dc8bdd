"""Minimal pairs: balanced against word preferences, well formed, scored alike."""

import json
import zipfile
from collections import Counter
from functools import cache

import pytest
import torch

from course_utils.data.minimal_pairs import Pair, known_words, load_blimp, minimal_pairs
from course_utils.data.sources import load_corpus, load_pretrained, split
from course_utils.data.text import token_ids
from course_utils.data.tokenizers import load_tokenizer
from course_utils.models.huggingface import from_hf
from course_utils.sentence_scores import (
    encode,
    equal_lengths,
    judge,
    log_probability,
    one_sentinel,
    pseudo_log_likelihood,
    scorer_of,
    sentence_scorer,
    shared,
)

SETS = (
    "agreement",
    "agreement, attractor",
    "determiner and noun",
    "word order",
    "exchanged roles",
    "replaced word",
    "cloze",
)


@cache
def corpus() -> list[list[int]]:
    return token_ids(split(load_corpus())[0], load_tokenizer("course"))


@cache
def sets() -> dict[str, list[Pair]]:
    counts = Counter(piece for document in corpus() for piece in document)
    return minimal_pairs(known_words(load_tokenizer("course"), counts))


@cache
def model(name: str) -> torch.nn.Module:
    return from_hf(load_pretrained(name).model).eval()


def counting(order: int):
    """A small interpolated n-gram model, which takes its shares as they are."""
    counts: Counter[tuple[int, ...]] = Counter()
    for document in corpus()[::4]:
        for n in range(order + 1):
            counts.update(zip(*(document[i:] for i in range(n)), strict=False) if n else [])
    total = sum(count for gram, count in counts.items() if len(gram) == 1)

    def probability(gram: tuple[int, ...]) -> float:
        if len(gram) == 1:
            return (counts[gram] + 0.5) / (total + 0.5 * 4096)
        before, share = counts[gram[:-1]], probability(gram[1:])
        return (counts[gram] + 3 * share) / (before + 3)

    def score(sentences):
        logs = [
            [
                torch.tensor(probability(tuple(ids[max(0, t + 1 - order) : t + 1]))).log()
                for t in range(len(ids))
            ]
            for ids in sentences
        ]
        return torch.stack([torch.stack(row).double().sum() for row in logs])

    return sentence_scorer(score)


@pytest.mark.parametrize("name", SETS)
def test_liking_some_words_more_than_others_is_right_in_exactly_half(name):
    preference = torch.randn(4096, generator=torch.Generator().manual_seed(0)).double()
    liking = sentence_scorer(lambda rows: torch.stack([preference[ids].sum() for ids in rows]))
    assert judge(liking, sets()[name], load_tokenizer("course")).mean == 0.5
    assert judge(counting(1), sets()[name], load_tokenizer("course")).mean == 0.5


@pytest.mark.parametrize("name", SETS)
def test_a_set_is_large_and_even_and_says_nothing_twice(name):
    pairs = sets()[name]
    assert len(pairs) >= 150 and len({pair.group for pair in pairs}) >= 15
    sentences = [frozenset((pair.good, pair.bad)) for pair in pairs]
    assert len(set(sentences)) == len(pairs)  # also not with good and bad exchanged
    assert not {pair.good for pair in pairs} & {pair.bad for pair in pairs}
    used: Counter[int] = Counter()
    for good, bad in encode(pairs, load_tokenizer("course")):
        assert (
            len(good) == len(bad) and 1 <= sum(a != b for a, b in zip(good, bad, strict=True)) <= 2
        )
        used.update(good)
        used.subtract(bad)
    assert not any(used.values())  # every piece is as often right as it is wrong


def test_the_same_words_give_the_same_pairs_and_too_few_give_none():
    assert minimal_pairs(lambda word: True) == minimal_pairs(lambda word: True)
    with pytest.raises(ValueError, match="too few words"):
        minimal_pairs(lambda word: word == "law")


def test_counting_neighbours_is_misled_by_the_attractor():
    tokenizer, trigram = load_tokenizer("course"), counting(3)
    assert judge(trigram, sets()["agreement"], tokenizer).low > 0.6
    assert judge(trigram, sets()["agreement, attractor"], tokenizer).high < 0.4


@pytest.mark.parametrize("name", ["gpt-mini", "bert-mini", "t5-mini"])
def test_every_mini_beats_chance_beside_the_verb(name):
    tokenizer = load_tokenizer("course")
    pairs = sets()["determiner and noun"][:120]
    found = judge(scorer_of(model(name), tokenizer), pairs, tokenizer)
    assert found.low > 0.5 and found.count == 120


def test_scores_are_what_the_definitions_say():
    tokenizer = load_tokenizer("course")
    pair = Pair("The law is not new.", "The law are not new.", "law")
    (good, bad), special = encode([pair], tokenizer)[0], tokenizer
    gpt = log_probability(model("gpt-mini"), [good, bad[:3]], tokenizer)
    inputs = torch.tensor([[special.eos_token_id, *good]])
    logs = model("gpt-mini")(inputs).log_softmax(-1)[0]
    assert float(gpt[0]) == pytest.approx(
        sum(logs[t, piece].item() for t, piece in enumerate(good)), rel=1e-5
    )
    total = 0.0
    for t, piece in enumerate(good):
        covered = [special.cls_token_id, *good, special.sep_token_id]
        covered[t + 1] = special.mask_token_id
        logs = model("bert-mini")(torch.tensor([covered])).log_softmax(-1)
        total += logs[0, t + 1, piece].item()
    found = pseudo_log_likelihood(model("bert-mini"), [bad, good], tokenizer)
    assert float(found[1]) == pytest.approx(total, rel=1e-5)
    sentinel, end = tokenizer.convert_tokens_to_ids("<extra_id_0>"), tokenizer.eos_token_id
    read = torch.tensor([[*good[:2], sentinel, *good[3:], end]])
    for side, sentence in enumerate((good, bad)):
        logs = model("t5-mini")(read, torch.tensor([[0, sentinel, sentence[2]]])).log_softmax(-1)[0]
        wanted = (logs[1, sentence[2]] + logs[2, end]).item()
        found = one_sentinel(model("t5-mini"), [(good, bad)], tokenizer)
        assert float(found[0, side]) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    ("a", "b", "ends"),
    [
        ([1, 2, 3], [1, 9, 3], (1, 1)),
        ([1, 2, 2, 3], [1, 2, 3], (2, 1)),  # one sentence has a piece more
        ([1, 2], [1, 2, 3], (2, 0)),
        ([4, 5], [5, 4], (0, 0)),
        ([1, 1, 1], [1, 1], (2, 0)),
    ],
)
def test_what_two_sentences_share(a, b, ends):
    first, last = shared(a, b)
    assert (first, last) == ends
    assert a[:first] == b[:first] and a[len(a) - last :] == b[len(b) - last :]


def test_batches_of_one_length():
    rows = [[1], [2, 3], [4], [5], [6, 7]]
    assert list(equal_lengths(rows, most=2)) == [[0, 2], [3], [1, 4]]


def test_a_tie_counts_half_and_the_interval_goes_by_groups():
    tokenizer = load_tokenizer("course")
    pairs = sets()["agreement"][:60]
    silent = sentence_scorer(lambda rows: torch.zeros(len(rows)))
    assert judge(silent, pairs, tokenizer).mean == 0.5
    with pytest.raises(ValueError, match="tell the sentences of a pair apart"):
        encode([Pair("The law", "The law", "x")], tokenizer)


def test_blimp_is_read_from_its_archive(tmp_path):
    path = tmp_path / "pairs.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, term in (("b_2", "island_effects"), ("a_1", "binding"), ("a_2", "binding")):
            rows = [
                {
                    "sentence_good": f"{name} is {n}.",
                    "sentence_bad": f"{name} are {n}.",
                    "linguistics_term": term,
                    "UID": name,
                }
                for n in range(5)
            ]
            archive.writestr(f"data/{name}.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
        archive.writestr("data/README", "no pairs")
    found = load_blimp(path, each=2)
    assert list(found) == ["binding", "island effects"]
    assert found["binding"] == [
        Pair(f"{name} is {n}.", f"{name} are {n}.", name) for name in ("a_1", "a_2") for n in (0, 1)
    ]
    assert len(load_blimp(path)["binding"]) == 10
    path.write_text("no archive")
    with pytest.raises(ValueError, match="no zip archive"):
        load_blimp(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README", "nothing")
    with pytest.raises(ValueError, match=r"no \.jsonl files"):
        load_blimp(path)


def test_without_archive_and_hub_blimp_says_where_it_is(monkeypatch):
    from course_utils.data.cache import SourceError

    monkeypatch.setenv("COURSE_OFFLINE", "1")
    with pytest.raises(SourceError, match="nyu-mll/blimp, which does not answer"):
        load_blimp()
