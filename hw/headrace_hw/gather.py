"""Rows of one pixel, a few of them to one word."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .shapes import sums_layout


class Gather(wiring.Component):
    """Keeps the sum of pixel 0 of every word it takes; with `rows` of them it is `full`, until `clear`.

    `sums` are in the order in which they came, those beyond `rows` of older ones. Nothing is taken while it is full.
    Latency: 1 cycle.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        held = data.ArrayLayout(signed(config.acc_bits), config.gathered_rows)
        super().__init__(
            {
                "rows": In(range(config.gathered_rows + 1)),
                "i": In(stream.Signature(sums_layout(config))),
                "sums": Out(held),
                "full": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        number = Signal(range(self._config.gathered_rows))
        last = number == self.rows - 1
        m.d.comb += self.i.ready.eq(~self.full)
        with m.If(self.clear):
            m.d.sync += self.full.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                self.sums[number].eq(self.i.payload.sums[0]),
                number.eq(Mux(last, 0, number + 1)),
                self.full.eq(last),
            ]
        return m
