"""Several codes for one layer: which row is sent in which, so that rows of a kind share a code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .isa import LITERAL_BITS, MAX_CODE_LENGTH
from .stream import row_symbols

IntArray = npt.NDArray[np.int64]

ROUNDS = 12
PART_OF_BIT = 64
"""Lengths are rounded to that part: sums are those of integers, the same on every machine."""


def choose_tables(sent: npt.NDArray[np.integer], tables: int, longest_run: int) -> IntArray:
    """Code of each row, by least bits.

    Rows start out sorted by their number of nonzeros; then, in turn, each code is fitted to its rows, and each row goes
    to the code in which it is shortest.

    Args:
        sent: weights or differences (M, K).
        tables: number of codes, at least 1.
        longest_run: as for `stream.encode_layer`.

    Returns:
        int64 (M,), numbers below `tables`, the first of them in use without a gap.

    Source: the iteration is that of Lloyd's k-means with code lengths for distances, as in the entropy-constrained
    quantiser of Chou, Lookabaugh and Gray, IEEE Trans. ASSP 37(1), 1989.
    """
    words, starts = row_symbols(sent, longest_run)
    rows = len(sent)
    if tables == 1 or rows <= tables:
        return np.zeros(rows, np.int64)
    _, symbol = np.unique(words, return_inverse=True)
    kinds = int(symbol.max()) + 1
    rank = np.empty(rows, np.int64)
    rank[np.argsort(np.count_nonzero(sent, axis=1), kind="stable")] = np.arange(rows)
    chosen: IntArray = rank * tables // rows
    row_of = np.repeat(np.arange(rows), np.diff(starts))
    for _ in range(ROUNDS):
        bits = np.empty((tables, rows), np.int64)
        for table in range(tables):
            uses = np.bincount(symbol[chosen[row_of] == table], minlength=kinds)
            with np.errstate(divide="ignore"):
                length = np.log2(max(int(uses.sum()), 1)) - np.log2(uses)
            length = np.round(PART_OF_BIT * np.minimum(length, MAX_CODE_LENGTH + LITERAL_BITS)).astype(np.int64)
            bits[table] = np.add.reduceat(length[symbol], starts[:-1])
        better = np.argmin(bits, axis=0)
        if np.array_equal(better, chosen):
            break
        chosen = better
    return np.unique(chosen, return_inverse=True)[1].astype(np.int64)
