"""sHAC: sparse Huffman address map, codes of the nonzeros and their rows (arXiv 2007.07967 and 2108.12704)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Codec, Encoded, Matrix, alphabet, as_matrix, check_part
from headrace.codecs.hac import HEADER_BYTES
from headrace.codecs.prefix import Dictionary, Words, check_word_bits, column_ends, decode_ranks, encode_ranks
from headrace.errors import FormatError, StreamError

Indices = npt.NDArray[np.unsignedinteger]


def index_type(n: int) -> np.dtype[np.unsignedinteger]:
    """Type that holds integers up to n, such as the row indices of a matrix of n rows: 1 byte if n < 256, 2 if
    n < 65536, else 4."""
    return np.dtype(np.uint8 if n < 1 << 8 else np.uint16 if n < 1 << 16 else np.uint32)


@dataclass(frozen=True, eq=False)
class ShacEncoded(Encoded):
    """A matrix as sHAC.

    Attributes:
        words: uint32 or uint64, codewords of the nonzeros of column 0, then column 1, ..., no padding in between.
        dictionary: canonical code over the distinct nonzero values.
        ri: row of each nonzero, `index_type(n)` (nonzeros,), increasing within a column.
        counts: nonzeros of each column, (m,), `index_type` of the largest (the papers count b_I bits, as for a row).
        ends: exclusive end bit of each column, uint32 (m,), uint64 from 2**32 bits on. For direct access to a column;
            decoding does not need it, so it is not part of `nbytes`. None where it was dropped.
    """

    words: Words
    dictionary: Dictionary
    ri: Indices
    counts: Indices
    ends: Indices | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `dictionary` (values in the entry type, 4 for each code length), `words`, `ri`, `counts`."""
        return {
            "header": HEADER_BYTES + 1,  # type of the counts
            "dictionary": self.dictionary.nbytes,
            "words": self.words.nbytes,
            "ri": self.ri.nbytes,
            "counts": self.counts.nbytes,
        }

    @property
    def access_nbytes(self) -> int:
        """Bytes of the column ends."""
        return 0 if self.ends is None else self.ends.nbytes


@dataclass(frozen=True)
class Shac(Codec[ShacEncoded]):
    """The sHAC codec.

    Attributes:
        word_bits: b, 32 or 64.
    """

    word_bits: int = 32

    def __post_init__(self) -> None:
        check_word_bits(self.word_bits)

    @property
    def name(self) -> str:
        """`shac` for words of 32 bits, `shac64` for words of 64."""
        return "shac" if self.word_bits == 32 else f"shac{self.word_bits}"

    def encode(self, W: npt.ArrayLike) -> ShacEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        columns, ri = np.nonzero(matrix.T)
        values, counts, index = alphabet(matrix[ri, columns])
        dictionary, rank = Dictionary.build(values, counts)
        ranks = rank[index]
        per_column = np.bincount(columns, minlength=matrix.shape[1])
        return ShacEncoded(
            (matrix.shape[0], matrix.shape[1]),
            matrix.dtype,
            encode_ranks(dictionary, ranks, self.word_bits),
            dictionary,
            ri.astype(index_type(matrix.shape[0])),
            per_column.astype(index_type(per_column.max(initial=0))),
            column_ends(dictionary, ranks, per_column),
        )

    def decode(self, encoded: ShacEncoded) -> Matrix:
        """See `Codec.decode`. Column ends, where present, are verified."""
        n, m = encoded.shape
        encoded.dictionary.check(encoded.dtype)
        counts = encoded.counts.astype(np.int64)
        check_part("column counts", encoded.counts, (m,), index_type(counts.max(initial=0)))
        nonzeros = int(counts.sum())
        check_part("row indices", encoded.ri, (nonzeros,), index_type(n))
        rows = encoded.ri.astype(np.int64)
        columns = np.repeat(np.arange(m), counts.astype(np.intp))
        cells = columns.astype(np.int64) * n + rows  # positions in column order
        if nonzeros and (rows.max() >= n or np.any(np.diff(cells) <= 0)):
            raise FormatError("row indices must increase within a column and stay below the number of rows")
        ranks = decode_ranks(encoded.dictionary, encoded.words, nonzeros)
        if encoded.ends is not None:
            ends = column_ends(encoded.dictionary, ranks, counts)
            check_part("column ends", encoded.ends, ends.shape, ends.dtype)
            if np.any(ends != encoded.ends):
                raise StreamError("columns do not end where the column ends say")
        W = np.zeros((n, m), encoded.dtype)
        W[rows, columns] = encoded.dictionary.values[ranks]
        return W
