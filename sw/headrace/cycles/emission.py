"""Rows of all lanes leave one after the other through one requantiser: who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from .costs import GATHER_DELAY, OUTPUT_DELAY, OUTPUT_WORDS, SUM_DELAY
from .lanes import RowTimes

NEVER = 1 << 60


@dataclass(frozen=True)
class Run:
    """What running a layer's rows came to, in cycles since the same moment as the lanes' times.

    Waits and MAC cycles are those of all lanes together.
    """

    end: int
    """The last word has been written back."""
    left: int
    """The last word has left the lanes."""
    mac_cycles: int
    """Cycles in which lanes multiply."""
    output_waits: int
    """Cycles in which lanes wait for the way out."""
    decode_waits: int
    """Cycles in which lanes wait for operations."""
    loads_late: float
    """Cycles that LOADs beside the layer take longer."""


@dataclass(frozen=True)
class Taken:
    """From `begin` to `end` the beats of a LOAD come, which take so many `cycles` of these to be written."""

    begin: float
    end: float
    cycles: float


class _WriteBack:
    """Results and LOADs beside the layer, in order of time, take turns at the activation memory.

    `late`: so much later than they were to be, LOADs are from here on.
    """

    def __init__(self, taken: Sequence[Taken]) -> None:
        self.late = 0.0
        self._taken = [one for one in taken if one.cycles][::-1]

    def write(self, start: int, cycles: int) -> int:
        """When results that take so many cycles from `start` on have been written."""
        now, left = float(start), float(cycles)
        while left > 0 and self._taken:
            begin, end = (time + self.late for time in (self._taken[-1].begin, self._taken[-1].end))
            if now >= end:
                self._taken.pop()
            elif now < begin:
                before = min(left, begin - now)
                now, left = now + before, left - before
            else:
                wanted = self._taken[-1].cycles / (end - begin)  # of a cycle, as long as no result waits
                share = max(1 - wanted, 0.5)
                slower = 1 - (1 - share) / wanted
                both = min(left / share, (end - now) / (1 - slower))
                now, left = now + both, left - both * share
                self.late += both * slower
        return ceil(now + left)


class _Lane:
    """One lane's rows, as plain numbers: `ready` is when the present row's first word that leaves is there."""

    def __init__(self, times: RowTimes, words: int, maximum: bool, write: int) -> None:
        self.write = write
        self.passes = times.passes.tolist()
        self.decode_waits = self.output_waits = 0
        self.ready = NEVER
        self._words, self._maximum = words, maximum
        self._first, self._last, self._ahead = times.first.tolist(), times.last.tolist(), times.ahead.tolist()
        self._row = -1
        self._late = 0  # the decoder has had to wait so long for the MACs
        self._waited = False
        self.next_row(0)

    def next_row(self, free: int) -> None:
        """Go on to the next row; the MACs are done with the one before at `free`."""
        self._row += 1
        if self._row == len(self.passes):
            self.ready = NEVER
            return
        first, last = self._first[self._row], self._last[self._row]
        self._wait(free)
        if self._maximum:
            self.ready = max(free, first + self._late)
        else:
            busy = free + (self.passes[self._row] - 1) * self._words
            self.ready = max(busy, last + self._late)
            self.decode_waits += self.ready - busy

    def _wait(self, until: int) -> None:
        """The row's first operation is done at `until` at the earliest: the decoder gets no further ahead of it."""
        late = until - self._ahead[self._row]
        self._waited |= late > self._late
        self._late = max(self._late, late)

    def leave(self, granted: int) -> int:
        """The cycle in which the row's last word leaves if the first one does at `granted` and nothing holds it up."""
        if not self._maximum:
            return granted + self._words - 1
        first, last = self._first[self._row], self._last[self._row]
        # Operations that came to the MACs one by one keep their distance there, however long the first one waits.
        span = 0 if self._waited else min(last - first, SUM_DELAY)
        self._wait(granted)
        busy = granted + self.passes[self._row] * self._words - 1
        end = max(busy, max(granted + span, last + self._late) + self._words - 1)
        self.decode_waits += end - busy
        return end


class _GatheringLane(_Lane):
    """Of a gathered layer: `ready` is when the word of the next few rows is there. `free` is when the one before left:
    only then there is a place for the sum of the first of those rows."""

    def __init__(self, times: RowTimes, write: int, rows: int) -> None:
        self._rows = rows
        self._done = 0  # the MACs are done with the row before
        super().__init__(times, 1, False, write)

    def next_row(self, free: int) -> None:
        for _ in range(self._rows):
            super().next_row(self._done)
            if self.ready == NEVER:
                return
            taken = max(self.ready, free)
            self.output_waits += taken - self.ready
            self._done = taken + 1
        self.ready = taken + GATHER_DELAY


def emit(
    times: Sequence[RowTimes],
    words: int,
    writes: Sequence[int],
    maximum: bool,
    gathered: int,
    taken: Sequence[Taken] = (),
) -> Run:
    """Run all rows.

    Args:
        times: of each lane.
        words: words of P pixels in a row.
        writes: cycles that the write-back takes for a row of each lane, or for gathered ones.
        maximum: every operation's words leave, not only those of the row's last one.
        gathered: so many rows of one word leave at a time; 0: each by itself.
        taken: by LOADs beside the layer, in order, since the same moment as the lanes' times.
    """
    lanes = [
        _GatheringLane(one, write, gathered) if gathered else _Lane(one, words, maximum, write)
        for one, write in zip(times, writes, strict=True)
    ]
    count, ready = len(lanes), [lane.ready for lane in lanes]
    back = _WriteBack(taken)
    last, free, written = 0, 0, 0
    for _ in range(sum(len(lane.passes) for lane in lanes) // max(gathered, 1)):
        # The next lane behind the last one that waits, else the one that comes first.
        now = max(free, min(ready))
        number = next(n for n in (*range(last + 1, count), *range(last + 1)) if ready[n] <= now)
        lane = lanes[number]
        end = lane.leave(now + 1)
        # Where the write-back takes longer, words fill the places up to it, and those that have none wait in the lane.
        written = back.write(max(written, end - words + 1 + OUTPUT_DELAY), lane.write)
        held = max(end, written - OUTPUT_WORDS * lane.write // words)
        if not gathered:
            lane.output_waits += now - ready[number] + held - end
        free, last = held, number
        lane.next_row(held + 1)
        ready[number] = max(lane.ready, held + 1)  # until then the lane shows its old word
    macs = sum(sum(lane.passes) for lane in lanes) * words
    output_waits, decode_waits = (
        sum(part) for part in zip(*((one.output_waits, one.decode_waits) for one in lanes), strict=True)
    )
    return Run(max(written, free + OUTPUT_DELAY), free, macs, output_waits, decode_waits, back.late)
