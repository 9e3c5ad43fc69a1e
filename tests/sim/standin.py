"""A small module with the accelerator's ports: start copies `DATA` beats in memory, for tests of the harness."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
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


class Copier(wiring.Component):
    """WATCHDOG 1 makes it break the protocol: it changes ARADDR while it waits."""

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
        with m.If(registers.watchdog == 1):
            m.d.comb += self.axi_read[0].araddr.eq(reader.axi.araddr ^ (cycles[0] << 3))
        return m


def verilog() -> str:
    return emit_component(Copier(), "headrace", PREFIXES)
