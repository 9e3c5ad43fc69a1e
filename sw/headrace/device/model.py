"""The model device: registers, memory and instruction set in NumPy. It has no clock, so every counter reads 0."""

from __future__ import annotations

from ..config import Config
from ..errors import DeviceError
from ..isa import ISA_VERSION, ErrorCode
from ..registers import MAGIC, REGISTERS, Register
from .base import Closing, check_register
from .machine import Machine
from .memory import Memory, MemoryBuffer
from .report import Report

DEFAULT_BASE = 0x1000_0000
DEFAULT_MEMORY_BYTES = 64 << 20


def register_at(offset: int) -> tuple[Register | None, int]:
    """The register at a byte offset and its index in its array; (None, 0) where there is none."""
    for register in REGISTERS.values():
        index = (offset - register.offset) // 4
        if 0 <= index < register.count:
            return register, index
    return None, 0


class ModelDevice(Closing):
    """A Device that executes a program when it is waited for, or when its STATUS is read.

    A start makes the device busy; the program runs as a whole at the next `wait`, or just after the next read of
    STATUS has returned `busy`, so that drivers that poll see it end. What can go wrong in hardware goes wrong here:
    unaligned pointers, addresses outside memory, descriptors this configuration cannot hold, streams that do not
    decode. Raises DeviceError for offsets and values outside the register space.
    """

    name = "model"
    clock_mhz: float | None = None

    def __init__(
        self, config: Config, *, memory_bytes: int = DEFAULT_MEMORY_BYTES, memory_base: int = DEFAULT_BASE
    ) -> None:
        self.config = config
        self.memory = Memory(memory_bytes, memory_base)
        self.machine = Machine(config, self.memory)
        self._stored = {register.name: register.reset for register in REGISTERS.values()}
        self._stored |= {"MAGIC": MAGIC, "VERSION": ISA_VERSION, "CONFIG": config.hash}
        self._busy = self._done = self._error = False
        self._latched = (0, 0)
        self._closed = False

    @classmethod
    def open(cls, config: Config, **options: int) -> ModelDevice:
        """Options: `memory_bytes`, `memory_base` (multiples of 64). DeviceError for others."""
        unknown = set(options) - {"memory_bytes", "memory_base"}
        if unknown:
            raise DeviceError(f"the model device has no option {', '.join(sorted(unknown))}")
        return cls(config, **options)

    def allocate(self, nbytes: int) -> MemoryBuffer:
        self._check_open()
        return self.memory.allocate(nbytes)

    def read(self, offset: int) -> int:
        """A register's value; 0 where there is no register, or one that is only written."""
        self._check_open()
        check_register(offset)
        register, _ = register_at(offset)
        if register is None or register.access == "wo":
            return 0
        if register.name != "STATUS":
            return self._stored[register.name]
        value = register.record.pack({"busy": self._busy, "done": self._done, "error": self._error})
        self._execute()
        return value

    def write(self, offset: int, value: int) -> None:
        """Registers that are only read, and offsets without a register, ignore it."""
        self._check_open()
        check_register(offset, value)
        register, _ = register_at(offset)
        if register is None or register.access == "ro":
            return
        if register.name == "CONTROL":
            self._control(register.record.unpack(value))
        else:
            defined = (1 << register.record.width) - 1
            self._stored[register.name] = value & defined

    def wait(self, timeout_seconds: float) -> None:
        """Run what was started. Without an interrupt nothing can follow, so the time-out is reported at once."""
        self._check_open()
        self._execute()
        if not (self._stored["INTERRUPT"] & 1 and (self._done or self._error)):
            raise DeviceError(f"no interrupt within {timeout_seconds:g} s: the model device is idle")

    def close(self) -> None:
        self._closed = True

    def _control(self, command: dict[str, int]) -> None:
        if command["abort"] and self._busy:
            self._busy = False
            self._end(Report(ErrorCode.ABORTED))
        if command["clear"]:
            self._done = self._error = False
            self._stored["ERROR"] = 0
        if command["start"] and not self._busy:
            self._busy, self._done, self._error = True, False, False
            self._stored["ERROR"] = 0
            self._latched = self._stored["PROGRAM"], self._stored["DATA"]

    def _execute(self) -> None:
        if not self._busy:
            return
        self._busy = False
        self._end(self.machine.run(*self._latched))

    def _end(self, report: Report) -> None:
        self._done, self._error = report.code is ErrorCode.NONE, report.code is not ErrorCode.NONE
        if self._error:
            self._stored["ERROR"] = REGISTERS["ERROR"].record.pack(
                {
                    "code": report.code,
                    "lane": report.lane,
                    "layer": report.layer,
                    "descriptor": report.descriptor & 0xFF,
                }
            )

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("the model device was closed")
