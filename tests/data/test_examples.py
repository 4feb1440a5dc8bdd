"""Labelled examples, whatever their columns are made of."""

import numpy as np
import pytest
import torch

from course_utils.data.examples import Examples
from course_utils.models import Bert, BertConfig
from course_utils.models.heads import SequenceClassifier, TokenClassifier
from course_utils.training.finetune import make_batch

IDS = [[4, 5, 6], [7, 8]]
COLUMNS = {
    "lists": (IDS, [1, 0]),
    "numpy": ([np.array(row) for row in IDS], np.array([1, 0])),
    "numbers of numpy": (IDS, [np.int64(1), np.int32(0)]),
    "tensors": ([torch.tensor(row) for row in IDS], torch.tensor([1, 0])),
}


def bert() -> Bert:
    return Bert(BertConfig(9, 8, 1, 2, 8, 8))


@pytest.mark.parametrize("kind", COLUMNS)
def test_one_label_a_text(kind):
    batch = make_batch(SequenceClassifier(bert(), 2), Examples(*COLUMNS[kind]), [0, 1], 0)
    assert batch.labels.tolist() == [1, 0]
    assert batch.inputs["input_ids"].tolist() == [[4, 5, 6], [7, 8, 0]]


def test_one_tag_a_token_from_arrays():
    examples = Examples(IDS, [np.array([1, 0, 1]), np.array([0, 1])])
    batch = make_batch(TokenClassifier(bert(), 2), examples, [0, 1], 0)
    assert batch.labels.tolist() == [[1, 0, 1], [0, 1, -100]]
