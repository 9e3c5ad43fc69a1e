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
    """Physical address of the register block, in the range of the general-purpose master."""
    memory_bytes: int
    """DRAM that the ports reach, from address 0 on."""
    board_part: str
    """Vivado's name of its board files; used where they are installed, the presets below where not."""
    presets: tuple[tuple[str, str], ...]
    """Parameters of the processing system that depend on the board: crystal and DRAM."""


_DDR3_PYNQ = (
    ("PCW_CRYSTAL_PERIPHERAL_FREQMHZ", "50"),
    ("PCW_UIPARAM_DDR_PARTNO", "MT41J256M16 RE-125"),
    ("PCW_UIPARAM_DDR_BUS_WIDTH", "16 Bit"),
    ("PCW_UIPARAM_DDR_FREQ_MHZ", "525"),
)
_MIB = 1 << 20

BOARDS = {
    board.name: board
    for board in (
        Board(
            *("pynq-z1", "PYNQ-Z1", "xc7z020clg400-1", "zynq", "pynq-z2", 100.0, ("S_AXI_HP0", "S_AXI_HP2")),
            *(0x43C0_0000, 512 * _MIB, "www.digilentinc.com:pynq-z1:part0:1.0", _DDR3_PYNQ),
        ),
        Board(
            *("pynq-z2", "PYNQ-Z2", "xc7z020clg400-1", "zynq", "pynq-z2", 100.0, ("S_AXI_HP0", "S_AXI_HP2")),
            *(0x43C0_0000, 512 * _MIB, "tul.com.tw:pynq-z2:part0:1.0", _DDR3_PYNQ),
        ),
    )
}


def get_board(name: str) -> Board:
    """The board of that name; ConfigError lists the boards there are."""
    try:
        return BOARDS[name]
    except KeyError:
        raise ConfigError(f"no board {name!r}; there are: {', '.join(BOARDS)}") from None
