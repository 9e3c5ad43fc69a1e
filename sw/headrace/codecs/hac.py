"""HAC: Huffman address map over all entries, zeros included (arXiv 2007.07967 and 2108.12704)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headrace.codecs.base import Codec, Encoded, Matrix, alphabet, as_matrix, check_part
from headrace.codecs.prefix import Dictionary, Words, check_word_bits, column_ends, decode_ranks, encode_ranks
from headrace.errors import StreamError

HEADER_BYTES = 4 + 4 + 1 + 1 + 1
"""Bytes counted for n, m, entry type, word size and longest code length."""


@dataclass(frozen=True, eq=False)
class HacEncoded(Encoded):
    """A matrix as HAC.

    Attributes:
        words: uint32 or uint64, codewords of column 0, then column 1, ..., no padding in between.
        dictionary: canonical code over all distinct values.
        ends: exclusive end bit of each column, uint32 (m,), uint64 from 2**32 bits on. For direct access to a column;
            decoding does not need it, so it is not part of `nbytes`. None where it was dropped.
    """

    words: Words
    dictionary: Dictionary
    ends: npt.NDArray[np.unsignedinteger] | None = None

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `dictionary` (values in the entry type, 4 for each code length), `words`."""
        return {"header": HEADER_BYTES, "dictionary": self.dictionary.nbytes, "words": self.words.nbytes}

    @property
    def access_nbytes(self) -> int:
        """Bytes of the column ends."""
        return 0 if self.ends is None else self.ends.nbytes


@dataclass(frozen=True)
class Hac(Codec[HacEncoded]):
    """The HAC codec.

    Attributes:
        word_bits: b, 32 or 64.
    """

    word_bits: int = 32

    def __post_init__(self) -> None:
        check_word_bits(self.word_bits)

    @property
    def name(self) -> str:
        """`hac` for words of 32 bits, `hac64` for words of 64."""
        return "hac" if self.word_bits == 32 else f"hac{self.word_bits}"

    def encode(self, W: npt.ArrayLike) -> HacEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        n, m = matrix.shape
        values, counts, index = alphabet(matrix.ravel(order="F"))
        dictionary, rank = Dictionary.build(values, counts)
        ranks = rank[index]
        ends = column_ends(dictionary, ranks, np.full(m, n, np.int64))
        return HacEncoded((n, m), matrix.dtype, encode_ranks(dictionary, ranks, self.word_bits), dictionary, ends)

    def decode(self, encoded: HacEncoded) -> Matrix:
        """See `Codec.decode`. Column ends, where present, are verified."""
        n, m = encoded.shape
        encoded.dictionary.check(encoded.dtype)
        ranks = decode_ranks(encoded.dictionary, encoded.words, n * m)
        if encoded.ends is not None:
            ends = column_ends(encoded.dictionary, ranks, np.full(m, n, np.int64))
            check_part("column ends", encoded.ends, ends.shape, ends.dtype)
            if np.any(ends != encoded.ends):
                raise StreamError("columns do not end where the column ends say")
        return np.ascontiguousarray(encoded.dictionary.values[ranks].reshape(m, n).T)
