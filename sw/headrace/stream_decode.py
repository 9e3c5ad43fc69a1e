"""Decoding of one lane's stream: what the lane's RTL does, bit for bit, with vectors in place of cycles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .code import DIFFERENTIAL_BIT, END_BIT, RUN_SHIFT, SOURCE_SHIFT, TABLE_SHIFT, VALUE_MASK, WINDOWS, Code
from .errors import StreamError
from .isa import BEAT_BYTES, CODE_TABLES, LITERAL, LITERAL_BITS, MAX_CODE_LENGTH, SLOTS, VALUE_BITS, ErrorCode

IntArray = npt.NDArray[np.int64]

MAX_WEIGHTS = 1 << 27
"""Default limit of weights that a decoder allocates at once."""
_CHUNK = 1 << 18  # bits of stream per step: memory for the windows of all bits stays small
_END = LITERAL.pack({"end": 1})
assert LITERAL.pack({"run": 1}) == 1 << RUN_SHIFT  # one layout for taps of both kinds


class LaneError(StreamError):
    """A stream that the device would stop at; `code` is what it would report."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, eq=False)
class Operations:
    """What a lane multiplies, in order, shapes (n,). A row without taps has one operation, of weight 0."""

    row: IntArray
    """Row within the lane."""
    position: IntArray
    """Position within the row."""
    value: npt.NDArray[np.int16]
    """Weight or difference, -256..255."""
    first: npt.NDArray[np.bool_]
    """First of its row."""
    last: npt.NDArray[np.bool_]
    """Last of its row."""
    source: npt.NDArray[np.uint8]
    """Slot that the row starts from, where `differential`."""
    target: npt.NDArray[np.uint8]
    """Slot that the row accumulates into."""
    differential: npt.NDArray[np.bool_]
    """The row starts from `source`, not from zero."""


@dataclass(frozen=True, eq=False)
class _Lane:
    """A decoded lane: taps (n,) in order, headers (rows,) of `isa.ROW` bits, and where its symbols begin and end."""

    row: IntArray
    position: IntArray
    value: npt.NDArray[np.int16]
    header: IntArray
    starts: IntArray

    @property
    def bits(self) -> int:
        """Bits that were read."""
        return int(self.starts[-1])

    @property
    def source(self) -> IntArray:
        return self.header >> SOURCE_SHIFT & (SLOTS - 1)

    @property
    def target(self) -> IntArray:
        return self.header & (SLOTS - 1)

    @property
    def differential(self) -> npt.NDArray[np.bool_]:
        return (self.header & DIFFERENTIAL_BIT) != 0


def decode_lane(
    codes: Sequence[Code], data: bytes, rows: int, positions: int, table: int = 0, max_weights: int = MAX_WEIGHTS
) -> npt.NDArray[np.int16]:
    """Weights of a lane's rows, resolved through its slots.

    Args:
        codes: the layer's codes.
        data: the lane's stream, whole beats.
        rows: rows in the stream.
        positions: K, positions of a row.
        table: number of the first row's code.
        max_weights: most weights, rows * K, to allocate.

    Returns:
        int16 (rows, K), in decoding order.

    Raises:
        LaneError: a stream that the device would stop at: bits that are no codeword of the present code, or of a
            code that there is not, a position past the row's end, missing bits.
        StreamError: too many weights; data not of whole beats, or with more than zeros after the last row; a row that
            starts from a slot that holds none; a weight outside int16.
    """
    return decode_counted(codes, data, rows, positions, table, max_weights).weights


@dataclass(frozen=True, eq=False)
class DecodedLane:
    """A lane's weights, and what was counted on the way."""

    weights: npt.NDArray[np.int16]
    """(rows, K), in decoding order."""
    differential_rows: int
    """Rows that are stored as differences from another."""
    symbols: int
    """Codewords in the stream; a literal counts with its escape."""
    taps: int
    """Multiplications per word, those of rows without taps included."""
    bits: IntArray
    """(symbols,) bits of each; those of a literal and its escape together."""


def decode_counted(
    codes: Sequence[Code], data: bytes, rows: int, positions: int, table: int = 0, max_weights: int = MAX_WEIGHTS
) -> DecodedLane:
    """As `decode_lane`, with counts."""
    if rows < 0 or positions < 0 or rows * positions > max_weights:
        raise StreamError(f"lane of {rows} rows of {positions} positions exceeds the limit of {max_weights} weights")
    lane = _decode(codes, data, rows, positions, table)
    spare = 8 * len(data) - lane.bits
    if spare >= 8 * BEAT_BYTES or int.from_bytes(data[lane.bits >> 3 :], "big") & ((1 << spare) - 1):
        raise StreamError(f"stream goes on after its last row, at bit {lane.bits}")
    weights = np.zeros((rows, positions), np.int16)
    weights[lane.row, lane.position] = lane.value
    if lane.differential.any():
        _resolve(weights, lane)
    taps = int(np.maximum(np.bincount(lane.row, minlength=rows), 1).sum())
    differential = int(np.count_nonzero(lane.differential))
    return DecodedLane(weights, differential, lane.value.size + rows, taps, np.diff(lane.starts))


def lane_operations(
    codes: Sequence[Code], data: bytes, rows: int, positions: int | None = None, table: int = 0
) -> Operations:
    """The multiplications of a lane, those of weight zero included, in the order in which the device makes them.

    Arguments and errors as `decode_lane`; without `positions` no row has an end to run past. What follows the last row
    is not looked at, and slots are not followed.
    """
    lane = _decode(codes, data, rows, positions, table)
    taps = np.bincount(lane.row, minlength=rows)
    passes = np.maximum(taps, 1)
    row = np.repeat(np.arange(rows), passes)
    is_tap = np.repeat(taps > 0, passes)
    position, value = np.zeros(row.size, np.int64), np.zeros(row.size, np.int16)
    position[is_tap], value[is_tap] = lane.position, lane.value
    stops = np.cumsum(passes)
    first, last = np.zeros(row.size, np.bool_), np.zeros(row.size, np.bool_)
    first[stops - passes] = True
    last[stops - 1] = True
    source, target = lane.source.astype(np.uint8)[row], lane.target.astype(np.uint8)[row]
    return Operations(row, position, value, first, last, source, target, lane.differential[row])


@dataclass(frozen=True, eq=False)
class Symbols:
    """The symbols of a lane's rows, (n,); what follows the last row is left out."""

    starts: IntArray
    """(n + 1,) bit of the stream where each begins, and where the last one ends; a literal begins with its escape."""
    end: npt.NDArray[np.bool_]
    """It ends a row; else it is a tap."""
    run: IntArray
    """Zero positions before a tap."""


def lane_symbols(codes: Sequence[Code], data: bytes, rows: int, table: int = 0) -> Symbols:
    """The symbols of `rows` rows, the first of them in code `table`; LaneError where the stream does not hold them."""
    words, starts, error = _symbols(codes, data, table)
    ends = np.flatnonzero(words & _END)[:rows]
    if ends.size < rows:
        raise LaneError(error, f"row {ends.size} of {rows}, bit {starts[-1]}: {error.name}")
    count = int(ends[-1]) + 1 if rows else 0
    is_end = (words[:count] & _END) != 0
    return Symbols(starts[: count + 1], is_end, np.where(is_end, 0, words[:count] >> RUN_SHIFT))


def _resolve(weights: npt.NDArray[np.int16], lane: _Lane) -> None:
    """Add to each differential row, in place, the row that its source slot holds."""
    held = [-1] * SLOTS  # row whose sums a slot holds
    headers = zip(lane.source.tolist(), lane.target.tolist(), lane.differential.tolist(), strict=True)
    for row, (source, target, differential) in enumerate(headers):
        if differential:
            if held[source] < 0:
                raise StreamError(f"row {row} starts from slot {source}, which holds no row")
            total = weights[row].astype(np.int32) + weights[held[source]]
            weights[row] = total
            if not np.array_equal(weights[row], total):
                raise StreamError(f"row {row} has a weight outside int16")
        held[target] = row


def _decode(codes: Sequence[Code], data: bytes, rows: int, positions: int | None, table: int) -> _Lane:
    """Symbols, then rows and positions. Of several errors, the first in stream order is raised."""
    if len(data) % BEAT_BYTES:
        raise StreamError(f"stream of {len(data)} bytes is not a multiple of {BEAT_BYTES}")
    if rows > 8 * len(data):
        raise LaneError(ErrorCode.UNDERRUN, f"stream of {8 * len(data)} bits cannot hold {rows} rows")
    words, starts, error = _symbols(codes, data, table)
    is_end = (words & _END) != 0
    ends = np.flatnonzero(is_end)[:rows]
    complete = ends.size == rows
    if complete:
        count = int(ends[-1]) + 1 if rows else 0
        words, is_end = words[:count], is_end[:count]

    used = np.cumsum(np.where(is_end, 0, (words >> RUN_SHIFT) + 1))  # positions, over all rows
    row_start = np.concatenate([[0], used[ends]])
    tap = np.flatnonzero(~is_end)
    row = np.cumsum(is_end, dtype=np.int64)[tap]
    position = used[tap] - 1 - row_start[row]
    if positions is not None and np.any(position >= positions):
        bad = int(np.argmax(position >= positions))
        raise LaneError(
            ErrorCode.BAD_POSITION, f"row {row[bad]}: position {position[bad]} is past the {positions} there are"
        )
    if not complete:
        raise LaneError(error, f"row {ends.size} of {rows}, bit {starts[-1]}: {error.name}")
    value = words[tap] & VALUE_MASK
    value -= (value >> (VALUE_BITS - 1)) << VALUE_BITS
    header = np.concatenate([[0], words[ends]])[:rows]  # an end of row describes the next one
    return _Lane(row, position, value.astype(np.int16), header, starts[: words.size + 1])


def _symbols(codes: Sequence[Code], data: bytes, table: int) -> tuple[IntArray, IntArray, ErrorCode]:
    """All symbols up to the end of the data or the first bits that are no codeword, and which of the two it was.

    Returns words (n,), laid out as `isa.LITERAL`, and starts (n + 1,), in bits.
    """
    length, word, is_escape = _lookup(codes)
    # Bits to go on at each window; 0 for an escape, whose literal may change the code, and for what is no codeword.
    step = np.where(is_escape, 0, length).astype(np.uint8).reshape(-1, WINDOWS)
    octets = np.frombuffer(data + bytes(4), np.uint8).astype(np.int64)
    total, position, table, error = 8 * len(data), 0, min(table, len(codes)), ErrorCode.UNDERRUN
    starts_found, keys_found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for first in range(0, total, _CHUNK):
        stop = min(_CHUNK, total - first)
        windows = _peek(octets, np.arange(first, first + stop, dtype=np.int64), MAX_CODE_LENGTH)
        steps: dict[int, bytes] = {}  # by code
        here = position - first
        while here < stop and error is ErrorCode.UNDERRUN:
            if table not in steps:
                steps[table] = step[table][windows].tobytes()
            bits_at, marks, following = steps[table], [], table
            while here < stop and following == table:
                bits = bits_at[here]
                if bits == 0:
                    key = int(table * WINDOWS + windows[here])
                    if not is_escape[key]:
                        error = ErrorCode.BAD_SYMBOL
                        break
                    bits = int(length[key]) + LITERAL_BITS
                    following = _table_after(data, first + here + int(length[key]), table, len(codes))
                marks.append(here)
                here += bits
            mark = np.array(marks, np.int64)
            starts_found.append(mark + first)
            keys_found.append(table * WINDOWS + windows[mark])
            table = following
        position = first + here
        if error is not ErrorCode.UNDERRUN:
            break
    starts: IntArray = np.append(np.concatenate(starts_found), position)
    keys = np.concatenate(keys_found)
    count = keys.size - (position > total)
    starts, keys = starts[: count + 1], keys[:count]
    words = word[keys]
    literal = np.flatnonzero(is_escape[keys])
    words[literal] = _peek(octets, starts[literal] + length[keys[literal]], LITERAL_BITS)
    return words, starts, error


def _lookup(codes: Sequence[Code]) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
    """For each window of each code: bits of the codeword it begins with (0: none), what the codeword's entry says, as
    `isa.LITERAL`, and whether it is the escape. Shapes ((codes + 1) * 4096,); the last code is one without codewords.
    """
    lengths, words, escapes = [], [], []
    for code in codes:
        length, index = code.lookup()
        entries = code.entries.astype(np.int64)
        entries[(entries & END_BIT) != 0] += _END - END_BIT
        lengths.append(length.astype(np.int64))
        words.append(np.append(entries, 0)[index])
        escapes.append((length > 0) & (index == entries.size))
    none = np.zeros(WINDOWS, np.int64)
    return np.concatenate([*lengths, none]), np.concatenate([*words, none]), np.concatenate([*escapes, none != 0])


def _table_after(data: bytes, position: int, table: int, codes: int) -> int:
    """The code table that holds after the literal at a bit position: `codes` for any that there is not."""
    five = int.from_bytes(data[position >> 3 : (position >> 3) + 5].ljust(5, b"\0"), "big")
    literal = five >> (40 - LITERAL_BITS - (position & 7))
    return min(literal >> TABLE_SHIFT & (CODE_TABLES - 1), codes) if literal & _END else table


def _peek(octets: IntArray, positions: IntArray, bits: int) -> IntArray:
    """Up to 25 bits at each bit position; `octets` is the stream with four more bytes of zeros."""
    byte = positions >> 3
    word = octets[byte] << 24 | octets[byte + 1] << 16 | octets[byte + 2] << 8 | octets[byte + 3]
    return word >> (32 - bits - (positions & 7)) & ((1 << bits) - 1)
