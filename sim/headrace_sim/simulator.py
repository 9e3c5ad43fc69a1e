"""The accelerator in Verilator as a Python object: clock, registers, memory, faults, waveforms."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.config import Config
from headrace.errors import DeviceError

from .build import build, cached_verilog

DEFAULT_BASE = 0x1000_0000
DEFAULT_MEMORY_BYTES = 16 << 20


class FaultKind(IntEnum):
    """What the memory does wrong at the addresses it is told."""

    READ_ERROR = 1
    WRITE_ERROR = 2
    READ_SILENCE = 3
    """A burst that begins there is never answered, nor is any later one."""
    WRITE_SILENCE = 4


@dataclass(frozen=True)
class Statistics:
    """Since creation. `read_waits`: cycles with a read under way and no beat there; `read_blocked`: cycles with a beat
    that the device did not take; `write_blocked`: cycles with a beat that the memory did not take."""

    cycles: int
    read_bursts: int
    read_beats: int
    read_waits: int
    read_blocked: int
    write_bursts: int
    write_beats: int
    write_blocked: int


class _Options(Structure):
    _fields_ = [
        ("memory", c_void_p),
        ("memory_bytes", c_uint64),
        ("seed", c_uint64),
        ("base", c_uint32),
        ("latency", c_uint32),
        ("stall", c_uint32),
        ("bandwidth", c_uint32),
    ]


class _Statistics(Structure):
    _fields_ = [(name, c_uint64) for name in Statistics.__dataclass_fields__]


@cache
def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    for name, result, *arguments in (
        ("create", c_void_p, POINTER(_Options)),
        ("destroy", None, c_void_p),
        ("reset", None, c_void_p),
        ("read", c_int, c_void_p, c_uint32, POINTER(c_uint32)),
        ("write", c_int, c_void_p, c_uint32, c_uint32),
        ("run", c_uint64, c_void_p, c_uint64),
        ("interrupt", c_int, c_void_p),
        ("statistics", None, c_void_p, POINTER(_Statistics)),
        ("fault", None, c_void_p, c_uint32, c_uint32, c_uint32),
        ("clear_faults", None, c_void_p),
        ("violation", c_char_p, c_void_p),
        ("trace", c_int, c_void_p, c_char_p),
    ):
        function = getattr(library, f"hr_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class Simulator:
    """One accelerator and its memory of `memory_bytes` from byte address `base` on, or `memory` itself.

    The memory answers `latency` cycles after a request; in any cycle each of its channels pauses with probability
    `stall`; reads and writes share `bandwidth` beats per cycle (None: no limit). Equal arguments, seed included, give
    equal runs. `trace` (a .vcd file) records waveforms from the start, with a slower build. `library` is what `build`
    made of another module with the same ports.
    Raises DeviceError when the device breaks the AXI protocol, and where a register does not answer.
    """

    def __init__(
        self,
        config: Config | None,
        *,
        latency: int = 40,
        stall: float = 0.0,
        bandwidth: float | None = None,
        seed: int = 0,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        memory: NDArray[np.uint8] | None = None,
        base: int = DEFAULT_BASE,
        trace: str | Path | None = None,
        library: Path | None = None,
    ) -> None:
        self._bench: int | None = None
        if not 0 <= stall < 1:
            raise DeviceError(f"stall = {stall} is not a probability below 1")
        ports = 1 if config is None else config.read_ports
        if bandwidth is not None and not 1 / 256 <= bandwidth <= ports:
            raise DeviceError(f"bandwidth = {bandwidth} is outside 1/256..{ports} beats per cycle")
        if memory is None:
            memory = np.zeros(max(0, memory_bytes) // 8, np.uint64).view(np.uint8)
        else:
            memory_bytes = memory.size
        if (
            latency < 0
            or memory_bytes <= 0
            or memory_bytes % 8
            or base % 8
            or not 0 <= base <= (1 << 32) - memory_bytes
        ):
            raise DeviceError(f"no memory of {memory_bytes} bytes at {base:#x} with a latency of {latency} cycles")
        if library is None:
            if config is None:
                raise DeviceError("a simulation needs a config or a library")
            library = build(cached_verilog(config), trace=trace is not None)
        self.base = base
        self.memory = memory
        """The device's memory itself, not a copy; stays valid after `close`."""
        options = _Options(
            memory=self.memory.ctypes.data,
            memory_bytes=memory_bytes,
            seed=seed % (1 << 64),
            base=base,
            latency=latency,
            stall=round(stall * 65536),
            bandwidth=round((bandwidth or 0) * 256),
        )
        self._library = _load(library)
        self._bench = self._library.hr_create(byref(options))
        if trace is not None:
            self.trace(trace)

    def reset(self) -> None:
        """Reset the device and forget transfers under way; memory and faults stay."""
        self._library.hr_reset(self._handle)

    def read(self, offset: int) -> int:
        """Read a register over the bus; takes a few cycles."""
        value = c_uint32()
        good = self._library.hr_read(self._handle, offset, byref(value))
        self._check(good, f"the register at {offset:#x} did not answer a read")
        return value.value

    def write(self, offset: int, value: int) -> None:
        """Write a register over the bus; takes a few cycles."""
        good = self._library.hr_write(self._handle, offset, value)
        self._check(good, f"the register at {offset:#x} did not answer a write")

    def run(self, cycles: int) -> bool:
        """Run the clock until the interrupt is high, at most so many cycles; whether it is."""
        self._library.hr_run(self._handle, cycles)
        self._check(True, "")
        return bool(self._library.hr_interrupt(self._handle))

    @property
    def statistics(self) -> Statistics:
        result = _Statistics()
        self._library.hr_statistics(self._handle, byref(result))
        return Statistics(*(getattr(result, name) for name in Statistics.__dataclass_fields__))

    @property
    def cycles(self) -> int:
        """Clock cycles since creation."""
        return self.statistics.cycles

    def fault(self, kind: FaultKind, first: int, end: int) -> None:
        """From now on the memory fails in this way at byte addresses first <= a < end."""
        self._library.hr_fault(self._handle, kind, first, end)

    def clear_faults(self) -> None:
        self._library.hr_clear_faults(self._handle)

    def trace(self, path: str | Path | None) -> None:
        """Record waveforms into a .vcd file from now on, or stop (None). Needs a library built with `trace`."""
        if not self._library.hr_trace(self._handle, None if path is None else str(path).encode()):
            raise DeviceError(f"cannot record waveforms to {path}: not writable, or built without trace")

    def close(self) -> None:
        """Free the simulation; a second call does nothing."""
        if self._bench is not None:
            self._library.hr_destroy(self._bench)
            self._bench = None

    def __del__(self) -> None:
        self.close()

    @property
    def _handle(self) -> int:
        if self._bench is None:
            raise DeviceError("the simulation was closed")
        return self._bench

    def _check(self, good: bool, reason: str) -> None:
        violation = self._library.hr_violation(self._handle).decode()
        if violation:
            raise DeviceError(f"the device breaks the AXI protocol: {violation}")
        if not good:
            raise DeviceError(reason)
