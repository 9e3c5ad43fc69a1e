"""Sorts the beats of a layer's tables to those who keep them, and keeps the code itself."""

from __future__ import annotations

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .layouts import layout
from .shapes import INDEX_BITS, Table, TableWrite, code_layout


class TableLoader(wiring.Component):
    """Names each beat's table and its number there. One beat per cycle; `start` (a pulse) begins a layer.

    `lengths` gives the beats of each table; none of them is 0.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "lengths": In(data.ArrayLayout(INDEX_BITS, len(Table))),
                "i": In(stream.Signature(64, always_ready=True)),
                "o": Out(TableWrite()),
                "done": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        table = Signal(Table)
        index = Signal(INDEX_BITS)
        last = Signal()
        m.d.comb += last.eq(index + 1 == self.lengths[table])
        m.d.sync += [
            self.o.valid.eq(self.i.valid),
            self.o.table.eq(table),
            self.o.index.eq(index),
            self.o.data.eq(self.i.payload),
        ]
        with m.If(self.i.valid):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += table.eq(table + 1)
                m.d.sync += self.done.eq(table == Table.CHANNELS)
        with m.If(self.start):
            m.d.sync += [table.eq(Table.LANES), index.eq(0), self.done.eq(0)]
        return m


class CodeTable(wiring.Component):
    """The layer's canonical code, in registers that all lanes compare against."""

    def __init__(self, config: Config) -> None:
        super().__init__({"table": In(TableWrite()), "code": Out(code_layout(config))})

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        entry = data.View(layout(isa.CODE), self.table.data)
        with m.If(self.table.valid & (self.table.table == Table.CODE)):
            for n in range(isa.MAX_CODE_LENGTH):
                with m.If(self.table.index == n):
                    m.d.sync += [self.code.limit[n].eq(entry.limit), self.code.base[n].eq(entry.base)]
            with m.If(self.table.index == isa.MAX_CODE_LENGTH):
                m.d.sync += self.code.escape_limit.eq(entry.limit)
        return m
