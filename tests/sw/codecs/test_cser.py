"""CSER: the check matrix, the implicit value, damaged parts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import Cser
from headrace.errors import FormatError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])


def changed(part, at, value):
    copy = part.copy()
    copy[at] = value
    return copy


def test_check_matrix():
    encoded = Cser().encode(PAPER.astype(np.float32))
    assert encoded.values.tolist() == [0, 1, 2, 3, 4, 5, 6, 10]
    assert encoded.which.tolist() == [1, 2, 3, 7, 4, 5, 6]
    assert encoded.starts.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert encoded.column_starts.tolist() == [0, 2, 4, 5, 5, 7]
    assert encoded.indices.tolist() == [0, 2, 2, 1, 0, 2, 4]
    assert encoded.sizes == {"header": 19, "values": 32, "which": 7, "starts": 8, "column_starts": 6, "indices": 7}
    assert np.array_equal(Cser().decode(encoded), PAPER)
    assert Cser().product(encoded, [1, 2, 3, 4, 5]).tolist() == [7, 29, 4, 0, 45]


def test_the_most_frequent_value_is_implicit():
    W = np.array([[7, 7, 0], [7, 1, 7], [7, 1, 0], [7, 7, 1]])
    encoded = Cser().encode(W)
    assert encoded.values.tolist() == [7, 1, 0]  # 7, 3 and 2 times
    assert encoded.which.tolist() == [1, 1, 2] and encoded.starts.tolist() == [0, 2, 3, 5]
    assert encoded.column_starts.tolist() == [0, 0, 1, 3] and encoded.indices.tolist() == [1, 2, 3, 0, 2]
    assert Cser().product(encoded, [1, 10, 100, 1000]).tolist() == [7777, 7117, 1070]
    assert np.array_equal(Cser().decode(encoded), W)


def test_an_infinite_implicit_value():
    W = np.full((3, 2), np.inf)
    W[0, 1] = 1
    encoded = Cser().encode(W)
    assert np.array_equal(Cser().decode(encoded), W)
    assert Cser().product(encoded, [1, 1, 1]).tolist() == [np.inf, np.inf]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.integers(1, 12))
@settings(deadline=None)
def test_against_the_definition(seed, n, m, k):
    W = np.random.default_rng(seed).integers(0, k, (n, m)).astype(np.int16)
    encoded = Cser().encode(W)
    counts = [int(np.sum(value == W)) for value in encoded.values]
    assert counts == sorted(counts, reverse=True) and sum(counts) == W.size
    for j in range(m):
        lists = range(encoded.column_starts[j], encoded.column_starts[j + 1])
        assert [encoded.which[i] for i in lists] == sorted({*encoded.which[lists.start : lists.stop]})
        for i in lists:
            rows = encoded.indices[encoded.starts[i] : encoded.starts[i + 1]]
            assert rows.tolist() == np.flatnonzero(W[:, j] == encoded.values[encoded.which[i]]).tolist()


def test_damaged_parts():
    W = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 0], [0, 2, 0]])
    encoded = Cser().encode(W)
    assert encoded.which.tolist() == [1, 2, 2] and encoded.indices.tolist() == [0, 1, 2, 3, 0, 1]

    def refuse(match, **parts):
        broken = dataclasses.replace(encoded, **parts)
        for call in (Cser().decode, lambda broken: Cser().product(broken, np.ones(broken.shape[0]))):
            with pytest.raises(FormatError, match=match):
                call(broken)

    refuse("comes twice", values=changed(encoded.values, 1, 0))
    refuse("cannot have 0 values", values=encoded.values[:0])
    refuse("values of lists must lie", values=encoded.values[:2])
    refuse("values of lists must lie", which=changed(encoded.which, 0, 0))
    refuse("values of lists must be", which=encoded.which.astype(np.int64))
    refuse("starts of lists", starts=encoded.starts[:-1])
    refuse("starts of lists must lead", starts=changed(encoded.starts, 1, 9))
    refuse("a list is empty", starts=changed(encoded.starts, 1, 0))
    refuse("starts of columns", column_starts=changed(encoded.column_starts, 3, 2))
    refuse("must increase", which=changed(encoded.which, 1, 1))
    refuse("must increase", indices=changed(encoded.indices, 1, 0))
    refuse("two lists hold the same", indices=changed(encoded.indices, 3, 2))
    refuse("index 4 is not below 4", indices=changed(encoded.indices, 3, 4))
    refuse("starts of lists must lead", indices=encoded.indices[:-1])
