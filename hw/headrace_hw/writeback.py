"""Write-back: words of flat pixels to the rows and planes of the output tensor."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config

from .layouts import layout
from .shapes import INDEX_BITS, Table, TableWrite, address_bits, masked_write_layout, pixel_bits, pixels_layout


class OutputGeometry(wiring.Signature):
    """Where a layer's pixels go; descriptor fields of the same names."""

    def __init__(self, config: Config) -> None:
        super().__init__(
            {
                "x_address": Out(address_bits(config)),
                "split": Out(1),
                "flat": Out(1),
                "pitch": Out(INDEX_BITS),
                "out_width": Out(INDEX_BITS),
                "out_columns": Out(INDEX_BITS),
                "out_height": Out(INDEX_BITS),
                "out_pitch": Out(INDEX_BITS),
                "out_plane": Out(INDEX_BITS),
                "row_phase": Out(INDEX_BITS),
                "column_phase": Out(INDEX_BITS),
            }
        )


class WriteBack(wiring.Component):
    """Takes a lane's words of one channel after the other and writes them.

    `flat`: a word per cycle, just as it comes. Else a *fragment* (the part of one word that lies in one row of the
    plane) per cycle; a split tensor takes two cycles per fragment, one for each column parity. Pixels beyond the
    plane are dropped. Where a lane's words begin in the plane is in its LANE_ROWS: of the tables in half `bank`,
    while the other half may be written. Latency: 6 cycles to the masked write.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(pixels_layout(config))),
                "table": In(TableWrite()),
                "bank": In(1),
                "geometry": In(OutputGeometry(config)),
                "o": Out(stream.Signature(masked_write_layout(config), always_ready=True)),
                "busy": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config, geometry = self._config, self.geometry
        pixels, wide, low = config.pixels, address_bits(config), pixel_bits(config)
        word_shape = data.ArrayLayout(signed(8), pixels)
        start_layout = data.StructLayout({"row": INDEX_BITS, "word": INDEX_BITS - low})

        # Stage a: where the channel's planes are, and where the lane's words begin in them. Stage b: their sums.
        a_valid, a_ready, a_first = Signal(), Signal(), Signal()
        a_pixels, a_plane = Signal(word_shape), Signal(wide)
        b_valid, b_ready, b_first = Signal(), Signal(), Signal()
        b_pixels, b_plane, b_offset, b_start = Signal(word_shape), Signal(wide), Signal(wide), Signal(start_layout)
        a_start = self._starts(m, start_layout, self.i.payload.lane, self.i.ready)
        stored_row = Mux(geometry.split, a_start.row >> 1, a_start.row)
        m.d.comb += [
            self.i.ready.eq(~a_valid | a_ready),
            a_ready.eq(~b_valid | b_ready),
        ]
        with m.If(self.i.ready):
            m.d.sync += [
                a_valid.eq(self.i.valid),
                a_first.eq(self.i.payload.first),
                a_pixels.eq(self.i.payload.pixels),
                a_plane.eq(self.i.payload.channel * geometry.out_plane),
            ]
        with m.If(a_ready):
            m.d.sync += [
                b_valid.eq(a_valid),
                b_first.eq(a_first),
                b_pixels.eq(a_pixels),
                b_plane.eq(a_plane + geometry.x_address),
                b_offset.eq(Mux(geometry.flat, Cat(Const(0, low), a_start.word), stored_row * geometry.out_pitch)),
                b_start.eq(a_start),
            ]

        # Cut the word into fragments.
        busy = Signal()
        word = Signal(word_shape)
        column, row = Signal(INDEX_BITS), Signal(INDEX_BITS)
        plane = Signal(wide)  # where the channel's first plane begins
        offset = Signal(wide)  # in the plane: of the row, in a split tensor of the pair of rows; flat: of the word
        start = Signal(range(pixels + 1))
        odd_columns = Signal()
        left_in_row = Signal(INDEX_BITS)
        left_in_word = Signal(range(pixels + 1))
        row_ends, word_ends, outside = Signal(), Signal(), Signal()
        length = Signal(range(pixels + 1))
        advance_fragment = Signal()
        m.d.comb += [
            left_in_row.eq(geometry.pitch - column),
            left_in_word.eq(pixels - start),
            row_ends.eq(~geometry.flat & (left_in_row <= left_in_word)),
            length.eq(Mux(row_ends, left_in_row, left_in_word)),
            outside.eq(~geometry.flat & (row >= geometry.out_height)),
            advance_fragment.eq(~geometry.split | odd_columns),
            word_ends.eq(
                geometry.flat
                | outside
                | (advance_fragment & ((left_in_row >= left_in_word) | (row_ends & (row + 1 == geometry.out_height))))
            ),
            b_ready.eq(~busy | word_ends),
        ]
        with m.If(busy):
            m.d.sync += odd_columns.eq(~advance_fragment)
            with m.If(geometry.flat):
                m.d.sync += offset.eq(offset + pixels)
            with m.Elif(advance_fragment):
                m.d.sync += [start.eq(start + length), column.eq(column + length)]
                with m.If(row_ends):
                    m.d.sync += [column.eq(0), row.eq(row + 1)]
                    with m.If(~geometry.split | row[0]):
                        m.d.sync += offset.eq(offset + geometry.out_pitch)
        with m.If(b_ready):
            m.d.sync += [busy.eq(b_valid), word.eq(b_pixels), start.eq(0), odd_columns.eq(0)]
            with m.If(b_valid & b_first):
                m.d.sync += [column.eq(0), row.eq(b_start.row), offset.eq(b_offset), plane.eq(b_plane)]

        # Element n of the write is pixel n of the word or, split, pixel 2n or 2n + 1: the one whose column has the
        # parity in turn. Its address is base + n.
        f_valid, f_word = Signal(), Signal(word_shape)
        f_start, f_end = Signal(range(pixels + 1)), Signal(range(pixels + 1))
        f_column, f_base, f_offset = Signal(INDEX_BITS), Signal(wide), Signal(wide)
        f_odd_columns, f_odd_pixels = Signal(), Signal()
        flat_end = Signal(INDEX_BITS)
        m.d.sync += [
            flat_end.eq(geometry.out_height * geometry.pitch),
            f_valid.eq(busy & ~outside),
            f_word.eq(word),
            f_start.eq(start),
            f_end.eq(Mux(geometry.flat & (flat_end - offset < pixels), flat_end - offset, start + length)),
            f_column.eq(Mux(geometry.flat, 0, column)),
            f_base.eq(plane + Mux(geometry.split & row[0], geometry.row_phase, 0)),
            f_offset.eq(offset),
            f_odd_columns.eq(odd_columns),
            f_odd_pixels.eq(odd_columns ^ column[0] ^ start[0]),
        ]
        with m.If(geometry.flat & (offset >= flat_end)):
            m.d.sync += f_valid.eq(0)
        first_column = Signal(signed(INDEX_BITS + 1))  # of pixel 0, if it lay in this row
        m.d.comb += first_column.eq(f_column - f_start)
        write = Signal(masked_write_layout(config))
        with m.If(geometry.split):
            halved = (first_column + f_odd_pixels - f_odd_columns) >> 1
            odd_start = f_column[0] & ~f_odd_columns  # the fragment's first even column is its second pixel
            m.d.comb += [
                write.address.eq(f_base + f_offset + Mux(f_odd_columns, geometry.column_phase, 0) + halved),
                write.word.eq((f_offset + (f_column >> 1) + odd_start) >> low),
            ]
        with m.Else():
            m.d.comb += [
                write.address.eq(f_base + f_offset + first_column),
                write.word.eq((f_offset + f_column) >> low),
            ]

        def element(pixel: int) -> tuple[object, object]:
            """The byte and whether it is written."""
            column = first_column + pixel
            inside = (pixel >= f_start) & (pixel < f_end) & (geometry.flat | (column < geometry.out_columns))
            return Mux(geometry.flat | (column < geometry.out_width), f_word[pixel], 0), inside

        for n in range(pixels):
            with m.If(~geometry.split):
                byte, inside = element(n)
                m.d.comb += [write.data[n].eq(byte), write.mask[n].eq(inside)]
            for odd in (0, 1):
                if 2 * n + odd < pixels:
                    byte, inside = element(2 * n + odd)
                    with m.If(geometry.split & (f_odd_pixels == odd)):
                        m.d.comb += [write.data[n].eq(byte), write.mask[n].eq(inside)]
        m.d.sync += [self.o.valid.eq(f_valid), self.o.payload.eq(write)]
        m.d.comb += self.busy.eq(a_valid | b_valid | busy | f_valid | self.o.valid)
        return m

    def _starts(self, m: Module, shape: data.StructLayout, lane: Signal, enable: Signal) -> data.View:
        """Row and word of the output plane at which the lane's words begin; a cycle later."""
        lanes = self._config.lanes
        bits = max(1, (lanes - 1).bit_length())
        m.submodules.starts = memory = Memory(shape=shape, depth=2 << bits, init=[], attrs={"ram_style": "distributed"})
        write, read = memory.write_port(), memory.read_port()
        entry = data.View(layout(isa.LANE_ROWS), self.table.data)
        number = self.table.index - lanes
        m.d.comb += [
            write.addr.eq(Cat(number[:bits], self.table.bank)),
            write.data.row.eq(entry.first_row),
            write.data.word.eq(entry.first_word),
            write.en.eq(self.table.valid & (self.table.table == Table.LANES) & (number >= 0) & (number < lanes)),
            read.addr.eq(Cat(lane[:bits], self.bank)),
            read.en.eq(enable),
        ]
        return read.data
