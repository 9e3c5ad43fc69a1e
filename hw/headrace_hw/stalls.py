"""Counts of stalled cycles: a few bits of each lane's, and the rest of all in one memory."""

from __future__ import annotations

from amaranth import Array, Cat, Module, Mux, Signal, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

COUNT_BITS = 32


class StallCounters(wiring.Component):
    """`count` is how many cycles lane `lane` was `stalled` in since `start` (a pulse), up to the one before this.

    Holds in every cycle in which `read` is high, from 2 * `lanes` cycles after `start` on; between two reads must lie
    two cycles or more. Modulo 2**32.

    Each lane counts the low bits. The memory holds the whole count of each lane as it was when the lane's last turn
    came: low bits below those then have wrapped since. Turns come often enough that they wrap once at most.
    """

    def __init__(self, lanes: int) -> None:
        self._lanes = lanes
        self._lane_bits = (lanes - 1).bit_length()
        super().__init__(
            {
                "start": In(1),
                "stalled": In(lanes),
                "read": In(1),
                "lane": In(self._lane_bits),
                "count": Out(COUNT_BITS),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        low_bits = max(2, self._lane_bits + 1)  # reads take a third of the turns at most
        low = Array(Signal(low_bits, name=f"low_{n}") for n in range(self._lanes))
        turn, lane = Signal(self._lane_bits), Signal(self._lane_bits)
        starting = Signal()  # the first turn of every lane
        m.submodules.counts = memory = Memory(
            shape=unsigned(COUNT_BITS), depth=1 << self._lane_bits, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        for n in range(self._lanes):
            with m.If(self.start):
                m.d.sync += low[n].eq(0)
            with m.Elif(self.stalled[n]):
                m.d.sync += low[n].eq(low[n] + 1)
        now = Signal(low_bits)
        wrapped = Signal()
        m.d.comb += [
            lane.eq(Mux(self.read, self.lane, turn)),
            read.addr.eq(lane),
            now.eq(low[lane]),
            wrapped.eq(now < read.data[:low_bits]),
            self.count.eq(Cat(now, read.data[low_bits:] + wrapped)),
            write.addr.eq(lane),
            write.data.eq(Mux(starting, now, self.count)),
            write.en.eq(1),
        ]
        with m.If(~self.read):
            m.d.sync += turn.eq(turn + 1)
            with m.If(turn.all()):
                m.d.sync += starting.eq(0)
        with m.If(self.start):
            m.d.sync += [turn.eq(0), starting.eq(1)]
        return m
