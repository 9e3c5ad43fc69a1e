"""The memory behind the read ports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import Config
from . import costs
from .costs import IntArray

PYNQ_Z2_BEATS = 1.975
"""Beats of 64 bits in a cycle of 100 MHz: 1,580 MB/s, taken as what a PYNQ-Z2's memory yields of the 2,100 MB/s of
its 16 bits at 1050 MT/s."""


@dataclass(frozen=True)
class Memory:
    """What the estimate takes the memory for."""

    beats_per_cycle: float = PYNQ_Z2_BEATS
    """Of all ports together; a port has no more than one."""
    latency: int = 40
    """Cycles from a burst's request to its first beat."""


class Port:
    """One read port: when what it was asked for arrives. Requests must come in the order of time."""

    def __init__(self, memory: Memory, config: Config) -> None:
        self._latency = memory.latency
        self._config = config
        self._alone = min(1.0, memory.beats_per_cycle)
        self._shared = min(1.0, memory.beats_per_cycle / config.read_ports)
        self.free = 0.0
        """When all beats that were asked for so far have arrived, but for lanes' beats that had no room yet."""
        self.requested = 0
        """When the last burst that had room was requested."""

    def block(self, time: int, beats: int, beat_cycles: int = 1) -> int:
        """When the last of `beats` has arrived, asked for at `time`, which takes `beat_cycles` at least for each."""
        first = max(self.free, time + costs.BLOCK_REQUEST + self._latency)
        self.free = first + beats * max(1 / self._alone, beat_cycles)
        return round(self.free)

    def streams(self, time: int, beats: Sequence[int]) -> list[IntArray]:
        """When each beat of each lane's stream arrives, asked for at `time`, if the lanes have room."""
        config, burst = self._config, self._config.burst_beats
        count = np.array([-(-n // burst) for n in beats])
        turn, lane = np.nonzero(np.arange(count.max(initial=0))[:, None] < count)
        sizes = np.minimum(np.array(beats)[lane] - turn * burst, burst)
        earliest = time + costs.STREAM_REQUEST + self._latency + costs.BURST_CYCLES * np.arange(sizes.size)
        # Each burst follows the one before, or comes when it was asked for.
        before = np.cumsum(sizes) - sizes
        first = np.maximum(np.maximum.accumulate(earliest - before / self._shared), self.free) + before / self._shared
        result = []
        for n in range(len(beats)):
            mine = lane == n
            times = first[mine][:, None] + np.arange(burst) / self._shared
            result.append(np.ceil(times.reshape(-1)[: beats[n]]).astype(np.int64))
        fill = turn * burst < config.fifo_beats
        if fill.any():
            final = int(np.flatnonzero(fill)[-1])
            self.free = max(self.free, float(first[final] + sizes[final] / self._shared))
            self.requested = int(earliest[final]) - self._latency
        return result
