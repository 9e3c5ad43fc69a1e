"""The memory behind the read ports."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import Config
from . import costs
from .front import NEVER, Front

PYNQ_Z2_BEATS = 1.975
"""Beats of 64 bits in a cycle of 100 MHz: 1,580 MB/s, taken as what a PYNQ-Z2's memory yields of the 2,100 MB/s of
its 16 bits at 1050 MT/s."""


@dataclass(frozen=True)
class Memory:
    """What the estimate takes the memory for. ValueError for numbers that no memory has."""

    beats_per_cycle: float = PYNQ_Z2_BEATS
    """Of all ports together; a port has no more than one."""
    latency: int = 40
    """Cycles from a burst's request to its first beat."""

    def __post_init__(self) -> None:
        if not 0 < self.beats_per_cycle < NEVER or self.latency < 0:
            raise ValueError(f"no memory has {self.beats_per_cycle} beats a cycle, {self.latency} cycles late")


@dataclass
class StreamNeed:
    """When a lane wants the bursts of its stream, since it begins to decode, if it waits for none."""

    beats: list[int]
    """Of each burst."""
    needed: list[float]
    """When the first symbol of each burst would be decoded."""
    room: list[float]
    """When the lane has taken so many beats that it has room for each burst; -NEVER where it has from the start."""
    short: list[float]
    """When it has no more than half a burst of those before left; -NEVER where it has not from the start."""


class Port:
    """One read port: when what it was asked for arrives. Requests must come in the order of time."""

    def __init__(self, memory: Memory, config: Config) -> None:
        self.burst_beats = config.burst_beats
        self.block_beat_cycles = 1 / min(1.0, memory.beats_per_cycle)
        self.stream_beat_cycles = 1 / min(1.0, memory.beats_per_cycle / config.read_ports)
        self.free = 0.0
        """When the last burst that was requested has arrived."""
        self._latency = memory.latency
        self._served = -1  # the lane whose burst was the last one: the next lanes' come first
        self._ends: deque[float] = deque([0.0] * costs.OUTSTANDING_BURSTS, costs.OUTSTANDING_BURSTS)

    @property
    def ready(self) -> float:
        """When the next burst can be requested, at the earliest."""
        return self._ends[0]

    def burst(self, issue: float, beats: int, beat_cycles: float) -> float:
        """When the first beat of a burst that is requested at `issue` arrives; each takes `beat_cycles` at least."""
        first = max(self.free, issue + self._latency)
        self.free = first + beats * beat_cycles
        self._ends.append(self.free)
        return first

    def serve(self, asked: float, lanes: Sequence[StreamNeed], front: Front) -> tuple[list[list[float]], float]:
        """Streams that are asked for at `asked`, and blocks of `front` if this is its port, one after the other.

        Returns when each burst of each lane begins to arrive, and when the last one was requested.
        """
        arrivals: list[list[float]] = [[] for _ in lanes]
        lead = [-NEVER] * len(lanes)  # when lanes would have to begin so that no burst so far were late

        def when(number: int, times: Sequence[float]) -> float:
            """Of the lane's next burst."""
            turn = len(arrivals[number])
            if turn == len(times):
                return NEVER
            return asked if times[turn] == -NEVER else max(front.begin, lead[number]) + times[turn]

        def room(number: int) -> float:
            return when(number, lanes[number].room)

        left, count = sum(len(lane.needed) for lane in lanes), len(lanes)
        free, requested = asked + costs.STREAM_REQUEST, asked
        rooms, begin = [room(number) for number in range(count)], front.begin
        block_turn = True
        while left:
            issue = max(free, self.ready, min(rooms))
            # Blocks and lanes take turns where both are waiting, but lanes wait for tables that nothing runs before.
            time = front.time(self)
            alone = front.start == NEVER and issue >= front.idle
            if time < NEVER and (alone or (time <= issue and (block_turn or max(time, self.ready) < issue))):
                front.send(self)
                block_turn = False
                if front.begin != begin:
                    rooms, begin = [room(number) for number in range(count)], front.begin
                continue
            block_turn = True
            able = [n for n in ((self._served + step) % count for step in range(1, count + 1)) if rooms[n] <= issue]
            number = next((n for n in able if when(n, lanes[n].short) <= issue), able[0])
            lane, turn = lanes[number], len(arrivals[number])
            first = self.burst(issue, lane.beats[turn], self.stream_beat_cycles)
            arrivals[number].append(first)
            lead[number] = max(lead[number], first + costs.BEAT_TO_SYMBOL - lane.needed[turn])
            rooms[number] = room(number)
            self._served, free, requested = number, issue + costs.BURST_CYCLES, issue
            left -= 1
        return arrivals, requested
