"""Loader: 64-bit beats to words of the activation memory, a beat in two words, or two beats in one."""

from __future__ import annotations

from amaranth.hdl import Array, Assert, Assume, Cover, Module, Mux, Signal

from headrace.config import Config
from headrace.isa import BEAT_BYTES

from ..loader import settings
from .harness import Harness, delayed, load, patient_stream

X_BITS = 8


class LoaderHarness(Harness):
    """Of port 1 of two. Beats are kept until taken and come when they like; `go` and `clear` are free; a LOAD starts
    when the one before is done. The reference: the bytes that wait, oldest first, each with its address.
    """

    name = "loader"
    properties = "every byte of every beat is written once, in order, at its block's place; done when all have come"
    depth, induction, cover_depth = 10, None, 12
    pixels = 4  # so that a beat takes two accesses

    def build(self, m: Module) -> None:
        config = Config("proof", lanes=2, pixels=self.pixels, x_words=256 // self.pixels, read_ports=2)
        dut = load("headrace_hw.loader", self.edits).Loader(config, 1)
        self.dut(m, dut)
        i, write = dut.i, dut.o.payload
        for name in settings(config):
            self.free(m, getattr(dut, name))
        for value in (dut.go, i.valid, i.payload):
            self.free(m, value)
        taken, wrote = i.valid & i.ready, dut.o.valid
        m.d.comb += [
            Assume(patient_stream(m, i)),
            Assume(~dut.start | ~(dut.busy | dut.clear)),
            Assume((dut.beats != 0) & (dut.beats < 4) & (dut.blocks < 8)),
            Assume(dut.start | (dut.beats == delayed(m, dut.beats))),
            Assume(dut.start | (dut.x_stride == delayed(m, dut.x_stride))),
        ]

        # Blocks of this port to come, beats that have come of the first of them, and its place.
        blocks, number, block, place = Signal(3), Signal(2), Signal(X_BITS), Signal(X_BITS)
        m.d.comb += place.eq(block + (number << 3))
        with m.If(taken):
            m.d.sync += number.eq(number + 1)
            with m.If(number == dut.beats - 1):
                m.d.sync += [number.eq(0), blocks.eq(blocks - 1), block.eq(block + (dut.x_stride << 1))]
        with m.If(dut.start):
            m.d.sync += [blocks.eq(dut.blocks >> 1), number.eq(0), block.eq(dut.x_address + dut.x_stride)]
        with m.If(dut.clear):
            m.d.sync += blocks.eq(0)

        # Of two beats that wait, the second follows the first: bytes and place of the first say all.
        size = 2 * BEAT_BYTES
        waiting, count, address = Signal(8 * size), Signal(range(size + 1)), Signal(X_BITS)
        most = min(size, self.pixels)
        written, left = Signal(range(size + 1)), Signal(range(size + 1))
        m.d.comb += [
            written.eq(Mux(wrote, Mux(count < most, count, most), 0)),
            left.eq(count - written),
        ]
        m.d.sync += [
            count.eq(left + Mux(taken, BEAT_BYTES, 0)),
            waiting.eq((waiting >> (written << 3)) | Mux(taken, i.payload << (left << 3), 0)),
            address.eq(Mux(taken & (left == 0), place, address + written)),
        ]
        m.d.comb += [
            Assert(dut.expects == (blocks != 0)),
            Assert(dut.wants == (count != 0)),
            Assert(dut.busy == (dut.expects | dut.wants)),
            Assert(wrote == (dut.wants & dut.go)),
            Assert(~taken | ((blocks != 0) & (left + BEAT_BYTES <= size))),
            Assert(~taken | (left == 0) | ((left == BEAT_BYTES) & (place == (address + BEAT_BYTES)[:X_BITS]))),
            Assert(i.ready | (blocks == 0) | (left != 0)),
            Cover(taken & delayed(m, wrote) & (blocks == 1) & (place == 0)),
            Cover(dut.wants & ~dut.go & taken) if self.pixels > BEAT_BYTES else Cover(wrote & (count == self.pixels)),
        ]
        with m.If(wrote):
            m.d.comb += [
                Assert(write.load & (write.address == address)),
                Assert(write.mask == Array((1 << n) - 1 for n in range(size + 1))[written]),
            ]
            for n in range(self.pixels):
                m.d.comb += Assert((n >= written) | (write.data[n] == waiting.word_select(n, 8)))


class PairLoaderHarness(LoaderHarness):
    __doc__ = LoaderHarness.__doc__
    name = "loader_pairs"
    pixels = 16
