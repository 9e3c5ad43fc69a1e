"""The weight stream of a layer, version 1: rows dealt to lanes, one code, one bit string per lane.

`decode_layer(encode_layer(W, plan)) == W` for every int8 matrix and every valid plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from .bits import pack_bits
from .code import DIFFERENTIAL_BIT, END_BIT, MAX_RUN, RUN_SHIFT, SOURCE_SHIFT, VALUE_MASK, Code, build_code
from .errors import StreamError
from .isa import BEAT_BYTES, CODE, LANE_ROWS, LANE_STREAM, LITERAL_BITS, LITERAL_RUN_BITS, MAX_CODE_LENGTH, SLOTS
from .stream_decode import MAX_WEIGHTS, LaneError, Operations, decode_lane, lane_operations

__all__ = [
    "EncodedLayer",
    "LaneError",
    "Operations",
    "Plan",
    "RowPlan",
    "decode_lane",
    "decode_layer",
    "encode_layer",
    "lane_operations",
]

IntArray = npt.NDArray[np.int64]

_LITERAL = 1 << LITERAL_BITS  # marks a tap whose run no entry holds
_KEYS = 2 * END_BIT  # words that an entry can hold are below; all literals count as one more
_MAX_LITERAL_RUN = (1 << LITERAL_RUN_BITS) - 1


@dataclass(frozen=True)
class RowPlan:
    """How one row is sent: fresh, or as the difference from the row `parent`, whose sums slot `source` holds."""

    row: int
    """Row of the matrix."""
    parent: int | None = None
    """Row of the matrix that it is stored as a difference from."""
    source: int = 0
    """Slot that holds the parent at that time; nothing if fresh."""
    target: int = 0
    """Slot that the row accumulates into."""


Plan = tuple[tuple[RowPlan, ...], ...]
"""Rows of each lane in decoding order. The first row of a lane is fresh, into slot 0."""


@dataclass(frozen=True, eq=False)
class EncodedLayer:
    """Streams and tables of one layer."""

    rows: int
    """M"""
    positions: int
    """K"""
    code: Code
    streams: tuple[bytes, ...]
    """One per lane, zero-padded to whole beats."""
    lane_rows: tuple[int, ...]
    lane_symbols: tuple[int, ...]
    """Symbols per lane: taps, literals (one each, two cycles on the device) and ends of row."""
    lane_taps: tuple[int, ...]
    """Multiplications per lane, those of weight zero (long runs, rows without taps) included."""
    order: IntArray
    """(M,) row of the matrix that is output channel p; lane 0's rows come first."""

    def sizes(self) -> dict[str, int]:
        """Bytes of `streams`, `symbol_table`, `code_table` and `lane_table`, as they lie in DRAM."""
        return {
            "streams": sum(len(stream) for stream in self.streams),
            "symbol_table": BEAT_BYTES * -(-self.code.entries.size // 2),
            "code_table": (MAX_CODE_LENGTH + 1) * CODE.width // 8,
            "lane_table": len(self.streams) * (LANE_STREAM.width + LANE_ROWS.width) // 8,
        }


@dataclass(frozen=True, eq=False)
class _Symbols:
    """Symbols of all lanes: `isa.SYMBOL` words, or _LITERAL plus `isa.LITERAL` bits; (n,) each, (M + 1,) for rows."""

    words: IntArray
    row_starts: IntArray
    taps: IntArray


def encode_layer(
    W: npt.ArrayLike, plan: Plan, max_entries: int = 1024, longest_run: int = _MAX_LITERAL_RUN
) -> EncodedLayer:
    """Encode a layer's weights.

    Args:
        W: integers (M, K), each -128..127.
        plan: every row of W once.
        max_entries: size of the device's symbol table.
        longest_run: zeros that one symbol skips, 0..4095; taps of weight zero carry longer runs on. A small number
            saves bits where runs and values have more combinations than the table has entries (one more tap in place
            of an escape), and costs a multiplication each time.

    Raises:
        ValueError: W is no such matrix, longest_run is out of range, or the plan is not valid for W: a row missing or
            repeated, a lane that does not start fresh into slot 0, a slot that does not exist or does not hold the
            parent.
        StreamError: the symbol table cannot hold all kinds of row headers.
    """
    given = np.asarray(W)
    if given.ndim != 2 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError("weights must be a two-dimensional array of integers")
    if given.size and (given.min() < -128 or given.max() > 127):
        raise ValueError("weights must lie in -128..127")
    if not 0 <= longest_run <= _MAX_LITERAL_RUN:
        raise ValueError(f"longest_run is {longest_run}, must lie in 0..{_MAX_LITERAL_RUN}")
    weights = given.astype(np.int16)
    _check_plan(plan, weights.shape[0])
    order = np.array([row.row for lane in plan for row in lane], np.int64)
    lane_rows = tuple(len(lane) for lane in plan)
    symbols = _symbols(_differences(weights, plan), _headers(plan), longest_run)

    counts = np.bincount(np.minimum(symbols.words, _KEYS), minlength=_KEYS + 1)
    entries = np.flatnonzero(counts[:_KEYS])
    code = build_code(entries, counts[entries], int(counts[_KEYS]), max_entries)
    codewords, lengths = _codewords(symbols.words, code)
    row_bounds = np.concatenate([[0], np.cumsum(lane_rows, dtype=np.int64)])
    bounds = symbols.row_starts[row_bounds].tolist()
    streams = []
    for first, last in pairwise(bounds):
        packed = pack_bits(codewords[first:last], lengths[first:last])[0].tobytes()
        streams.append(packed + bytes(-len(packed) % BEAT_BYTES))
    passes = np.concatenate([[0], np.cumsum(np.maximum(symbols.taps, 1))])[row_bounds]
    return EncodedLayer(
        rows=weights.shape[0],
        positions=weights.shape[1],
        code=code,
        streams=tuple(streams),
        lane_rows=lane_rows,
        lane_symbols=tuple(np.diff(bounds).tolist()),
        lane_taps=tuple(np.diff(passes).tolist()),
        order=order,
    )


def decode_layer(encoded: EncodedLayer, max_weights: int = MAX_WEIGHTS) -> npt.NDArray[np.int16]:
    """The matrix, int16 (M, K), rows in their original order.

    Raises:
        StreamError: as `decode_lane`; or the lanes' rows are not the layer's.
    """
    if not np.array_equal(np.sort(encoded.order), np.arange(encoded.rows)):
        raise StreamError(f"order is not a permutation of {encoded.rows} rows")
    if len(encoded.streams) != len(encoded.lane_rows) or sum(encoded.lane_rows) != encoded.rows:
        raise StreamError(f"lanes do not hold {encoded.rows} rows")
    if encoded.rows * encoded.positions > max_weights:
        raise StreamError(f"layer of {encoded.rows} x {encoded.positions} exceeds the limit of {max_weights} weights")
    weights = np.empty((encoded.rows, encoded.positions), np.int16)
    channel = 0
    for stream, rows in zip(encoded.streams, encoded.lane_rows, strict=True):
        lane = decode_lane(encoded.code, stream, rows, encoded.positions, max_weights)
        weights[encoded.order[channel : channel + rows]] = lane
        channel += rows
    return weights


def _check_plan(plan: Plan, rows: int) -> None:
    if sorted(entry.row for lane in plan for entry in lane) != list(range(rows)):
        raise ValueError(f"the plan does not name each of {rows} rows once")
    for number, lane in enumerate(plan):
        held: dict[int, int] = {}  # slot -> row
        for index, entry in enumerate(lane):
            where = f"lane {number}, row {entry.row}"
            if not (0 <= entry.source < SLOTS and 0 <= entry.target < SLOTS):
                raise ValueError(f"{where}: slots {entry.source}, {entry.target} are outside 0..{SLOTS - 1}")
            if index == 0 and (entry.parent is not None or entry.target != 0):
                raise ValueError(f"{where}: the first row of a lane must be fresh, into slot 0")
            if entry.parent is not None and held.get(entry.source) != entry.parent:
                raise ValueError(f"{where}: slot {entry.source} does not hold its parent, row {entry.parent}")
            held[entry.target] = entry.row


def _differences(weights: npt.NDArray[np.int16], plan: Plan) -> npt.NDArray[np.int16]:
    """(M, K) what is sent of each row, in the order of output channels."""
    rows = [entry for lane in plan for entry in lane]
    sent = weights[[entry.row for entry in rows]] if rows else weights
    for channel, entry in enumerate(rows):
        if entry.parent is not None:
            sent[channel] -= weights[entry.parent]
    return sent


def _headers(plan: Plan) -> IntArray:
    """(M,) the end-of-row entry of each row. It describes the lane's next row; a lane's last one is that of a lane's
    first row, which leaves the device as the next layer expects it.
    """
    headers = []
    for lane in plan:
        for entry in (*lane[1:], *(RowPlan(0),) * (len(lane) > 0)):
            differential = DIFFERENTIAL_BIT | entry.source << SOURCE_SHIFT if entry.parent is not None else 0
            headers.append(END_BIT | differential | entry.target)
    return np.array(headers, np.int64)


def _symbols(sent: npt.NDArray[np.int16], headers: IntArray, longest_run: int) -> _Symbols:
    """Symbols of all rows."""
    row, column = np.nonzero(sent)
    value = sent[row, column].astype(np.int64)
    previous = np.concatenate([[-1], column[:-1]])[: column.size]
    previous[np.flatnonzero(np.diff(row, prepend=-1))] = -1
    run = column - previous - 1
    carried, run = run // (longest_run + 1), run % (longest_run + 1)  # taps of weight zero before each tap
    taps = np.bincount(row, minlength=headers.size)
    np.add.at(taps, row[carried > 0], carried[carried > 0])
    row_starts = np.concatenate([[0], np.cumsum(taps + 1)])

    words = np.full(row_starts[-1], _tap(np.int64(longest_run), np.int64(0)), np.int64)
    words[np.cumsum(carried + 1) - 1 + row] = _tap(run, value)
    words[row_starts[1:] - 1] = headers
    return _Symbols(words, row_starts, taps)


def _tap(run: IntArray | np.int64, value: IntArray | np.int64) -> IntArray:
    return value & VALUE_MASK | run << RUN_SHIFT | np.where(run > MAX_RUN, _LITERAL, 0)


def _codewords(words: IntArray, code: Code) -> tuple[IntArray, IntArray]:
    """Bits and lengths of all symbols; a literal's 21 bits are part of its codeword."""
    size = code.entries.size
    index = np.full(_KEYS + 1, size, np.int64)  # whatever has no entry takes the escape
    index[code.entries] = np.arange(size)
    index = index[np.minimum(words, _KEYS)]
    codewords, lengths = code.codewords.astype(np.int64)[index], code.lengths.astype(np.int64)[index]
    literal = index == size
    codewords[literal] = codewords[literal] << LITERAL_BITS | words[literal] & ((1 << LITERAL_BITS) - 1)
    lengths[literal] += LITERAL_BITS
    return codewords, lengths
