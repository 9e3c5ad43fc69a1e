"""The weight stream of a layer, version 2: rows dealt to lanes, a few codes, one bit string per lane.

`decode_layer(encode_layer(W, plan)) == W` for every matrix whose weights, and differences that the plan asks for, have
9 bits, and every valid plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, zip_longest

import numpy as np
import numpy.typing as npt

from .bits import pack_bits
from .code import (
    DIFFERENTIAL_BIT,
    END_BIT,
    MAX_RUN,
    RUN_SHIFT,
    SOURCE_SHIFT,
    TABLE_SHIFT,
    VALUE_MASK,
    Code,
    build_code,
)
from .errors import StreamError
from .isa import (
    BEAT_BYTES,
    CODE_BEATS,
    CODE_TABLES,
    LANE_TABLES,
    LITERAL,
    LITERAL_BITS,
    LITERAL_RUN_BITS,
    MAX_CODE_LENGTH,
    SLOTS,
    SYMBOL,
    VALUE_BITS,
)
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
    "row_symbols",
]

IntArray = npt.NDArray[np.int64]

MAX_RUN_OF_SYMBOL = (1 << LITERAL_RUN_BITS) - 1
"""Longest zero run of one symbol, a literal."""

_LITERAL = 1 << LITERAL_BITS  # marks what no entry holds: a tap of a longer run, an end of row that changes the code
_LITERAL_END = LITERAL.pack({"end": 1})
_KEYS = 2 * END_BIT  # words that an entry can hold are below; all literals count as one more
_MAX_WEIGHT = (1 << (VALUE_BITS - 1)) - 1


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
    table: int = 0
    """Code that the row is sent in."""


Plan = tuple[tuple[RowPlan, ...], ...]
"""Rows of each lane in decoding order. The first row of a lane is fresh, into slot 0."""


@dataclass(frozen=True, eq=False)
class EncodedLayer:
    """Streams and tables of one layer."""

    rows: int
    """M"""
    positions: int
    """K"""
    codes: tuple[Code, ...]
    """At least one."""
    streams: tuple[bytes, ...]
    """One per lane, zero-padded to whole beats."""
    lane_rows: tuple[int, ...]
    lane_tables: tuple[int, ...]
    """Code of each lane's first row."""
    lane_symbols: tuple[int, ...]
    """Symbols per lane: taps and ends of row."""
    lane_literals: tuple[int, ...]
    """Those of them that are literals, which take the device two cycles more."""
    lane_taps: tuple[int, ...]
    """Multiplications per lane, those of weight zero (long runs, rows without taps) included."""
    order: IntArray
    """(M,) row of the matrix that is output channel p; lane 0's rows come first."""

    @property
    def entries(self) -> int:
        """Entries of the symbol table."""
        return sum(code.entries.size for code in self.codes)

    def sizes(self) -> dict[str, int]:
        """Bytes of `streams`, `symbol_table`, `code_tables` and `lane_tables`, as they lie in DRAM."""
        return {
            "streams": sum(len(stream) for stream in self.streams),
            "symbol_table": BEAT_BYTES * -(-self.entries // 2),
            "code_tables": BEAT_BYTES * CODE_BEATS * len(self.codes),
            "lane_tables": BEAT_BYTES * LANE_TABLES * len(self.streams),
        }


@dataclass(frozen=True, eq=False)
class _Symbols:
    """Symbols of all lanes: `isa.SYMBOL` words, or _LITERAL plus `isa.LITERAL` bits; (n,) each, (M + 1,) for rows."""

    words: IntArray
    row_starts: IntArray
    taps: IntArray

    def tables(self, table_of_row: IntArray) -> IntArray:
        """(n,) code of each symbol."""
        return np.repeat(table_of_row, np.diff(self.row_starts))


def encode_layer(
    W: npt.ArrayLike,
    plan: Plan,
    max_entries: int = 1024,
    longest_run: int = MAX_RUN_OF_SYMBOL,
    entry_bits: float = SYMBOL.width,
) -> EncodedLayer:
    """Encode a layer's weights.

    Args:
        W: integers (M, K) of absolute value up to 255.
        plan: every row of W once.
        max_entries: size of the device's symbol table, which all codes share.
        longest_run: zeros that one symbol skips, 0..4095; taps of weight zero carry longer runs on. A small number
            saves bits where runs and values have more combinations than the table has entries (one more tap in place
            of an escape), and costs a multiplication each time.
        entry_bits: what a place in the symbol table costs.

    Raises:
        ValueError: W is no such matrix, a difference leaves 9 bits, longest_run is out of range, or the plan is not
            valid for W: a row missing or repeated, a lane that does not start fresh into slot 0, a slot that does not
            exist or does not hold the parent, a code that does not exist.
    """
    given = np.asarray(W)
    if given.ndim != 2 or (given.size and given.dtype.kind not in "iu"):
        raise ValueError("weights must be a two-dimensional array of integers")
    if given.size and (given.min() < -_MAX_WEIGHT or given.max() > _MAX_WEIGHT):
        raise ValueError(f"weights must lie in -{_MAX_WEIGHT}..{_MAX_WEIGHT}")
    if not 0 <= longest_run <= MAX_RUN_OF_SYMBOL:
        raise ValueError(f"longest_run is {longest_run}, must lie in 0..{MAX_RUN_OF_SYMBOL}")
    weights = given.astype(np.int16)
    _check_plan(plan, weights.shape[0])
    rows = [row for lane in plan for row in lane]
    symbols = _symbols(_differences(weights, plan), _headers(plan), longest_run)
    table_of_row = np.array([row.table for row in rows], np.int64)
    tables = symbols.tables(table_of_row)
    codes = _build_codes(symbols.words, tables, max_entries, entry_bits)
    codewords, lengths = _codewords(symbols.words, tables, codes)

    lane_rows = tuple(len(lane) for lane in plan)
    row_bounds = np.concatenate([[0], np.cumsum(lane_rows, dtype=np.int64)])
    bounds = symbols.row_starts[row_bounds].tolist()
    streams = []
    for first, last in pairwise(bounds):
        packed = pack_bits(codewords[first:last], lengths[first:last])[0].tobytes()
        streams.append(packed + bytes(-len(packed) % BEAT_BYTES))
    literals = np.concatenate([[0], np.cumsum(lengths > MAX_CODE_LENGTH)])[bounds]
    passes = np.concatenate([[0], np.cumsum(np.maximum(symbols.taps, 1))])[row_bounds]
    return EncodedLayer(
        rows=weights.shape[0],
        positions=weights.shape[1],
        codes=codes,
        streams=tuple(streams),
        lane_rows=lane_rows,
        lane_tables=tuple(lane[0].table if lane else 0 for lane in plan),
        lane_symbols=tuple(np.diff(bounds).tolist()),
        lane_literals=tuple(np.diff(literals).tolist()),
        lane_taps=tuple(np.diff(passes).tolist()),
        order=np.array([row.row for row in rows], np.int64),
    )


def decode_layer(encoded: EncodedLayer, max_weights: int = MAX_WEIGHTS) -> npt.NDArray[np.int16]:
    """The matrix, int16 (M, K).

    Raises:
        StreamError: the parts do not fit together, a lane's stream is bad, or the matrix exceeds `max_weights`.
    """
    if sorted(encoded.order.tolist()) != list(range(encoded.rows)):
        raise StreamError(f"order is not a permutation of {encoded.rows} rows")
    lanes = {len(encoded.streams), len(encoded.lane_rows), len(encoded.lane_tables)}
    if len(lanes) != 1 or sum(encoded.lane_rows) != encoded.rows:
        raise StreamError(f"lanes do not hold {encoded.rows} rows")
    if encoded.rows * encoded.positions > max_weights:
        raise StreamError(f"layer of {encoded.rows} x {encoded.positions} exceeds the limit of {max_weights} weights")
    weights = np.empty((encoded.rows, encoded.positions), np.int16)
    channel = 0
    for stream, rows, table in zip(encoded.streams, encoded.lane_rows, encoded.lane_tables, strict=True):
        lane = decode_lane(encoded.codes, stream, rows, encoded.positions, table, max_weights)
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
            if not 0 <= entry.table < CODE_TABLES:
                raise ValueError(f"{where}: code {entry.table} is outside 0..{CODE_TABLES - 1}")
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
    if sent.size and max(-int(sent.min()) - 1, int(sent.max())) > _MAX_WEIGHT:
        raise ValueError(f"a difference of weights has more than {VALUE_BITS} bits")
    return sent


def _headers(plan: Plan) -> IntArray:
    """(M,) the end of each row. It describes the lane's next row; a lane's last one is that of a lane's first row,
    which leaves the device as the next layer expects it.
    """
    headers = []
    for lane in plan:
        for row, following in zip_longest(lane, lane[1:]):
            header = 0
            if following is not None:
                header = following.target
                if following.parent is not None:
                    header |= DIFFERENTIAL_BIT | following.source << SOURCE_SHIFT
            if following is None or following.table == row.table:
                headers.append(END_BIT | header)
            else:
                headers.append(_LITERAL | _LITERAL_END | following.table << TABLE_SHIFT | header)
    return np.array(headers, np.int64)


def row_symbols(sent: npt.NDArray[np.integer], longest_run: int) -> tuple[IntArray, IntArray]:
    """What each row takes to send, its end included, to choose codes by.

    Args:
        sent: weights or differences of 9 bits (M, K).
        longest_run: as for `encode_layer`.

    Returns:
        One number for each kind of symbol, int64 (n,), row by row; where each row starts, int64 (M + 1,).
    """
    symbols = _symbols(sent.astype(np.int16), np.full(len(sent), END_BIT, np.int64), longest_run)
    return symbols.words, symbols.row_starts


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


def _build_codes(words: IntArray, tables: IntArray, max_entries: int, entry_bits: float) -> tuple[Code, ...]:
    """One code for each number up to the highest that is used; they share the entries by what they would use."""
    keys = np.minimum(words, _KEYS)
    counts = [np.bincount(keys[tables == t], minlength=_KEYS + 1) for t in range(int(tables.max(initial=0)) + 1)]
    wanted = [int(np.count_nonzero(count[:_KEYS])) for count in counts]
    room, codes = max_entries, []
    for number, count in enumerate(counts):
        entries = np.flatnonzero(count[:_KEYS])
        share = max(min(room, 1), room * wanted[number] // max(sum(wanted[number:]), 1))
        code = build_code(entries, count[entries], int(count[_KEYS]), share, entry_bits)
        codes.append(code)
        room -= code.entries.size
    return tuple(codes)


def _codewords(words: IntArray, tables: IntArray, codes: tuple[Code, ...]) -> tuple[IntArray, IntArray]:
    """Bits and lengths of all symbols; a literal's bits are part of its codeword."""
    codewords, lengths = np.zeros(words.size, np.int64), np.zeros(words.size, np.int64)
    for number, code in enumerate(codes):
        mine = np.flatnonzero(tables == number)
        size = code.entries.size
        index = np.full(_KEYS + 1, size, np.int64)  # whatever has no entry takes the escape
        index[code.entries] = np.arange(size)
        place = index[np.minimum(words[mine], _KEYS)]
        codewords[mine], lengths[mine] = code.codewords.astype(np.int64)[place], code.lengths.astype(np.int64)[place]
        literal = mine[place == size]
        codewords[literal] = codewords[literal] << LITERAL_BITS | _literal(words[literal], number)
        lengths[literal] += LITERAL_BITS
    return codewords, lengths


def _literal(words: IntArray, table: int) -> IntArray:
    """The bits of `isa.LITERAL` that say the same; an entry's end of row keeps the code, `table`."""
    is_entry_end = (words < _LITERAL) & ((words & END_BIT) != 0)
    return np.where(is_entry_end, words ^ (END_BIT | _LITERAL_END | table << TABLE_SHIFT), words & (_LITERAL - 1))
