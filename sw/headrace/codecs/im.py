"""IM: index map, the number of its centre for every entry (arXiv 2007.07967 and 2108.12704, after Han et al. 2015)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from headrace.bits import pack_bits
from headrace.codecs.base import Codec, Encoded, Matrix, alphabet, as_matrix, check_part, dense_product
from headrace.codecs.sparse import Ints, check_values, zeros
from headrace.errors import FormatError, StreamError

HEADER_BYTES = 4 + 4 + 1 + 8
"""Bytes counted for n, m, entry type and number of centres."""

_CHUNK = 1 << 20  # entries looked up at a time


@dataclass(frozen=True, eq=False)
class ImEncoded(Encoded):
    """A matrix as an index map.

    Attributes:
        packed: uint8 (ceil(n m b / 8),), the index of each entry in b = ceil(log2 k) bits, column 0, then column 1 and
            so on, most significant bit first, no padding but zeros in the last byte. Nothing where k = 1.
        centres: the distinct values, increasing, (k,).
    """

    packed: npt.NDArray[np.uint8]
    centres: Matrix

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `centres` in the entry type, `packed`."""
        return {"header": HEADER_BYTES, "centres": self.centres.nbytes, "packed": self.packed.nbytes}

    @property
    def index_bits(self) -> int:
        """b, bits of an index: 0 for one centre (or none)."""
        return max(self.centres.size - 1, 0).bit_length()


@dataclass(frozen=True)
class Im(Codec[ImEncoded]):
    """The IM codec."""

    name: ClassVar[str] = "im"

    def encode(self, W: npt.ArrayLike) -> ImEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        centres, _, index = alphabet(matrix.ravel(order="F"))
        bits = max(centres.size - 1, 0).bit_length()
        packed, _ = pack_bits(index, np.full(index.size, bits, np.int64))
        return ImEncoded((matrix.shape[0], matrix.shape[1]), matrix.dtype, packed, centres)

    def decode(self, encoded: ImEncoded) -> Matrix:
        """See `Codec.decode`."""
        _check(encoded)
        n, m = encoded.shape
        W = zeros((n, m), encoded.dtype)
        for first, columns in _columns(encoded):
            W[:, first : first + columns.shape[1]] = columns
        return W

    def product(self, encoded: ImEncoded, x: npt.ArrayLike) -> Matrix:
        """See `Codec.product`: some columns at a time are looked up and multiplied."""
        _check(encoded)
        empty = dense_product(np.empty((encoded.shape[0], 0), encoded.dtype), x)
        return np.concatenate([empty, *(dense_product(columns, x) for _, columns in _columns(encoded))], axis=-1)


def _check(encoded: ImEncoded) -> None:
    entries, centres = encoded.shape[0] * encoded.shape[1], encoded.centres
    check_values("centres", centres, (centres.size,), encoded.dtype, zeros=True)
    if np.any(centres[1:] <= centres[:-1]):
        raise FormatError("centres must increase")
    if (entries == 0) != (centres.size == 0):
        raise FormatError(f"{entries} entries cannot have {centres.size} centres")
    total = entries * encoded.index_bits
    check_part("packed indices", encoded.packed, (-(-total // 8),), np.uint8)
    if total % 8 and encoded.packed[-1] & ((1 << (-total % 8)) - 1):
        raise StreamError("padding after the last index is not zero")


def _columns(encoded: ImEncoded) -> Iterator[tuple[int, Matrix]]:
    """Consecutive blocks of W (n, some columns), each with the number of its first column; parts are checked."""
    n, m = encoded.shape
    if n == 0:
        yield 0, np.zeros((0, m), encoded.dtype)
        return
    step = max(1, _CHUNK // n)
    for first in range(0, m, step):
        count = min(step, m - first)
        index = _unpack(encoded.packed, encoded.index_bits, first * n, count * n)
        if int(index.max()) >= encoded.centres.size:
            raise StreamError(f"index {index.max()} is not that of one of {encoded.centres.size} centres")
        yield first, encoded.centres[index].reshape(count, n).T


def _unpack(packed: npt.NDArray[np.uint8], bits: int, first: int, count: int) -> Ints:
    """The `bits` <= 57 wide fields first .. first + count - 1 of a bit string, int64 (count,)."""
    if bits == 0:
        return np.zeros(count, np.int64)
    position = np.arange(count, dtype=np.int64) * bits + first * bits % 8
    base = first * bits // 8
    stop = base + (int(position[-1]) + bits + 7) // 8
    data = np.concatenate([packed[base:stop], np.zeros(8, np.uint8)])
    octets = np.ndarray((stop - base,), ">u8", data, 0, (1,))  # eight bytes from each byte on
    window = octets[position >> 3].astype(np.uint64)
    shift = (64 - bits - (position & 7)).astype(np.uint64)
    return ((window >> shift) & np.uint64((1 << bits) - 1)).astype(np.int64)
