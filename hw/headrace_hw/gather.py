"""Rows of one pixel, a few of them to one word."""

from __future__ import annotations

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .shapes import sums_layout


class Gather(wiring.Component):
    """Keeps the sum of pixel 0 of every word it takes; with GATHERED_ROWS of them it is `full`, until `clear`.

    `sums` are in the order in which they came. Nothing is taken while it is full. Latency: 1 cycle.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        held = data.ArrayLayout(signed(config.acc_bits), isa.GATHERED_ROWS)
        super().__init__(
            {
                "i": In(stream.Signature(sums_layout(config))),
                "sums": Out(held),
                "full": Out(1),
                "clear": In(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        number = Signal(range(isa.GATHERED_ROWS))
        m.d.comb += self.i.ready.eq(~self.full)
        with m.If(self.clear):
            m.d.sync += self.full.eq(0)
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [
                Cat(self.sums).eq(Cat(Cat(self.sums)[self._config.acc_bits :], self.i.payload.sums[0])),
                number.eq(number + 1),
                self.full.eq(number == isa.GATHERED_ROWS - 1),
            ]
        return m
