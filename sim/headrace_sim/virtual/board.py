"""What the virtual board consists of: DRAM, files, the processing system's registers, and the programmable logic."""

from __future__ import annotations

from headrace.config import Config
from headrace.device.memory import Memory, MemoryBuffer
from headrace.errors import DataError, DeviceError
from headrace.registers import ADDRESS_BITS, REGISTERS, offset
from headrace_hw.boards import Board

from ..build import build, cached_verilog
from ..simulator import DEFAULT_BASE, DEFAULT_MEMORY_BYTES, FaultKind, Simulator
from .overlay import read_firmware
from .systems import system_of

FIRMWARE = "/lib/firmware/"
MANAGER = "/sys/class/fpga_manager/fpga0/"
SLICE = 2_000
"""Cycles that pass between two looks of the host at the accelerator while that is at work."""


class VirtualBoard:
    """A board. Loading a virtual bitstream puts the simulated accelerator of its configuration in the logic.

    Its clock runs while the host reads or writes its registers: while a program runs, SLICE cycles for each access.
    The memory answers `latency` cycles after a request, with `mute` never. Every method may raise DeviceError or
    DataError, in one line.
    """

    def __init__(
        self, board: Board, memory_bytes: int = DEFAULT_MEMORY_BYTES, *, mute: bool = False, latency: int = 40
    ) -> None:
        self.board = board
        self.simulator: Simulator | None = None
        self.config: Config | None = None
        self._mute, self._latency = mute, latency
        self._memory = Memory(memory_bytes, DEFAULT_BASE)
        self._buffers: dict[str, MemoryBuffer] = {}
        self._numbers = 0
        system = system_of(board)
        self._registers = {system.pll: system.pll_value}
        self._running = False
        self.files = {
            "/proc/version": f"Linux version 5.15 (virtual board) {system.machine}".encode(),
            "/proc/device-tree/chosen/pynq_board": board.title.encode() + b"\0",
            MANAGER + "state": b"operating\n",
            MANAGER + "flags": b"0\n",
        }

    @staticmethod
    def prepare(config: Config) -> None:
        """Build the simulation of a configuration ahead, so that loading its bitstream takes no time."""
        build(cached_verilog(config))

    def write_file(self, path: str, content: bytes) -> None:
        """Firmware is kept; its name, written to the FPGA manager, loads it. Other files are read-only."""
        if path == MANAGER + "firmware":
            self._program(content.decode(errors="replace").strip())
        elif path.startswith(FIRMWARE) or path == MANAGER + "flags":
            self.files[path] = content
        else:
            raise DeviceError(f"the virtual board has no writable file {path}")

    def read(self, address: int) -> int:
        """A 32-bit register, of the accelerator or of the processing system."""
        if (at := self._in_accelerator(address)) is None:
            return self._registers.get(address, 0)
        simulator = self._simulator()
        if self._running:
            self._running = not simulator.run(SLICE)
        return simulator.read(at)

    def write(self, address: int, value: int) -> None:
        if (at := self._in_accelerator(address)) is None:
            self._registers[address] = value
            return
        self._simulator().write(at, value)
        if at == offset("CONTROL"):
            self._running = bool(REGISTERS["CONTROL"].record.unpack(value)["start"])

    def allocate(self, nbytes: int) -> str:
        """The name of a new buffer."""
        buffer = self._memory.allocate(nbytes)
        self._numbers += 1
        self._buffers[str(self._numbers)] = buffer
        return str(self._numbers)

    def buffer(self, name: str) -> MemoryBuffer:
        if name not in self._buffers:
            raise DeviceError(f"there is no buffer {name!r}")
        return self._buffers[name]

    def free(self, name: str) -> None:
        self.buffer(name).free()
        del self._buffers[name]

    def close(self) -> None:
        if self.simulator is not None:
            self.simulator.close()
            self.simulator = None

    def _program(self, name: str) -> None:
        if FIRMWARE + name not in self.files:
            raise DataError(f"there is no firmware {name!r} on the board")
        config = read_firmware(self.files[FIRMWARE + name])
        self.close()
        memory = self._memory
        self.simulator = Simulator(config, memory=memory.bytes, base=memory.base, latency=self._latency)
        if self._mute:
            self.simulator.fault(FaultKind.READ_SILENCE, memory.base, memory.base + memory.bytes.size)
        self.config = config
        self._running = False

    def _in_accelerator(self, address: int) -> int | None:
        at = address - self.board.registers
        return at if 0 <= at < 1 << ADDRESS_BITS else None

    def _simulator(self) -> Simulator:
        if self.simulator is None:
            raise DeviceError("the programmable logic is empty: no bitstream was loaded")
        return self.simulator
