"""Storer: words of the activation memory to 64-bit beats."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal

from headrace.config import Config
from headrace.isa import BEAT_BYTES

from .harness import Harness, delayed, load, patient_stream

PIXELS = 4  # so that a beat takes two accesses
CONFIG = Config("proof", lanes=1, pixels=PIXELS, x_words=64)
X_BITS = 8  # an address of the activation memory, which a byte can hold
CHUNKS = BEAT_BYTES // PIXELS


class StorerHarness(Harness):
    """The activation memory holds at every address the address itself, so that a byte tells where it came from. A block
    lies in the memory, at a multiple of 8, and starts when the one before has been taken; the sink is free.
    """

    name = "storer"
    properties = "the block's bytes once, in order, output kept until taken; no more beats; the next in a few cycles"
    depth, induction, cover_depth = 14, None, 16

    def build(self, m: Module) -> None:
        module = load("headrace_hw.storer", self.edits)
        dut = module.Storer(CONFIG)
        self.dut(m, dut)
        o, delay = dut.o, module.ActivationMemory.delay
        for value in (dut.start, dut.x_address, dut.beats, o.ready):
            self.free(m, value)
        address = dut.read_address
        for _ in range(delay):
            address = delayed(m, address)
        m.d.comb += [dut.read_data[n].eq(address + n) for n in range(PIXELS)]

        due, first, silent = Signal(32), Signal(X_BITS), Signal(8)
        taken = o.valid & o.ready
        m.d.sync += due.eq(Mux(dut.start, dut.beats, due - taken))
        m.d.sync += silent.eq(Mux((due != 0) & ~o.valid, silent + 1, 0))
        m.d.sync += first.eq(Mux(dut.start, dut.x_address, first + Mux(taken, BEAT_BYTES, 0)))
        m.d.comb += [
            Assume(~dut.start | (due == 0)),
            Assume((dut.x_address[:3] == 0) & ((dut.beats << 3) + dut.x_address <= CONFIG.x_bytes)),
            Assert(patient_stream(m, o)),
            Assert(~o.valid | (due != 0)),
            Assert(~o.valid | (o.payload == Cat((first + n)[:X_BITS] for n in range(BEAT_BYTES)))),
            Assert(silent <= delay + CHUNKS + 1),
            Cover(taken & (due == 1) & (first == 0x48)),
            Cover(dut.start & delayed(m, taken) & (dut.beats == 3)),
        ]
