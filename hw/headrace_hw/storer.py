"""STORE: beats out of the activation memory."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from headrace.config import Config
from headrace.isa import BEAT_BYTES

from .activations import ActivationMemory
from .shapes import address_bits


class Storer(wiring.Component):
    """Reads `beats` beats from `x_address` on through a lane's read port, min(8, P) bytes per cycle.

    `start` is a pulse, while no beat of the last block is left; the lane answers `read_address` in `read_data` `delay`
    cycles later. The first beat is valid `delay` + 2 cycles after `start`, for P >= 8.
    """

    def __init__(self, config: Config, delay: int = ActivationMemory.delay) -> None:
        self._config = config
        self._delay = delay
        super().__init__(
            {
                "start": In(1),
                "x_address": In(address_bits(config)),
                "beats": In(32),
                "read_address": Out(address_bits(config)),
                "read_data": In(data.ArrayLayout(unsigned(8), config.pixels)),
                "o": Out(stream.Signature(64)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        chunk = min(BEAT_BYTES, self._config.pixels)
        chunks = BEAT_BYTES // chunk
        # As many beats as are under way at full speed: read, on their way back, waiting at the output.
        m.submodules.beats = fifo = SyncFIFO(width=64, depth=1 << (self._delay + 1).bit_length())
        left = Signal(32)  # beats not yet read
        owed = Signal(range(fifo.depth + 1))  # beats begun and not yet sent
        number = Signal(range(chunks + 1))  # of the chunk within its beat
        begin, read, taken = Signal(), Signal(), Signal()
        under_way, lasts = Signal(self._delay), Signal(self._delay)
        last = number == chunks - 1
        m.d.comb += [
            begin.eq((left != 0) & (number == 0) & (owed != fifo.depth)),
            read.eq(begin | (number != 0)),
            taken.eq(self.o.valid & self.o.ready),
            fifo.w_en.eq(under_way[-1] & lasts[-1]),
            self.o.valid.eq(fifo.r_rdy),
            self.o.payload.eq(fifo.r_data),
            fifo.r_en.eq(self.o.ready),
        ]
        m.d.sync += [
            owed.eq(owed + begin - taken),
            under_way.eq(Cat(read, under_way[:-1])),
            lasts.eq(Cat(last, lasts[:-1])),
        ]
        with m.If(read):
            m.d.sync += [
                self.read_address.eq(self.read_address + chunk),
                number.eq(Mux(last, 0, number + 1)),
                left.eq(left - last),
            ]
        gathered = Signal(64)
        arrived = Cat(gathered, *(self.read_data[n] for n in range(chunk)))[8 * chunk :]
        m.d.comb += fifo.w_data.eq(arrived)
        with m.If(under_way[-1]):
            m.d.sync += gathered.eq(arrived)
        with m.If(self.start):
            m.d.sync += [left.eq(self.beats), self.read_address.eq(self.x_address)]
        return m
