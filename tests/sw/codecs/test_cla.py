"""CLA: an example by hand, co-coding, long matrices, damaged parts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import Cla, dense_product
from headrace.errors import FormatError, StreamError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])

# Twins (runs), zeros, all distinct (uncompressed), one value here and there (offsets).
SMALL = np.array(
    [
        [1, 2, 0, 3, 5],
        [1, 2, 0, 4, 0],
        [1, 2, 0, 6, 5],
        [1, 2, 0, 7, 0],
        [0, 0, 0, 8, 0],
        [0, 0, 0, 9, 5],
        [0, 0, 0, 1, 0],
        [0, 0, 0, 2, 5],
    ],
    np.float32,
)


def changed(part, at, value):
    copy = part.copy()
    copy[at] = value
    return copy


def test_example():
    encoded = Cla().encode(SMALL)
    assert encoded.ole_groups == 2 and encoded.columns.tolist() == [2, 4, 0, 1, 3]
    assert encoded.widths.tolist() == [1, 1, 2] and encoded.tuples.tolist() == [0, 1, 1]
    assert encoded.values.tolist() == [5, 1, 2] and encoded.lengths.tolist() == [5, 2]
    assert encoded.units.tolist() == [*(4, 0, 2, 5, 7), *(0, 4)]
    assert encoded.dense.tolist() == SMALL[:, 3:4].tolist()
    sizes = {"columns": 5, "widths": 3, "tuples": 3, "values": 12, "lengths": 2, "units": 14, "dense": 32}
    assert encoded.sizes == {"header": 20, **sizes}
    assert np.array_equal(Cla().decode(encoded), SMALL)
    x = np.arange(1, 9)
    assert Cla().product(encoded, x).tolist() == (x @ SMALL).tolist()


def test_check_matrix():
    encoded = Cla().encode(PAPER)
    assert np.array_equal(Cla().decode(encoded), PAPER)
    assert Cla().product(encoded, [1, 2, 3, 4, 5]).tolist() == [7, 29, 4, 0, 45]


def test_columns_alike_share_their_lists():
    rng = np.random.default_rng(1)
    kinds = rng.integers(1, 4, (300, 10)) * (rng.random((300, 10)) < 0.2)
    W = kinds[:, rng.permutation(np.repeat(np.arange(10), 6))].astype(np.float32)
    encoded = Cla().encode(W)
    assert 10 <= encoded.widths.size <= 10 + 3  # the borders of bins of 16 cut 3 groups at most
    assert encoded.dense.shape == (300, 0)
    assert encoded.nbytes < Cla().encode(kinds.astype(np.float32)).nbytes * 2
    assert np.array_equal(Cla().decode(encoded), W)


def test_columns_that_differ_stay_apart():
    rng = np.random.default_rng(2)
    W = (rng.integers(1, 9, (400, 20)) * (rng.random((400, 20)) < 0.1)).astype(np.float32)
    assert Cla().encode(W).widths.tolist() == [1] * 20


@pytest.mark.parametrize("n", [1500, 70000, 140000])
def test_long_matrices(n):
    """More rows than the sample, more than a segment; the first column takes whole segments."""
    rng = np.random.default_rng(3)
    W = np.zeros((n, 7), np.int32)
    W[:, 0] = 4
    W[:, 1] = 4 * (np.arange(n) > 5)
    W[rng.integers(0, n, 40), 2] = 1
    W[:, 3] = W[:, 2] * 3
    W[:, 4] = rng.integers(0, 3, n)
    W[:, 5] = W[:, 4]
    W[:, 6] = rng.integers(0, 1 << 30, n)
    encoded = Cla().encode(W)
    assert encoded.dense.shape == (n, 1)
    assert encoded.nbytes < W.nbytes / 7 + 2 * n + 2000
    assert np.array_equal(Cla().decode(encoded), W)
    x = rng.integers(-9, 9, n)
    assert np.array_equal(Cla().product(encoded, x), dense_product(W, x))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.integers(1, 4))
@settings(deadline=None)
def test_parts_are_as_told(seed, n, m, kinds):
    rng = np.random.default_rng(seed)
    W = (rng.integers(-2, 3, (n, kinds)) * (rng.random((n, kinds)) < 0.4))[:, rng.integers(0, kinds, m)]
    encoded = Cla().encode(W)
    assert sorted(encoded.columns.tolist()) == list(range(m))
    assert np.array_equal(Cla().decode(encoded), W)
    assert encoded.dense.nbytes <= W.nbytes
    assert encoded.tuples.sum() == encoded.lengths.size and encoded.lengths.sum() == encoded.units.size


def test_damaged_parts():
    encoded = Cla().encode(SMALL)

    def refuse(error, match, **parts):
        broken = dataclasses.replace(encoded, **parts)
        for call in (Cla().decode, lambda broken: Cla().product(broken, np.ones(broken.shape[0]))):
            with pytest.raises(error, match=match):
                call(broken)

    refuse(FormatError, "share 5 columns", ole_groups=4)
    refuse(FormatError, "share 5 columns", ole_groups=-1)
    refuse(FormatError, "share 5 columns", widths=changed(encoded.widths, 0, 0))
    refuse(FormatError, "share 5 columns", widths=changed(encoded.widths, 0, 3))
    refuse(FormatError, "widths must be", widths=encoded.widths.astype(np.int64))
    refuse(FormatError, "missing, or in two", columns=changed(encoded.columns, 0, 3))
    refuse(FormatError, "missing, or in two", columns=changed(encoded.columns, 0, 200))
    refuse(FormatError, "columns must be", columns=encoded.columns[:-1])
    refuse(FormatError, "list for each tuple", tuples=changed(encoded.tuples, 0, 1))
    refuse(FormatError, "list for each tuple", tuples=encoded.tuples.astype(np.uint64) + np.uint64(1 << 62))
    refuse(FormatError, "tuples hold", tuples=np.full(3, (1 << 64) - 1, np.uint64))
    refuse(FormatError, "longer than all", lengths=changed(encoded.lengths, 0, 99))
    refuse(FormatError, "units must be", lengths=changed(encoded.lengths, 0, 4))
    refuse(FormatError, "units must be", units=encoded.units[:-1])
    refuse(FormatError, "values must be", values=encoded.values[:-1])
    refuse(FormatError, "values hold a NaN", values=changed(encoded.values, 0, np.nan))
    refuse(FormatError, "uncompressed columns must be", dense=encoded.dense[:-1])
    refuse(FormatError, "uncompressed columns hold", dense=changed(encoded.dense, (2, 0), np.nan))
    refuse(StreamError, "beyond its units", units=changed(encoded.units, 0, 5))
    refuse(StreamError, "beyond row", units=changed(encoded.units, 0, 3))
    refuse(FormatError, "not below 8", units=changed(encoded.units, 4, 8))
    refuse(FormatError, "same entry", units=changed(encoded.units, 4, 5))
    refuse(StreamError, "beyond row", units=changed(encoded.units, 6, 9))
    refuse(StreamError, "a list is empty", units=changed(encoded.units, 6, 0))
