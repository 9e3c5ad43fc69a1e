"""What FPGA parts hold, and about how much of it a configuration takes.

Numbers of parts are those of AMD's data sheets: DS190 (Zynq-7000), DS891 (Zynq UltraScale+), DS987 (Kria K26). Counts
of a configuration follow the RTL's memories and multipliers; `headrace synth` counts what synthesis makes of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .isa import BIAS_BITS

if TYPE_CHECKING:
    from .config import Config


@dataclass(frozen=True)
class Part:
    """Limits of a part."""

    name: str
    family: str
    """As Yosys names it."""
    lut: int
    ff: int
    bram36: int
    """Block RAMs of 36 Kbit, two of 18 Kbit each."""
    dsp: int
    read_ports: int
    """AXI ports of 64 bits from the processor system's memory."""
    factor_bits: int
    """Of a DSP's wider factor, signed; the other one has 18, more than a multiplier of the requantiser."""


_PARTS = (
    Part("xc7z020", "xc7", 53_200, 106_400, 140, 220, 4, 25),
    Part("xczu3eg", "xcup", 70_560, 141_120, 216, 360, 4, 27),
    Part("xck26", "xcup", 117_120, 234_240, 144, 1_248, 4, 27),
    Part("xczu7ev", "xcup", 230_400, 460_800, 312, 1_728, 4, 27),
)
PARTS = {part.name: part for part in _PARTS}
DEFAULT_PART = PARTS["xc7z020"]

BYTE_SHAPES = ((512, 32), (1024, 16), (2048, 8), (4096, 4), (8192, 2), (16384, 1))
SHAPES = ((512, 36), (1024, 18), (2048, 9), *BYTE_SHAPES[3:])
"""Words and bits of an 18 Kbit block RAM, if bytes are written one by one and if not."""

SHARED_PRODUCTS = 5
"""Multiplications of addresses and positions outside of the lanes."""


def ram36(words: int, bits: int, shapes: tuple[tuple[int, int], ...] = SHAPES) -> float:
    """36 Kbit block RAMs of a memory, the fewest of one shape; halves count."""
    return min(-(-words // depth) * -(-bits // width) for depth, width in shapes) / 2


def dsp(config: Config, part: Part) -> int:
    """Multipliers: one for two pixels and one for addresses in each lane; for each pixel of the requantiser one that
    scales, or two where its sums have more bits than a factor, and one that shifts."""
    wide = -(-(max(config.acc_bits, BIAS_BITS) + 1) // part.factor_bits)
    return config.lanes * (-(-config.pixels // 2) + 1) + config.pixels * (wide + 1) + SHARED_PRODUCTS


def bram36(config: Config) -> float:
    """Block RAMs: two banks of activations, symbols, codes, taps and a deep FIFO in each lane; channels for all. Tables
    hold two layers."""
    codes = ram36(2 * 16 * config.code_tables, 26)
    lane = 2 * ram36(-(-config.x_words // 2), 8 * config.pixels, BYTE_SHAPES)
    lane += ram36(config.symbols, 36) + codes + ram36(2 * config.taps, 53)
    if config.fifo_beats > 64:
        lane += ram36(config.fifo_beats, 64)
    return config.lanes * lane + ram36(2 * config.channels, 46)


def shortage(config: Config, part: Part) -> str | None:
    """What the part has too little of for the configuration, if anything."""
    for name, needed, held in (
        ("DSPs", dsp(config, part), part.dsp),
        ("block RAMs of 36 Kbit", bram36(config), part.bram36),
        ("read ports", config.read_ports, part.read_ports),
    ):
        if needed > held:
            return f"takes about {needed:g} {name}, the {part.name} has {held}"
    return None
