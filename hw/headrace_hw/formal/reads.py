"""ReadSide gives everything up while `clear` is held: it asks for nothing new, and takes what still comes."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Signal, Value
from amaranth.lib import wiring

from headrace.config import Config

from .harness import Harness, delayed, load, patient
from .open_fifos import open_fifos

CONFIG = Config("proof", lanes=2, pixels=8, x_words=4, fifo_beats=4, burst_beats=2, read_ports=2)
OUTSTANDING = 8  # what the masters' documentation promises


class ReadsHarness(Harness):
    """Blocks, streams, lanes and `clear` are free, and the memory answers what it was asked, in bursts as long as it
    likes.
    """

    name = "reads"
    properties = "AR kept until taken; bursts bounded; under `clear` no new AR and all of R taken; idle once all came"
    depth, induction, cover_depth = 9, 2, 12

    def build(self, m: Module) -> None:
        fifos = open_fifos(self.edits)
        reader = load("headrace_hw.reader", self.edits, fifo=fifos)
        dut = load("headrace_hw.reads", self.edits, ReadMaster=reader.ReadMaster).ReadSide(CONFIG)
        self.dut(m, dut)
        for _, member, value in dut.signature.flatten(dut):
            if member.flow == wiring.In:
                self.free(m, Value.cast(value))
        for asked in (*dut.i_block, dut.i_stream):
            m.d.comb += Assume(asked.payload.address[:3] == 0)

        quiet = []
        for axi, tags in zip(dut.axi, fifos.made, strict=True):
            waiting = Signal(range(OUTSTANDING + 1))  # bursts that the memory has not answered whole
            ar, r = axi.arvalid & axi.arready, axi.rvalid & axi.rready
            m.d.sync += waiting.eq(waiting + ar - (r & axi.rlast))
            m.d.comb += [
                Assume(~axi.rvalid | (waiting != 0)),
                Assert(waiting + axi.arvalid <= OUTSTANDING),
                Assert(patient(m, axi.arvalid, axi.arready, Cat(axi.araddr, axi.arlen))),
                Assert(~(dut.clear & axi.rvalid) | axi.rready),
                Assert(~delayed(m, dut.clear) | ~axi.arvalid | delayed(m, axi.arvalid & ~axi.arready)),
                Assert(tags.level == waiting + axi.arvalid),
                Cover(dut.idle & delayed(m, dut.clear & r & axi.rlast)),
            ]
            quiet.append((waiting == 0) & ~axi.arvalid)
        m.d.comb += [
            Assert(dut.idle == Cat(quiet).all()),
            Assert(~delayed(m, dut.clear & dut.idle) | dut.idle),
        ]
