"""Next sentence prediction: pairs, labels, and where the random sentence comes from."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from course_utils.objectives import Batch, next_sentence

CLS, SEP, PAD, MASK = 1, 2, 0, 3
ALPHA = 1e-6


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(documents, seed: int = 0, **options) -> Batch:
    return next_sentence.make_pairs(
        documents, cls_token_id=CLS, sep_token_id=SEP, generator=seeded(seed), **options
    )


def library(seed: int, num_documents: int, most: int = 5) -> list[list[list[int]]]:
    """Documents in which a token tells document, sentence and place: 10,000·d + 100·s + i + 10."""
    draw = torch.randint(1, most + 1, (num_documents, most + 1), generator=seeded(seed)).tolist()
    return [
        [[10_000 * (d + 1) + 100 * s + i + 10 for i in range(row[s])] for s in range(row[-1])]
        for d, row in enumerate(draw)
    ]


def parts(batch: Batch, row: int) -> tuple[list[int], list[int]]:
    ids = batch.inputs["input_ids"][row][batch.inputs["attention_mask"][row]].tolist()
    middle = ids.index(SEP)
    assert ids[0] == CLS and ids[-1] == SEP
    return ids[1:middle], ids[middle + 1 : -1]


def place(token: int) -> tuple[int, int]:
    return token // 10_000, token % 10_000 // 100


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 6), max_length=st.integers(5, 20))
def test_pairs_are_what_their_labels_say(seed, n, max_length):
    documents = library(seed, n)
    if all(len(document) < 2 for document in documents):
        return
    batch = make(documents, seed, max_length=max_length)
    starts = [(d + 1, s) for d, doc in enumerate(documents) for s in range(len(doc) - 1)]
    assert len(batch.labels) == len(starts) and batch.num_predicted == 0
    for row, start in enumerate(starts):
        a, b = parts(batch, row)
        assert len(a) + len(b) + 3 <= max_length and a and b
        assert place(a[0]) == start
        document, sentence = place(b[0])
        if batch.next_sentence_label[row] == 0:
            assert (document, sentence) == (start[0], start[1] + 1)
        else:
            assert document != start[0], "the random sentence is from the same document"
        whole_a = documents[start[0] - 1][start[1]]
        whole_b = documents[document - 1][sentence]
        assert whole_a[: len(a)] == a and whole_b[: len(b)] == b
        room = max_length - 3
        if len(whole_a) + len(whole_b) > room:
            assert len(a) + len(b) == room
            assert len(a) == len(whole_a) or len(a) >= len(b) - 1
            assert len(b) == len(whole_b) or len(b) >= len(a) - 1


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_token_types_and_padding(seed):
    batch = make([[[7, 8], [9]], [[5, 5, 5, 5], [6]]], seed)
    for row in range(len(batch.labels)):
        a, b = parts(batch, row)
        types = [0] * (len(a) + 2) + [1] * (len(b) + 1)
        width = batch.labels.shape[1]
        assert batch.inputs["token_type_ids"][row].tolist() == types + [0] * (width - len(types))
        assert (batch.inputs["input_ids"][row, len(types) :] == PAD).all()
        assert int(batch.inputs["attention_mask"][row].sum()) == len(types)


def test_half_are_random_and_uniform_over_the_other_documents():
    documents = [[[100 + s] for s in range(2001)], [[5000]], [[6000], [6001]], [[7000]]]
    batch = make(documents, seed=1)
    labels = batch.next_sentence_label[:2000]
    assert stats.binomtest(int(labels.sum()), 2000, 0.5).pvalue > ALPHA
    seconds = [parts(batch, row)[1][0] for row in range(2000) if labels[row] == 1]
    counts = [sum(s // 1000 == d for s in seconds) for d in (5, 6, 7)]
    assert sum(counts) == len(seconds)
    assert stats.chisquare(counts).pvalue > ALPHA


def test_empty_sentences_and_documents_are_left_out():
    batch = make([[[7], [], [8]], [[], []], [[9]]])
    assert len(batch.labels) == 1 and parts(batch, 0)[0] == [7]


def test_same_seed_same_pairs_and_callers_lists_untouched():
    documents = library(3, 4)
    before = [[list(s) for s in d] for d in documents]
    first, again = make(documents, 5, max_length=6), make(documents, 5, max_length=6)
    assert torch.equal(first.inputs["input_ids"], again.inputs["input_ids"])
    assert documents == before


def test_masking_keeps_pair_labels_types_and_specials():
    pairs = make(library(4, 5), 2)
    batch = next_sentence.mask(
        pairs,
        mask_token_id=MASK,
        vocab_size=70_000,
        special_ids=[PAD, CLS, SEP],
        generator=seeded(0),
    )
    assert torch.equal(batch.next_sentence_label, pairs.next_sentence_label)
    assert torch.equal(batch.inputs["token_type_ids"], pairs.inputs["token_type_ids"])
    hidden = pairs.inputs["input_ids"][batch.predicted]
    assert len(hidden) and not torch.isin(hidden, torch.tensor([PAD, CLS, SEP])).any()


def test_loss_is_a_two_way_softmax_over_all_pairs():
    batch = make(library(4, 5), 2)
    labels = batch.next_sentence_label.tolist()
    assert set(labels) == {0, 1}
    logits = torch.randn(len(labels), 2, generator=seeded(1), dtype=torch.float64)
    by_hand = [float(row.exp().sum().log() - row[y]) for row, y in zip(logits, labels, strict=True)]
    expected = sum(by_hand) / len(by_hand)
    assert float(next_sentence.loss(logits, batch)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("documents", "options"),
    [
        ([[[1], [2]]], {}),
        ([[[1]], [[2]]], {}),
        ([], {}),
        ([[[1], [2]], [[3]]], {"max_length": 4}),
    ],
)
def test_errors_say_what_pairs_need(documents, options):
    with pytest.raises(ValueError, match="pairs need 2 documents, 1 next sentence, 5 tokens"):
        make(documents, **options)


def test_loss_refuses_what_does_not_fit():
    batch = make([[[7], [8]], [[9]]])
    with pytest.raises(ValueError, match=r"logits \(1, 1\) must be \(1, 2\)"):
        next_sentence.loss(torch.zeros(1, 1), batch)
    with pytest.raises(ValueError, match="make_pairs"):
        next_sentence.loss(torch.zeros(1, 2), Batch({}, torch.zeros(1, 4)))
