"""Decoding of lane streams, and products straight from them, native."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..code import END_BIT, RUN_SHIFT, VALUE_MASK, WINDOWS, Code
from ..errors import StreamError
from ..isa import BEAT_BYTES, ROW, SLOTS, VALUE_BITS
from ..stream_decode import MAX_WEIGHTS, decode_lane
from . import library

PADDING = 64  # this and ROOM as in kernels.h
ROOM = 4 * 256
MAX_LANES = 64
MAX_POSITIONS = (1 << 16) - 1
BATCHES = (1, 4, 8, 16)
"""Inputs that one pass over the streams can multiply."""

_TAP, _END, _ESCAPE, _NONE = (kind << 6 for kind in range(4))
_PAIR_HEADER = 0x8000


class _Input(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("data", "offsets", "sizes", "rows", "tables", "entries", "order")),
        ("lanes", ctypes.c_int32),
        ("table_count", ctypes.c_int32),
        ("positions", ctypes.c_int64),
    ]


def decode_table(codes: Sequence[Code]) -> npt.NDArray[np.uint32]:
    """What each 12-bit window decodes to in each code, and last in one without codewords, as stream.cpp takes it:
    (codes + 1, 4096).
    """
    table = np.full((len(codes) + 1, WINDOWS), _NONE, np.uint32)
    for number, code in enumerate(codes):
        length, index = code.lookup()
        words = code.entries.astype(np.int64)
        value = words & VALUE_MASK
        value -= (value >> (VALUE_BITS - 1)) << VALUE_BITS
        tap = _TAP | (words >> RUN_SHIFT & 255) << 8 | (value & 0xFFFF) << 16
        end = _END | (words & ((1 << ROW.width) - 1)) << 8
        entries = np.append(np.where((words & END_BIT) != 0, end, tap), _ESCAPE)
        known = length > 0
        table[number, known] = (entries[index] | length)[known]
    return table


class StreamKernel:
    """A layer's streams, made ready once to be decoded or multiplied many times.

    Args:
        codes, streams, lane_rows, lane_tables: as in `headrace.stream.EncodedLayer`.
        positions: K, at most 65,535.
        order: row of the result that each row is, lane by lane (M,); by default they follow each other.

    Raises:
        NativeError: there are no native kernels.
        StreamError: more lanes or positions than the kernels take, or parts that do not fit each other. The streams
            themselves are looked at when they are decoded.
    """

    def __init__(
        self,
        codes: Sequence[Code],
        streams: Sequence[bytes],
        lane_rows: Sequence[int],
        lane_tables: Sequence[int],
        positions: int,
        order: npt.ArrayLike | None = None,
    ) -> None:
        self._library = library()
        lanes, rows = len(streams), sum(lane_rows)
        if not len(lane_rows) == len(lane_tables) == lanes <= MAX_LANES:
            raise StreamError(f"the kernels take up to {MAX_LANES} lanes, each with rows and a code")
        if (
            min(lane_rows, default=0) < 0
            or not 0 <= positions <= MAX_POSITIONS
            or rows * max(positions, 1) > MAX_WEIGHTS
        ):
            raise StreamError(f"the kernels take no {rows} rows of {positions} positions")
        if any(len(stream) % BEAT_BYTES for stream in streams):
            raise StreamError("a stream is not of whole beats")
        self.codes, self.rows, self.positions = tuple(codes), rows, positions
        self._streams, self._lane_rows, self._lane_tables = tuple(streams), tuple(lane_rows), tuple(lane_tables)
        self._order = np.arange(rows, dtype=np.int64) if order is None else np.array(order, np.int64)
        if sorted(self._order.tolist()) != list(range(rows)):
            raise StreamError(f"order is not a permutation of {rows} rows")
        self._entries = decode_table(codes)

    def decode(self) -> npt.NDArray[np.int16]:
        """Weights (M, K). Errors as `headrace.stream_decode.decode_lane`."""
        weights = np.zeros(self.rows * self.positions + ROOM, np.int16)
        self.bind("hr_stream_rows", lambda _: [weights])()
        return weights[: self.rows * self.positions].reshape(self.rows, self.positions)

    def lane_symbols(self) -> list[npt.NDArray[np.uint32]]:
        """Every symbol of each lane: position (upper half) and 16-bit value of a tap; of the start of a row, 0x8000 and
        its `isa.ROW` in the lower half.
        """
        count, starts, counts, out = self._symbols()
        count()
        return [out[start : start + count] for start, count in zip(starts, counts, strict=True)]

    def symbol_counter(self) -> Callable[[], int]:
        """A function that decodes all symbols, into memory that it keeps, and returns how many there are."""
        decode, _, counts, _ = self._symbols()

        def count() -> int:
            decode()
            return int(counts.sum())

        return count

    def integer_product(self, x: npt.ArrayLike, threads: int = 1) -> npt.NDArray[np.int64]:
        """Sums of products, exact: x int32 or narrower (K,) to int64 (M,)."""
        vector = np.asarray(x)
        if vector.shape != (self.positions,) or vector.dtype.kind not in "biu" or vector.dtype.itemsize > 4:
            raise ValueError(f"x must be integers ({self.positions},) of at most 32 bits")
        if vector.dtype == np.uint32 and vector.size and vector.max() > np.iinfo(np.int32).max:
            raise ValueError("x must fit into 32 bits with a sign")
        padded = np.zeros(self.positions + ROOM, np.int32)
        padded[: self.positions] = vector
        y = np.zeros(self.rows, np.int64)
        self.bind("hr_stream_integer", lambda _: [padded, y], threads)()
        return y

    def bind(self, name: str, arguments: Callable[[Group], Sequence[Any]], threads: int = 1) -> Callable[[], None]:
        """A function that calls a kernel of the library for each group of lanes, and raises what a bad stream means.

        `arguments` gives the kernel's own arguments for a group, arrays among them, which are kept alive.
        """
        groups = self._split(threads)
        kernel = getattr(self._library, name)
        calls = []
        for group in groups:
            own = arguments(group)
            calls.append(([*group.before, *map(_pointer, own), *group.after], own))

        pool = ThreadPoolExecutor(len(calls) - 1) if len(calls) > 1 else None

        def run() -> None:
            others = [pool.submit(kernel, *call[0]) for call in calls[1:]] if pool is not None else []
            kernel(*calls[0][0])
            for other in others:
                other.result()
            for group in groups:
                if group.status.any():
                    self._raise(group.first_lane + int(np.flatnonzero(group.status)[0]))

        return run

    def _symbols(
        self,
    ) -> tuple[Callable[[], None], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
        """A function that decodes all symbols; where each lane's start, how many they are, and all of them."""
        sizes = np.array([8 * (len(stream) + PADDING) + 1 for stream in self._streams], np.int64)
        starts, counts = np.cumsum(sizes) - sizes, np.zeros(len(self._streams), np.int64)
        out = np.zeros(int(sizes.sum()), np.uint32)
        return self.bind("hr_stream_pairs", lambda _: [out, starts, counts]), starts, counts, out

    @property
    def order(self) -> npt.NDArray[np.int64]:
        return self._order

    def _pairs(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
        sizes = np.array([8 * (len(stream) + PADDING) + 1 for stream in self._streams], np.int64)
        return np.cumsum(sizes) - sizes, np.zeros(int(sizes.sum()), np.uint32)

    def _raise(self, lane: int) -> None:
        """The error of a lane's stream, as the decoder on NumPy finds it."""
        rows, table = self._lane_rows[lane], self._lane_tables[lane]
        decode_lane(self.codes, self._streams[lane], rows, self.positions, table)
        raise StreamError(f"the stream of lane {lane} does not decode")

    def _split(self, threads: int) -> list[Group]:
        lanes = len(self._streams)
        count = max(1, min(threads, lanes))
        cuts = [lanes * part // count for part in range(count + 1)]
        return [
            Group(self._streams, self._lane_rows, self._lane_tables, self._entries, self._order, self.positions, a, b)
            for a, b in pairwise(cuts)
        ]


class Group:
    """Lanes that one thread takes, as the kernels want them. Keeps alive what it points to."""

    def __init__(
        self,
        streams: Sequence[bytes],
        lane_rows: Sequence[int],
        lane_tables: Sequence[int],
        entries: npt.NDArray[np.uint32],
        order: npt.NDArray[np.int64],
        positions: int,
        first: int,
        last: int,
    ) -> None:
        self.first_lane = first
        mine = streams[first:last]
        sizes = np.array([len(stream) for stream in mine], np.int64)
        offsets = np.cumsum(sizes + PADDING) - (sizes + PADDING)
        data = np.frombuffer(b"".join(stream + bytes(PADDING) for stream in mine) or bytes(PADDING), np.uint8)
        rows = np.array(lane_rows[first:last], np.int64)
        tables = np.array(lane_tables[first:last], np.int32)
        start = sum(lane_rows[:first])
        own_order = order[start : start + int(rows.sum())].copy()
        self.status, self.position = np.zeros(len(mine), np.int32), np.zeros(len(mine), np.int64)
        self._held = (data, offsets, sizes, rows, tables, entries, own_order)
        self._input = _Input(*(part.ctypes.data for part in self._held), len(mine), len(entries) - 1, positions)
        self.before = [ctypes.byref(self._input)]
        self.after = [_pointer(self.status), _pointer(self.position)]


class Numbers:
    """The rows that the slots of each lane hold, as numbers in a codebook; a kernel's working memory."""

    def __init__(self, kernel: StreamKernel, base: int) -> None:
        lanes = kernel.lane_symbols()
        stride = -(-(kernel.positions + ROOM) // 64) * 64
        self.held = np.full((max(len(lanes), 1), SLOTS + 2, stride), base, np.uint8)
        """(lanes, slots and two more, positions and room)"""
        self.read_again = np.zeros(max(kernel.rows, 1), np.uint8)
        """(M,) whether another row starts from this one."""
        first = 0
        for symbols in lanes:
            is_header = (symbols & 0xFC00) == _PAIR_HEADER
            holder: dict[int, int] = {}
            for number, header in enumerate((symbols[is_header] & 0x3FF).tolist()):
                target, source, differential = header & 7, header >> 3 & 7, header >> 6 & 1
                if differential:
                    self.read_again[kernel.order[first + holder[source]]] = 1
                holder[target] = number
            first += int(np.count_nonzero(is_header))


def _pointer(argument: Any) -> Any:
    return ctypes.c_void_p(argument.ctypes.data) if isinstance(argument, np.ndarray) else argument
