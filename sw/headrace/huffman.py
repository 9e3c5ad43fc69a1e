"""Huffman code lengths and canonical codes.

Everything here works on symbol counts and code lengths only; what a symbol stands for is the caller's business.
Among equal counts the earlier symbol never gets the longer code, so lengths sorted stably by decreasing count are
non-decreasing: that order is the canonical order of `canonical_codes`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]

MAX_CODE_LENGTH = 32
"""Longest code that `canonical_codes` returns, in bits."""


def code_lengths(counts: npt.ArrayLike) -> IntArray:
    """Lengths of an optimal Huffman code, without a limit on the longest.

    Args:
        counts: positive integers, shape (n,).

    Returns:
        int64 (n,), bits. Empty for n = 0; `[1]` for n = 1, since a symbol of no bits could not be counted in a stream.
        Among the optimal codes it is one whose longest code is shortest.

    Raises:
        ValueError: counts is not one-dimensional, not integer, or has an entry below 1.

    Source: Huffman 1952; built in place on sorted counts after Moffat and Katajainen, "In-place calculation of
    minimum-redundancy codes" (WADS 1995).
    """
    weights, order = _sorted_counts(counts)
    return _scatter(_in_place_depths(weights.tolist()), order)


def limited_code_lengths(counts: npt.ArrayLike, max_length: int) -> IntArray:
    """Lengths of an optimal prefix code whose longest code has at most `max_length` bits.

    Args:
        counts: positive integers, shape (n,).
        max_length: bits, at least 1.

    Returns:
        int64 (n,), bits, each 1 .. max_length; empty for n = 0, `[1]` for n = 1.

    Raises:
        ValueError: as `code_lengths`; also n > 2**max_length, max_length < 1, or counts too large for int64 sums.

    Source: package-merge, Larmore and Hirschberg, "A fast algorithm for optimal length-limited Huffman codes"
    (J. ACM 37(3), 1990).
    """
    if max_length < 1:
        raise ValueError(f"max_length is {max_length}, must be at least 1")
    weights, order = _sorted_counts(counts)
    n = weights.size
    if n > 1 << min(max_length, 62):
        raise ValueError(f"{n} symbols do not fit in codes of at most {max_length} bits")
    if n < 2:
        return np.ones(n, np.int64)
    depth = min(max_length, n - 1)  # no optimal code of n symbols is deeper
    if depth * float(weights.sum(dtype=np.float64)) >= 2.0**62:
        raise ValueError("counts are too large: their sum times max_length must stay below 2**62")

    # levels[k][i] says whether item i of level k, in increasing weight, is a leaf; the others are packages, that is,
    # pairs of consecutive items of level k - 1.
    levels = [np.ones(n, np.bool_)]
    items = weights
    for _ in range(depth - 1):
        paired = items[: items.size & ~1]
        merged = np.concatenate([weights, paired[0::2] + paired[1::2]])
        rank = np.argsort(merged, kind="stable")  # on a tie the leaf comes first: shorter longest code
        items = merged[rank]
        levels.append(rank < n)

    lengths = np.zeros(n, np.int64)
    take = 2 * n - 2
    for is_leaf in reversed(levels):
        leaves = int(np.count_nonzero(is_leaf[:take]))
        lengths[:leaves] += 1
        take = 2 * (take - leaves)
    return _scatter(lengths, order)


def canonical_codes(lengths_sorted: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    """Canonical codes of symbols already in canonical order.

    The first code is all zeros; each next one is the previous plus 1, shifted left by the growth in length.

    Args:
        lengths_sorted: bits, shape (n,), non-decreasing, each 1 .. 32.

    Returns:
        uint32 (n,): the code in the low `lengths_sorted[i]` bits, most significant bit first in a stream.

    Raises:
        ValueError: lengths decrease, lie outside 1 .. 32, or exceed the Kraft sum of 1.
    """
    lengths = np.asarray(lengths_sorted)
    if lengths.ndim != 1 or (lengths.size and lengths.dtype.kind not in "iu"):
        raise ValueError("code lengths must be a one-dimensional array of integers")
    if lengths.size == 0:
        return np.zeros(0, np.uint32)
    lengths = lengths.astype(np.int64)
    if lengths.min() < 1 or lengths.max() > MAX_CODE_LENGTH:
        raise ValueError(f"code lengths must lie in 1 .. {MAX_CODE_LENGTH}")
    if np.any(lengths[1:] < lengths[:-1]):
        raise ValueError("code lengths must not decrease")
    longest = lengths[-1]
    spans = np.int64(1) << (longest - lengths)  # leaves of the full tree below each code
    ends = np.cumsum(spans)
    if ends[-1] > 1 << int(longest):
        raise ValueError("code lengths exceed the Kraft sum: no prefix code has them")
    return ((ends - spans) >> (longest - lengths)).astype(np.uint32)


def _sorted_counts(counts: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    """Counts in increasing order and the symbol of each; of equal counts the later symbol, of longer code, first."""
    given = np.asarray(counts)
    if given.ndim != 1 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError("counts must be a one-dimensional array of integers")
    weights = given.astype(np.int64)
    if weights.size and weights.min() < 1:
        raise ValueError("counts must be positive")
    order = weights.size - 1 - np.argsort(weights[::-1], kind="stable")
    return weights[order], order


def _scatter(lengths: npt.ArrayLike, order: IntArray) -> IntArray:
    """Put lengths of sorted symbols back in the order of the caller's symbols."""
    result = np.empty(order.size, np.int64)
    result[order] = lengths
    return result


def _in_place_depths(a: list[int]) -> list[int]:
    """Depths of the Huffman leaves of increasing weights `a` (consumed); Moffat and Katajainen's three passes."""
    n = len(a)
    if n < 2:
        return [1] * n
    # First pass: internal nodes in order of creation; a[i] becomes the parent of internal node i once it is paired.
    root, leaf = 0, 0
    for node in range(n - 1):
        total = 0
        for _ in range(2):
            if leaf >= n or (root < node and a[root] < a[leaf]):
                total += a[root]
                a[root] = node
                root += 1
            else:
                total += a[leaf]
                leaf += 1
        a[node] = total
    # Second pass: parents to depths of the internal nodes.
    a[n - 2] = 0
    for node in range(n - 3, -1, -1):
        a[node] = a[a[node]] + 1
    # Third pass: at each depth the slots that no internal node takes are leaves.
    available, depth, node, slot = 1, 0, n - 2, n - 1
    while available > 0:
        internal = 0
        while node >= 0 and a[node] == depth:
            internal += 1
            node -= 1
        for _ in range(available - internal):
            a[slot] = depth
            slot -= 1
        available = 2 * internal
        depth += 1
    return a
