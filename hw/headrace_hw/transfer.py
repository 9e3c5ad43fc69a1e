"""Beats into the activation memory, and out of it."""

from __future__ import annotations

from amaranth import Cat, Module, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace.config import Config
from headrace.isa import BEAT_BYTES

from .activations import ActivationMemory
from .shapes import address_bits, masked_write_layout


class Loader(wiring.Component):
    """Writes beats to the activation memory from `x_address` (taken at `start`) on; min(8, P) bytes per cycle."""

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "start": In(1),
                "x_address": In(address_bits(config)),
                "i": In(stream.Signature(64)),
                "o": Out(stream.Signature(masked_write_layout(config), always_ready=True)),
                "busy": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        chunk = min(BEAT_BYTES, self._config.pixels)
        beat = Signal(64)
        left = Signal(range(BEAT_BYTES + 1))
        address = Signal(address_bits(self._config))
        m.d.comb += [
            self.i.ready.eq(left <= chunk),
            self.o.valid.eq(left != 0),
            self.o.payload.address.eq(address),
            self.o.payload.load.eq(1),
            self.o.payload.data.as_value().eq(beat[: 8 * chunk]),
            self.o.payload.mask.eq((1 << chunk) - 1),
            self.busy.eq(left != 0),
        ]
        with m.If(left != 0):
            m.d.sync += [beat.eq(beat >> (8 * chunk)), left.eq(left - chunk), address.eq(address + chunk)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += [beat.eq(self.i.payload), left.eq(BEAT_BYTES)]
        with m.If(self.start):
            m.d.sync += address.eq(self.x_address)
        return m


class Storer(wiring.Component):
    """Reads `beats` beats from `x_address` on through a lane's read port, min(8, P) bytes every fifth cycle.

    `start` is a pulse; the lane answers `read_address` in `read_data` three cycles later.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
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
        left = Signal(32)
        gathered = Signal(range(BEAT_BYTES + 1))
        waited = Signal(range(ActivationMemory.delay))
        m.d.comb += self.o.valid.eq(gathered == BEAT_BYTES)
        with m.FSM():
            with m.State("IDLE"), m.If(left != 0):
                m.next = "READ"
            with m.State("READ"):
                m.next = "WAIT"
            with m.State("WAIT"):
                m.d.sync += waited.eq(waited + 1)
                with m.If(waited == ActivationMemory.delay - 2):
                    m.d.sync += waited.eq(0)
                    m.next = "TAKE"
            with m.State("TAKE"):
                taken = Cat(self.read_data[n] for n in range(chunk))
                m.d.sync += [
                    self.o.payload.eq(Cat(self.o.payload, taken)[8 * chunk :]),
                    gathered.eq(gathered + chunk),
                    self.read_address.eq(self.read_address + chunk),
                ]
                with m.If(gathered + chunk == BEAT_BYTES):
                    m.next = "SEND"
                with m.Else():
                    m.next = "READ"
            with m.State("SEND"), m.If(self.o.ready):
                m.d.sync += [gathered.eq(0), left.eq(left - 1)]
                m.next = "IDLE"
        with m.If(self.start):
            m.d.sync += [left.eq(self.beats), self.read_address.eq(self.x_address)]
        return m
