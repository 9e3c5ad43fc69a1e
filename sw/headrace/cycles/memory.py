"""The memory behind the read ports."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from ..config import Config
from . import costs

NEVER = float("inf")
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
    """When a lane wants the bursts of its stream, in the order of time that it keeps if it waits for none."""

    beats: int
    needed: list[float]
    """When the first symbol of each burst would be decoded."""
    room: list[float]
    """When the lane has taken so many beats that it has room for each burst."""


class Port:
    """One read port: when what it was asked for arrives. Requests must come in the order of time."""

    def __init__(self, memory: Memory, config: Config) -> None:
        self.burst_beats = config.burst_beats
        self.block_beat_cycles = 1 / min(1.0, memory.beats_per_cycle)
        self.stream_beat_cycles = 1 / min(1.0, memory.beats_per_cycle / config.read_ports)
        self.free = 0.0
        """When the last burst that was requested has arrived."""
        self._latency = memory.latency
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

    def serve(self, time: float, lanes: Sequence[StreamNeed], blocks: Blocks | None) -> tuple[list[list[float]], float]:
        """Streams that are asked for at `time`, and blocks that are served before them, one after the other.

        Returns when each burst of each lane begins to arrive, and when the last one was requested.
        """
        arrivals: list[list[float]] = [[] for _ in lanes]
        late = [0.0] * len(lanes)
        left = sum(len(lane.needed) for lane in lanes)
        count = len(lanes)
        last, free, requested = count - 1, time + costs.STREAM_REQUEST, time
        rooms = [lane.room[0] if lane.room else NEVER for lane in lanes]
        block_turn = True
        while left:
            issue = max(free, self.ready, min(rooms))
            # Blocks and lanes take turns where both are waiting.
            if blocks is not None and blocks.time <= issue and (block_turn or max(blocks.time, self.ready) < issue):
                blocks = blocks.send(self)
                block_turn = False
                continue
            block_turn = True
            for step in range(1, count + 1):
                number = (last + step) % count
                if rooms[number] <= issue:
                    break
            lane, turn = lanes[number], len(arrivals[number])
            beats = min(self.burst_beats, lane.beats - turn * self.burst_beats)
            first = self.burst(issue, beats, self.stream_beat_cycles)
            arrivals[number].append(first)
            late[number] = max(late[number], first + costs.BEAT_TO_SYMBOL - lane.needed[turn])
            turn += 1
            rooms[number] = lane.room[turn] + late[number] if turn < len(lane.room) else NEVER
            last, free, requested = number, issue + costs.BURST_CYCLES, issue
            left -= 1
        return arrivals, requested


class Blocks:
    """Blocks that are asked for one after the other, the first one at `time`: a descriptor and the tables it names.

    `arrived`: when the last beat of each had come. `time`: when the next burst can be requested.
    """

    def __init__(self, time: float, sizes: Sequence[int], beat_cycles: int = 1) -> None:
        self.time = time + costs.BLOCK_REQUEST
        self.arrived: list[float] = []
        self._sizes, self._beat_cycles = list(sizes), beat_cycles
        self._left = sizes[0] if sizes else 0

    def send(self, port: Port) -> Blocks | None:
        """Request the next burst; None where it was the last."""
        beats = min(self._left, port.burst_beats)
        port.burst(max(self.time, port.ready), beats, max(port.block_beat_cycles, self._beat_cycles))
        self.time = max(self.time, port.ready) + costs.BLOCK_BURST_CYCLES
        self._left -= beats
        if self._left:
            return self
        self.arrived.append(port.free)
        if len(self.arrived) == len(self._sizes):
            return None
        self.time = port.free + costs.BLOCK_REQUEST
        self._left = self._sizes[len(self.arrived)]
        return self

    def finish(self, port: Port) -> list[float]:
        """`arrived` of all blocks."""
        left = self if len(self.arrived) < len(self._sizes) else None
        while left is not None:
            left = left.send(port)
        return self.arrived
