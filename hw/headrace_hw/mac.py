"""Multiply-accumulate: one weight times P pixels per cycle, into the accumulators of a row."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .activations import ActivationMemory
from .shapes import INDEX_BITS, address_bits, operation_layout, sums_layout


class Mac(wiring.Component):
    """Runs an operation over the `words` words of its row; the row's last operation sends the sums on.

    One word per cycle. Reads of the activation memory go out at `address` and come back in `pixels` three cycles
    later; the whole pipeline stands still while a finished word is not taken (`advance` low). Accumulators are read,
    added to and written in one cycle, so an operation may follow the last one on the same word. Latency: 5 cycles from
    an operation to its word. Sums wrap at `acc_bits`: the compiler proves that none gets there.
    """

    delay = ActivationMemory.delay + 2  # the product, the sum

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(operation_layout(config))),
                "words": In(INDEX_BITS),
                "slot_shift": In(4),
                "maximum": In(1),
                "start": In(1),
                "first_channel": In(INDEX_BITS),
                "advance": Out(1),
                "address": Out(address_bits(config)),
                "pixels": In(data.ArrayLayout(unsigned(8), config.pixels)),
                "issue": Out(1),
                "busy": Out(1),
                "o": Out(stream.Signature(sums_layout(config))),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config = self._config
        pixels, acc_bits = config.pixels, config.acc_bits
        acc_address_bits = (config.acc_words - 1).bit_length()

        # Issue: one word of an operation a cycle.
        operation = self.i.payload
        word = Signal(INDEX_BITS)
        next_address = Signal(address_bits(config))
        last_word = Signal()
        m.d.comb += [
            last_word.eq(word + 1 == self.words),
            self.address.eq(Mux(word == 0, operation.address, next_address)),
            self.issue.eq(self.i.valid & self.advance),
            self.i.ready.eq(self.advance & last_word),
        ]
        with m.If(self.issue):
            m.d.sync += [
                next_address.eq(self.address + pixels),
                word.eq(Mux(last_word, 0, word + 1)),
            ]

        stage_layout = data.StructLayout(
            {
                "value": signed(isa.VALUE_BITS),
                "read": acc_address_bits,
                "write": acc_address_bits,
                "fresh": 1,
                "emit": 1,
                "first": 1,
                "last": 1,
            }
        )
        valid = [Signal(name=f"valid_{n}") for n in range(1, self.delay + 1)]
        stage = [Signal(stage_layout, name=f"stage_{n}") for n in range(1, self.delay)]
        products = Signal(data.ArrayLayout(signed(8 + isa.VALUE_BITS), pixels))
        source = Mux(operation.first, operation.source, operation.target)
        with m.If(self.advance):
            m.d.sync += [
                valid[0].eq(self.i.valid),
                stage[0].value.eq(operation.value),
                stage[0].read.eq((source << self.slot_shift) + word),
                stage[0].write.eq((operation.target << self.slot_shift) + word),
                stage[0].fresh.eq(operation.first & ~operation.differential),
                stage[0].emit.eq(operation.last),
                stage[0].first.eq(word == 0),
                stage[0].last.eq(last_word),
            ]
            for n in range(1, self.delay - 1):
                m.d.sync += [valid[n].eq(valid[n - 1]), stage[n].eq(stage[n - 1])]
            for n in range(pixels):
                m.d.sync += products[n].eq(self.pixels[n].as_signed() * stage[-2].value)

        # Accumulate: read, add, write in one cycle.
        m.submodules.accumulators = memory = Memory(
            shape=unsigned(acc_bits * pixels), depth=config.acc_words, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        now = stage[-1]
        old = data.View(data.ArrayLayout(signed(acc_bits), pixels), read.data)
        sums = Signal(data.ArrayLayout(signed(acc_bits), pixels))
        for n in range(pixels):
            start = Mux(now.fresh, 0, old[n])
            smaller = ~now.fresh & (products[n] < old[n])
            m.d.comb += sums[n].eq(Mux(self.maximum, Mux(smaller, old[n], products[n]), start + products[n]))
        m.d.comb += [
            read.addr.eq(now.read),
            write.addr.eq(now.write),
            write.data.eq(sums),
            write.en.eq(valid[-2] & self.advance),
        ]

        # Emit.
        channel = Signal(INDEX_BITS)
        m.d.comb += [
            self.advance.eq(~self.o.valid | self.o.ready),
            self.o.valid.eq(valid[-1]),
            self.o.payload.channel.eq(channel),
            self.busy.eq(self.i.valid | Cat(valid).any()),
        ]
        with m.If(self.advance):
            m.d.sync += [
                valid[-1].eq(valid[-2] & now.emit),
                self.o.payload.sums.eq(sums),
                self.o.payload.first.eq(now.first),
                self.o.payload.last.eq(now.last),
            ]
        with m.If(self.start):
            m.d.sync += channel.eq(self.first_channel)
        with m.Elif(self.o.valid & self.o.ready & self.o.payload.last):
            m.d.sync += channel.eq(channel + 1)
        return m
