"""Requantisation of accumulators to int8; the model is `headrace.model.requant`."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .layouts import layout
from .shapes import INDEX_BITS, Table, TableWrite, pixels_layout, sums_layout

CHANNEL_BITS = isa.BIAS_BITS + isa.MULTIPLIER_BITS + isa.SHIFT_BITS


FINE_BITS = 4
"""Of the shift: made by a multiplier, the others by multiplexers before it."""
WINDOW_BITS = 25
"""What the coarse shift leaves: as wide as the factor of a DSP48E1."""


class Requant(wiring.Component):
    """clip(((sum + bias) * multiplier + (1 << (shift - 1))) >> shift, clamp_low, clamp_high), P sums per cycle.

    Bias, multiplier and shift (1..63) are the output channel's, or channel 0's where all are `uniform`. Rounds half up.
    Latency: `delay` cycles; the pipeline stands still while its output is not taken. The channels' constants of layer
    `bank` are in use; the others may be written.

    A product is first shifted right by a multiple of 16, then multiplied by a power of two, so that the result lies
    above the lowest 16 bits, the first of which is the rounding, whatever the shift.
    """

    delay = 10

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
        constants = Signal(constants_layout)
        multipliers = [
            # A register of its own next to each multiplier; "keep" because synthesis would make one of all of them.
            Signal(isa.MULTIPLIER_BITS, name=f"multiplier_{n}", attrs={"keep": 1})
            for n in range(config.pixels)
        ]
        less = [Signal(isa.SHIFT_BITS, name=f"shift_{n}") for n in range(3)]  # shift - 1: the last bit is the rounding
        powers = [Signal(1 << FINE_BITS, name=f"power_{n}", attrs={"keep": 1}) for n in range(config.pixels)]
        with m.If(advance):
            m.d.sync += [constants.eq(read.data), less[0].eq(constants.shift - 1)]
            m.d.sync += [after.eq(before) for before, after in pairwise(less)]
            m.d.sync += [multiplier.eq(constants.multiplier) for multiplier in multipliers]
            for power in powers:
                m.d.sync += power.eq((1 << ((1 << FINE_BITS) - 1)) >> less[2][:FINE_BITS])

        for n in range(config.pixels):
            total = [Signal(signed(config.acc_bits), name=f"sum_{n}_{k}") for k in range(2)]
            biased = Signal(signed(max(config.acc_bits, isa.BIAS_BITS) + 1), name=f"biased_{n}")
            product = [Signal(signed(len(biased) + isa.MULTIPLIER_BITS), name=f"product_{n}_{k}") for k in range(2)]
            window = Signal(signed(WINDOW_BITS), name=f"window_{n}")
            scaled = [Signal(signed(WINDOW_BITS + (1 << FINE_BITS)), name=f"scaled_{n}_{k}") for k in range(2)]
            with m.If(advance):
                m.d.sync += [
                    total[0].eq(self.i.payload.sums[n]),
                    total[1].eq(total[0]),
                    biased.eq(total[1] + constants.bias),
                    product[0].eq(biased * Cat(multipliers[n], Const(0, 1)).as_signed()),
                    product[1].eq(product[0]),
                    window.eq(_coarsely_shifted(product[1], less[2][FINE_BITS:])),
                    scaled[0].eq(window * Cat(powers[n], Const(0, 1)).as_signed()),
                    scaled[1].eq(scaled[0] + (1 << ((1 << FINE_BITS) - 1))),
                ]
            self._clamp(m, n, advance, scaled[1] >> (1 << FINE_BITS))
        return m

    def _clamp(self, m: Module, n: int, advance: Signal, rounded: Value) -> None:
        """Two cycles: whether the result is too low or too high, what is given instead."""
        byte = Signal(signed(8), name=f"byte_{n}")
        low, high = Signal(name=f"low_{n}"), Signal(name=f"high_{n}")
        short = rounded[:8].as_signed()
        negative, fits = rounded[-1], rounded[7:].all() | ~rounded[7:].any()
        with m.If(advance):
            m.d.sync += [
                byte.eq(short),
                low.eq(Mux(fits, short < self.clamp_low, negative)),
                high.eq(Mux(fits, short > self.clamp_high, ~negative)),
                self.o.payload.pixels[n].eq(Mux(low, self.clamp_low, Mux(high, self.clamp_high, byte))),
            ]


def _coarsely_shifted(product: Value, steps: Value) -> Value:
    """The product shifted right by 16 * `steps`, WINDOW_BITS wide; or, where it does not fit, something of its sign
    whose two highest bits differ: after any fine shift, too, it is -128 or less, or 127 or more."""
    negative, highest = product[-1], len(product) - 1
    outside: Value = Const(0, 1)
    for step in range(1 << len(steps)):
        beyond = product[(step << FINE_BITS) + WINDOW_BITS - 1 :]
        outside = outside | ((steps == step) & (beyond ^ negative.replicate(len(beyond))).any())
    bits = []
    for n in range(WINDOW_BITS - 1):
        source = [product[min((step << FINE_BITS) + n, highest)] for step in range(1 << len(steps))]
        bits.append(Array(source)[steps])
    bits[-1] = Mux(outside, ~negative, bits[-1])
    return Cat(bits, negative).as_signed()
