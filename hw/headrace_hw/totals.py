"""Sums over all pixels of a word, for averages of whole planes."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .shapes import sums_layout

TOGETHER = 4
"""Pixels that the first of two cycles adds up."""


class Totals(wiring.Component):
    """Without `total`, words pass, in the same cycle. With it every word is a row's only one, and its pixel 0 becomes
    the sum of all its pixels, modulo 2**acc_bits, the others 0. One word per cycle.

    Latency with `total`: `delay` cycles, which pass only while `o.ready` is high; `i.ready` is `o.ready`, which must
    not wait for `o.valid`. `total` is stable while there are words.
    """

    delay = 2

    def __init__(self, config: Config) -> None:
        self._config = config
        signature = stream.Signature(sums_layout(config))
        super().__init__({"i": In(signature), "total": In(1), "o": Out(signature), "busy": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        given, out = self.i.payload, self.o.payload
        pixels, shape = self._config.pixels, signed(self._config.acc_bits)
        parts = [Signal(shape, name=f"part_{n}") for n in range(-(-pixels // TOGETHER))]
        total = Signal(shape)
        valid = Signal(self.delay)
        channels = [Signal.like(given.channel, name=f"channel_{n}") for n in range(self.delay)]
        numbers = [Signal.like(given.lane, name=f"lane_{n}") for n in range(self.delay)]
        with m.If(self.o.ready):
            for n, part in enumerate(parts):
                m.d.sync += part.eq(sum(given.sums[k] for k in range(TOGETHER * n, min(TOGETHER * (n + 1), pixels))))
            m.d.sync += [
                valid.eq(valid << 1 | (self.i.valid & self.total)),
                total.eq(sum(parts)),
                channels[0].eq(given.channel),
                channels[1].eq(channels[0]),
                numbers[0].eq(given.lane),
                numbers[1].eq(numbers[0]),
            ]
        m.d.comb += [
            self.i.ready.eq(self.o.ready),
            self.busy.eq(valid.any()),
            self.o.valid.eq(Mux(self.total, valid[-1], self.i.valid)),
            out.eq(given),
        ]
        with m.If(self.total):
            m.d.comb += [
                *(out.sums[n].eq(0 if n else total) for n in range(pixels)),
                out.channel.eq(channels[1]),
                out.lane.eq(numbers[1]),
                out.first.eq(1),
                out.last.eq(1),
                out.final.eq(1),
            ]
        return m
