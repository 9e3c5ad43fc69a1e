"""The headrace stream as a storage format: ranks in the sorted dictionary, sent as the device's lanes decode them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from headrace.code_tables import choose_tables
from headrace.coding import Effort
from headrace.differential import differential_plan
from headrace.errors import FormatError
from headrace.isa import BEAT_BYTES
from headrace.stream import MAX_RUN_OF_SYMBOL, EncodedLayer, Plan, RowPlan, encode_layer
from headrace.stream_decode import MAX_WEIGHTS, decode_counted

from .base import Codec, Encoded, Matrix, alphabet, as_matrix
from .range_coder import Decoder, Encoder
from .side import Plane, Side, code_plane, code_side, digits

IntArray = npt.NDArray[np.int64]

MAGIC = b"HRW2"
LANES = 8
MAX_ENTRIES = 2048
"""Entries of all codes together: one 36-kbit block RAM of 18-bit words."""
_HEAD = struct.Struct("<4sII")  # magic, CRC-32 of what follows it, bytes of side information
_ENTRY_BITS = 5.0  # about what the place of an entry takes in the side information
_LANE_SYMBOLS = 4096  # a lane of fewer does not repay its own length and padding


@dataclass(frozen=True, eq=False)
class StreamEncoded(Encoded):
    """A matrix as a headrace stream.

    Attributes:
        data: all of it: magic, checksum, side information (shape, type, orders, codes), dictionary, streams.
    """

    data: bytes

    @classmethod
    def from_bytes(cls, data: bytes, max_entries: int = MAX_WEIGHTS) -> StreamEncoded:
        """FormatError where the bytes are not those of a stream, or of a larger matrix than allowed."""
        side = _read(data, max_entries)[0]
        return cls(side.shape, np.dtype(f"{side.kind}{side.itemsize}"), bytes(data))

    @cached_property
    def content(self) -> tuple[Side, Matrix, tuple[tuple[bytes, ...], ...]]:
        """Side information, dictionary (increasing), and each plane's streams."""
        return _read(self.data, MAX_WEIGHTS)

    @property
    def sizes(self) -> dict[str, int]:
        """Bytes: `header`, `side`, `dictionary`, `streams`."""
        _, dictionary, streams = self.content
        bits = sum(len(stream) for plane in streams for stream in plane)
        rest = len(self.data) - _HEAD.size - dictionary.nbytes - bits
        return {"header": _HEAD.size, "side": rest, "dictionary": dictionary.nbytes, "streams": bits}

    @cached_property
    def figures(self) -> dict[str, int | float]:
        """`macs`: multiplications of one product; `rows_differential`; `symbols`; `codes`; `entries` of all codes."""
        side, _, streams = self.content
        totals = {"macs": 0, "rows_differential": 0, "symbols": 0, "codes": 0, "entries": 0}
        for plane, data in zip(side.planes, streams, strict=True):
            for stream, rows, table in zip(data, plane.lane_rows, plane.lane_tables, strict=True):
                lane = decode_counted(plane.codes, stream, rows, side.shape[0], table)
                totals["macs"] += lane.symbols - rows
                totals["rows_differential"] += lane.differential_rows
                totals["symbols"] += lane.symbols
            totals["codes"] += len(plane.codes)
            totals["entries"] += sum(code.entries.size for code in plane.codes)
        return dict(totals)


@dataclass(frozen=True)
class Stream(Codec[StreamEncoded]):
    """The headrace codec.

    An entry is its number in the sorted dictionary less that of the most frequent entry, in as many digits of base 256
    as it takes, each digit a plane of its own. A plane's rows are the outputs; its columns may be sorted by density,
    so that runs are long where they are long. Of several codings of a plane (rows as differences from others, or in
    one of several codes) the smallest is taken.

    Attributes:
        effort: how many codings to try.
        lanes: streams that can be decoded side by side, 1..64; fewer for a small matrix.
    """

    effort: Effort = Effort.DEFAULT
    lanes: int = LANES
    name: ClassVar[str] = "headrace"

    def encode(self, W: npt.ArrayLike) -> StreamEncoded:
        """See `Codec.encode`."""
        matrix = as_matrix(W)
        n, m = matrix.shape
        values, _, index = alphabet(matrix.ravel())
        planes, streams = [], []
        for digit in range(digits(values.size)):
            part = (index >> (8 * digit) & 255).reshape(n, m).T
            base = int(np.argmax(np.bincount(part.ravel(), minlength=1)))
            plane, data = self._smallest(np.ascontiguousarray(part - base, np.int16), base)
            planes.append(plane)
            streams.append(data)
        coder = Encoder()
        side = Side((n, m), matrix.dtype.kind, matrix.dtype.itemsize, int(values.size), tuple(planes))
        code_side(coder, side, MAX_WEIGHTS)
        coded = coder.finish()
        dictionary = values.astype(values.dtype.newbyteorder("<")).tobytes()
        body = b"".join([struct.pack("<I", len(coded)), coded, dictionary, *(s for data in streams for s in data)])
        return StreamEncoded((n, m), matrix.dtype, MAGIC + struct.pack("<I", zlib.crc32(body)) + body)

    def decode(self, encoded: StreamEncoded) -> Matrix:
        """See `Codec.decode`."""
        side, dictionary, streams = encoded.content
        if (side.shape, side.kind, side.itemsize) != (encoded.shape, encoded.dtype.kind, encoded.dtype.itemsize):
            raise FormatError(f"the stream holds {side.shape} of {side.kind}{side.itemsize}")
        n, m = side.shape
        index = np.zeros((m, n), np.int64)
        for digit, (plane, data) in enumerate(zip(side.planes, streams, strict=True)):
            first, ranks = 0, np.zeros((m, n), np.int64)
            for stream, rows, table in zip(data, plane.lane_rows, plane.lane_tables, strict=True):
                lane = decode_counted(plane.codes, stream, rows, n, table)
                ranks[plane.order[first : first + rows]] = lane.weights
                first += rows
            if plane.columns is not None:
                ranks[:, plane.columns] = ranks.copy()
            index += (ranks + plane.base) << (8 * digit)
        if index.size and (index.min() < 0 or index.max() >= dictionary.size):
            raise FormatError(f"an entry is outside the dictionary of {dictionary.size} values")
        return np.ascontiguousarray(dictionary[index].T) if index.size else np.zeros((n, m), encoded.dtype)

    def _smallest(self, ranks: npt.NDArray[np.int16], base: int) -> tuple[Plane, tuple[bytes, ...]]:
        best: tuple[int, Plane, tuple[bytes, ...]] | None = None
        for columns, by_table, plan, longest_run in self._codings(ranks):
            sent = ranks if columns is None else ranks[:, columns]
            encoded = encode_layer(sent, plan, MAX_ENTRIES, longest_run, _ENTRY_BITS)
            plane = _plane(encoded, base, columns, plan if by_table else None)
            coder = Encoder()
            code_plane(coder, plane, ranks.shape[1], ranks.shape[0])
            size = len(coder.finish()) + sum(map(len, encoded.streams))
            if best is None or size < best[0]:
                best = size, plane, encoded.streams
        assert best is not None
        return best[1:]

    def _codings(self, ranks: npt.NDArray[np.int16]) -> Iterator[tuple[IntArray | None, bool, Plan, int]]:
        """(column order, rows sent code by code, plan, longest run) of each coding to try."""
        density = np.argsort(-np.count_nonzero(ranks, axis=0), kind="stable")
        nonzeros = int(np.count_nonzero(ranks))
        lanes = max(1, min(self.lanes, (nonzeros + len(ranks)) // _LANE_SYMBOLS))
        runs = (MAX_RUN_OF_SYMBOL, 47, 15, 3) if self.effort is Effort.BEST else (MAX_RUN_OF_SYMBOL,)
        tables = {Effort.FAST: (1,), Effort.DEFAULT: (1, 4), Effort.BEST: (1, 2, 4, 8)}[self.effort]
        for columns in (density, None) if self.effort is Effort.BEST else (density,):
            sent = ranks if columns is None else ranks[:, columns]
            for longest_run in runs:
                for count in tables:
                    yield columns, True, _plan_by_table(sent, count, lanes, longest_run), longest_run
            plan = differential_plan(sent, max(1, min(lanes, self.lanes)), 1)
            if any(row.parent is not None for lane in plan for row in lane):
                for longest_run in runs:
                    yield columns, False, plan, longest_run


def _plan_by_table(sent: npt.NDArray[np.int16], tables: int, lanes: int, longest_run: int) -> Plan:
    """Fresh rows code by code, cut into lanes of about equal work."""
    chosen = choose_tables(sent, tables, longest_run)
    order = np.argsort(chosen, kind="stable")
    work = np.cumsum(np.count_nonzero(sent[order], axis=1) + 1)
    cuts = np.searchsorted(work, work[-1] * np.arange(1, lanes) / lanes)
    return tuple(tuple(RowPlan(int(row), table=int(chosen[row])) for row in piece) for piece in np.split(order, cuts))


def _plane(encoded: EncodedLayer, base: int, columns: IntArray | None, by_table: Plan | None) -> Plane:
    tables = None
    if by_table is not None:
        tables = np.zeros(encoded.rows, np.int64)
        for lane in by_table:
            for row in lane:
                tables[row.row] = row.table
    return Plane(
        base,
        columns,
        tables,
        encoded.order,
        encoded.lane_rows,
        encoded.lane_tables,
        tuple(len(stream) // BEAT_BYTES for stream in encoded.streams),
        encoded.codes,
    )


def _read(data: bytes, max_entries: int) -> tuple[Side, Matrix, tuple[tuple[bytes, ...], ...]]:
    """Side information, dictionary and streams; FormatError where the bytes do not add up."""
    if len(data) < _HEAD.size:
        raise FormatError(f"{len(data)} bytes are no headrace stream")
    magic, checksum, side_bytes = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise FormatError("no headrace stream of this version")
    if zlib.crc32(data[8:]) != checksum:
        raise FormatError("checksum does not match: the stream is damaged")
    if side_bytes > len(data) - _HEAD.size:
        raise FormatError("side information is cut off")
    cursor = _HEAD.size + side_bytes
    side = code_side(Decoder(data[_HEAD.size : cursor]), None, max_entries)
    try:
        dtype = np.dtype(f"<{side.kind}{side.itemsize}")
    except TypeError:
        raise FormatError(f"there is no type {side.kind}{side.itemsize}") from None
    beats = [plane.lane_beats for plane in side.planes]
    expected = cursor + side.values * dtype.itemsize + BEAT_BYTES * sum(map(sum, beats))
    if expected != len(data):
        raise FormatError(f"{len(data)} bytes where the side information asks for {expected}")
    dictionary: Any = np.frombuffer(data, dtype, side.values, cursor).astype(dtype.newbyteorder("="))
    if dtype.kind == "f" and np.isnan(dictionary).any():
        raise FormatError("the dictionary holds a NaN")
    if dtype.kind == "b" and dictionary.view(np.uint8).max(initial=0) > 1:
        raise FormatError("the dictionary holds a byte that is neither true nor false")
    cursor += side.values * dtype.itemsize
    streams = []
    for plane in beats:
        ends = cursor + BEAT_BYTES * np.cumsum([0, *plane])
        streams.append(tuple(data[first:last] for first, last in pairwise(ends.tolist())))
        cursor = int(ends[-1])
    return side, dictionary, tuple(streams)
