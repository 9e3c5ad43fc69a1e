"""Requantisation of accumulators to int8; the model is `headrace.model.requant`."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .layouts import layout
from .shapes import INDEX_BITS, Table, TableWrite, pixels_layout, sums_layout

CHANNEL_BITS = isa.BIAS_BITS + isa.MULTIPLIER_BITS + isa.SHIFT_BITS


class Requant(wiring.Component):
    """clip(((sum + bias) * multiplier + (1 << (shift - 1))) >> shift, clamp_low, clamp_high), P sums per cycle.

    Bias, multiplier and shift (1..63) are the output channel's, or channel 0's where all are `uniform`. Rounds half up.
    Latency: 7 cycles; the pipeline stands still while its output is not taken. The channels' constants of layer `bank`
    are in use; the others may be written.
    """

    delay = 7

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(sums_layout(config))),
                "table": In(TableWrite()),
                "bank": In(1),
                "uniform": In(1),
                "clamp_low": In(signed(8)),
                "clamp_high": In(signed(8)),
                "o": Out(stream.Signature(pixels_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config = self._config
        advance = Signal()
        valid = Signal(self.delay)
        tags_layout = data.StructLayout({"channel": INDEX_BITS, "lane": 8, "first": 1, "last": 1})
        tags = [Signal(tags_layout, name=f"tags_{n}") for n in range(self.delay)]
        m.d.comb += [
            advance.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(advance),
            self.busy.eq(valid.any()),
            self.o.valid.eq(valid[-1]),
            self.o.payload.channel.eq(tags[-1].channel),
            self.o.payload.lane.eq(tags[-1].lane),
            self.o.payload.first.eq(tags[-1].first),
            self.o.payload.last.eq(tags[-1].last),
        ]
        with m.If(advance):
            m.d.sync += valid.eq(Cat(self.i.valid, valid[:-1]))
            m.d.sync += [
                tags[0].channel.eq(self.i.payload.channel),
                tags[0].lane.eq(self.i.payload.lane),
                tags[0].first.eq(self.i.payload.first),
                tags[0].last.eq(self.i.payload.last),
            ]
            m.d.sync += [after.eq(before) for before, after in pairwise(tags)]

        # The channel's constants, a cycle behind the sums, then with them down the pipeline.
        m.submodules.channels = memory = Memory(shape=unsigned(CHANNEL_BITS), depth=2 * config.channels, init=[])
        write, read = memory.write_port(), memory.read_port()
        beat = data.View(layout(isa.CHANNEL), self.table.data)
        constants_layout = data.StructLayout(
            {"bias": signed(isa.BIAS_BITS), "multiplier": isa.MULTIPLIER_BITS, "shift": isa.SHIFT_BITS}
        )
        m.d.comb += [
            write.addr.eq(Cat(self.table.index[: len(write.addr) - 1], self.table.bank)),
            write.data.eq(Cat(beat.bias, beat.multiplier, beat.shift)),
            write.en.eq(self.table.valid & (self.table.table == Table.CHANNELS)),
            read.addr.eq(Cat(Mux(self.uniform, 0, self.i.payload.channel[: len(read.addr) - 1]), self.bank)),
            read.en.eq(advance),
        ]
        constants = data.View(constants_layout, read.data)
        multiplier = Signal(isa.MULTIPLIER_BITS)
        less = [Signal(isa.SHIFT_BITS, name=f"shift_{n}") for n in range(3)]  # shift - 1: the last bit is the rounding
        fine_shift = Signal(3)
        with m.If(advance):
            m.d.sync += [
                fine_shift.eq(less[2][:3]),
                multiplier.eq(constants.multiplier),
                less[0].eq(constants.shift - 1),
                less[1].eq(less[0]),
                less[2].eq(less[1]),
            ]

        biased_shape = signed(max(config.acc_bits, isa.BIAS_BITS) + 1)
        product_shape = signed(biased_shape.width + isa.MULTIPLIER_BITS)
        for n in range(config.pixels):
            total = Signal(signed(config.acc_bits), name=f"sum_{n}")
            biased = Signal(biased_shape, name=f"biased_{n}")
            product = [Signal(product_shape, name=f"product_{n}_{k}") for k in range(2)]
            coarse = Signal(product_shape, name=f"coarse_{n}")
            fine = Signal(product_shape, name=f"fine_{n}")
            rounded = Signal(product_shape, name=f"rounded_{n}")
            m.d.comb += rounded.eq((fine + 1) >> 1)
            with m.If(advance):
                m.d.sync += [
                    total.eq(self.i.payload.sums[n]),
                    biased.eq(total + constants.bias),
                    product[0].eq(biased * Cat(multiplier, Const(0, 1)).as_signed()),
                    product[1].eq(product[0]),
                    coarse.eq(product[1] >> Cat(Const(0, 3), less[2][3:])),
                    fine.eq(coarse >> fine_shift),
                    self.o.payload.pixels[n].eq(
                        Mux(
                            rounded < self.clamp_low,
                            self.clamp_low,
                            Mux(rounded > self.clamp_high, self.clamp_high, rounded),
                        )
                    ),
                ]
        return m
