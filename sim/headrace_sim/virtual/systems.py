"""The processing systems that virtual boards have: what pynq reads of them in an overlay, and in their registers."""

from __future__ import annotations

from dataclasses import dataclass

from headrace_hw.boards import Board


@dataclass(frozen=True)
class System:
    """A family's."""

    kind: str
    """Of its module in a block design."""
    version: str
    arch: str
    """In an overlay's description."""
    machine: str
    """What Linux calls the processor."""
    master: str
    """The general-purpose port that the accelerator's registers are behind."""
    pll: int
    """Address of the I/O PLL's control register, by which pynq computes clocks."""
    pll_value: int
    pll_mhz: float
    """Of the clock that it then gives to the programmable logic's dividers."""
    enable: str
    """Parameters of the overlay, by the number of the clock."""
    divisor: str
    source: tuple[str, str]
    """And which PLL it divides."""
    further: tuple[tuple[str, str], ...] = ()
    """Parameters that pynq looks for besides."""

    def divisors(self, mhz: float) -> tuple[int, int]:
        """Of the clock nearest to a frequency."""
        return max(1, round(self.pll_mhz / mhz)), 1

    def clocks(self, mhz: float) -> dict[str, str]:
        """The parameters of the four clocks, the first of which is on."""
        result = {}
        for clock in range(4):
            result[self.source[0].format(clock)] = self.source[1]
            result[self.enable.format(clock)] = str(int(clock == 0))
            for number, divisor in enumerate(self.divisors(mhz)):
                result[f"{self.divisor.format(clock)}{number}"] = str(divisor)
            # pynqmetadata 0.2 looks for UltraScale+'s name of the achieved frequency on every family
            result[f"PSU__CRL_APB__PL{clock}_REF_CTRL__ACT_FREQMHZ"] = f"{mhz:.6f}"
        return result


SYSTEMS = {
    "zynq": System(
        kind="processing_system7",
        version="5.5",
        arch="zynq",
        machine="armv7l",
        master="M_AXI_GP0",
        pll=0xF800_0108,
        pll_value=20 << 12,
        pll_mhz=20 * 50.0,
        enable="PCW_FPGA_FCLK{}_ENABLE",
        divisor="PCW_FCLK{}_PERIPHERAL_DIVISOR",
        source=("PCW_FCLK{}_PERIPHERAL_CLKSRC", "IO PLL"),
    ),
    "zynqmp": System(
        kind="zynq_ultra_ps_e",
        version="3.4",
        arch="zynqmp",
        machine="aarch64",
        master="M_AXI_HPM0_FPD",
        pll=0xFF5E_0020,
        pll_value=90 << 8 | 1 << 16,
        pll_mhz=90 * 33.333 / 2,
        enable="PSU__FPGA_PL{}_ENABLE",
        divisor="PSU__CRL_APB__PL{}_REF_CTRL__DIVISOR",
        source=("PSU__CRL_APB__PL{}_REF_CTRL__SRCSEL", "IOPLL"),
        # pynq sets the widths of these ports' registers when it loads an overlay
        further=(("C_MAXIGP0_DATA_WIDTH", "128"), ("C_SAXIGP2_DATA_WIDTH", "64"), ("C_SAXIGP3_DATA_WIDTH", "64")),
    ),
}
"""By `Board.family`."""


def system_of(board: Board) -> System:
    """The board's."""
    return SYSTEMS[board.family]
