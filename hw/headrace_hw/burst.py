"""Cuts a block of memory into AXI bursts."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .axi import PAGE_BYTES

Block = data.StructLayout({"address": 32, "beats": 32})
"""`beats` 64-bit beats from byte `address`, a multiple of 8, on."""

Burst = data.StructLayout({"address": 32, "beats": 9, "last": 1})
"""1 to 256 beats within one 4 KiB page; `last` marks the block's last burst."""

PAGE_BEATS = PAGE_BYTES // 8


class BurstSplitter(wiring.Component):
    """Bursts of at most `burst_beats` beats that never cross 4 KiB, in address order.

    A block of 0 beats yields nothing. One burst every second cycle; the first, two cycles after the block was accepted.
    """

    def __init__(self, burst_beats: int) -> None:
        if not 1 <= burst_beats <= 256:
            raise ValueError(f"burst_beats = {burst_beats} is outside 1..256")
        self.burst_beats = burst_beats
        super().__init__({"i": In(stream.Signature(Block)), "o": Out(stream.Signature(Burst))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address = Signal(32)
        left = Signal(32)
        beats = Signal(9)
        last = Signal()
        room = Signal(range(PAGE_BEATS + 1))
        limit = Signal(9)
        m.d.comb += [
            room.eq(PAGE_BEATS - address[3:12]),
            limit.eq(Mux(room < self.burst_beats, room, self.burst_beats)),
            self.o.p.address.eq(address),
            self.o.p.beats.eq(beats),
            self.o.p.last.eq(last),
        ]
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.i.ready.eq(1)
                m.d.sync += [address.eq(self.i.p.address), left.eq(self.i.p.beats)]
                with m.If(self.i.valid & self.i.p.beats.any()):
                    m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += [beats.eq(Mux(left <= limit, left, limit)), last.eq(left <= limit)]
                m.next = "SEND"
            with m.State("SEND"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.sync += [address.eq(address + (beats << 3)), left.eq(left - beats)]
                    m.next = "SIZE"
                    with m.If(last):
                        m.next = "IDLE"
        return m
