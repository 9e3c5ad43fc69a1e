"""A small module with the accelerator's ports: start copies `DATA` beats in memory, for tests of the harness."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.hdl._ast import Assign
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from headrace.config import get_config
from headrace.isa import ErrorCode
from headrace.registers import ADDRESS_BITS
from headrace_hw.axi import AXI4ReadSignature, AXI4WriteSignature, AXILiteSignature
from headrace_hw.burst import BurstSplitter
from headrace_hw.csr import Registers
from headrace_hw.reader import ReadMaster
from headrace_hw.verilog import PREFIXES, emit_component
from headrace_hw.writer import BlockWriter

CONFIG = get_config("demo")
DISTANCE = 1 << 20
"""Bytes from source (PROGRAM) to destination."""


BREACHES = {
    "AR changes": r"AR changed while it waited",
    "AR taken back": r"AR valid was taken back",
    "AR over a page": r"AR.* 4 KiB",
    "AR too long": r"AR.* beats, more than 16",
    "AR narrow": r"AR is no aligned INCR burst",
    "AR fixed": r"AR is no aligned INCR burst",
    "too many reads": r"AR has more than 8 bursts under way",
    "AW changes": r"AW changed while it waited",
    "AW over a page": r"AW.* 4 KiB",
    "too many writes": r"AW has more than 8 bursts under way",
    "W changes": r"W changed while it waited",
    "W taken back": r"W valid was taken back",
    "W unasked": r"W has a beat that no address was given for",
    "W in parts": r"W has a beat that is not whole",
    "WLAST early": r"WLAST is not on the last beat",
    "bus R unasked": r"the register bus: R came unasked",
    "bus B unasked": r"the register bus: B came unasked",
    "bus R changes": r"the register bus: R changed while it waited",
    "bus R taken back": r"the register bus: R valid was taken back",
    "idle too early": r"STATUS is not busy with \d+ transfers under way",
}
"""What breaks the protocol, and what a monitor has to say of it."""


def breach(name: str) -> int:
    """For the WATCHDOG register: the copier breaks the protocol in that way."""
    return 1 + list(BREACHES).index(name)


class Copier(wiring.Component):
    """WATCHDOG makes it break the protocol: see `breach`."""

    def __init__(self) -> None:
        super().__init__(
            {
                "axi_read": Out(AXI4ReadSignature()).array(1),
                "axi_write": Out(AXI4WriteSignature()),
                "csr": In(AXILiteSignature(ADDRESS_BITS)),
                "irq": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.registers = registers = Registers(CONFIG)
        m.submodules.splitter = splitter = BurstSplitter(CONFIG.burst_beats)
        m.submodules.reader = reader = ReadMaster(1)
        m.submodules.writer = writer = BlockWriter(CONFIG.burst_beats)
        wiring.connect(m, wiring.flipped(self.csr), registers.bus)
        wiring.connect(m, reader.axi, wiring.flipped(self.axi_read[0]))
        wiring.connect(m, writer.axi, wiring.flipped(self.axi_write))
        cycles, bad = Signal(32), Signal()
        with m.If(registers.start):
            m.d.sync += [cycles.eq(0), bad.eq(0)]
        with m.If(registers.busy):
            m.d.sync += cycles.eq(cycles + 1)
        with m.If((reader.o.valid & reader.o.p.error) | writer.error):
            m.d.sync += bad.eq(1)
        m.d.comb += [
            splitter.i.valid.eq(registers.start),
            writer.i.valid.eq(registers.start),
            splitter.i.p.address.eq(registers.program),
            splitter.i.p.beats.eq(registers.data),
            writer.i.p.address.eq(registers.program + DISTANCE),
            writer.i.p.beats.eq(registers.data),
            reader.i.valid.eq(splitter.o.valid),
            splitter.o.ready.eq(reader.i.ready),
            reader.i.p.address.eq(splitter.o.p.address),
            reader.i.p.beats.eq(splitter.o.p.beats),
            writer.i_data.valid.eq(reader.o.valid),
            reader.o.ready.eq(writer.i_data.ready),
            writer.i_data.p.eq(reader.o.p.data),
            registers.busy.eq(~writer.idle),
            registers.finish.eq(writer.done & ~bad),
            registers.fail.eq(writer.done & bad),
            registers.error.code.eq(ErrorCode.AXI_READ),
            registers.cycles.eq(cycles),
            self.irq.eq(registers.irq),
        ]
        self._break(m, registers, reader, writer)
        return m

    def _break(self, m: Module, registers: Registers, reader: ReadMaster, writer: BlockWriter) -> None:
        """What the masters and the bus show, with the fault that WATCHDOG names."""
        read, write, bus = self.axi_read[0], self.axi_write, self.csr
        now_and_then = Signal()
        m.d.sync += now_and_then.eq(~now_and_then)
        shown: dict[str, list[Assign]] = {
            "AR changes": [read.araddr[3].eq(now_and_then)],
            "AR taken back": [read.arvalid.eq(reader.axi.arvalid & now_and_then)],
            "AR over a page": [read.araddr[3:12].eq(~0)],
            "AR too long": [read.araddr[3:12].eq(0), read.arlen.eq(16)],
            "AR narrow": [read.arsize.eq(2)],
            "AR fixed": [read.arburst.eq(0)],
            "too many reads": [read.arvalid.eq(1), read.araddr.eq(0), read.arlen.eq(0)],
            "AW changes": [write.awaddr[3].eq(now_and_then)],
            "AW over a page": [write.awaddr[3:12].eq(~0)],
            "too many writes": [write.awvalid.eq(1), write.awaddr.eq(0), write.awlen.eq(0)],
            "W changes": [write.wdata[0].eq(now_and_then)],
            "W taken back": [write.wvalid.eq(writer.axi.wvalid & now_and_then)],
            "W unasked": [write.wvalid.eq(1)],
            "W in parts": [write.wstrb.eq(0x7F)],
            "WLAST early": [write.wlast.eq(1)],
            "bus R unasked": [bus.rvalid.eq(1)],
            "bus B unasked": [bus.bvalid.eq(1)],
            "bus R changes": [bus.rdata[31].eq(now_and_then)],
            "bus R taken back": [bus.rvalid.eq(registers.bus.rvalid & now_and_then)],
            "idle too early": [registers.busy.eq(0)],
        }
        with m.Switch(registers.watchdog):
            for name in BREACHES:
                with m.Case(breach(name)):
                    m.d.comb += shown[name]


def verilog() -> str:
    return emit_component(Copier(), "headrace", PREFIXES)
