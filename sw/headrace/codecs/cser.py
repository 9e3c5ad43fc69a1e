"""CSER: compressed shared elements row, lists of where each value occurs in each row of a matrix-vector product.

Source: Wiedemann, Mueller, Samek, "Compact and computationally efficient representation of deep neural networks", IEEE
TNNLS 2020 (arXiv 1805.10692). Their product is M x, ours x^T W, so their rows are our columns: the output neurons.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Codec, Encoded, Matrix, alphabet, as_matrix, check_part
from headrace.codecs.shac import Indices, index_type
from headrace.codecs.sparse import (
    Counts,
    Ints,
    check_cells,
    check_distinct_cells,
    check_starts,
    check_values,
    count_type,
    lists_of,
    product,
    segment_sums,
    starts_of,
    zeros,
)
from headrace.errors import FormatError

HEADER_BYTES = 4 + 4 + 1 + 8 + 1 + 1
"""Bytes counted for n, m, entry type, number of values, and types of both starts."""


@dataclass(frozen=True, eq=False)
class CserEncoded(Encoded):
    """A matrix as CSER. In the source's terms: Omega, Omega I, Omega Ptr, row Ptr and col I.

    Attributes:
        values: the distinct values by decreasing frequency, equal ones by increasing value, (k,). The first one, the
            most frequent, is that of all entries that no list names.
        which: value of each list, `count_type(k)` (lists,), increasing within a column of W.
        starts: where each list starts in `indices`, and their number, `count_type(indices)` (lists + 1,).
        column_starts: where the lists of each column start, and their number, `count_type(lists)` (m + 1,).
        indices: rows of W, `index_type(n)`, list after list, increasing in each.
    """

    values: Matrix
    which: Counts
    starts: Counts
    column_starts: Counts
    indices: Indices

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `values` in the entry type, `which`, `starts`, `column_starts`, `indices`."""
        return {
            "header": HEADER_BYTES,
            "values": self.values.nbytes,
            "which": self.which.nbytes,
            "starts": self.starts.nbytes,
            "column_starts": self.column_starts.nbytes,
            "indices": self.indices.nbytes,
        }


@dataclass(frozen=True)
class Cser(Codec[CserEncoded]):
    """The CSER codec."""

    name: ClassVar[str] = "cser"

    def encode(self, W: npt.ArrayLike) -> CserEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        n, m = matrix.shape
        values, counts, index = alphabet(matrix.ravel(order="F"))
        order = np.argsort(-counts, kind="stable")
        rank = np.empty(order.size, np.int64)
        rank[order] = np.arange(order.size)
        columns, which, starts, indices = lists_of(rank[index].reshape(m, n))
        column_starts = starts_of(np.bincount(columns, minlength=m))
        return CserEncoded(
            (n, m),
            matrix.dtype,
            values[order],
            which.astype(count_type(values.size)),
            starts.astype(count_type(indices.size)),
            column_starts.astype(count_type(which.size)),
            indices.astype(index_type(n)),
        )

    def decode(self, encoded: CserEncoded) -> Matrix:
        """See `Codec.decode`."""
        which, columns, starts, _, rows = _parts(encoded)
        W = zeros(encoded.shape, encoded.dtype)
        if W.size:
            W[:] = encoded.values[0]
        lengths = np.diff(starts)
        W[rows, np.repeat(columns, lengths)] = np.repeat(encoded.values[which], lengths)
        return W

    def product(self, encoded: CserEncoded, x: npt.ArrayLike) -> Matrix:
        """See `Codec.product`: x is summed over each list, then multiplied once (the distributive law).

        The sum of the entries that no list names is that of all x minus that of the lists, so where the most frequent
        value is w, not 0, the result errs by up to about 2**-52 n |w| sum(|x|), whatever the entries at large x.
        """
        which, _, starts, column_starts, rows = _parts(encoded)

        def one(x: Matrix) -> Matrix:
            values = encoded.values.astype(x.dtype)
            sums = segment_sums(x[rows], starts)
            result = segment_sums(values[which] * sums, column_starts)
            if values.size and values[0] != 0:
                result += values[0] * (x.sum() - segment_sums(sums, column_starts))
            return result

        return product(encoded, (encoded.values,), x, one, lambda: self.decode(encoded))


def _parts(encoded: CserEncoded) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Value and column of each list, starts of lists and columns, and indices, all int64; FormatError if they do not
    fit together."""
    (n, m), values = encoded.shape, encoded.values
    check_values("values", values, (values.size,), encoded.dtype, zeros=True)
    if np.unique(values).size != values.size:
        raise FormatError("a value comes twice")
    if (n * m == 0) != (values.size == 0):
        raise FormatError(f"{n} x {m} entries cannot have {values.size} values")
    check_part("values of lists", encoded.which, (encoded.which.size,), count_type(values.size))
    which = encoded.which.astype(np.int64)
    if which.size and (which.min() < 1 or which.max() >= values.size):
        raise FormatError(f"values of lists must lie in 1 .. {values.size - 1}")
    starts = check_starts("starts of lists", encoded.starts, which.size, encoded.indices.size)
    column_starts = check_starts("starts of columns", encoded.column_starts, m, which.size)
    check_part("indices", encoded.indices, (encoded.indices.size,), index_type(n))
    rows = encoded.indices.astype(np.int64)
    lengths = np.diff(starts)
    if np.any(lengths == 0):
        raise FormatError("a list is empty")
    columns = np.repeat(np.arange(m, dtype=np.int64), np.diff(column_starts))
    check_cells(columns, which, max(values.size, 1))
    check_cells(np.repeat(np.arange(which.size, dtype=np.int64), lengths), rows, n)
    check_distinct_cells(np.repeat(columns, lengths), rows, n)
    return which, columns, starts, column_starts, rows
