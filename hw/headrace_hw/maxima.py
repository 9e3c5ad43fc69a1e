"""Max pooling: the greatest of a row's passes."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .shapes import sums_layout


class Maxima(wiring.Component):
    """Without `maximum`, words pass. With it a row comes as several passes over its words, and the greatest of each
    pixel, -128..127, goes on with the final pass. One word per cycle. Latency: 2 cycles, which pass only while
    `o.ready` is high; `i.ready` is `o.ready`, which must not wait for `o.valid`.
    """

    delay = 2

    def __init__(self, config: Config) -> None:
        self._config = config
        signature = stream.Signature(sums_layout(config))
        super().__init__({"i": In(signature), "maximum": In(1), "o": Out(signature), "busy": Out(1)})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        pixels, depth = self._config.pixels, self._config.acc_words
        m.submodules.greatest = memory = Memory(
            shape=unsigned(8 * pixels), depth=depth, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        word, first_pass = Signal(range(depth)), Signal(init=1)
        given = Signal.like(self.i.payload, reset_less=True)  # a register for the arbiter's long way
        valid, take = Signal(), Signal()
        names = [name for name in self.o.payload.shape().members if name != "sums"]
        marks = Signal(sum(len(self.o.payload[name]) for name in names))
        passes = data.View(data.ArrayLayout(8, pixels), read.data)
        m.d.comb += [
            self.i.ready.eq(self.o.ready),
            take.eq(valid & self.o.ready),
            read.addr.eq(word),
            write.addr.eq(word),
            write.en.eq(take & self.maximum),
            self.busy.eq(valid | self.o.valid),
        ]
        with m.If(self.o.ready):
            m.d.sync += [
                valid.eq(self.i.valid),
                given.eq(self.i.payload),
                self.o.valid.eq(valid & (~self.maximum | given.final)),
                marks.eq(Cat(given[name] for name in names)),
            ]
        m.d.comb += Cat(self.o.payload[name] for name in names).eq(marks)
        for n in range(pixels):
            new, old = given.sums[n], passes[n].as_signed()
            low, high = Signal(8, name=f"low_{n}"), Signal(len(new) - 8, name=f"high_{n}", reset_less=True)
            keep, clear = Signal(name=f"keep_{n}"), Signal(name=f"clear_{n}")
            m.d.comb += [
                keep.eq(self.maximum & ~first_pass & (new[:8].as_signed() < old)),
                clear.eq(self.maximum & ~(new[7] & (old[7] | first_pass))),
                write.data.word_select(n, 8).eq(Mux(keep, old, new[:8])),
                self.o.payload.sums[n].eq(Cat(low, high).as_signed()),
            ]
            # The upper bits are the sign of the new one; of the greatest, if that is negative, as then both are.
            # They have no other reset, so that this one is the reset input of the registers.
            with m.If(self.o.ready):
                m.d.sync += [low.eq(write.data.word_select(n, 8)), high.eq(new[8:])]
                with m.If(clear):
                    m.d.sync += high.eq(0)
        with m.If(take):
            m.d.sync += word.eq(Mux(given.last, 0, word + 1))
            with m.If(given.last):
                m.d.sync += first_pass.eq(given.final)
        return m
