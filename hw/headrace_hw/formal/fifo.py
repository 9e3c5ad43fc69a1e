"""The FIFOs of the lanes: SyncFIFO of Amaranth, and SyncFIFOBuffered for deep ones."""

from __future__ import annotations

from typing import Any, ClassVar

from amaranth.hdl import Assert, Cover, Module

from .harness import Harness, Queue, delayed, load, open_fifos, patient

WIDTH, DEPTH = 2, 4


class FIFOHarness(Harness):
    """Both sides are free, also to write when full and to read when empty, which must do nothing."""

    name = "fifo"
    properties = "order, no beat lost or doubled; output kept until taken; writable unless full"
    depth, induction, cover_depth = 14, 2, 12

    def make(self) -> Any:
        return open_fifos(self.edits).SyncFIFO(width=WIDTH, depth=DEPTH)

    def build(self, m: Module) -> None:
        dut = self.make()
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
        self.contract(m, dut, queue)

    def contract(self, m: Module, dut: Any, queue: Queue) -> None:
        queue.agrees(m, dut.stored)
        m.d.comb += [Assert(dut.r_rdy == (queue.count != 0)), Assert(dut.w_rdy == (queue.count != DEPTH))]


class BufferedFIFOHarness(FIFOHarness):
    """A word shows a cycle later; from then on it is the same."""

    name = "fifo_buffered"
    depth: ClassVar[int] = 14
    induction: ClassVar[int | None] = None

    def make(self) -> Any:
        return load("amaranth.lib.fifo", self.edits).SyncFIFOBuffered(width=WIDTH, depth=DEPTH)

    def contract(self, m: Module, dut: Any, queue: Queue) -> None:
        waited = delayed(m, queue.count != 0)
        m.d.comb += [
            Assert(dut.r_rdy | (queue.count == 0) | ~waited | delayed(m, dut.r_rdy)),
            Assert(dut.w_rdy | (queue.count >= DEPTH - 1)),
        ]
