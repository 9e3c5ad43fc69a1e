"""The FIFOs of the lanes: SyncFIFO of Amaranth, and SyncFIFOBuffered for deep ones."""

from __future__ import annotations

from amaranth.hdl import Assert, Cover, Module

from .harness import Harness, Queue, delayed, patient
from .open_fifos import open_fifos

WIDTH, DEPTH = 2, 4


class FIFOHarness(Harness):
    """Both sides are free, also to write when full and to read when empty, which must do nothing."""

    name = "fifo"
    properties = "order, no beat lost or doubled; output kept until taken; writable unless full"
    depth, induction, cover_depth = 14, 2, 12

    kind = "SyncFIFO"
    at_once = True

    def build(self, m: Module) -> None:
        dut = getattr(open_fifos(self.edits), self.kind)(width=WIDTH, depth=DEPTH)
        m.submodules.dut = dut
        for value in (dut.w_en, dut.w_data, dut.r_en):
            self.free(m, value)
        written, read = dut.w_en & dut.w_rdy, dut.r_en & dut.r_rdy
        queue = Queue(m, WIDTH, DEPTH, written, dut.w_data, read)
        m.d.comb += [
            Assert(~dut.r_rdy | (dut.r_data == queue.entries[0])),
            Assert(patient(m, dut.r_rdy, dut.r_en, dut.r_data)),
            Assert(dut.level == queue.count),
            Cover(read & (queue.count == DEPTH)),
            Cover(written & read & delayed(m, written & read)),
        ]
        queue.agrees(m, dut.stored)
        shown = (queue.count != 0) & (delayed(m, queue.count != read) | self.at_once)
        m.d.comb += [Assert(~shown | dut.r_rdy), Assert(~dut.r_rdy | (queue.count != 0))]
        m.d.comb += Assert(dut.w_rdy == (queue.count != DEPTH))


class BufferedFIFOHarness(FIFOHarness):
    """A word that finds nothing before it shows a cycle later."""

    name = "fifo_buffered"
    kind = "SyncFIFOBuffered"
    at_once = False
