"""CSC: compressed sparse columns, as compared with in arXiv 2007.07967 and 2108.12704."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Codec, Encoded, Matrix, as_matrix, check_part
from headrace.codecs.shac import Indices, index_type
from headrace.codecs.sparse import (
    Counts,
    Ints,
    check_cells,
    check_starts,
    check_values,
    count_type,
    product,
    segment_sums,
    starts_of,
    zeros,
)

HEADER_BYTES = 4 + 4 + 1 + 1
"""Bytes counted for n, m, entry type and type of the starts."""


@dataclass(frozen=True, eq=False)
class CscEncoded(Encoded):
    """A matrix as CSC.

    Attributes:
        values: the nonzeros of column 0, then column 1, ..., (nonzeros,).
        ri: row of each, `index_type(n)` (nonzeros,), increasing within a column.
        starts: where each column starts among the nonzeros, and their number, `count_type(nonzeros)` (m + 1,).
    """

    values: Matrix
    ri: Indices
    starts: Counts

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `values` in the entry type, `ri`, `starts`."""
        return {
            "header": HEADER_BYTES,
            "values": self.values.nbytes,
            "ri": self.ri.nbytes,
            "starts": self.starts.nbytes,
        }


@dataclass(frozen=True)
class Csc(Codec[CscEncoded]):
    """The CSC codec."""

    name: ClassVar[str] = "csc"

    def encode(self, W: npt.ArrayLike) -> CscEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        n, m = matrix.shape
        return CscEncoded((n, m), matrix.dtype, *compress(matrix.T))

    def decode(self, encoded: CscEncoded) -> Matrix:
        """See `Codec.decode`."""
        columns, rows, _ = _parts(encoded)
        W = zeros(encoded.shape, encoded.dtype)
        W[rows, columns] = encoded.values
        return W

    def product(self, encoded: CscEncoded, x: npt.ArrayLike) -> Matrix:
        """See `Codec.product`: one multiplication for each nonzero, a sum for each column."""
        _, rows, starts = _parts(encoded)

        def one(x: Matrix) -> Matrix:
            return segment_sums(x[rows] * encoded.values.astype(x.dtype), starts)

        return product(encoded, (encoded.values,), x, one, lambda: self.decode(encoded))


def compress(lines: Matrix) -> tuple[Matrix, Indices, Counts]:
    """Nonzeros of a matrix (lines, length), line after line, their positions in the line, and the lines' starts."""
    which, positions = np.nonzero(lines)
    starts = starts_of(np.bincount(which, minlength=lines.shape[0]))
    return lines[which, positions], positions.astype(index_type(lines.shape[1])), starts.astype(count_type(which.size))


def expand(
    values: Matrix, positions: Indices, starts: Counts, shape: tuple[int, int], dtype: np.dtype
) -> tuple[Ints, Ints, Ints]:
    """Line and position of each nonzero, and the starts, all int64, of what `compress` made of a matrix of this shape.

    Raises:
        FormatError: the parts do not fit together.
    """
    check_values("values", values, (values.size,), dtype)
    wide = check_starts("starts", starts, shape[0], values.size)
    check_part("indices", positions, values.shape, index_type(shape[1]))
    lines = np.repeat(np.arange(shape[0], dtype=np.int64), np.diff(wide).astype(np.intp))
    check_cells(lines, positions.astype(np.int64), shape[1])
    return lines, positions.astype(np.int64), wide


def _parts(encoded: CscEncoded) -> tuple[Ints, Ints, Ints]:
    n, m = encoded.shape
    return expand(encoded.values, encoded.ri, encoded.starts, (m, n), encoded.dtype)
