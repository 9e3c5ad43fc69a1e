"""What the front fetches: descriptors and tables, beside the lanes' streams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from . import costs

NEVER = float("inf")


class BlockPort(Protocol):
    """The read port that serves blocks; see `memory.Port`."""

    burst_beats: int
    block_beat_cycles: float
    free: float

    @property
    def ready(self) -> float: ...

    def burst(self, issue: float, beats: int, beat_cycles: float) -> float: ...


class After(Enum):
    """What a block comes after."""

    DESCRIPTOR = "descriptor"
    """It is asked for when the block before, which names it, has come."""
    BLOCK = "block"
    """It is asked for right behind another one of a LOAD."""
    LOAD = "load"
    """A descriptor: asked for right behind the blocks of a LOAD, it waits for the end of that."""


@dataclass(frozen=True)
class Block:
    beats: int
    after: After = After.DESCRIPTOR
    beat_cycles: float = 1.0


class Blocks:
    """Blocks that are asked for one after the other, the first one at `time`: descriptors, the tables that one names,
    what a LOAD moves. Beats of the first one wait until `taken`.

    `began`, `arrived`: when the first beat of each had come, and the last. `time`: when the next burst can be
    requested, NEVER behind the last.
    `known`: when the first `mark` beats of the last block had come, NEVER until they are requested.
    """

    def __init__(self, time: float, blocks: Sequence[Block], mark: int = 1, taken: float = 0.0) -> None:
        self.time = time + costs.BLOCK_REQUEST if blocks else NEVER
        self.began: list[float] = []
        self.arrived: list[float] = []
        self.known = NEVER
        self._blocks, self._mark, self._taken = list(blocks), mark, taken
        self._left = blocks[0].beats if blocks else 0

    def send(self, port: BlockPort) -> None:
        """Request the next burst."""
        number = len(self.arrived)
        block = self._blocks[number]
        issue, beats = max(self.time, port.ready), min(self._left, port.burst_beats)
        beat_cycles = max(port.block_beat_cycles, block.beat_cycles)
        first = port.burst(issue, beats, beat_cycles)
        before = block.beats - self._left
        if not before:
            self.began.append(first)
        if number == len(self._blocks) - 1 and before < self._mark <= before + beats:
            self.known = first + (self._mark - before) * beat_cycles
        self.time = issue + costs.BLOCK_BURST_CYCLES
        self._left -= beats
        if self._left:
            return
        port.free = max(port.free, self._taken + block.beats)
        self._taken = 0.0
        self.arrived.append(port.free)
        if number + 1 == len(self._blocks):
            self.time = NEVER
            return
        following = self._blocks[number + 1]
        self._left = following.beats
        if following.after is After.DESCRIPTOR:
            self.time = port.free + costs.DESCRIPTOR_CHECK + costs.BLOCK_REQUEST
        else:
            self.time += costs.NEXT_BLOCK
        if following.after is After.LOAD:
            self._taken = port.free + costs.LOAD_END + costs.NEXT_DESCRIPTOR

    def delay(self, cycles: float) -> None:
        """What has not been requested comes so much later; a block that waits to be taken, too."""
        self.time += cycles
        if self._taken:
            self._taken += cycles

    def reach_mark(self, port: BlockPort) -> float:
        """`known`, with what has to be requested until then."""
        while self.known == NEVER:
            self.send(port)
        return self.known

    def reach(self, number: int, port: BlockPort) -> float:
        """When that block had come, with what has to be requested until then."""
        while len(self.arrived) <= number:
            self.send(port)
        return self.arrived[number]

    def finish(self, port: BlockPort) -> list[float]:
        """`arrived` of all blocks."""
        while self.time < NEVER:
            self.send(port)
        return self.arrived


class Front:
    """The front while a layer's streams are served: first the rest of the layer's own tables, `tables`, then, once
    the layer runs, the blocks of the next descriptor, `following`, whose times are since the layer's start until then.

    The layer is known of at `earliest`. The one before had left the lanes at `left`, NEVER where there was none, and
    ended at `idle`. The layer starts at `start`; its lanes decode from `begin` on. Both are NEVER until all tables are
    requested.
    """

    def __init__(
        self, port: BlockPort, tables: Blocks, earliest: float, left: float, idle: float, following: Blocks
    ) -> None:
        self.start = self.begin = NEVER
        self._port, self._blocks, self._following = port, tables, following
        self._earliest, self._left, self.idle = earliest, left, idle
        self._look()

    def time(self, port: BlockPort) -> float:
        """When the next burst over this port can be requested."""
        return self._blocks.time if port is self._port else NEVER

    def send(self, port: BlockPort) -> None:
        """Request the next burst."""
        self._blocks.send(port)
        self._look()

    def finish_tables(self) -> None:
        """Request what the layer needs to start."""
        while self.start == NEVER:
            self.send(self._port)

    def _look(self) -> None:
        if self.start == NEVER and self._blocks.time == NEVER:
            known = max(self._earliest, self._blocks.arrived[-1] + costs.TABLES_KNOWN)
            prepared = max(known, self._left)
            if prepared <= self.idle:
                lanes = prepared + costs.LANES_GAP
                self.start = max(self.idle, lanes) + costs.PREPARED_GAP
            else:
                lanes = self.start = max(known, self.idle + costs.LAYER_GAP)
            self.begin = max(self.start + costs.FIRST_DECODED, lanes + costs.FIRST_SYMBOL)
            self._blocks = self._following
            self._blocks.time += self.start
