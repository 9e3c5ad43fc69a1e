"""CSR: compressed sparse rows, as compared with in arXiv 2007.07967 and 2108.12704."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy.typing as npt

from headrace.codecs.base import Codec, Encoded, Matrix, as_matrix
from headrace.codecs.csc import HEADER_BYTES, compress, expand
from headrace.codecs.shac import Indices
from headrace.codecs.sparse import Counts, Ints, product, scatter_sums, zeros


@dataclass(frozen=True, eq=False)
class CsrEncoded(Encoded):
    """A matrix as CSR.

    Attributes:
        values: the nonzeros of row 0, then row 1, ..., (nonzeros,).
        ci: column of each, `index_type(m)` (nonzeros,), increasing within a row.
        starts: where each row starts among the nonzeros, and their number, `count_type(nonzeros)` (n + 1,).
    """

    values: Matrix
    ci: Indices
    starts: Counts

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `values` in the entry type, `ci`, `starts`."""
        return {
            "header": HEADER_BYTES,
            "values": self.values.nbytes,
            "ci": self.ci.nbytes,
            "starts": self.starts.nbytes,
        }


@dataclass(frozen=True)
class Csr(Codec[CsrEncoded]):
    """The CSR codec."""

    name: ClassVar[str] = "csr"

    def encode(self, W: npt.ArrayLike) -> CsrEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        n, m = matrix.shape
        return CsrEncoded((n, m), matrix.dtype, *compress(matrix))

    def decode(self, encoded: CsrEncoded) -> Matrix:
        """See `Codec.decode`."""
        rows, columns, _ = _parts(encoded)
        W = zeros(encoded.shape, encoded.dtype)
        W[rows, columns] = encoded.values
        return W

    def product(self, encoded: CsrEncoded, x: npt.ArrayLike) -> Matrix:
        """See `Codec.product`: one multiplication for each nonzero, added to the sum of its column."""
        rows, columns, _ = _parts(encoded)

        def one(x: Matrix) -> Matrix:
            return scatter_sums(x[rows] * encoded.values.astype(x.dtype), columns, encoded.shape[1])

        return product(encoded, (encoded.values,), x, one, lambda: self.decode(encoded))


def _parts(encoded: CsrEncoded) -> tuple[Ints, Ints, Ints]:
    return expand(encoded.values, encoded.ci, encoded.starts, encoded.shape, encoded.dtype)
