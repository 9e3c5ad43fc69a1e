"""HAC and sHAC, decoded and multiplied by native kernels; and the dense int8 product to compare with."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from ..codecs.hac import HacEncoded
from ..codecs.prefix import Dictionary, Words
from ..codecs.shac import ShacEncoded
from ..errors import StreamError
from . import library
from .stream import PADDING

WINDOW = 12
LONGEST = 32


class _Book(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("table", "limits", "bases")),
        ("values", ctypes.c_int64),
    ]


class _Coded:
    """Words and code of a matrix, as the kernels take them. Keeps alive what it points to."""

    def __init__(self, dictionary: Dictionary, words: Words) -> None:
        self._library = library()
        lengths, codes = dictionary.lengths.astype(np.int64), dictionary.codes.astype(np.int64)
        table, limits, bases = (
            np.zeros(1 << WINDOW, np.uint32),
            np.zeros(LONGEST + 1, np.uint64),
            np.zeros(33, np.int64),
        )
        short = lengths <= WINDOW
        spans = 1 << (WINDOW - lengths[short])
        entries = np.repeat(lengths[short] | np.flatnonzero(short) << 6, spans)
        table[: entries.size] = entries
        limits[0] = not short.all()
        for length in range(1, LONGEST + 1):
            mine = np.flatnonzero(lengths == length)
            limits[length] = limits[length - 1] if length > 1 else 0
            if mine.size:
                limits[length] = (int(codes[mine[-1]]) + 1) << (LONGEST - length)
                bases[length] = mine[0] - codes[mine[0]]
        big_endian = words.astype(words.dtype.newbyteorder(">")).tobytes()
        data = np.frombuffer(big_endian + bytes(PADDING), np.uint8)
        book = _Book(table.ctypes.data, limits.ctypes.data, bases.ctypes.data, lengths.size)
        self._held = (table, limits, bases, data, book)
        self.arguments = [ctypes.byref(book), ctypes.c_void_p(data.ctypes.data), ctypes.c_int64(len(big_endian))]

    def kernel(self, name: str) -> Any:
        function = getattr(self._library, name)
        function.restype = ctypes.c_int64
        return function

    def ranks(self, count: int) -> npt.NDArray[np.uint32]:
        """(count,) dictionary entry of each codeword. StreamError where the words do not hold as many."""
        result = np.empty(count, np.uint32)
        found = self.kernel("hr_decode_ranks")(*self.arguments, ctypes.c_int64(count), _pointer(result))
        _check(found, count)
        return result


class HacKernel:
    """A matrix as HAC, made ready once; float32. Errors as `Hac.decode` where the parts do not fit each other."""

    def __init__(self, encoded: HacEncoded) -> None:
        encoded.dictionary.check(encoded.dtype)
        self.shape = encoded.shape
        self._coded = _Coded(encoded.dictionary, encoded.words)
        self._values = np.append(encoded.dictionary.values, 0).astype(np.float32)

    def ranks(self) -> npt.NDArray[np.uint32]:
        """(n m,) dictionary entry of each entry, column by column."""
        return self._coded.ranks(self.shape[0] * self.shape[1])

    def product(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """x^T W: (n,) to (m,)."""
        n, m = self.shape
        vector, y = _vector(x, n), np.zeros(m, np.float32)
        sizes = ctypes.c_int64(n), ctypes.c_int64(m)
        kernel = self._coded.kernel("hr_hac_product")
        _check(kernel(*self._coded.arguments, *sizes, _pointer(self._values), _pointer(vector), _pointer(y)), n * m)
        return y


class ShacKernel:
    """A matrix as sHAC, made ready once; float32. Errors as `Shac.decode` where the parts do not fit each other."""

    def __init__(self, encoded: ShacEncoded) -> None:
        encoded.dictionary.check(encoded.dtype)
        n, m = self.shape = encoded.shape
        self._counts, self._rows = encoded.counts.astype(np.int64), encoded.ri.astype(np.uint32)
        self._nonzeros = int(self._counts.sum())
        if self._counts.shape != (m,) or self._rows.shape != (self._nonzeros,) or np.any(self._rows >= n):
            raise StreamError("column counts and row indices do not fit the matrix")
        self._coded = _Coded(encoded.dictionary, encoded.words)
        self._values = np.append(encoded.dictionary.values, 0).astype(np.float32)

    def ranks(self) -> npt.NDArray[np.uint32]:
        """(nonzeros,) dictionary entry of each nonzero, column by column."""
        return self._coded.ranks(self._nonzeros)

    def product(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """x^T W: (n,) to (m,)."""
        n, m = self.shape
        vector, y = _vector(x, n), np.zeros(m, np.float32)
        kernel = self._coded.kernel("hr_shac_product")
        found = kernel(
            *self._coded.arguments,
            ctypes.c_int64(m),
            *map(_pointer, (self._counts, self._rows, self._values, vector, y)),
        )
        _check(found, self._nonzeros)
        return y


def dense_int8(W: npt.NDArray[np.int8], x: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """W x without compression: W int8 (m, n), x int8 (n,), sums of 32 bits."""
    matrix, vector = np.ascontiguousarray(W, np.int8), x.astype(np.int16)
    if matrix.ndim != 2 or vector.shape != (matrix.shape[1],):
        raise ValueError(f"shapes {matrix.shape} and {vector.shape} do not match")
    y = np.zeros(len(matrix), np.int32)
    sizes = ctypes.c_int64(len(matrix)), ctypes.c_int64(vector.size)
    library().hr_dense_int8(_pointer(matrix), *sizes, _pointer(vector), _pointer(y))
    return y


def _vector(x: npt.NDArray[np.float32], n: int) -> npt.NDArray[np.float32]:
    vector = np.ascontiguousarray(x, np.float32)
    if vector.shape != (n,):
        raise ValueError(f"x has shape {vector.shape}, must be ({n},)")
    return vector


def _check(found: int, count: int) -> None:
    if found != count:
        raise StreamError(f"the words hold {found} of {count} codewords")


def _pointer(array: Any) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
