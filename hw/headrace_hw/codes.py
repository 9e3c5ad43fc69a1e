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
assert isa.NO_ESCAPE == 1 << (WINDOW_BITS - 1)


class Codes(wiring.Component):
    """Keeps the code tables of two layers in block RAM, and the present code in registers and distributed memory.

    `start` (a pulse) selects code `first_table` of the tables in half `bank`, `switch` selects `table`. Either takes
    `isa.CODE_BEATS + 1` cycles, in which `busy` is high from the next one on. A code that the layer does not have is
    one without codewords. `base` answers `length` (1..12) in the same cycle: it is added to a codeword of that
    length.
    """

    def __init__(self, config: Config) -> None:
        self._table_bits = (config.code_tables - 1).bit_length()
        self._base_bits = index_bits(config)
        super().__init__(
            {
                "i": In(TableWrite()),
                "bank": In(1),
                "code_tables": In(isa.CODE_TABLE_BITS + 1),
                "first_table": In(isa.CODE_TABLE_BITS),
                "start": In(1),
                "switch": In(1),
                "table": In(isa.CODE_TABLE_BITS),
                "busy": Out(1),
                "limit": Out(data.ArrayLayout(WINDOW_BITS, isa.MAX_CODE_LENGTH)),
                "escape_limit": Out(WINDOW_BITS),
                "length": In(range(isa.MAX_CODE_LENGTH + 1)),
                "base": Out(self._base_bits),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        record = data.View(layout(isa.CODE), self.i.data)
        entry = data.StructLayout({"limit": WINDOW_BITS, "base": self._base_bits})
        # A code's beats lie 16 places apart; the beats of all codes come one after the other.
        place_bits = (isa.CODE_BEATS - 1).bit_length()
        m.submodules.tables = memory = Memory(
            shape=entry, depth=2 << (self._table_bits + place_bits), init=[], attrs={"ram_style": "block"}
        )
        write, read = memory.write_port(), memory.read_port()
        # The coming layer's tables may be on their way when a lane's state is reset at the end of the present one.
        written_place = Signal(place_bits, reset_less=True)
        written_table = Signal(self._table_bits, reset_less=True)
        writes = self.i.valid & (self.i.table == Table.CODE)
        first = self.i.index == 0
        table = Mux(first, 0, written_table)[: self._table_bits]  # of no bits where there is one code
        m.d.comb += [
            write.addr.eq(Cat(Mux(first, 0, written_place), table, self.i.bank)),
            write.data.limit.eq(record.limit),
            write.data.base.eq(record.base),
            write.en.eq(writes),
        ]
        with m.If(writes):
            m.d.sync += written_place.eq(Mux(first, 1, written_place + 1))
            with m.If(first):
                m.d.sync += written_table.eq(0)
            with m.Elif(written_place == isa.CODE_BEATS - 1):
                m.d.sync += [written_place.eq(0), written_table.eq(written_table + 1)]

        # One cycle to read, one to move on. The limits form a chain, so that they need no address: the last to come is
        # the escape's.
        place, reading, arrives = Signal(place_bits), Signal(), Signal()
        missing = Signal()
        present = Signal(self._table_bits)
        m.submodules.bases = bases = Memory(
            shape=unsigned(self._base_bits), depth=1 << place_bits, init=[], attrs={"ram_style": "distributed"}
        )
        base_write, base_read = bases.write_port(), bases.read_port(domain="comb")
        m.d.comb += [
            read.addr.eq(Cat(place, present, self.bank)),
            self.busy.eq(reading | arrives),
            base_write.addr.eq(place),  # one on from what arrives: the length
            base_write.data.eq(read.data.base),
            base_write.en.eq(arrives),
            base_read.addr.eq(self.length),
            self.base.eq(base_read.data),
        ]
        m.d.sync += arrives.eq(reading)
        with m.If(reading):
            m.d.sync += place.eq(place + 1)
            with m.If(place == isa.CODE_BEATS - 1):
                m.d.sync += reading.eq(0)
        chain = [Signal(WINDOW_BITS, name=f"limit_{n}", reset_less=True) for n in range(isa.CODE_BEATS)]
        m.d.comb += [self.limit.as_value().eq(Cat(chain[:-1])), self.escape_limit.eq(chain[-1])]
        with m.If(arrives):
            m.d.sync += [here.eq(after) for here, after in pairwise(chain)]
            m.d.sync += chain[-1].eq(read.data.limit)
            with m.If(missing):
                m.d.sync += [chain[-1].eq(0), chain[-1][-1].eq(place == isa.CODE_BEATS)]  # NO_ESCAPE, the last
        selected = Signal(isa.CODE_TABLE_BITS)
        m.d.comb += selected.eq(Mux(self.start, self.first_table, self.table))
        with m.If(self.start | self.switch):
            m.d.sync += [
                present.eq(selected),
                place.eq(0),
                reading.eq(1),
                missing.eq(selected >= self.code_tables),
            ]
        return m
