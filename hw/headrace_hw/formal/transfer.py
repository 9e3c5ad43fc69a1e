"""Loader and Storer: the width converters between 64-bit beats and the words of the activation memory."""

from __future__ import annotations

from amaranth.hdl import Assert, Assume, Cat, Cover, Module, Mux, Signal

from headrace.config import Config
from headrace.isa import BEAT_BYTES

from .harness import Harness, delayed, load, patient_stream

PIXELS = 4  # so that a beat takes two accesses
CONFIG = Config("proof", lanes=1, pixels=PIXELS, x_words=64)
X_BITS = 8  # an address of the activation memory, which a byte can hold
CHUNKS = BEAT_BYTES // PIXELS


class LoaderHarness(Harness):
    """Beats are kept until taken and come when they like, each with an address; the sink is free."""

    name = "loader"
    properties = "every byte of every beat is written once, in order, from its address on; ready unless full"
    depth, induction, cover_depth = 12, 2, 12

    def build(self, m: Module) -> None:
        dut = load("headrace_hw.transfer", self.edits).Loader(CONFIG)
        inside = self.dut(m, dut)
        i, o = dut.i, dut.o
        for value in (i.valid, i.payload, o.ready, dut.x_address):
            self.free(m, value)
        m.d.comb += [Assume(patient_stream(m, i)), Assert(patient_stream(m, o))]

        # The latest beat, how many of its bytes are still to be written, and where.
        latest, pending, address = Signal(64), Signal(range(BEAT_BYTES + 1)), Signal(X_BITS)
        taken, wrote = i.valid & i.ready, o.valid & o.ready
        m.d.sync += pending.eq(Mux(taken, BEAT_BYTES, pending - Mux(wrote, PIXELS, 0)))
        m.d.sync += address.eq(Mux(taken, dut.x_address, address + Mux(wrote, PIXELS, 0)))
        with m.If(taken):
            m.d.sync += latest.eq(i.payload)
        rest, written = Signal(64), Signal(range(BEAT_BYTES + 1))
        m.d.comb += [
            written.eq(BEAT_BYTES - pending),
            rest.eq(latest >> (written << 3)),
            Assert(pending <= BEAT_BYTES),
            Assert(~taken | (pending == 0) | ((pending == PIXELS) & wrote)),  # nothing is overwritten
            Assert(i.ready == ((pending == 0) | ((pending == PIXELS) & wrote))),
            Assert(o.valid == (pending != 0)),
            Assert(dut.busy == (pending != 0)),
        ]
        with m.If(o.valid):
            m.d.comb += [
                Assert(o.payload.data.as_value() == rest[: 8 * PIXELS]),
                Assert(o.payload.address == address),
                Assert(o.payload.mask.all() & o.payload.load),
            ]

        # For induction: the block's registers are those of the reference.
        m.d.comb += [
            Assert((pending == 0) | (pending == PIXELS) | (pending == BEAT_BYTES)),
            Assert((inside.left == pending) & ((pending == 0) | (inside.address == address))),
            Assert((pending == 0) | (inside.beat == rest)),
            Cover(taken & delayed(m, wrote) & (address == 0)),
            Cover(taken & delayed(m, o.valid & ~o.ready)),
        ]


class StorerHarness(Harness):
    """The activation memory holds at every address the address itself, so that a byte tells where it came from. A block
    lies in the memory, at a multiple of 8, and starts when the one before has been taken; the sink is free.
    """

    name = "storer"
    properties = "the block's bytes once, in order, output kept until taken; no more beats; the next in a few cycles"
    depth, induction, cover_depth = 14, None, 16

    def build(self, m: Module) -> None:
        module = load("headrace_hw.transfer", self.edits)
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
