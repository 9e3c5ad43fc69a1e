"""Lists of rows as offsets and runs: examples by hand, borders of 16 bits, damaged units."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs.offsets import ranges, read_ole, read_rle, write_ole, write_rle
from headrace.codecs.sparse import starts_of
from headrace.errors import StreamError

BORDERS = [0, 1, 2, 65534, 65535, 65536, 65537, 131070, 131071, 131072, 196607, 196608, 200000]
rows_of_lists = st.lists(st.sets(st.sampled_from(BORDERS) | st.integers(0, 300000), min_size=1, max_size=9), max_size=6)


def lists(*parts):
    sizes = np.array([len(part) for part in parts], np.int64)
    return starts_of(sizes), np.array([row for part in parts for row in part], np.int64)


def assert_restored(starts, rows, n):
    lengths, units, possible = write_ole(starts, rows)
    assert units.dtype == np.uint16 and lengths.sum() == units.size
    if possible.all():
        counts, found = read_ole(lengths, units, n)
        assert np.array_equal(counts, np.diff(starts)) and np.array_equal(found, rows)
    lengths, units = write_rle(starts, rows)
    assert units.dtype == np.uint16 and lengths.sum() == units.size
    counts, found = read_rle(lengths, units, n, rows.size)
    assert np.array_equal(counts, np.diff(starts)) and np.array_equal(found, rows)


def test_examples():
    starts, rows = lists([0, 1, 2, 7], [3, 65536, 65540], [131072])
    lengths, units, possible = write_ole(starts, rows)
    assert lengths.tolist() == [5, 5, 4] and possible.all()
    assert units.tolist() == [*(4, 0, 1, 2, 7), *(1, 3, 2, 0, 4), *(0, 0, 1, 0)]
    lengths, units = write_rle(starts, rows)
    assert lengths.tolist() == [4, 6, 6]
    assert units.tolist() == [*(0, 3, 4, 1), *(3, 1, 65532, 1, 3, 1), *(65535, 0, 65535, 0, 2, 1)]
    assert_restored(starts, rows, 131073)


@given(rows_of_lists)
@settings(deadline=None)
def test_round_trip(parts):
    starts, rows = lists(*map(sorted, parts))
    assert_restored(starts, rows, 300001)


@pytest.mark.parametrize("length", [1, 65534, 65535, 65536, 65537, 131070, 131071, 150000])
@pytest.mark.parametrize("first", [0, 1, 65535, 65536])
def test_long_runs(length, first):
    run = range(first, first + length)
    starts, rows = lists([5], run, [0, first + length + 1])
    assert_restored(starts, rows, first + length + 6)
    full = any(s >= first and s + 65536 <= first + length for s in range(0, first + length, 65536))
    assert write_ole(starts, rows)[2].tolist() == [True, not full, True]


def test_no_lists():
    assert_restored(*lists(), 10)
    assert ranges(np.array([3, 9, 5]), np.array([2, 0, 1])).tolist() == [3, 4, 5]


@pytest.mark.parametrize(
    ("lengths", "units", "n", "reason"),
    [
        ([2], [2, 0], 9, "beyond its units"),
        ([1, 2], [1, 1, 4], 9, "beyond its units"),
        ([3], [1, 0, 0], 9, "beyond row 9"),
        ([1], [0], 0, "beyond row 0"),
    ],
)
def test_damaged_offsets(lengths, units, n, reason):
    with pytest.raises(StreamError, match=reason):
        read_ole(np.array(lengths), np.array(units, np.uint16), n)


@pytest.mark.parametrize(
    ("lengths", "units", "most", "reason"),
    [
        ([3], [0, 1, 2], 9, "no length"),
        ([2], [8, 2], 9, "beyond row 9"),
        ([2, 2], [0, 9, 0, 9], 9, "overlap"),
    ],
)
def test_damaged_runs(lengths, units, most, reason):
    with pytest.raises(StreamError, match=reason):
        read_rle(np.array(lengths), np.array(units, np.uint16), 9, most)


def test_empty_lists_are_told_by_their_counts():
    assert read_ole(np.array([0, 2, 1]), np.array([1, 4, 0], np.uint16), 9)[0].tolist() == [0, 1, 0]
    assert read_rle(np.array([0, 2]), np.array([4, 0], np.uint16), 9, 9)[0].tolist() == [0, 0]
