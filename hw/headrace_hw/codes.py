"""The codes of a layer, and the one that a lane decodes with."""

from __future__ import annotations

from itertools import pairwise

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .layouts import layout
from .shapes import Table, TableWrite, index_bits

WINDOW_BITS = isa.MAX_CODE_LENGTH + 1  # of a limit, which is one more than the last window at most


class Codes(wiring.Component):
    """Keeps all code tables in distributed memory, and the limits of the present code in registers.

    The first beat of the tap table, which follows the code tables, selects code `first_table`; `switch` (a pulse)
    selects `table`. Either takes `isa.CODE_BEATS` cycles, in which `busy` is high from the next one on. A code that the
    layer does not have is one without codewords. `place` + n is where the base of length n + 1 is found: `base` answers
    `base_place` in the same cycle.
    """

    def __init__(self, config: Config) -> None:
        self._depth = isa.CODE_BEATS * config.code_tables
        self._base_bits = index_bits(config)
        place_bits = (self._depth - 1).bit_length()
        super().__init__(
            {
                "i": In(TableWrite()),
                "code_tables": In(isa.CODE_TABLE_BITS + 1),
                "first_table": In(isa.CODE_TABLE_BITS),
                "switch": In(1),
                "table": In(isa.CODE_TABLE_BITS),
                "busy": Out(1),
                "limit": Out(data.ArrayLayout(WINDOW_BITS, isa.MAX_CODE_LENGTH)),
                "escape_limit": Out(WINDOW_BITS),
                "place": Out(place_bits),
                "base_place": In(place_bits),
                "base": Out(self._base_bits),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        record = data.View(layout(isa.CODE), self.i.data)
        word = WINDOW_BITS + self._base_bits
        m.submodules.tables = memory = Memory(shape=unsigned(word), depth=self._depth, init=[])
        write, limits, bases = memory.write_port(), memory.read_port(domain="comb"), memory.read_port(domain="comb")
        left = Signal(range(isa.CODE_BEATS + 1))
        missing = Signal()
        following = Signal(len(limits.addr))
        m.d.comb += [
            write.addr.eq(self.i.index),
            write.data.eq(Cat(record.limit[:WINDOW_BITS], record.base[: self._base_bits])),
            write.en.eq(self.i.valid & (self.i.table == Table.CODE)),
            limits.addr.eq(following),
            bases.addr.eq(self.base_place),
            self.base.eq(bases.data[WINDOW_BITS:]),
            self.busy.eq(left != 0),
        ]

        # The registers form a chain, so that they need no address: the last to come is the escape's limit.
        chain = [*self.limit, self.escape_limit]
        with m.If(self.busy):
            none = Mux(left == 1, isa.NO_ESCAPE, 0)
            m.d.sync += [here.eq(after) for here, after in pairwise(chain)]
            m.d.sync += [
                chain[-1].eq(Mux(missing, none, limits.data[:WINDOW_BITS])),
                following.eq(following + 1),
                left.eq(left - 1),
            ]
        selected = Signal(isa.CODE_TABLE_BITS)
        begin = Signal()
        tables_are_here = self.i.valid & (self.i.table == Table.TAPS) & (self.i.index == 0)
        m.d.comb += [
            begin.eq(tables_are_here | self.switch),
            selected.eq(Mux(self.switch, self.table, self.first_table)),
        ]
        with m.If(begin):
            first = Signal.like(following)
            m.d.comb += first.eq(selected * isa.CODE_BEATS)
            m.d.sync += [
                self.place.eq(first),
                following.eq(first),
                left.eq(isa.CODE_BEATS),
                missing.eq(selected >= self.code_tables),
            ]
        return m
