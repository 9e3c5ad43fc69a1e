"""The register table: driver, RTL and documentation derive from it. Offsets in bytes, 32-bit registers, AXI4-Lite."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Field, Record

MAGIC = 0x48445243  # "HDRC"
ADDRESS_BITS = 12
PROFILE_ENTRIES = 64


@dataclass(frozen=True)
class Register:
    """`access`: "ro", "rw", or "wo" (a write acts, a read gives 0). `count` registers 4 bytes apart."""

    name: str
    offset: int
    access: str
    doc: str
    fields: tuple[Field, ...] = ()
    reset: int = 0
    count: int = 1

    @property
    def record(self) -> Record:
        return Record(self.name, self.fields or (Field("value", 32),))


REGISTERS = {
    register.name: register
    for register in (
        Register("MAGIC", 0x00, "ro", "0x48445243, 'HDRC'"),
        Register("VERSION", 0x04, "ro", "instruction set version"),
        Register("CONFIG", 0x08, "ro", "hash of the configuration the device was built with"),
        Register(
            "CONTROL",
            0x0C,
            "wo",
            "commands",
            (
                Field("start", 1, "run the program; ignored while busy"),
                Field("clear", 1, "clear done, error and the interrupt"),
                Field("abort", 1, "stop as soon as no AXI transfer is under way"),
            ),
        ),
        Register(
            "STATUS",
            0x10,
            "ro",
            "state",
            (Field("busy", 1), Field("done", 1, "the program ended well"), Field("error", 1, "it did not; see ERROR")),
        ),
        Register(
            "ERROR",
            0x14,
            "ro",
            "the first error since start",
            (
                Field("code", 8, "see ErrorCode"),
                Field("lane", 8, "lane, where the code concerns one; else 255"),
                Field("layer", 8, "`layer` of the descriptor"),
                Field("descriptor", 8, "number of the descriptor, modulo 256"),
            ),
        ),
        Register("PROGRAM", 0x18, "rw", "address of the program, a multiple of 8"),
        Register("DATA", 0x1C, "rw", "address of input and output activations, a multiple of 8"),
        Register("CYCLES", 0x20, "ro", "clock cycles from start to end of the last run"),
        Register("WATCHDOG", 0x24, "rw", "cycles that one descriptor may take; 0: no limit", reset=1 << 24),
        Register("INTERRUPT", 0x28, "rw", "interrupt when done or in error", (Field("enable", 1),)),
        Register(
            "STALL",
            0x80,
            "ro",
            "cycles of the last run in which lane n had rows left and did no multiplication",
            count=32,
        ),
        Register(
            "PROFILE",
            0x400,
            "ro",
            "for descriptor n < 64 of the last run, register 2n: cycles; 2n + 1: stall cycles summed over lanes",
            count=2 * PROFILE_ENTRIES,
        ),
    )
}


def offset(name: str, index: int = 0) -> int:
    """Byte offset of a register."""
    register = REGISTERS[name]
    if not 0 <= index < register.count:
        raise IndexError(f"{name} has {register.count} registers")
    return register.offset + 4 * index
