"""Sorts the beats of a layer's tables to those who keep them."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .shapes import INDEX_BITS, Table, TableWrite


class TableLoader(wiring.Component):
    """Names each beat's table and its number there. One beat per cycle; `start` (a pulse) begins a layer.

    `lengths` gives the beats of each table; only that of the masks may be 0. `streams_known`: those of the lanes have
    been named.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "bank": In(1),
                "lengths": In(data.ArrayLayout(INDEX_BITS, len(Table))),
                "i": In(stream.Signature(64, always_ready=True)),
                "o": Out(TableWrite()),
                "streams_known": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        table = Signal(Table)
        index = Signal(INDEX_BITS)
        last = Signal()
        m.d.comb += [last.eq(index + 1 == self.lengths[table]), self.streams_known.eq(table != Table.LANES)]
        m.d.sync += [
            self.o.valid.eq(self.i.valid),
            self.o.bank.eq(self.bank),
            self.o.table.eq(table),
            self.o.index.eq(index),
            self.o.data.eq(self.i.payload),
        ]
        with m.If(self.i.valid):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                no_masks = (table == Table.TAPS) & (self.lengths[Table.MASKS] == 0)
                m.d.sync += table.eq(Mux(no_masks, Table.SYMBOLS, table + 1))
                m.d.sync += self.done.eq(table == Table.CHANNELS)
        with m.If(self.start):
            m.d.sync += [table.eq(Table.LANES), index.eq(0), self.done.eq(0)]
        return m
