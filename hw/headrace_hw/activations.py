"""Activation memory: P bytes at any byte address in every cycle."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, signed, unsigned
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

    `busy` until the lanes have written.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(masked_write_layout(config), always_ready=True)),
                "o": Out(stream.Signature(bank_write_layout(config), always_ready=True)),
                "busy": Out(1),
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
        written = Signal()  # by the lanes, one cycle later
        m.d.sync += written.eq(self.o.valid)
        m.d.comb += self.busy.eq(rotated_valid | self.o.valid | written)
        return m


class ActivationMemory(wiring.Component):
    """One lane's activations: two banks, of even and of odd words, so that P bytes that straddle two words come at
    once.

    `pixels` are the bytes from `address` on, `delay` cycles after it, cycles that pass only while `advance` is high.
    Addresses wrap. Loads are written with `load_enable`. Of other writes the lane keeps those whose half word of the
    plane (`headrace.pieces.keep_bytes`) lies in `keep_from` to `keep_to` - 1, by the whole words in `keep_from` below
    where they are addressed to. A write is done two cycles after it came.
    """

    delay = 3

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
        write_data, write_word = Signal(8 * pixels), Signal.like(given.word)
        even_mask, odd_mask = Signal(pixels), Signal(pixels)
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
            banks.append(read_port.data)

        # A cycle each to read, to choose the word of every byte column, to rotate.
        offset, odd = Signal(low), Signal()
        from_even, from_odd = banks
        columns = Signal(data.ArrayLayout(unsigned(8), pixels))
        rotation = Signal(low)
        window = rotate_bytes(m, [columns[n] for n in range(pixels)], rotation, left=True)
        with m.If(self.advance):
            m.d.sync += [
                offset.eq(self.address[:low]),
                odd.eq(word[0]),
                rotation.eq(offset),
                self.pixels.eq(window),
            ]
            for n in range(pixels):
                m.d.sync += columns[n].eq(
                    Mux(odd ^ (n < offset), from_odd.word_select(n, 8), from_even.word_select(n, 8))
                )
        return m
