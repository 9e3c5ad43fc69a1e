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
    pixel, -128..127, goes on with the final pass. One word per cycle. Latency: 1 cycle; `ready` passes through.
    """

    delay = 1

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
        take = Signal()
        names = [name for name in self.o.payload.shape().members if name != "sums"]
        marks = Signal(sum(len(self.o.payload[name]) for name in names))
        passes = data.View(data.ArrayLayout(8, pixels), read.data)
        m.d.comb += [
            self.i.ready.eq(~self.o.valid | self.o.ready),
            take.eq(self.i.valid & self.i.ready),
            read.addr.eq(word),
            write.addr.eq(word),
            write.en.eq(take & self.maximum),
            self.busy.eq(self.o.valid),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                self.o.valid.eq(self.i.valid & (~self.maximum | self.i.payload.final)),
                marks.eq(Cat(self.i.payload[name] for name in names)),
            ]
        m.d.comb += Cat(self.o.payload[name] for name in names).eq(marks)
        for n in range(pixels):
            new, old = self.i.payload.sums[n], passes[n].as_signed()
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
            with m.If(self.i.ready):
                m.d.sync += [low.eq(write.data.word_select(n, 8)), high.eq(new[8:])]
                with m.If(clear):
                    m.d.sync += high.eq(0)
        with m.If(take):
            m.d.sync += word.eq(Mux(self.i.payload.last, 0, word + 1))
            with m.If(self.i.payload.last):
                m.d.sync += first_pass.eq(self.i.payload.final)
        return m
