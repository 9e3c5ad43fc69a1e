"""AXI4 write master: a block and its beats in, one answer out."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import AXI4WriteSignature, is_error
from .burst import Block, BurstSplitter

OUTSTANDING = 8
"""Bursts that may wait for their answer."""


class BlockWriter(wiring.Component):
    """Writes one block at a time: bursts of at most `burst_beats` beats that never cross 4 KiB.

    One beat per cycle; no register between `i_data` and W. `done` pulses once per block, in the cycle after the last B
    (for a block of 0 beats: after it was accepted). `error` pulses for every bad BRESP, before `done`; the block is
    finished nevertheless. `idle`: no block under way; only then `i` is ready.
    """

    def __init__(self, burst_beats: int) -> None:
        self.burst_beats = burst_beats
        super().__init__(
            {
                "i": In(stream.Signature(Block)),
                "i_data": In(stream.Signature(64)),
                "axi": Out(AXI4WriteSignature()),
                "done": Out(1),
                "error": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        axi = self.axi
        m.submodules.splitter = splitter = BurstSplitter(self.burst_beats)
        active = Signal()
        requested = Signal()  # every burst of the block is on its way to AW
        left = Signal(9)  # beats of the burst that W still has to take
        waiting = Signal(range(OUTSTANDING + 1))  # bursts without an answer

        m.d.comb += [
            self.idle.eq(~active),
            self.i.ready.eq(~active & splitter.i.ready),
            splitter.i.valid.eq(self.i.valid & ~active),
            splitter.i.p.eq(self.i.p),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [active.eq(1), requested.eq(~self.i.p.beats.any())]

        w_transfer = Signal()
        m.d.comb += [
            axi.wdata.eq(self.i_data.p),
            axi.wlast.eq(left == 1),
            axi.wvalid.eq(self.i_data.valid & left.any()),
            self.i_data.ready.eq(axi.wready & left.any()),
            w_transfer.eq(axi.wvalid & axi.wready),
        ]
        with m.If(w_transfer):
            m.d.sync += left.eq(left - 1)

        take = Signal()
        answer = Signal()
        w_free = ~left.any() | (w_transfer & axi.wlast)
        m.d.comb += [
            splitter.o.ready.eq((~axi.awvalid | axi.awready) & w_free & (waiting != OUTSTANDING)),
            take.eq(splitter.o.valid & splitter.o.ready),
            axi.bready.eq(1),
            answer.eq(axi.bvalid & axi.bready),
            self.error.eq(answer & is_error(axi.bresp)),
        ]
        with m.If(axi.awready):
            m.d.sync += axi.awvalid.eq(0)
        with m.If(take):
            m.d.sync += [
                axi.awvalid.eq(1),
                axi.awaddr.eq(splitter.o.p.address),
                axi.awlen.eq(splitter.o.p.beats - 1),
                left.eq(splitter.o.p.beats),
                requested.eq(splitter.o.p.last),
            ]
        m.d.sync += waiting.eq(waiting + take - answer)

        m.d.comb += self.done.eq(active & requested & ~left.any() & ~waiting.any())
        with m.If(self.done):
            m.d.sync += active.eq(0)
        return m
