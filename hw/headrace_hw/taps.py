"""From symbols to operations: positions, addresses, rows."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .buffer import Buffer
from .layouts import layout
from .shapes import (
    ERROR_CODE_BITS,
    INDEX_BITS,
    SYMBOL,
    Fault,
    Table,
    TableWrite,
    address_bits,
    operation_layout,
    pixel_bits,
)


class Taps(wiring.Component):
    """Follows zero runs through a row, tap by tap, and turns each nonzero into an operation with an address.

    One symbol per cycle, and one cycle more for each time a run passes the end of a tap. An operation waits for the
    symbol behind it, to know whether it is its row's last; an end of row therefore costs no operation, unless its row
    is empty: then the row is one operation of weight 0. Neither `ready` nor `valid` passes through in one cycle.
    Latency: 4 cycles.

    The tap table has two halves: `bank` is read, the other one may be written meanwhile. Fields `mask` and `reserved`
    of a tap hold 1 + the first entry of its mask row, or 0 (see Lanes).

    `start` (a pulse, after the tables are loaded) begins `rows` rows; `done` is high when all have been read. `error`
    is high, with `error_code`, from a symbol that cannot be: nothing more comes then, until reset.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(SYMBOL)),
                "table": In(TableWrite()),
                "bank": In(1),
                "first_word": In(INDEX_BITS),
                "in_channels": In(INDEX_BITS),
                "taps": In(INDEX_BITS),
                "in_plane": In(INDEX_BITS),
                "start": In(1),
                "rows": In(INDEX_BITS),
                "o": Out(stream.Signature(operation_layout(config))),
                "done": Out(1),
                "busy": Out(1),
                "error": Out(1),
                "error_code": Out(ERROR_CODE_BITS),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        symbol = self.i.payload
        row_layout = data.StructLayout({"target": isa.SLOT_BITS, "source": isa.SLOT_BITS, "differential": 1})

        rows_left = Signal(range(self._config.channels + 1))
        row = Signal(row_layout)
        empty = Signal(init=1)

        # Stage A: the position that a symbol names, as a column (of which an address needs the low bits only) and as
        # what is left of the tap behind it; a run that passes the end goes on, `owed`, in the next tap.
        column_bits, tap_bits = address_bits(self._config), (self._config.taps - 1).bit_length()
        column = Signal(column_bits, init=-1)  # of the position before
        tap = Signal(tap_bits)
        left = Signal(INDEX_BITS)
        wrapping, owed = Signal(), Signal(isa.LITERAL_RUN_BITS)
        run = Signal(isa.LITERAL_RUN_BITS)
        candidate = Signal(column_bits)
        behind = Signal(signed(INDEX_BITS + 1))
        fits = Signal()
        m.d.comb += [
            run.eq(Mux(wrapping, owed, symbol.run)),
            candidate.eq((Cat(Const(1, 1), column) + Cat(Const(1, 1), run))[1:]),
            behind.eq(left + Cat(~run, Const(1, 1)).as_signed()),
            fits.eq(~behind[-1]),
        ]

        # Stage B: the operation that waits for its successor.
        b_valid = Signal()
        position = {"column": column_bits, "tap": tap_bits, "value": signed(isa.VALUE_BITS), "first": 1}
        marks = {"last": 1, "source": isa.SLOT_BITS, "target": isa.SLOT_BITS, "differential": 1}
        b = Signal(data.StructLayout(position))
        m.submodules.waiting = waiting = Buffer(data.StructLayout(position | marks))
        use = Signal()
        m.d.comb += use.eq(self.i.valid & (rows_left != 0) & ~self.error)

        b_release, pass_empty = Signal(), Signal()
        with m.If(use):
            with m.If(symbol.fault != Fault.NONE):
                m.d.sync += [
                    self.error.eq(1),
                    self.error_code.eq(
                        Mux(symbol.fault == Fault.UNDERRUN, isa.ErrorCode.UNDERRUN, isa.ErrorCode.BAD_SYMBOL)
                    ),
                ]
            with m.Elif(waiting.i.ready | ~(b_valid | symbol.end)):
                m.d.comb += b_release.eq(b_valid)
                with m.If(b_release):
                    m.d.sync += b_valid.eq(0)
                with m.If(symbol.end):
                    m.d.comb += [pass_empty.eq(empty), self.i.ready.eq(1)]
                    m.d.sync += [
                        rows_left.eq(rows_left - 1),
                        row.target.eq(symbol.target),
                        row.source.eq(symbol.source),
                        row.differential.eq(symbol.differential),
                        column.eq(-1),
                        left.eq(self.in_channels),
                        tap.eq(0),
                        empty.eq(1),
                    ]
                with m.Elif(fits):
                    m.d.comb += self.i.ready.eq(1)
                    m.d.sync += [
                        b_valid.eq(1),
                        b.column.eq(candidate),
                        b.tap.eq(tap),
                        b.value.eq(symbol.value),
                        b.first.eq(empty),
                        column.eq(candidate),
                        left.eq(behind),
                        wrapping.eq(0),
                        empty.eq(0),
                    ]
                with m.Else():
                    m.d.sync += [
                        column.eq(-1),
                        left.eq(self.in_channels),
                        tap.eq(tap + 1),
                        wrapping.eq(1),
                        owed.eq(~behind),
                    ]
                    with m.If(tap + 1 == self.taps):
                        m.d.sync += [self.error.eq(1), self.error_code.eq(isa.ErrorCode.BAD_POSITION)]
        with m.Elif(rows_left == 0):
            m.d.comb += self.i.ready.eq(1)  # let the rest of the stream pass
        with m.If(self.start):
            m.d.sync += [rows_left.eq(self.rows), left.eq(self.in_channels)]
        m.d.comb += [
            waiting.i.valid.eq(b_release | pass_empty),
            waiting.i.payload.eq(b),
            waiting.i.payload.last.eq(symbol.end),
            waiting.i.payload.source.eq(row.source),
            waiting.i.payload.target.eq(row.target),
            waiting.i.payload.differential.eq(row.differential),
        ]
        with m.If(pass_empty):
            m.d.comb += [waiting.i.payload.value.eq(0), waiting.i.payload.first.eq(1)]

        # Stage C: plane offset, and what is known of the tap.
        mask_bits = (self._config.masks - 1).bit_length()
        record = data.View(layout(isa.TAP), self.table.data)
        mask_place = Cat(record.mask, record.reserved)  # Lanes put it there
        entry = data.StructLayout(
            {
                "x_address": address_bits(self._config),
                "shift": signed(INDEX_BITS),
                "end": INDEX_BITS,
                "every_column": 1,
                "mask": mask_bits,
            }
        )
        m.submodules.taps = memory = Memory(
            shape=entry, depth=2 * self._config.taps, init=[], attrs={"ram_style": "block"}
        )
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.addr.eq(Cat(self.table.index[: len(read.addr) - 1], self.table.bank)),
            write.data.x_address.eq(record.x_address),
            write.data.shift.eq(record.shift),
            write.data.end.eq(record.end),
            write.data.every_column.eq(mask_place == 0),
            write.data.mask.eq(mask_place - 1),
            write.en.eq(self.table.valid & (self.table.table == Table.TAPS)),
            read.addr.eq(Cat(waiting.o.payload.tap, self.bank)),
            read.en.eq(waiting.o.ready),
        ]
        c_valid, d_valid, d_ready = Signal(), Signal(), Signal()
        c, d = Signal(operation_layout(self._config)), Signal(operation_layout(self._config))
        m.d.comb += waiting.o.ready.eq(~c_valid | d_ready)
        with m.If(waiting.o.ready):
            m.d.sync += [
                c_valid.eq(waiting.o.valid),
                c.address.eq(waiting.o.payload.column * self.in_plane[:column_bits]),
                *(c[name].eq(waiting.o.payload[name]) for name in ("value", "first", *marks)),
            ]

        # Stage D: addresses and positions are sums.
        first_pixel = Cat(Const(0, pixel_bits(self._config)), self.first_word)[:INDEX_BITS]
        m.d.comb += d_ready.eq(~d_valid | self.o.ready)
        with m.If(d_ready):
            m.d.sync += [
                d_valid.eq(c_valid),
                d.eq(c),
                d.address.eq(read.data.x_address + c.address),
                d.position.eq(read.data.shift + first_pixel),
                d.end.eq(read.data.end),
                d.every_column.eq(read.data.every_column),
                d.mask.eq(read.data.mask),
            ]
        m.d.comb += [
            self.o.valid.eq(d_valid),
            self.o.payload.eq(d),
            self.done.eq(rows_left == 0),
            self.busy.eq((rows_left != 0) | b_valid | waiting.o.valid | c_valid | d_valid),
        ]
        return m
