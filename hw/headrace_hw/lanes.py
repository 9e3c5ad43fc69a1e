"""All lanes, and what they share: the rows they were dealt, the results' way out."""

from __future__ import annotations

from amaranth import Module, ResetInserter, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, connect, flipped

from headrace import isa
from headrace.config import Config

from .arbiter import RowArbiter
from .lane import Lane, LayerParameters
from .layouts import layout
from .shapes import ERROR_CODE_BITS, INDEX_BITS, Table, TableWrite, address_bits, bank_write_layout, sums_layout


class Lanes(wiring.Component):
    """`start` (a pulse) begins a layer on all lanes; `done` is high when every row has left through `o`.

    `clear` resets all state but tables, activations and stall counts. `read_address` reads lane 0's activations; see
    Lane.
    `stall[n]` counts lane n's stalled cycles since `count_start`; `stalled_lanes` is how many stall in this cycle.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "stream": In(stream.Signature(64)).array(config.lanes),
                "ended": In(config.lanes),
                "table": In(TableWrite()),
                "layer": In(LayerParameters()),
                "i_write": In(stream.Signature(bank_write_layout(config), always_ready=True)),
                "start": In(1),
                "running": In(1),
                "clear": In(1),
                "count_start": In(1),
                "read_address": In(address_bits(config)),
                "read_data": Out(data.ArrayLayout(8, config.pixels)),
                "o": Out(stream.Signature(sums_layout(config))),
                "done": Out(1),
                "error": Out(config.lanes),
                "error_code": Out(ERROR_CODE_BITS).array(config.lanes),
                "stall": Out(32).array(config.lanes),
                "stalled_lanes": Out(range(config.lanes + 1)),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config = self._config
        arbiter = RowArbiter(config)
        m.submodules.arbiter = ResetInserter(self.clear)(arbiter)
        connect(m, arbiter.o, flipped(self.o))

        rows_entry = data.View(layout(isa.LANE_ROWS), self.table.data)
        done, stalled = Signal(config.lanes), Signal(config.lanes)
        for n in range(config.lanes):
            lane = Lane(config)
            m.submodules[f"lane_{n}"] = ResetInserter(self.clear)(lane)
            connect(m, flipped(self.stream[n]), lane.i)
            connect(m, flipped(self.table), lane.table)
            connect(m, flipped(self.i_write), lane.i_write)
            connect(m, flipped(self.layer), lane.layer)
            connect(m, lane.o, arbiter.i[n])
            rows, first_channel = Signal(INDEX_BITS, name=f"rows_{n}"), Signal(INDEX_BITS, name=f"first_channel_{n}")
            first_table = Signal(isa.CODE_TABLE_BITS, name=f"first_table_{n}")
            with m.If(self.table.valid & (self.table.table == Table.LANES) & (self.table.index == config.lanes + n)):
                m.d.sync += [
                    rows.eq(rows_entry.rows),
                    first_channel.eq(rows_entry.first_channel),
                    first_table.eq(rows_entry.table),
                ]
            m.d.comb += [
                lane.i_ended.eq(self.ended[n]),
                lane.start.eq(self.start),
                lane.running.eq(self.running),
                lane.rows.eq(rows),
                lane.first_channel.eq(first_channel),
                lane.first_table.eq(first_table),
                lane.read_address.eq(self.read_address),
                done[n].eq(lane.done),
                stalled[n].eq(lane.stalled & self.running),
                self.error[n].eq(lane.error),
                self.error_code[n].eq(lane.error_code),
            ]
            if n == 0:
                m.d.comb += self.read_data.eq(lane.read_data)
            with m.If(self.count_start):
                m.d.sync += self.stall[n].eq(0)
            with m.Elif(stalled[n]):
                m.d.sync += self.stall[n].eq(self.stall[n] + 1)
        m.d.comb += [self.done.eq(done.all()), self.stalled_lanes.eq(sum(stalled))]
        return m
