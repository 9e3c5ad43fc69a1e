"""COO: coordinates, the row, column and value of each nonzero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Codec, Encoded, Matrix, as_matrix, check_part
from headrace.codecs.shac import Indices, index_type
from headrace.codecs.sparse import Ints, check_cells, check_values, product, scatter_sums, zeros
from headrace.errors import FormatError

HEADER_BYTES = 4 + 4 + 1 + 8
"""Bytes counted for n, m, entry type and number of nonzeros."""


@dataclass(frozen=True, eq=False)
class CooEncoded(Encoded):
    """A matrix as COO.

    Attributes:
        values: the nonzeros of column 0, then column 1, ..., (nonzeros,).
        ri: row of each, `index_type(n)` (nonzeros,), increasing within a column.
        ci: column of each, `index_type(m)` (nonzeros,).
    """

    values: Matrix
    ri: Indices
    ci: Indices

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `values` in the entry type, `ri`, `ci`."""
        return {"header": HEADER_BYTES, "values": self.values.nbytes, "ri": self.ri.nbytes, "ci": self.ci.nbytes}


@dataclass(frozen=True)
class Coo(Codec[CooEncoded]):
    """The COO codec."""

    name: ClassVar[str] = "coo"

    def encode(self, W: npt.ArrayLike) -> CooEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        n, m = matrix.shape
        columns, rows = np.nonzero(matrix.T)
        ri, ci = rows.astype(index_type(n)), columns.astype(index_type(m))
        return CooEncoded((n, m), matrix.dtype, matrix[rows, columns], ri, ci)

    def decode(self, encoded: CooEncoded) -> Matrix:
        """See `Codec.decode`."""
        rows, columns = _parts(encoded)
        W = zeros(encoded.shape, encoded.dtype)
        W[rows, columns] = encoded.values
        return W

    def product(self, encoded: CooEncoded, x: npt.ArrayLike) -> Matrix:
        """See `Codec.product`: one multiplication for each nonzero, added to the sum of its column."""
        rows, columns = _parts(encoded)

        def one(x: Matrix) -> Matrix:
            return scatter_sums(x[rows] * encoded.values.astype(x.dtype), columns, encoded.shape[1])

        return product(encoded, (encoded.values,), x, one, lambda: self.decode(encoded))


def _parts(encoded: CooEncoded) -> tuple[Ints, Ints]:
    n, m = encoded.shape
    check_values("values", encoded.values, (encoded.values.size,), encoded.dtype)
    check_part("row indices", encoded.ri, encoded.values.shape, index_type(n))
    check_part("column indices", encoded.ci, encoded.values.shape, index_type(m))
    rows, columns = encoded.ri.astype(np.int64), encoded.ci.astype(np.int64)
    check_cells(columns, rows, n)
    if columns.size and int(columns[-1]) >= m:  # columns do not decrease
        raise FormatError(f"column index {columns[-1]} is not below {m}")
    return rows, columns
