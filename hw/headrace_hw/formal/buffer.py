"""Buffer passes every beat once and in order."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cover, Module

from .harness import Harness, Queue, delayed, load, patient_stream

WIDTH = 4  # beats are only copied, so that a few bits stand for all


class BufferHarness(Harness):
    """The source keeps what it offers; both sides are free otherwise."""

    name = "buffer"
    properties = "order, no beat lost or doubled; output kept until taken; full only with two"
    depth, induction, cover_depth = 12, 2, 8

    def build(self, m: Module) -> None:
        dut = load("headrace_hw.buffer", self.edits).Buffer(WIDTH)
        inside = self.dut(m, dut)
        for value in (dut.i.valid, dut.i.payload, dut.o.ready):
            self.free(m, value)
        m.d.comb += Assume(patient_stream(m, dut.i))
        given, taken = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
        queue = Queue(m, WIDTH, 2, given, dut.i.payload, taken)
        queue.agrees(m, [dut.o.payload, inside.spare])
        m.d.comb += [
            Assert(patient_stream(m, dut.o)),
            Assert(dut.o.valid == (queue.count != 0)),
            Assert(dut.i.ready == (queue.count != 2)),
            Cover(given & taken & delayed(m, given & taken)),
            Cover(taken & (queue.count == 2)),
        ]
