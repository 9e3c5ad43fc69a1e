"""Activation memory: P bytes at any byte address in every cycle."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace.config import Config
from headrace.pieces import keep_bytes

from .shapes import INDEX_BITS, address_bits, bank_write_layout, masked_write_layout, pixel_bits


def rotate_bytes(m: Module, columns: list, amount: Signal, *, left: bool) -> Signal:
    """Byte n of the result is byte n + amount (left) or n - amount, modulo their number, a power of two."""
    count = len(columns)
    for stage in range(len(amount)):
        step = (1 << stage) if left else count - (1 << stage)
        moved = Signal(8 * count, name=f"rotated_{stage}")
        m.d.comb += moved.eq(Cat(Mux(amount[stage], columns[(n + step) % count], columns[n]) for n in range(count)))
        columns = [moved.word_select(n, 8) for n in range(count)]
    return Cat(columns)


class WriteAligner(wiring.Component):
    """Turns a masked write at a byte address into one of byte columns. Latency: 2 cycles; never stalls.

    `loads` and `results`: some of that kind are on their way, until the lanes have written.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(masked_write_layout(config), always_ready=True)),
                "o": Out(stream.Signature(bank_write_layout(config), always_ready=True)),
                "loads": Out(1),
                "results": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        pixels, low = self._config.pixels, pixel_bits(self._config)
        rotated_valid = Signal()
        write = self.i.payload
        offset = write.address[:low]
        given = Signal.like(self.o.payload)
        mask, wrapped = Signal(pixels), Signal(pixels)
        rotated = rotate_bytes(m, [write.data[n] for n in range(pixels)], offset, left=False)
        twice = Cat(write.mask, write.mask)
        m.d.sync += [
            rotated_valid.eq(self.i.valid),
            given.piece.eq(write.piece),
            given.load.eq(write.load),
            given.word.eq(write.address[low:]),
            given.data.eq(rotated),
            mask.eq((twice << offset)[pixels : 2 * pixels]),
            wrapped.eq(Cat(n < offset for n in range(pixels))),
            self.o.valid.eq(rotated_valid),
            self.o.payload.eq(given),
            self.o.payload.here.eq(mask & ~wrapped),
            self.o.payload.beyond.eq(mask & wrapped),
        ]
        loads, results = Signal(3), Signal(3)  # here, at `o`, and being written by the lanes, a cycle later
        m.d.sync += [
            loads.eq(Cat(self.i.valid & write.load, loads)),
            results.eq(Cat(self.i.valid & ~write.load, results)),
        ]
        m.d.comb += [self.loads.eq(loads.any()), self.results.eq(results.any())]
        return m


class ActivationMemory(wiring.Component):
    """One lane's activations: two banks, of even and of odd words, so that P bytes that straddle two words come at
    once.

    `pixels` are the bytes from `address` on, `delay` cycles after it, cycles that pass only while `advance` is high.
    Addresses wrap. Loads are written with `load_enable`. Of other writes the lane keeps those whose half word of the
    plane (`headrace.pieces.keep_bytes`) lies in `keep_from` to `keep_to` - 1, by the whole words in `keep_from` below
    where they are addressed to. A write is done two cycles after it came.
    """

    delay = 4

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i_write": In(stream.Signature(bank_write_layout(config), always_ready=True)),
                "keep_from": In(signed(INDEX_BITS)),
                "keep_to": In(signed(INDEX_BITS)),
                "load_enable": In(1),
                "advance": In(1),
                "address": In(address_bits(config)),
                "pixels": Out(data.ArrayLayout(unsigned(8), config.pixels)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        pixels, low = self._config.pixels, pixel_bits(self._config)
        word = self.address[low:]
        banks = []
        given = self.i_write.payload
        # A lane's state may be reset while writes of the layer before are on their way.
        write_data, write_word = Signal(8 * pixels, reset_less=True), Signal.like(given.word, reset_less=True)
        even_mask, odd_mask = Signal(pixels, reset_less=True), Signal(pixels, reset_less=True)
        kept = (given.piece >= self.keep_from) & (given.piece < self.keep_to)
        writes = self.i_write.valid & Mux(given.load, self.load_enable, kept)
        below = Mux(given.load, 0, self.keep_from >> (low - (keep_bytes(pixels) - 1).bit_length()))
        odd_word = given.word[0] ^ below[0]
        m.d.sync += [
            write_data.eq(given.data),
            write_word.eq(given.word - below),
            even_mask.eq(Mux(writes, Mux(odd_word, given.beyond, given.here), 0)),
            odd_mask.eq(Mux(writes, Mux(odd_word, given.here, given.beyond), 0)),
        ]
        for name, number, to, mask in (
            ("even", word + 1, write_word + 1, even_mask),
            ("odd", word, write_word, odd_mask),
        ):
            bank = Memory(shape=unsigned(8 * pixels), depth=self._config.x_words // 2, init=[])
            m.submodules[name] = bank
            write_port, read_port = bank.write_port(granularity=8), bank.read_port()
            m.d.comb += [
                write_port.addr.eq(to >> 1),
                write_port.data.eq(write_data),
                write_port.en.eq(mask),
                read_port.addr.eq(number >> 1),
                read_port.en.eq(self.advance),
            ]
            read = Signal(8 * pixels, name=f"read_{name}", reset_less=True)
            with m.If(self.advance):
                m.d.sync += read.eq(read_port.data)
            banks.append(read)

        # A cycle to read; one for the long way out of the block RAM; one to choose the word of every byte and to rotate
        # by one byte; one to rotate by up to three pairs. What is left of the rotation is a level of multiplexers, for
        # whoever takes the pixels to go on from: each level is as much as a six-input table holds.
        even_word, odd_word = ([bank.word_select(n, 8) for n in range(pixels)] for bank in banks)
        offset, from_odd = Signal(low), Signal(pixels)
        columns, window = (Signal(data.ArrayLayout(unsigned(8), pixels), name=name) for name in ("columns", "window"))
        # Every other four bytes have the inverse to select by: synthesis would split tables that have half in common.
        by_pair, not_by_pair, by_two_pairs = Signal(), Signal(), Signal()
        rest, late = Signal(low), Signal(low)
        place = Signal(low + 1)  # while the word comes out of the block RAM
        with m.If(self.advance):
            m.d.sync += [
                place.eq(self.address[: low + 1]),
                offset.eq(place[:-1]),
                by_pair.eq(offset[1:2]),
                not_by_pair.eq(~offset[1:2].any()),
                by_two_pairs.eq(offset[2:3]),
                rest.eq(offset),
                late.eq(rest),
            ]
            for n in range(pixels):
                after = (n + 1) % pixels
                beyond = Mux(place[0], after, n) < place[:-1] if low else 0
                own = Mux(from_odd[n], odd_word[n], even_word[n])
                next_one = Mux(from_odd[n], odd_word[after], even_word[after])
                near, near_pair, far, far_pair = (columns[(n + step) % pixels] for step in (0, 2, 4, 6))
                moved, moved_far = (
                    Mux(by_pair, other, one) if n & 4 else Mux(not_by_pair, one, other)
                    for one, other in ((near, near_pair), (far, far_pair))
                )
                m.d.sync += [
                    from_odd[n].eq(place[-1] ^ beyond),
                    columns[n].eq(Mux(offset[:1], next_one, own)),
                    window[n].eq(Mux(by_two_pairs, moved_far, moved)),
                ]
        rotation = Cat(Const(0, min(3, low)), late[3:])
        m.d.comb += self.pixels.eq(rotate_bytes(m, list(window), rotation, left=True))
        return m
