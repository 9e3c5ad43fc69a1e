"""Lanes take turns at the requantiser, a row at a time."""

from __future__ import annotations

from amaranth import Array, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .shapes import sums_layout


class RowArbiter(wiring.Component):
    """Passes whole rows of words, all their passes, round robin. One word per cycle, also from one row to the next of
    another lane."""

    def __init__(self, config: Config) -> None:
        self._lanes = config.lanes
        signature = stream.Signature(sums_layout(config))
        super().__init__({"i": In(signature).array(config.lanes), "o": Out(signature)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        lanes = range(self._lanes)
        granted = Signal(range(max(2, self._lanes)))
        locked = Signal()
        finishing = Signal()
        m.d.comb += finishing.eq(self.o.valid & self.o.ready & self.o.payload.last & self.o.payload.final)

        valid = Array(self.i[n].valid for n in lanes)
        payload = Array(self.i[n].payload.as_value() for n in lanes)
        m.d.comb += [
            self.o.valid.eq(locked & valid[granted]),
            self.o.payload.as_value().eq(payload[granted]),
        ]
        for n in lanes:
            m.d.comb += self.i[n].ready.eq(locked & (granted == n) & self.o.ready)

        with m.If(~locked | finishing):
            m.d.sync += locked.eq(0)
            with m.Switch(granted):
                for n in lanes:
                    with m.Case(n):
                        # Farthest first: the last assignment, of the nearest lane behind n, wins. A lane that is
                        # finishing shows its old word still, so it has to wait a cycle.
                        for step in range(self._lanes - 1, -1, -1):
                            other = (n + 1 + step) % self._lanes
                            waiting = self.i[other].valid & ~finishing if other == n else self.i[other].valid
                            with m.If(waiting):
                                m.d.sync += [granted.eq(other), locked.eq(1)]
        return m
