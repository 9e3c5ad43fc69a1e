"""Huffman lengths and canonical codes: optimal, limited, prefix-free."""

import heapq
from functools import cache
from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.huffman import canonical_codes, code_lengths, limited_code_lengths

counts_of = st.lists(st.integers(1, 10**6), max_size=60)


def huffman_cost(counts):
    """Total bits of an optimal code, by the textbook heap."""
    if len(counts) == 1:
        return counts[0]
    heap, cost = list(counts), 0
    heapq.heapify(heap)
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        cost += merged
        heapq.heappush(heap, merged)
    return cost


def limited_cost(counts, limit):
    """Total bits of an optimal limited code, by trying every non-decreasing length sequence that satisfies Kraft."""
    ordered = sorted(counts, reverse=True)

    @cache
    def best(i, shortest, room):  # room: leaves of the full tree of depth `limit` not yet covered
        if i == len(ordered):
            return 0
        options = [
            length * ordered[i] + best(i + 1, length, room - (1 << (limit - length)))
            for length in range(shortest, limit + 1)
            if 1 << (limit - length) <= room
        ]
        return min(options, default=10**18)

    return best(0, 1, 1 << limit)


def kraft(lengths, depth):
    return sum(1 << (depth - int(length)) for length in lengths)


@given(counts_of)
def test_lengths_are_optimal(counts):
    lengths = code_lengths(counts)
    assert lengths.dtype == np.int64 and lengths.shape == (len(counts),)
    if counts:
        assert int(lengths @ np.array(counts)) == huffman_cost(counts)
        depth = int(lengths.max())
        assert kraft(lengths, depth) == 1 << depth if len(counts) > 1 else lengths.tolist() == [1]


@given(st.lists(st.integers(1, 40), max_size=9), st.integers(1, 6))
def test_limited_lengths_are_optimal(counts, limit):
    if len(counts) > 1 << limit:
        with pytest.raises(ValueError, match="do not fit"):
            limited_code_lengths(counts, limit)
        return
    lengths = limited_code_lengths(counts, limit)
    assert lengths.dtype == np.int64 and lengths.shape == (len(counts),)
    assert kraft(lengths, limit) <= 1 << limit
    assert int(lengths @ np.array(counts, np.int64)) == limited_cost(counts, limit)


@given(counts_of)
def test_loose_limit_changes_nothing(counts):
    weights = np.array(counts, np.int64)
    assert int(limited_code_lengths(counts, 64) @ weights) == int(code_lengths(counts) @ weights)


@given(counts_of, st.integers(6, 16))
def test_earlier_of_equal_counts_is_not_longer(counts, limit):
    order = np.argsort(-np.array(counts, np.int64), kind="stable")
    for lengths in (code_lengths(counts), limited_code_lengths(counts, limit)):
        assert np.all(np.diff(lengths[order]) >= 0)
        canonical_codes(lengths[order])


def test_fibonacci_counts_reach_the_deepest_code_and_respect_a_limit():
    counts = [1, 1]
    while len(counts) < 40:
        counts.append(counts[-1] + counts[-2])
    assert code_lengths(counts).max() == 39
    limited = limited_code_lengths(counts, 12)
    assert limited.max() == 12 and kraft(limited, 12) == 1 << 12


@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiny_alphabets(n):
    assert code_lengths([5] * n).tolist() == [1] * n
    assert limited_code_lengths([5] * n, 1).tolist() == [1] * n


def test_full_tree():
    assert limited_code_lengths(np.arange(1, 257), 8).tolist() == [8] * 256
    with pytest.raises(ValueError, match="do not fit"):
        limited_code_lengths(np.arange(1, 258), 8)


def test_limited_lengths_are_fast():
    counts = np.random.default_rng(1).zipf(1.3, 4096).clip(1, 10**6)
    start = perf_counter()
    limited_code_lengths(counts, 16)
    assert perf_counter() - start < 1  # a millisecond or two; a loop per package would take seconds


@pytest.mark.parametrize("counts", [[0], [3, -1], [1.5], [[1, 2]]])
def test_bad_counts(counts):
    with pytest.raises(ValueError, match="counts must be"):
        code_lengths(counts)
    with pytest.raises(ValueError, match="counts must be"):
        limited_code_lengths(counts, 8)


def test_bad_limit_and_huge_counts():
    with pytest.raises(ValueError, match="max_length"):
        limited_code_lengths([1], 0)
    with pytest.raises(ValueError, match="too large"):
        limited_code_lengths([1 << 61, 1 << 61, 1], 8)


def test_canonical_codes_of_the_papers_example():
    codes = canonical_codes([1, 3, 4, 4, 4, 4, 4, 4])
    assert codes.dtype == np.uint32
    assert codes.tolist() == [0b0, 0b100, 0b1010, 0b1011, 0b1100, 0b1101, 0b1110, 0b1111]
    assert canonical_codes([2, 3, 3, 3, 3, 3, 3]).tolist() == [0, 2, 3, 4, 5, 6, 7]


@given(counts_of)
def test_canonical_codes_are_prefix_free(counts):
    lengths = np.sort(code_lengths(counts))
    texts = [format(code, f"0{length}b") for code, length in zip(canonical_codes(lengths), lengths, strict=True)]
    assert all(len(text) == length for text, length in zip(texts, lengths, strict=True))
    assert texts == sorted(texts)
    assert not any(b.startswith(a) for a, b in pairwise(texts))


def test_canonical_codes_at_the_limits():
    assert canonical_codes([]).size == 0
    assert canonical_codes([32]).tolist() == [0]
    assert canonical_codes([*range(1, 33), 32])[-1] == 0xFFFFFFFF


@pytest.mark.parametrize(
    ("lengths", "reason"),
    [
        ([2, 1], "not decrease"),
        ([1, 1, 1], "Kraft"),
        ([1, 2, 2, 2], "Kraft"),
        ([0, 1], "lie in"),
        ([33], "lie in"),
        ([1.0], "integers"),
        ([[1]], "one-dimensional"),
    ],
)
def test_bad_lengths(lengths, reason):
    with pytest.raises(ValueError, match=reason):
        canonical_codes(lengths)
