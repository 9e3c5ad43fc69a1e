"""A lane: a weight stream in, finished accumulators out."""

from __future__ import annotations

from amaranth import Module, Mux, Signal, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace import isa
from headrace.config import Config

from .activations import ActivationMemory
from .buffer import Buffer
from .decoder import Decoder
from .mac import Mac
from .shapes import (
    ERROR_CODE_BITS,
    INDEX_BITS,
    SYMBOL,
    TableWrite,
    address_bits,
    bank_write_layout,
    sums_layout,
)
from .taps import Taps


class LayerParameters(wiring.Signature):
    """What all lanes need of a layer's descriptor, stable while it runs."""

    def __init__(self) -> None:
        super().__init__(
            {
                "in_channels": Out(INDEX_BITS),
                "taps": Out(INDEX_BITS),
                "in_plane": Out(INDEX_BITS),
                "words": Out(INDEX_BITS),
                "phases": Out(8),
                "slot_shift": Out(4),
                "maximum": Out(1),
                "code_tables": Out(isa.CODE_TABLE_BITS + 1),
                "bank": Out(1),
            }
        )


class Lane(wiring.Component):
    """Decoder, tap addresses, activation memory and MACs; one symbol and one word of P products per cycle.

    `start` (a pulse) begins `rows` rows, numbered from output channel `first_channel` on, the first of them in code
    `first_table`, whose first word is word `first_word` of the output plane; `done` is high when the last has left.
    `error` stays high, with `error_code`, until reset. `stalled` is high in each cycle in which the lane has work left
    and issues no products. While no layer runs, lane 0 answers `read_address` in `read_data` after
    `ActivationMemory.delay` cycles. Of what is written the lane keeps half words `keep_from` to `keep_to` - 1 of each
    plane, and loads with `load_enable`.
    Tables and activations survive a reset of the lane's state.
    """

    def __init__(self, config: Config, number: int = 0) -> None:
        self._config = config
        self._number = number
        super().__init__(
            {
                "i": In(stream.Signature(64)),
                "i_ended": In(1),
                "i_write": In(stream.Signature(bank_write_layout(config), always_ready=True)),
                "table": In(TableWrite()),
                "layer": In(LayerParameters()),
                "start": In(1),
                "rows": In(INDEX_BITS),
                "first_channel": In(INDEX_BITS),
                "first_table": In(isa.CODE_TABLE_BITS),
                "first_word": In(INDEX_BITS),
                "keep_from": In(signed(INDEX_BITS)),
                "keep_to": In(signed(INDEX_BITS)),
                "load_enable": In(1),
                "running": In(1),
                "read_address": In(address_bits(config)),
                "read_data": Out(data.ArrayLayout(unsigned(8), config.pixels)),
                "o": Out(stream.Signature(sums_layout(config))),
                "done": Out(1),
                "stalled": Out(1),
                "error": Out(1),
                "error_code": Out(ERROR_CODE_BITS),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        m.submodules.decoder = decoder = Decoder(self._config)
        m.submodules.taps = taps = Taps(self._config)
        m.submodules.mac = mac = Mac(self._config)
        m.submodules.activations = activations = ActivationMemory(self._config)
        connect(m, flipped(self.i), decoder.i)
        m.submodules.symbols = symbols = Buffer(SYMBOL)
        connect(m, decoder.o, symbols.i)
        connect(m, symbols.o, taps.i)
        connect(m, taps.o, mac.i)
        connect(m, mac.o, flipped(self.o))
        connect(m, flipped(self.i_write), activations.i_write)
        connect(m, flipped(self.table), decoder.table)
        connect(m, flipped(self.table), taps.table)
        connect(m, flipped(self.table), mac.table)
        started = Signal()
        with m.If(self.start):
            m.d.sync += started.eq(1)
        m.d.comb += [
            decoder.i_ended.eq(self.i_ended),
            decoder.enable.eq(self.running & started),
            decoder.bank.eq(self.layer.bank),
            decoder.start.eq(self.start),
            decoder.code_tables.eq(self.layer.code_tables),
            decoder.first_table.eq(self.first_table),
            taps.bank.eq(self.layer.bank),
            taps.first_word.eq(self.first_word),
            taps.in_channels.eq(self.layer.in_channels),
            taps.taps.eq(self.layer.taps),
            taps.in_plane.eq(self.layer.in_plane),
            taps.start.eq(self.start),
            taps.rows.eq(self.rows),
            mac.bank.eq(self.layer.bank),
            mac.phases.eq(self.layer.phases),
            mac.lane.eq(self._number),
            mac.words.eq(self.layer.words),
            mac.slot_shift.eq(self.layer.slot_shift),
            mac.maximum.eq(self.layer.maximum),
            mac.start.eq(self.start),
            mac.first_channel.eq(self.first_channel),
            activations.address.eq(mac.address if self._number else Mux(self.running, mac.address, self.read_address)),
            activations.advance.eq(mac.advance),
            activations.keep_from.eq(self.keep_from),
            activations.keep_to.eq(self.keep_to),
            activations.load_enable.eq(self.load_enable),
            mac.pixels.eq(activations.pixels),
            self.read_data.eq(activations.pixels),
            self.done.eq(started & ~taps.busy & ~mac.busy),
            self.stalled.eq(started & ~self.done & ~mac.issue),
            self.error.eq(taps.error),
            self.error_code.eq(taps.error_code),
        ]
        return m
