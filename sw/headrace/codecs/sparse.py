"""What the formats of index lists share: types of counts, checks of parts, and products summed from lists.

Products multiply nothing that the format does not store. Zero times an infinity would be a NaN in the dense product,
so a matrix or an x that is not finite is decoded and multiplied densely.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Encoded, Matrix, check_part, dense_product
from headrace.codecs.shac import index_type
from headrace.errors import FormatError

Counts = npt.NDArray[np.unsignedinteger]
Ints = npt.NDArray[np.int64]


def count_type(total: int) -> np.dtype[Any]:
    """Smallest unsigned type that holds the integers up to `total`: 1, 2, 4 or 8 bytes."""
    return index_type(total) if total < 1 << 32 else np.dtype(np.uint64)


def smallest(counts: npt.NDArray[np.integer]) -> Counts:
    """The same counts in the `count_type` of the largest."""
    return counts.astype(count_type(int(counts.max(initial=0))))


def check_counts(name: str, counts: Counts, size: int) -> Ints:
    """Counts made by `smallest`, as int64. FormatError for another type or size, or a count of 2**63 or more."""
    largest = int(counts.max(initial=0)) if isinstance(counts, np.ndarray) and counts.dtype.kind == "u" else 0
    check_part(name, counts, (size,), count_type(largest))
    if largest >= 1 << 63:
        raise FormatError(f"{name} hold {largest}")
    return counts.astype(np.int64)


def starts_of(counts: npt.NDArray[np.integer]) -> Ints:
    """Where each of consecutive lists starts, and where the last one ends: int64 (lists + 1,)."""
    starts = np.zeros(counts.size + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def check_starts(name: str, starts: Counts, lists: int, total: int) -> Ints:
    """Starts of `lists` lists of `total` elements, stored as `count_type(total)`, as int64.

    FormatError for another type or size, or starts that do not lead from 0 to `total` without a step back.
    """
    check_part(name, starts, (lists + 1,), count_type(total))
    wide = starts.astype(np.int64)
    if wide[0] != 0 or wide[-1] != total or np.any(wide[1:] < wide[:-1]):
        raise FormatError(f"{name} must lead from 0 to {total} without a step back")
    return wide


def check_values(name: str, values: Matrix, shape: tuple[int, ...], dtype: np.dtype[Any], zeros: bool = False) -> None:
    """Raise `FormatError` unless `values` has this shape and type and holds no NaN; no 0 either, unless `zeros`."""
    check_part(name, values, shape, dtype)
    if dtype.kind == "f" and np.isnan(values).any():
        raise FormatError(f"{name} hold a NaN")
    if not zeros and not values.all():
        raise FormatError(f"{name} hold a zero")


def check_cells(lines: Ints, positions: Ints, length: int) -> None:
    """Raise `FormatError` unless the cells (line, position) increase, and positions stay below `length`."""
    cells = _cells(lines, positions, length)
    if np.any(cells[1:] <= cells[:-1]):
        raise FormatError("indices must increase within a list")


def check_distinct_cells(lines: Ints, positions: Ints, length: int) -> None:
    """Raise `FormatError` where a cell (line, position) comes twice, or a position is not below `length`."""
    cells = np.sort(_cells(lines, positions, length))
    if np.any(cells[1:] == cells[:-1]):
        raise FormatError("two lists hold the same entry")


def _cells(lines: Ints, positions: Ints, length: int) -> npt.NDArray[np.uint64]:
    if positions.size and int(positions.max()) >= length:
        raise FormatError(f"index {positions.max()} is not below {length}")
    return lines.astype(np.uint64) * np.uint64(length) + positions.astype(np.uint64)


def zeros(shape: tuple[int, int], dtype: np.dtype[Any]) -> Matrix:
    """The zero matrix. FormatError where memory does not hold it: sparse parts of a few bytes may claim any shape."""
    reason = f"a dense matrix {shape} of {dtype} does not fit in memory"
    if shape[0] * shape[1] * dtype.itemsize > _memory():  # an allocation may succeed, and the first write fail
        raise FormatError(reason)
    try:
        return np.zeros(shape, dtype)
    except MemoryError:
        raise FormatError(reason) from None


def _memory() -> int:
    """Bytes of this machine's memory, or of the address space where it does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


def lists_of(codes: npt.NDArray[np.integer]) -> tuple[Ints, Ints, Ints, Ints]:
    """Positions of equal nonzero codes in each line of an array of non-negative codes (lines, length).

    Returns:
        Line and code of each list, int64 (lists,), ordered by line, then code; where they start (lists + 1,);
        positions in the line (nonzero codes,), increasing in each list.
    """
    lines, positions = np.nonzero(codes)
    found = codes[lines, positions].astype(np.int64)
    key = lines * (int(found.max(initial=0)) + 1) + found
    order = np.argsort(key, kind="stable")
    key = key[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    heads = order[first]
    starts = np.append(first, key.size).astype(np.int64)
    return lines[heads].astype(np.int64), found[heads], starts, positions[order].astype(np.int64)


def segment_sums(terms: Matrix, starts: Ints) -> Matrix:
    """Sum of each of the consecutive lists that `starts` (lists + 1,) cuts all `terms` into; 0 for an empty one."""
    sums = np.zeros(starts.size - 1, terms.dtype)
    filled = np.flatnonzero(starts[1:] > starts[:-1])
    if filled.size:
        sums[filled] = np.add.reduceat(terms, starts[filled])
    return sums


def scatter_sums(terms: Matrix, places: Ints, size: int) -> Matrix:
    """Array of `size` sums, `terms[i]` being added at `places[i]`; int64 or float64, as the terms."""
    if terms.dtype.kind == "f":
        sums = np.bincount(places, weights=terms, minlength=size)
        return sums.astype(np.float64, copy=False)  # of no terms it makes integers
    exact = np.zeros(size, terms.dtype)
    np.add.at(exact, places, terms)  # bincount would add in float64
    return exact


def product(
    encoded: Encoded,
    values: tuple[Matrix, ...],
    x: npt.ArrayLike,
    one: Callable[[Matrix], Matrix],
    decode: Callable[[], Matrix],
) -> Matrix:
    """x^T W, arguments and result as `dense_product`.

    Args:
        encoded: W.
        values: every stored value.
        one: the product (m,) with a single x (n,) of int64 or float64, in the type of x.
        decode: W itself, for a product with infinities.
    """
    n, m = encoded.shape
    # The product with a matrix of no columns says whether x fits, and of which type the sums are.
    wide = dense_product(np.empty((n, 0), encoded.dtype), x).dtype
    x = np.asarray(x)
    if not all(np.isfinite(part).all() for part in (x, *values)):
        return dense_product(decode(), x)
    result = np.empty((*x.shape[:-1], m), wide)
    with np.errstate(over="ignore", invalid="ignore"):  # sums may leave float64, as those of a dense product
        for row, sums in zip(np.atleast_2d(x).astype(wide), np.atleast_2d(result), strict=True):
            sums[:] = one(row)
    return result
