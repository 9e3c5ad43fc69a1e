"""Write-back: words of flat pixels to the rows and planes of the output tensor."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace import isa
from headrace.config import Config
from headrace.pieces import keep_bytes

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

    `flat`: a word per cycle, just as it comes. Else a *fragment* per cycle, the part of one word that lies in one row
    of the plane. In a split tensor a fragment is the part of two words and takes two cycles, one for each column
    parity; a row's last fragment does not wait for a second word that it has no need of. Pixels beyond the plane are
    dropped. Where a lane's words begin in the plane is in its LANE_ROWS: of the tables in half `bank`, while the other
    half may be written. Latency: 6 cycles to the masked write.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(pixels_layout(config))),
                "table": In(TableWrite()),
                "bank": In(1),
                "geometry": In(OutputGeometry(config)),
                "o": Out(stream.Signature(masked_write_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config, geometry = self._config, self.geometry
        pixels, wide, low = config.pixels, address_bits(config), pixel_bits(config)
        half = (keep_bytes(pixels) - 1).bit_length()
        word_shape = data.ArrayLayout(signed(8), pixels)
        start_layout = data.StructLayout({"row": INDEX_BITS, "word": INDEX_BITS - low})

        # Stage a: where the channel's planes are, and where the lane's words begin in them. Stage b: their sums.
        a_valid, a_ready, a_first, a_last = Signal(), Signal(), Signal(), Signal()
        a_pixels, a_plane = Signal(word_shape), Signal(wide)
        b_valid, b_ready, b_first, b_last = Signal(), Signal(), Signal(), Signal()
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
                a_last.eq(self.i.payload.last),
                a_pixels.eq(self.i.payload.pixels),
                a_plane.eq(self.i.payload.channel * geometry.out_plane),
            ]
        with m.If(a_ready):
            m.d.sync += [
                b_valid.eq(a_valid),
                b_first.eq(a_first),
                b_last.eq(a_last),
                b_pixels.eq(a_pixels),
                b_plane.eq(a_plane + geometry.x_address),
                b_offset.eq(Mux(geometry.flat, Cat(Const(0, low), a_start.word), stored_row * geometry.out_pitch)),
                b_start.eq(a_start),
            ]

        # Cut fragments off a window of one word or, split, of two where the row goes on in the second.
        busy, pair = Signal(), Signal()  # the window's first word is there; the second
        words, last = [Signal(word_shape, name=f"word_{n}") for n in range(2)], Signal(2)
        column, row = Signal(INDEX_BITS), Signal(INDEX_BITS)
        plane = Signal(wide)  # where the channel's first plane begins
        offset = Signal(wide)  # in the plane: of the row, in a split tensor of the pair of rows; flat: of the word
        start, end, length = Signal(low), Signal(range(2 * pixels + 1)), Signal(range(2 * pixels + 1))
        left_in_row, left_in_window = Signal(INDEX_BITS), Signal(range(2 * pixels + 1))
        row_ends, plane_ends, outside = Signal(), Signal(), Signal()
        cut, f_ready, done, rest = Signal(), Signal(), Signal(), Signal()
        alone, second = Signal(), Signal()  # the next word becomes the window's first, its second
        m.d.comb += [
            left_in_row.eq(geometry.pitch - column),
            left_in_window.eq(Mux(pair, 2 * pixels, pixels) - start),
            row_ends.eq(~geometry.flat & (left_in_row <= left_in_window)),
            length.eq(Mux(row_ends, left_in_row, left_in_window)),
            end.eq(start + length),
            outside.eq(~geometry.flat & (row >= geometry.out_height)),
            plane_ends.eq(outside | (row_ends & (row + 1 == geometry.out_height))),
            cut.eq(busy & f_ready & (~geometry.split | pair | last[0] | row_ends | outside)),
            done.eq(cut & (plane_ends | (end >= pixels))),
            rest.eq(pair & ~(cut & (plane_ends | (end == 2 * pixels)))),
            alone.eq((~busy | done) & ~rest),
            second.eq(geometry.split & ~b_first & Mux(done, rest, busy & ~pair)),
            b_ready.eq(alone | second),
        ]
        with m.If(cut):
            with m.If(geometry.flat):
                m.d.sync += offset.eq(offset + pixels)
            with m.Else():
                m.d.sync += [start.eq(end), column.eq(column + length)]
                with m.If(row_ends):
                    m.d.sync += [column.eq(0), row.eq(row + 1)]
                    with m.If(~geometry.split | row[0]):
                        m.d.sync += offset.eq(offset + geometry.out_pitch)
        with m.If(done):
            m.d.sync += [busy.eq(rest), pair.eq(0), words[0].eq(words[1]), last[0].eq(last[1])]
        with m.If(b_valid & alone):
            m.d.sync += [busy.eq(1), words[0].eq(b_pixels), last[0].eq(b_last), start.eq(0)]
            with m.If(b_first):
                m.d.sync += [column.eq(0), row.eq(b_start.row), offset.eq(b_offset), plane.eq(b_plane)]
        with m.If(b_valid & second):
            m.d.sync += [pair.eq(1), words[1].eq(b_pixels), last[1].eq(b_last)]

        # Element n of the write is pixel n of the window or, split, pixel 2n or 2n + 1: the one whose column has the
        # parity in turn. Its address is base + n.
        f_valid, f_word = Signal(), Signal(data.ArrayLayout(signed(8), 2 * pixels))
        f_start, f_end, f_zero = Signal(low), Signal(range(2 * pixels + 1)), Signal(range(2 * pixels + 1))
        f_column, f_base, f_offset, f_odd = Signal(INDEX_BITS), Signal(wide), Signal(wide), Signal()
        flat_end = Signal(INDEX_BITS)
        m.d.sync += flat_end.eq(geometry.out_height * geometry.pitch)
        o_ready = Signal()
        m.d.comb += [
            o_ready.eq(~self.o.valid | self.o.ready),
            f_ready.eq(o_ready & (~f_valid | ~geometry.split | f_odd)),
        ]

        def until(limit: Signal, position: Signal) -> Signal:
            """Pixel of the window at which `limit` is reached, at most `end`."""
            left = limit - position
            return Mux(left < 0, start, Mux(left < length, start + left, end))

        with m.If(f_ready):
            m.d.sync += [
                f_valid.eq(cut & ~outside),
                f_word.eq(Cat(words)),
                f_start.eq(start),
                f_end.eq(until(Mux(geometry.flat, flat_end, geometry.out_columns), Mux(geometry.flat, offset, column))),
                f_zero.eq(Mux(geometry.flat, end, until(geometry.out_width, column))),
                f_column.eq(Mux(geometry.flat, 0, column)),
                f_base.eq(plane + Mux(geometry.split & row[0], geometry.row_phase, 0)),
                f_offset.eq(offset),
                f_odd.eq(0),
            ]
        with m.Elif(o_ready):
            m.d.sync += f_odd.eq(1)
        first_column = Signal(signed(INDEX_BITS + 1))  # of pixel 0, if it lay in this row
        odd_pixels = Signal()
        m.d.comb += [first_column.eq(f_column - f_start), odd_pixels.eq(f_odd ^ first_column[0])]
        write = Signal(masked_write_layout(config))
        with m.If(geometry.split):
            halved = (first_column + odd_pixels - f_odd) >> 1
            odd_start = f_column[0] & ~f_odd  # the fragment's first even column is its second pixel
            m.d.comb += [
                write.address.eq(f_base + f_offset + Mux(f_odd, geometry.column_phase, 0) + halved),
                write.piece.eq((f_offset + (f_column >> 1) + odd_start) >> half),
            ]
        with m.Else():
            m.d.comb += [
                write.address.eq(f_base + f_offset + first_column),
                write.piece.eq((f_offset + f_column) >> half),
            ]

        def element(pixel: Signal) -> Signal:
            """The first element that is this pixel or a later one."""
            number = Signal(range(2 * pixels + 1))
            m.d.comb += number.eq(Mux(geometry.split, (pixel + ~odd_pixels) >> 1, pixel))
            return number

        first, beyond, zero = element(f_start), element(f_end), element(f_zero)
        for n in range(pixels):
            pixel = Mux(geometry.split, Mux(odd_pixels, f_word[2 * n + 1], f_word[2 * n]), f_word[n])
            m.d.comb += [
                write.data[n].eq(Mux(n < zero, pixel, 0)),
                write.mask[n].eq((n >= first) & (n < beyond)),
            ]
        with m.If(o_ready):
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
