"""HAC and sHAC, decoded and multiplied by native kernels; and the dense int8 product to compare with."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..codecs.base import Matrix
from ..codecs.hac import HacEncoded
from ..codecs.prefix import Dictionary, Words
from ..codecs.shac import ShacEncoded
from ..errors import FormatError, StreamError
from . import library
from .stream import PADDING

WINDOW = 12
LONGEST = 32


class _Book(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("table", "limits", "bases")),
        ("values", ctypes.c_int64),
    ]


class _Words(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_int64), ("word_bytes", ctypes.c_int64)]


class _Coded:
    """Words of `count` codewords and their code, as the kernels take them. Keeps alive what it points to."""

    def __init__(self, dictionary: Dictionary, dtype: np.dtype, words: Words, count: int) -> None:
        dictionary.check(dtype)
        if words.ndim != 1 or words.dtype not in (np.uint32, np.uint64):
            raise FormatError(f"words must be uint32 or uint64 (count,), found {words.dtype} {words.shape}")
        if not 0 <= count <= 8 * words.nbytes:  # before anything is allocated for them
            raise StreamError(f"the words hold at most {8 * words.nbytes} of {count} codewords")
        self._library, self._count = library(), count
        table, limits, bases = decode_tables(dictionary)
        big_endian = words.astype(words.dtype.newbyteorder(">")).tobytes()
        data = np.frombuffer(big_endian + bytes(PADDING), np.uint8)
        book = _Book(table.ctypes.data, limits.ctypes.data, bases.ctypes.data, dictionary.values.size)
        stored = _Words(data.ctypes.data, len(big_endian), words.itemsize)
        self._held: list[Any] = [table, limits, bases, data, book, stored]
        self._arguments = [ctypes.byref(book), ctypes.byref(stored)]

    def bind(self, name: str, *arguments: int | npt.NDArray[Any]) -> Callable[[], None]:
        """A function that calls a kernel of the library, and raises what bad words mean; arrays are kept alive."""
        self._held += arguments
        kernel = getattr(self._library, name)
        kernel.restype = ctypes.c_int64
        call = partial(kernel, *self._arguments, *map(_argument, arguments))

        def run() -> None:
            found = call()
            if found < 0:
                raise StreamError(f"the words go on after the last of {self._count} codewords")
            if found != self._count:
                raise StreamError(f"the words hold {found} of {self._count} codewords")

        return run

    def ranks(self) -> npt.NDArray[np.uint32]:
        """(count,) dictionary entry of each codeword. StreamError where the words do not hold as many."""
        result = np.empty(self._count, np.uint32)
        _Coded.bind(self, "hr_decode_ranks", self._count, result)()
        del self._held[-2:]  # the result is the caller's alone
        return result


def decode_tables(dictionary: Dictionary) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Table, limits and bases of `Book` in kernels.h, for a dictionary that passed its check."""
    lengths, codes = dictionary.lengths.astype(np.int64), dictionary.codes.astype(np.int64)
    table = np.zeros(1 << WINDOW, np.uint32)
    limits, bases = np.zeros(LONGEST + 1, np.uint64), np.zeros(LONGEST + 1, np.int64)
    short = lengths <= WINDOW
    entries = np.repeat(lengths[short] | np.flatnonzero(short) << 6, 1 << (WINDOW - lengths[short]))
    table[: entries.size] = entries  # canonical: codewords of up to 12 bits come first
    limits[0] = not short.all()
    for length in range(1, LONGEST + 1):
        mine = np.flatnonzero(lengths == length)
        limits[length] = limits[length - 1] if length > 1 else 0
        if mine.size:
            limits[length] = (int(codes[mine[-1]]) + 1) << (LONGEST - length)
            bases[length] = mine[0] - codes[mine[0]]
    return table, limits, bases


class _Kernel:
    """A coded matrix (n, m), with memory for one product."""

    shape: tuple[int, int]
    _coded: _Coded
    _run: Callable[[], None]

    def _vectors(self, values: Matrix) -> tuple[npt.NDArray[np.float32], ...]:
        """Values, x and y of a kernel's arguments."""
        n, m = self.shape
        self._x, self._y = np.zeros(n, np.float32), np.zeros(m, np.float32)
        return values.astype(np.float32), self._x, self._y

    def ranks(self) -> npt.NDArray[np.uint32]:
        """(count,) dictionary entry of each codeword: of all entries (HAC) or the nonzeros (sHAC), column by column."""
        return self._coded.ranks()

    def product(self, x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """x^T W: (n,) to (m,). ValueError for another shape. One caller at a time."""
        vector = np.asarray(x, np.float32)
        if vector.shape != self._x.shape:
            raise ValueError(f"x has shape {vector.shape}, must be {self._x.shape}")
        self._x[:] = vector
        self._run()
        return self._y.copy()


class HacKernel(_Kernel):
    """A matrix as HAC, made ready once; float32. Column ends are not looked at.

    Raises NativeError where there are no native kernels, FormatError or StreamError where the parts do not fit each
    other; its methods raise StreamError for damaged words.
    """

    def __init__(self, encoded: HacEncoded) -> None:
        n, m = self.shape = encoded.shape
        self._coded = _Coded(encoded.dictionary, encoded.dtype, encoded.words, n * m)
        self._run = self._coded.bind("hr_hac_product", n, m, *self._vectors(encoded.dictionary.values))


class ShacKernel(_Kernel):
    """A matrix as sHAC, made ready once; float32. Errors as of `HacKernel`."""

    def __init__(self, encoded: ShacEncoded) -> None:
        n, m = self.shape = encoded.shape
        if encoded.counts.dtype.kind != "u" or encoded.counts.shape != (m,) or encoded.ri.dtype.kind != "u":
            raise StreamError("column counts and row indices do not fit the matrix")
        counts = encoded.counts.astype(np.int64)
        nonzeros = int(counts.sum())
        if encoded.ri.shape != (nonzeros,) or counts.max(initial=0) > n or encoded.ri.max(initial=0) >= max(n, 1):
            raise StreamError("column counts and row indices do not fit the matrix")
        cells = np.repeat(np.arange(m) * n, counts) + encoded.ri.astype(np.int64)
        if np.any(np.diff(cells) <= 0):
            raise StreamError("row indices do not increase within a column")
        self._coded = _Coded(encoded.dictionary, encoded.dtype, encoded.words, nonzeros)
        vectors = self._vectors(encoded.dictionary.values)
        self._run = self._coded.bind("hr_shac_product", m, counts, encoded.ri.astype(np.uint32), *vectors)


def dense_int8(W: npt.NDArray[np.int8], x: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
    """W x without compression: W int8 (m, n), x int8 (n,), sums of 32 bits."""
    matrix, vector = np.ascontiguousarray(W, np.int8), x.astype(np.int16)
    if matrix.ndim != 2 or vector.shape != (matrix.shape[1],):
        raise ValueError(f"shapes {matrix.shape} and {vector.shape} do not match")
    y = np.zeros(len(matrix), np.int32)
    library().hr_dense_int8(*(_argument(part) for part in (matrix, len(matrix), vector.size, vector, y)))
    return y


def _argument(argument: int | npt.NDArray[Any]) -> Any:
    return ctypes.c_int64(argument) if isinstance(argument, int) else ctypes.c_void_p(argument.ctypes.data)
