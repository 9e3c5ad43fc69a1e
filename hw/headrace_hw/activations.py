"""Activation memory: P bytes at any byte address in every cycle."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .shapes import address_bits, bank_write_layout, masked_write_layout, pixel_bits


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
    """Turns a masked write at a byte address into one write of each bank. Latency: 2 cycles; never stalls."""

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
        word = Signal(address_bits(self._config) - low)
        columns = Signal(8 * pixels)
        mask, wrapped = Signal(pixels), Signal(pixels)
        rotated = rotate_bytes(m, [write.data[n] for n in range(pixels)], offset, left=False)
        twice = Cat(write.mask, write.mask)
        m.d.sync += [
            rotated_valid.eq(self.i.valid),
            word.eq(write.address[low:]),
            columns.eq(rotated),
            mask.eq((twice << offset)[pixels : 2 * pixels]),
            wrapped.eq(Cat(n < offset for n in range(pixels))),
        ]
        odd = word[0]
        here, beyond = mask & ~wrapped, mask & wrapped
        m.d.sync += [
            self.o.valid.eq(rotated_valid),
            self.o.payload.data.eq(columns),
            self.o.payload.even_address.eq((word + 1) >> 1),
            self.o.payload.odd_address.eq(word >> 1),
            self.o.payload.even_mask.eq(Mux(odd, beyond, here)),
            self.o.payload.odd_mask.eq(Mux(odd, here, beyond)),
        ]
        m.d.comb += self.busy.eq(rotated_valid | self.o.valid)
        return m


class ActivationMemory(wiring.Component):
    """One lane's copy: two banks, of even and of odd words, so that P bytes that straddle two words come in one cycle.

    `pixels` are the bytes from `address` on, `delay` cycles after it, cycles that pass only while `advance` is high.
    Addresses wrap.
    """

    delay = 3

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i_write": In(stream.Signature(bank_write_layout(config), always_ready=True)),
                "advance": In(1),
                "address": In(address_bits(config)),
                "pixels": Out(data.ArrayLayout(unsigned(8), config.pixels)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        pixels, low = self._config.pixels, pixel_bits(self._config)
        word = self.address[low:]
        write = self.i_write.payload
        banks = []
        for name, read_address, write_address, mask in (
            ("even", (word + 1) >> 1, write.even_address, write.even_mask),
            ("odd", word >> 1, write.odd_address, write.odd_mask),
        ):
            bank = Memory(shape=unsigned(8 * pixels), depth=self._config.x_words // 2, init=[])
            m.submodules[name] = bank
            write_port, read_port = bank.write_port(granularity=8), bank.read_port()
            m.d.comb += [
                write_port.addr.eq(write_address),
                write_port.data.eq(write.data),
                write_port.en.eq(Mux(self.i_write.valid, mask, 0)),
                read_port.addr.eq(read_address),
                read_port.en.eq(self.advance),
            ]
            banks.append(read_port.data)

        # A cycle each to read, to choose the word of every byte column, to rotate.
        offset, odd = Signal(low), Signal()
        even_word, odd_word = banks
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
                from_odd = odd ^ (n < offset)
                m.d.sync += columns[n].eq(Mux(from_odd, odd_word.word_select(n, 8), even_word.word_select(n, 8)))
        return m
