"""Rows of all lanes leave one after the other through one requantiser: who waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .costs import OUTPUT_DELAY, OUTPUT_WORDS
from .lanes import RowTimes

NEVER = 1 << 60


@dataclass(frozen=True)
class Run:
    """What running a layer's rows came to, in cycles since the same moment as the lanes' times."""

    end: int
    """The last word has been written back."""
    lanes_end: int
    """The last lane's last word has left it."""
    begins: list[list[int]]
    """For each lane when each row's first operation could begin, and when the last one had left."""
    output_waits: int
    """Cycles in which lanes waited for the way out, all together."""
    decode_waits: int
    """Cycles in which lanes waited for operations, all together."""


class _Lane:
    """One lane's rows, as plain numbers."""

    def __init__(self, times: RowTimes, words: int, maximum: bool, write: int) -> None:
        self.words, self.maximum, self.write = words, maximum, write
        self.passes, self.first = times.passes.tolist(), times.first.tolist()
        self.last, self.ahead = times.last.tolist(), times.ahead.tolist()
        self.row = 0
        self.late = 0  # the decoder had to wait so long for the MACs
        self.free = 0
        self.begins: list[int] = []
        self.decode_waits = 0
        self.ready = NEVER
        self.next_row()

    def next_row(self) -> None:
        """`ready`: when the next row's first word that leaves is there."""
        self.begins.append(self.free)
        if self.row == len(self.passes):
            self.ready = NEVER
            return
        self.late = max(self.late, self.free - self.ahead[self.row])
        if self.maximum:
            self.ready = max(self.free, self.first[self.row] + self.late)
        else:
            busy = self.free + (self.passes[self.row] - 1) * self.words
            self.ready = max(busy, self.last[self.row] + self.late)
            self.decode_waits += self.ready - busy

    def leave(self, granted: int) -> int:
        """The cycle in which the row's last word leaves, if nothing holds it up."""
        if not self.maximum:
            return granted + self.words - 1
        busy = granted + self.passes[self.row] * self.words - 1
        end = max(busy, self.last[self.row] + self.late + self.words - 1)
        self.decode_waits += end - busy
        return end


def emit(times: Sequence[RowTimes], words: int, maximum: bool, writes: Sequence[int]) -> Run:
    """Run all rows.

    Args:
        times: of each lane.
        words: words of P pixels in a row.
        maximum: every operation's words leave, not only those of the row's last one.
        writes: cycles that the write-back takes for a row of each lane.
    """
    lanes = [_Lane(one, words, maximum, write) for one, write in zip(times, writes, strict=True)]
    count, ready = len(lanes), [lane.ready for lane in lanes]
    last, free, written, output_waits = count - 1, 0, 0, 0
    for _ in range(sum(len(lane.passes) for lane in lanes)):
        # The next lane behind the last one that waits, else the one that comes first.
        for step in range(1, count + 1):
            number = (last + step) % count
            if ready[number] <= free:
                break
        else:
            soonest = min(ready)
            number = next(n for n in ((last + s) % count for s in range(1, count + 1)) if ready[n] == soonest)
        lane = lanes[number]
        granted = max(free, ready[number]) + 1
        end = lane.leave(granted)
        # The write-back is behind by the words between; where it takes longer, the words wait in the lane.
        written = max(written, end - words + 1 + OUTPUT_DELAY) + lane.write
        held = max(end, written - OUTPUT_WORDS * lane.write // words)
        output_waits += granted - ready[number] + held - end
        lane.free, free, last = held + 1, held, number
        lane.row += 1
        lane.next_row()
        ready[number] = max(lane.ready, held + 1)  # until then the lane shows its old word
    return Run(
        max(written, free + OUTPUT_DELAY),
        free,
        [lane.begins for lane in lanes],
        output_waits,
        sum(lane.decode_waits for lane in lanes),
    )
