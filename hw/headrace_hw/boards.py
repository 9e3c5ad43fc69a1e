"""Boards that overlays are built for: what Vivado and the driver must know of each, in one table."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.errors import ConfigError


@dataclass(frozen=True)
class Board:
    """A PYNQ board. `config`: the accelerator's configuration for it; `ports`: the processing system's slave ports that
    the read masters use in turn, writes go through the first."""

    name: str
    title: str
    part: str
    family: str
    """"zynq" (Zynq-7000, 32-bit Arm) or "zynqmp" (Zynq UltraScale+, 64-bit)."""
    config: str
    clock_mhz: float
    ports: tuple[str, ...]
    registers: int
    """Physical address of the accelerator's registers, in the range of the general-purpose master."""
    interrupts: int
    """Of the interrupt controller's."""
    memory_bytes: int
    """DRAM that the ports reach, from address 0 on."""
    crystal_mhz: float
    """Reference of the processing system's PLLs, from which Vivado computes the divisors of the clock. The rest of the
    processing system, DRAM above all, is set up by the board's boot image, whatever an overlay says."""


_MIB = 1 << 20

BOARDS = {
    board.name: board
    for board in (
        Board(
            *("pynq-z1", "PYNQ-Z1", "xc7z020clg400-1", "zynq", "pynq-z2", 100.0, ("S_AXI_HP0", "S_AXI_HP2")),
            *(0x43C0_0000, 0x4180_0000, 512 * _MIB, 50.0),
        ),
        Board(
            *("pynq-z2", "PYNQ-Z2", "xc7z020clg400-1", "zynq", "pynq-z2", 100.0, ("S_AXI_HP0", "S_AXI_HP2")),
            *(0x43C0_0000, 0x4180_0000, 512 * _MIB, 50.0),
        ),
        Board(
            *("ultra96v2", "Ultra96-V2", "xczu3eg-sbva484-1-i", "zynqmp", "pynq-z2", 150.0),
            *(("S_AXI_HP0_FPD", "S_AXI_HP1_FPD"), 0xA000_0000, 0xA001_0000, 2048 * _MIB, 33.333),
        ),
        Board(
            *("zcu104", "ZCU104", "xczu7ev-ffvc1156-2-e", "zynqmp", "pynq-z2", 150.0),
            *(("S_AXI_HP0_FPD", "S_AXI_HP1_FPD"), 0xA000_0000, 0xA001_0000, 2048 * _MIB, 33.333),
        ),
        Board(
            *("kv260", "KV260", "xck26-sfvc784-2LV-c", "zynqmp", "pynq-z2", 150.0),
            *(("S_AXI_HP0_FPD", "S_AXI_HP1_FPD"), 0xA000_0000, 0xA001_0000, 2048 * _MIB, 33.333),
        ),
    )
}


def get_board(name: str) -> Board:
    """The board of that name; ConfigError lists the boards there are."""
    try:
        return BOARDS[name]
    except KeyError:
        raise ConfigError(f"no board {name!r}; there are: {', '.join(BOARDS)}") from None
