"""Multiply-accumulate: one weight times P pixels per cycle, into the accumulators of a row."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .activations import ActivationMemory
from .masks import Masks
from .multiply import SharedMultiplier
from .shapes import INDEX_BITS, TableWrite, address_bits, operation_layout, pixel_bits, sums_layout

HALVES = 2
"""Parts of a word's pixels that have registers of their own for what steers them."""


class Mac(wiring.Component):
    """Runs an operation over the `words` words of its row; the row's last operation sends the sums on.

    One word per cycle. Reads of the activation memory go out at `address` and come back in `pixels` after
    `ActivationMemory.delay` cycles; the whole pipeline stands still while a finished word is not taken (`advance` low).
    An operation may follow the last one on the same word. Latency: `delay` cycles from an operation to its word. Sums
    wrap at `acc_bits`: the compiler proves that none gets there.

    With `maximum` every operation sends its products on, the row's last one as `final`; see Maxima. Pixels that `Masks`
    rules out count as 0, or -128 for a maximum.
    """

    delay = ActivationMemory.delay + SharedMultiplier.delay + 1  # the last one: the sum

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(operation_layout(config))),
                "table": In(TableWrite()),
                "bank": In(1),
                "words": In(INDEX_BITS),
                "phases": In(8),
                "slot_shift": In(4),
                "maximum": In(1),
                "start": In(1),
                "first_channel": In(INDEX_BITS),
                "lane": In(8),
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
        m.submodules.masks = masks = Masks(config)
        assert Masks.delay == ActivationMemory.delay
        coming = Signal()  # a word to send on, in the next cycle
        advance, read_advance, mask_advance, *halves = self._advance(m, coming, 3 + 2 * HALVES)
        multiply_advance, add_advance = halves[:HALVES], halves[HALVES:]

        # Issue: one word of an operation a cycle.
        operation = self.i.payload
        word = Signal(acc_address_bits)
        phase = Signal(len(masks.phase))
        next_address = Signal(address_bits(config))
        next_position = Signal(INDEX_BITS - pixel_bits(config))  # in words; an operation's words are P pixels apart
        begins, last_word = Signal(init=1), Signal()
        position = Cat(
            operation.position[: pixel_bits(config)],
            Mux(begins, operation.position.as_unsigned()[pixel_bits(config) :], next_position),
        )
        m.d.comb += [
            self.address.eq(Mux(begins, operation.address, next_address)),
            self.issue.eq(self.i.valid & advance),
            self.i.ready.eq(advance & last_word),
            self.advance.eq(read_advance),
            masks.advance.eq(mask_advance),
            masks.position.eq(position.as_signed()),
            masks.end.eq(operation.end),
            masks.every_column.eq(operation.every_column),
            masks.row.eq(operation.mask),
            masks.phase.eq(phase),
            masks.bank.eq(self.bank),
        ]
        wiring.connect(m, wiring.flipped(self.table), masks.table)
        with m.If(self.issue):
            m.d.sync += [
                next_address.eq(self.address + pixels),
                next_position.eq(position[pixel_bits(config) :] + 1),
                word.eq(Mux(last_word, 0, word + 1)),
                begins.eq(last_word),
                last_word.eq(Mux(last_word, 1, word + 2) == self.words),
                phase.eq(Mux(last_word | (phase + 1 == self.phases), 0, phase + 1)),
            ]
        with m.If(self.start):
            m.d.sync += last_word.eq(self.words == 1)

        stage_layout = data.StructLayout(
            {
                "read": acc_address_bits,
                "write": acc_address_bits,
                "fresh": 1,
                "emit": 1,
                "final": 1,
                "first": 1,
                "last": 1,
            }
        )
        valid = [Signal(name=f"valid_{n}") for n in range(1, self.delay + 1)]
        stage = [Signal(stage_layout, name=f"stage_{n}") for n in range(1, self.delay)]
        source = Mux(operation.first, operation.source, operation.target)
        with m.If(advance):
            m.d.sync += [
                valid[0].eq(self.i.valid),
                stage[0].read.eq((source << self.slot_shift) + word),
                stage[0].write.eq((operation.target << self.slot_shift) + word),
                stage[0].fresh.eq(self.maximum | (operation.first & ~operation.differential)),
                stage[0].emit.eq(self.maximum | operation.last),
                stage[0].final.eq(operation.last),
                stage[0].first.eq(begins),
                stage[0].last.eq(last_word),
            ]
            for n in range(1, self.delay - 1):
                m.d.sync += [valid[n].eq(valid[n - 1]), stage[n].eq(stage[n - 1])]

        # Multiply: two pixels share a multiplier.
        weights = self._weights(m, advance, operation.value, len(range(0, pixels, 2)))
        held_weight = [Signal(signed(isa.VALUE_BITS), name=f"held_weight_{n}") for n in range(2)]
        offset = Signal(signed(isa.VALUE_BITS + 8))
        with m.If(advance):
            m.d.sync += [
                held_weight[0].eq(weights[0]),
                held_weight[1].eq(held_weight[0]),
                offset.eq(-128 * held_weight[1]),
            ]
        products: list = []
        for n in range(0, pixels, 2):
            multiplier = SharedMultiplier(min(2, pixels), resting=-(n // 2 % 2))
            m.submodules[f"multiplier_{n}"] = multiplier
            m.d.comb += [
                multiplier.advance.eq(multiply_advance[HALVES * n // pixels]),
                multiplier.weight.eq(weights[n // 4]),
                multiplier.offset.eq(offset),
                multiplier.outside.eq(Mux(self.maximum, -128, 0)),
            ]
            for k in range(min(2, pixels)):
                m.d.comb += [
                    multiplier.pixels[k].eq(self.pixels[n + k].as_signed()),
                    multiplier.mask[k].eq(masks.mask[n + k]),
                ]
                products.append(multiplier.products[k])

        # Accumulate: read in one cycle, add and write in the next. Sums that are read in the cycle in which they are
        # written are in `o` by the time they are needed.
        m.submodules.accumulators = memory = Memory(
            shape=unsigned(acc_bits * pixels), depth=config.acc_words, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        before, now = stage[-2:]
        accumulators = data.ArrayLayout(signed(acc_bits), pixels)
        held, sums = Signal(accumulators), Signal(accumulators)
        forward, fresh = ([Signal(name=f"{name}_{n}") for n in range(HALVES)] for name in ("forward", "fresh"))
        for half, advances in enumerate(add_advance):
            with m.If(advances):
                m.d.sync += [forward[half].eq(valid[-2] & (before.read == now.write)), fresh[half].eq(before.fresh)]
        old_sums = data.View(accumulators, read.data)
        for n in range(pixels):
            half = HALVES * n // pixels
            with m.If(add_advance[half]):
                m.d.sync += [held[n].eq(old_sums[n]), self.o.payload.sums[n].eq(sums[n])]
            old = Mux(fresh[half], 0, Mux(forward[half], self.o.payload.sums[n], held[n]))
            total = Signal(acc_bits + 1, name=f"total_{n}")  # below the sum, where the product's carry comes from
            m.d.comb += [
                total.eq(Cat(1, products[n].value).as_signed() + Cat(products[n].carry, old).as_signed()),
                sums[n].eq(total[1:]),
            ]
        m.d.comb += [
            read.addr.eq(before.read),
            write.addr.eq(now.write),
            write.data.eq(sums),
            write.en.eq(valid[-2]),  # again, the same, while the pipeline stands still
        ]

        # Emit.
        channel = Signal(range(config.channels))
        m.d.comb += [
            coming.eq(valid[-2] & now.emit),
            self.o.valid.eq(valid[-1]),
            self.o.payload.channel.eq(channel),
            self.o.payload.lane.eq(self.lane),
            self.busy.eq(self.i.valid | Cat(valid).any()),
        ]
        with m.If(advance):
            m.d.sync += [
                valid[-1].eq(coming),
                self.o.payload.first.eq(now.first),
                self.o.payload.last.eq(now.last),
                self.o.payload.final.eq(now.final),
            ]
        with m.If(self.start):
            m.d.sync += channel.eq(self.first_channel)
        with m.Elif(self.o.valid & self.o.ready & self.o.payload.last & self.o.payload.final):
            m.d.sync += channel.eq(channel + 1)
        return m

    def _advance(self, m: Module, coming: Signal, count: int) -> list[Signal]:
        """`advance`, so many times, each with a register of its own: one alone would enable all of the lane's datapath.

        They form a ring, each enabled by the one before it (the first by the last): equal at all times, but not by
        their inputs, or synthesis would make one of them. Unequal values at reset, as weights have, would not do here:
        one that starts high waits for a word that never comes.
        """
        advance = [Signal(name=f"advance_{n}") for n in range(count)]
        for n in range(count):
            waits = Signal(name=f"waits_{n}")
            with m.If(advance[n - 1]):
                m.d.sync += waits.eq(coming)
            m.d.comb += advance[n].eq(~waits | self.o.ready)
        return advance

    def _weights(self, m: Module, advance: Signal, value: Value, multipliers: int) -> list[Signal]:
        """The value, for two multipliers each, when the pixels are there: a tree of registers that drive two each.

        Those two differ at reset, where synthesis would make one of equal ones.
        """
        weights = [value]
        for level in reversed(range(1, ActivationMemory.delay + 1)):
            count = -(-multipliers >> level)
            copies = [Signal(signed(isa.VALUE_BITS), name=f"weight_{level}_{n}", init=-(n % 2)) for n in range(count)]
            with m.If(advance):
                m.d.sync += [copy.eq(weights[n // 2 if len(weights) > 1 else 0]) for n, copy in enumerate(copies)]
            weights = copies
        return weights
