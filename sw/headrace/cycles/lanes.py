"""What a lane would take for its stream alone: when each row's operations are there, if nothing but decoding delays
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..code import Code
from ..isa import BEAT_BYTES, MAX_CODE_LENGTH
from ..stream_decode import lane_symbols
from .costs import (
    ADDRESS_DELAY,
    CODE_CHANGE_CYCLES,
    OPERATION_DELAY,
    OPERATION_PLACES,
    PLACES,
    SUM_DELAY,
    SYMBOL_PLACES,
    SYMBOLS_AHEAD,
    IntArray,
)

LONG_AGO = -(1 << 60)
CELLS = 1 << 22
"""Symbols whose times are worked out together, unless one stream has more: some 300 MB."""


@dataclass(frozen=True, eq=False)
class LaneStream:
    """The symbols of one lane's rows, (n,) each."""

    beats: int
    """Of the stream."""
    bits: IntArray
    """Bits of each symbol."""
    beat: IntArray
    """Beat that holds its last bit."""
    end: npt.NDArray[np.bool_]
    """It ends a row."""
    wraps: IntArray
    """Ends of kernel taps that its run of zeros passes."""

    @property
    def rows(self) -> int:
        return int(np.count_nonzero(self.end))


def read_stream(codes: Sequence[Code], data: bytes, rows: int, in_channels: int, table: int) -> LaneStream:
    """The symbols of `rows` rows that begin in code `table`; LaneError as `lane_operations`."""
    symbols = lane_symbols(codes, data, rows, table)
    bits = np.diff(symbols.starts)
    used = np.cumsum(np.where(symbols.end, 0, symbols.run + 1))
    ends = np.flatnonzero(symbols.end)
    row: IntArray = np.cumsum(symbols.end) - symbols.end
    before = np.concatenate([[0], used[ends]])[row]  # positions of the rows before
    place = np.where(symbols.end, 0, (used - 1 - before) // in_channels)
    wraps = np.diff(place, prepend=0)
    return LaneStream(
        len(data) // BEAT_BYTES,
        bits,
        (symbols.starts[1:] - 1) // (8 * BEAT_BYTES),
        symbols.end,
        np.where(symbols.end, 0, np.maximum(wraps, 0)),
    )


@dataclass(frozen=True, eq=False)
class SymbolTimes:
    """When a lane's symbols move on, (n,) each, if all beats are there and every sum is taken at once."""

    decoded: IntArray
    """Its last bits are consumed."""
    taken: IntArray
    """Its address is begun with."""


def symbol_times(lanes: Sequence[tuple[LaneStream, int]]) -> list[SymbolTimes]:
    """Each lane's symbols, from its first on at 0, by its stream and `words`.

    A symbol waits for its place behind those that wait for their addresses, these for their place behind the operations
    that wait for the MACs.
    """
    order = sorted(range(len(lanes)), key=lambda n: -lanes[n][0].bits.size)
    result: dict[int, SymbolTimes] = {}
    while order:
        together = max(1, CELLS // max(1, lanes[order[0]][0].bits.size))
        group, order = order[:together], order[together:]
        result |= zip(group, _step([lanes[n] for n in group]), strict=True)
    return [result[n] for n in range(len(lanes))]


def _step(lanes: Sequence[tuple[LaneStream, int]]) -> list[SymbolTimes]:
    """As `symbol_times`, the longest stream first: a symbol of every lane at a time."""
    sizes = np.array([stream.bits.size for stream, _ in lanes], np.int64)
    longest, count = int(sizes.max(initial=0)), len(lanes)
    table = _Table(longest, lanes)
    decoded, taken, left, begun = (np.full((longest + PLACES, count), LONG_AGO, np.int64) for _ in range(4))
    now, accepted, busy_until = (np.zeros(count, np.int64) for _ in range(3))
    now -= 1
    accepted -= 1
    active = count - np.searchsorted(sizes[::-1], np.arange(1, longest + 1), side="left")
    for step, width in enumerate(active.tolist()):
        t, row = now[:width], step + PLACES
        t += table.gap[step, :width]
        np.maximum(t, left[row - SYMBOL_PLACES, :width] + 1, out=t)
        literal = table.literals[step]
        if literal.size:
            late = t[literal]
            # What comes of an escape and of a first half is no symbol, but takes a place in the pipeline of those.
            for taken_up in (1, 2):
                late = np.maximum(late, left[row - SYMBOL_PLACES + taken_up, literal]) + 1
            t[literal] = late
        decoded[row, :width] = t
        done = accepted[:width]
        done += 1
        np.maximum(done, t + ADDRESS_DELAY, out=done)
        np.maximum(done, begun[row - OPERATION_PLACES, :width], out=done)
        taken[row, :width] = done
        free = busy_until[:width]
        # The operation of the symbol before, or of an empty row, goes to the MACs.
        releases = table.releases[step, :width]
        start = np.maximum(free, done + OPERATION_DELAY)
        begun[row - 1, :width] = np.where(releases, start, free)
        free[:] = np.where(releases, start + table.words[:width], free)
        begun[row, :width] = free
        done += table.wraps[step, :width]
        left[row, :width] = done
    return [
        SymbolTimes(decoded[PLACES : PLACES + size, column], taken[PLACES : PLACES + size, column])
        for column, size in enumerate(sizes.tolist())
    ]


class _Table:
    """What the lanes' symbols ask for, step by step, a column for each lane."""

    def __init__(self, steps: int, lanes: Sequence[tuple[LaneStream, int]]) -> None:
        self.gap = np.ones((steps, len(lanes)), np.int64)
        """Cycles from the symbol before, at least."""
        self.wraps = np.zeros((steps, len(lanes)), np.int64)
        self.releases = np.zeros((steps, len(lanes)), np.bool_)
        """An operation goes to the MACs when it comes: that of the tap before, or of a row without taps."""
        self.words = np.array([words for _, words in lanes], np.int64)
        places = [self._fill(column, stream) for column, (stream, _) in enumerate(lanes)]
        step, column = (np.concatenate(parts) for parts in zip(*places, strict=True))
        order = np.argsort(step, kind="stable")
        self.literals = np.split(column[order], np.searchsorted(step[order], np.arange(1, steps)))
        """Columns that have a literal, of each step."""

    def _fill(self, column: int, stream: LaneStream) -> tuple[IntArray, IntArray]:
        """One lane's column. Returns of each literal its step and its column."""
        size = stream.bits.size
        literal = stream.bits > MAX_CODE_LENGTH
        self.wraps[:size, column] = stream.wraps
        self.gap[1:size, column] += np.where(literal & stream.end, CODE_CHANGE_CYCLES, 0)[:-1]
        self.releases[:size, column] = np.append(stream.end[:1], ~stream.end[:-1] | stream.end[1:])
        step = np.flatnonzero(literal)
        return step, np.full(step.size, column)


@dataclass(frozen=True, eq=False)
class RowTimes:
    """Of a lane's rows, (rows,) each: what they ask of the MACs, and when the decoder lets them."""

    passes: IntArray
    """Operations: taps, or one of weight 0."""
    first: IntArray
    """When the first operation is there."""
    last: IntArray
    """When the last operation can begin at the earliest, `words` cycles for each one before it."""
    ahead: IntArray
    """When the decoder is as far beyond the row's first symbol as it can run ahead of the MACs."""


def row_times(stream: LaneStream, times: SymbolTimes, words: int) -> RowTimes:
    """Rows of a lane whose symbols move on at `times`."""
    if not stream.end.any():
        none = np.zeros(0, np.int64)
        return RowTimes(none, none, none, none)
    taken = times.taken
    ends = np.flatnonzero(stream.end)
    starts = np.concatenate([[0], ends[:-1] + 1])
    taps = ends - starts
    passes = np.maximum(taps, 1)
    # An operation is released by the symbol behind it; that of a row without taps by its end.
    released = np.append(taken[1:], taken[-1])
    released[ends] = taken[ends]
    kth = np.arange(ends[-1] + 1) - np.repeat(starts, taps + 1)
    lead = released - kth * words  # the row's first operation must have begun by then
    lead[ends[taps > 0]] = LONG_AGO
    last = np.maximum.reduceat(lead, starts)
    ahead = taken[np.minimum(starts + SYMBOLS_AHEAD, taken.size - 1)]
    delay = OPERATION_DELAY + SUM_DELAY
    return RowTimes(passes, released[starts] + delay, last + (passes - 1) * words + delay, ahead + delay)
