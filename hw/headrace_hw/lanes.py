"""All lanes, and what they share: the rows they were dealt, the results' way out."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace import isa
from headrace.config import Config

from .arbiter import RowArbiter
from .lane import Lane, LayerParameters
from .layouts import layout
from .shapes import (
    ERROR_CODE_BITS,
    INDEX_BITS,
    Table,
    TableWrite,
    address_bits,
    bank_write_layout,
    pixel_bits,
    sums_layout,
)
from .stalls import COUNT_BITS, StallCounters


class Lanes(wiring.Component):
    """`start` (a pulse) begins a layer on all lanes; `done` is high when every row has left through `o`. They decode
    while `running`, which may come later.

    Tables arrive ahead, while another layer runs; a lane takes over what its own entries say at `start`, which must
    come two cycles after the last table beat at the earliest, and what it keeps at `keep_start`, when all results of
    the layer before have been written. `table_phases` are the phases of the layer whose tables arrive.

    `gathered` is the layer's, as RowArbiter needs it.
    `clear` resets all state but tables, activations and stall counts. `read_address` reads lane 0's activations; see
    Lane. `load_from` and `load_to` are the lanes that loads are for.
    `stall` is how many cycles lane `stall_lane` has stalled since `count_start`, while `stall_read` is high; see
    StallCounters. `stalled_lanes` is how many stall in this cycle.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "stream": In(stream.Signature(64)).array(config.lanes),
                "ended": In(config.lanes),
                "table": In(TableWrite()),
                "table_phases": In(8),
                "layer": In(LayerParameters()),
                "i_write": In(stream.Signature(bank_write_layout(config), always_ready=True)),
                "load_from": In(8),
                "load_to": In(8),
                "gathered": In(range(config.gathered_rows + 1)),
                "start": In(1),
                "keep_start": In(1),
                "running": In(1),
                "clear": In(1),
                "count_start": In(1),
                "read_address": In(address_bits(config)),
                "read_data": Out(data.ArrayLayout(8, config.pixels)),
                "o": Out(stream.Signature(sums_layout(config))),
                "done": Out(1),
                "error": Out(config.lanes),
                "error_code": Out(ERROR_CODE_BITS).array(config.lanes),
                "stall_read": In(1),
                "stall_lane": In((config.lanes - 1).bit_length()),
                "stall": Out(COUNT_BITS),
                "stalled_lanes": Out(range(config.lanes + 1)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config = self._config
        arbiter = RowArbiter(config)
        m.submodules.arbiter = ResetInserter(self.clear)(arbiter)
        m.d.comb += arbiter.gathered.eq(self.gathered)
        connect(m, arbiter.o, flipped(self.o))
        table = self._table(m)

        rows_entry = data.View(layout(isa.LANE_ROWS), self.table.data)
        keep_entry = data.View(layout(isa.LANE_KEEP), self.table.data)
        word_bits = INDEX_BITS - pixel_bits(config)
        dealt = data.StructLayout(
            {
                "rows": (config.channels).bit_length(),
                "first_channel": range(config.channels),
                "first_table": isa.CODE_TABLE_BITS,
                "first_word": word_bits,
            }
        )
        keeps = data.StructLayout({"keep_from": signed(INDEX_BITS), "keep_to": signed(INDEX_BITS)})
        done, stalled = Signal(config.lanes), Signal(config.lanes)
        for n in range(config.lanes):
            lane = Lane(config, n)
            m.submodules[f"lane_{n}"] = ResetInserter(self.clear)(lane)
            connect(m, flipped(self.stream[n]), lane.i)
            connect(m, table, lane.table)
            connect(m, flipped(self.i_write), lane.i_write)
            connect(m, flipped(self.layer), lane.layer)
            connect(m, lane.o, arbiter.i[n])
            coming, present = Signal(dealt, name=f"coming_{n}"), Signal(dealt, name=f"present_{n}")
            coming_keep, keep = Signal(keeps, name=f"coming_keep_{n}"), Signal(keeps, name=f"keep_{n}")
            entry = self.table.valid & (self.table.table == Table.LANES)
            with m.If(entry & (self.table.index == config.lanes + n)):
                m.d.sync += [
                    coming.rows.eq(rows_entry.rows),
                    coming.first_channel.eq(rows_entry.first_channel),
                    coming.first_table.eq(rows_entry.table),
                    coming.first_word.eq(rows_entry.first_word),
                ]
            with m.If(entry & (self.table.index == 2 * config.lanes + n)):
                m.d.sync += [
                    coming_keep.keep_from.eq(keep_entry.keep_from),
                    coming_keep.keep_to.eq(keep_entry.keep_to),
                ]
            with m.If(self.start):
                m.d.sync += present.eq(coming)
            with m.If(self.keep_start):
                m.d.sync += keep.eq(coming_keep)
            started = Signal(name=f"started_{n}")  # a cycle later, when `present` holds
            m.d.sync += started.eq(self.start)
            m.d.comb += [
                lane.i_ended.eq(self.ended[n]),
                lane.start.eq(started),
                lane.running.eq(self.running),
                lane.rows.eq(present.rows),
                lane.first_channel.eq(present.first_channel),
                lane.first_table.eq(present.first_table),
                lane.first_word.eq(present.first_word),
                lane.keep_from.eq(keep.keep_from),
                lane.keep_to.eq(keep.keep_to),
                lane.load_enable.eq((n >= self.load_from) & (n < self.load_to)),
                lane.read_address.eq(self.read_address),
                done[n].eq(lane.done),
                stalled[n].eq(lane.stalled & self.running),
                self.error[n].eq(lane.error),
                self.error_code[n].eq(lane.error_code),
            ]
            if n == 0:
                m.d.comb += self.read_data.eq(lane.read_data)
        m.submodules.stalls = stalls = StallCounters(config.lanes)
        m.d.comb += [
            stalls.start.eq(self.count_start),
            stalls.stalled.eq(stalled),
            stalls.read.eq(self.stall_read),
            stalls.lane.eq(self.stall_lane),
            self.stall.eq(stalls.count),
            self.done.eq(done.all() & ~arbiter.busy),
            self.stalled_lanes.eq(sum(stalled)),
        ]
        return m

    def _table(self, m: Module) -> wiring.PureInterface:
        """The tables for the lanes' memories, a cycle later; a tap names its mask row by where that begins, from 1."""
        table = TableWrite().create()
        tap = data.View(layout(isa.TAP), self.table.data)
        place = Mux(tap.mask == 0, 0, (tap.mask - 1) * self.table_phases + 1)
        with_place = Cat(tap.x_address, place[: isa.TAP.width - 52], tap.shift, tap.end)
        assert len(with_place) == isa.TAP.width
        m.d.sync += [
            table.valid.eq(self.table.valid),
            table.bank.eq(self.table.bank),
            table.table.eq(self.table.table),
            table.index.eq(self.table.index),
            table.data.eq(Mux(self.table.table == Table.TAPS, with_place, self.table.data)),
        ]
        return table
