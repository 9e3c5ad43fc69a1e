"""The helpers of index-list formats."""

import numpy as np
import pytest

from headrace.codecs import sparse
from headrace.codecs.sparse import count_type, lists_of, scatter_sums, segment_sums, smallest, starts_of
from headrace.errors import FormatError


@pytest.mark.parametrize(
    ("total", "size"), [(0, 1), (255, 1), (256, 2), (65535, 2), (65536, 4), (2**32 - 1, 4), (2**32, 8)]
)
def test_count_type(total, size):
    assert count_type(total).itemsize == size
    assert smallest(np.array([0, total])).itemsize == size


def test_lists():
    lines, codes, starts, positions = lists_of(np.array([[2, 0, 1, 2], [0, 0, 0, 0], [3, 3, 0, 3]]))
    assert lines.tolist() == [0, 0, 2] and codes.tolist() == [1, 2, 3]
    assert starts.tolist() == [0, 1, 3, 6] and positions.tolist() == [2, 0, 3, 0, 1, 3]
    assert [part.tolist() for part in lists_of(np.zeros((0, 3), int))] == [[], [], [0], []]


@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_sums(kind):
    terms = np.arange(1, 6, dtype=kind)
    sums = segment_sums(terms, starts_of(np.array([0, 2, 0, 3, 0])))
    assert sums.dtype == kind and sums.tolist() == [0, 3, 0, 12, 0]
    assert segment_sums(terms[:0], starts_of(np.array([0, 0]))).tolist() == [0, 0]
    sums = scatter_sums(terms, np.array([3, 0, 3, 1, 0]), 5)
    assert sums.dtype == kind and sums.tolist() == [7, 4, 0, 4, 0]
    empty = scatter_sums(terms[:0], np.zeros(0, np.int64), 2)
    assert empty.dtype == kind and empty.tolist() == [0, 0]


def test_memory(monkeypatch):
    monkeypatch.setattr(sparse, "_memory", lambda: 80)
    assert sparse.zeros((5, 2), np.dtype(np.float64)).shape == (5, 2)
    with pytest.raises(FormatError, match="memory"):
        sparse.zeros((5, 3), np.dtype(np.float64))
