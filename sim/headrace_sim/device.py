"""The simulated device: the Verilated accelerator behind the same interface as a board."""

from __future__ import annotations

import time
from typing import Any

from headrace.config import Config
from headrace.device.base import Closing, check_register
from headrace.device.memory import Memory, MemoryBuffer
from headrace.errors import DeviceError

from .simulator import DEFAULT_BASE, DEFAULT_MEMORY_BYTES, Simulator

SLICE = 20_000
"""Cycles between two looks at the time and at Ctrl-C."""
DEFAULT_MAX_CYCLES = 1 << 30
OPTIONS = ("latency", "stall", "bandwidth", "seed", "memory_bytes", "base", "trace", "max_cycles")


class SimDevice(Closing):
    """A Device. `simulator` gives access to faults, statistics and waveforms.

    `wait` runs the clock until the interrupt: at most `max_cycles` cycles and `timeout_seconds` seconds on the wall.
    Raises DeviceError, naming the cycles run, when they pass without it, and for a breach of the AXI protocol.
    """

    name = "sim"
    clock_mhz: float | None = None

    def __init__(
        self,
        config: Config,
        *,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        base: int = DEFAULT_BASE,
        max_cycles: int = DEFAULT_MAX_CYCLES,
        **options: Any,
    ) -> None:
        self.config = config
        self.max_cycles = max_cycles
        self._memory = Memory(memory_bytes, base)
        self.simulator = Simulator(config, memory_bytes=memory_bytes, base=base, **options)
        self._memory.bytes = self.simulator.memory

    @classmethod
    def open(cls, config: Config, **options: Any) -> SimDevice:
        """Options: those of `Simulator` except `library`, and `max_cycles`. DeviceError for others."""
        unknown = set(options) - set(OPTIONS)
        if unknown:
            raise DeviceError(f"the sim device has no option {', '.join(sorted(unknown))}; it has {', '.join(OPTIONS)}")
        return cls(config, **options)

    def allocate(self, nbytes: int) -> MemoryBuffer:
        return self._memory.allocate(nbytes)

    def read(self, offset: int) -> int:
        """A real transaction on the register bus; takes a few cycles."""
        check_register(offset)
        return self.simulator.read(offset)

    def write(self, offset: int, value: int) -> None:
        """A real transaction on the register bus; takes a few cycles."""
        check_register(offset, value)
        self.simulator.write(offset, value)

    def wait(self, timeout_seconds: float) -> None:
        start, deadline = self.simulator.cycles, time.monotonic() + timeout_seconds
        while not self.simulator.run(min(SLICE, max(0, self.max_cycles - (self.simulator.cycles - start)))):
            passed = self.simulator.cycles - start
            if passed >= self.max_cycles or time.monotonic() > deadline:
                raise DeviceError(f"no interrupt within {passed:,} simulated cycles")

    def close(self) -> None:
        self.simulator.close()
