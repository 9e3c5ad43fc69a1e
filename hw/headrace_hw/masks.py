"""Which pixels of a word count: the padding of a layer, found while its activations are read."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from headrace.config import Config

from .shapes import INDEX_BITS, Table, TableWrite, pixel_bits


class Masks(wiring.Component):
    """Pixel p of a word at flat index `position` counts where 0 <= position + p < end and its mask row says so.

    `row` is the first entry of the mask row in the table, or 0 with `every_column`; `phase` is added to it. `mask`
    answers `delay` cycles later, cycles that pass only while `advance` is high. The table has two halves: `bank` is
    read, the other one may be written meanwhile.
    """

    delay = 4

    def __init__(self, config: Config) -> None:
        self._config = config
        bits = (config.masks - 1).bit_length()
        super().__init__(
            {
                "table": In(TableWrite()),
                "bank": In(1),
                "advance": In(1),
                "position": In(signed(INDEX_BITS)),
                "end": In(INDEX_BITS),
                "every_column": In(1),
                "row": In(bits),
                "phase": In(bits),
                "mask": Out(config.pixels),
            }
        )

    def elaborate(self, _platform: object) -> Module:
        m = Module()
        config = self._config
        pixels, low = config.pixels, pixel_bits(config)
        m.submodules.table = memory = Memory(
            shape=unsigned(pixels), depth=2 * config.masks, init=[], attrs={"ram_style": "distributed"}
        )
        write, read = memory.write_port(), memory.read_port(domain="comb")
        entry = Signal(len(self.row))
        m.d.comb += [
            write.addr.eq(Cat(self.table.index[: len(self.row)], self.table.bank)),
            write.data.eq(self.table.data),
            write.en.eq(self.table.valid & (self.table.table == Table.MASKS)),
            read.addr.eq(Cat(entry, self.bank)),
        ]

        # How far the word begins before the plane, and how much of the plane is left, each in whole words and pixels.
        given, end = Signal(signed(INDEX_BITS)), Signal(INDEX_BITS)
        position, left = Signal(signed(INDEX_BITS)), Signal(signed(INDEX_BITS + 2))
        row, wide, every_column, columns = Signal(len(entry)), Signal(), Signal(), Signal(pixels, reset_less=True)
        starts_inside, ends_beyond = Signal(), Signal()
        skipped, kept = Signal(low), Signal(low)  # 0: all, or none, are
        with m.If(self.advance):
            m.d.sync += [
                given.eq(self.position),
                end.eq(self.end),
                row.eq(self.row + self.phase),
                wide.eq(self.every_column),
                # Next cycle
                position.eq(given),
                left.eq(end - given),
                entry.eq(row),
                every_column.eq(wide),
                # The one after that
                starts_inside.eq(~position[-1]),
                skipped.eq(Mux(position[low:].all(), position[:low], 0)),
                ends_beyond.eq(~left[-1] & left[low:].any()),
                kept.eq(Mux(left[low:].any(), 0, left[:low])),
                columns.eq(Mux(every_column, Const(-1, pixels), read.data)),
            ]
            for p in range(pixels):
                begun = starts_inside | (p + skipped >= pixels)
                unfinished = ends_beyond | (p < kept)
                m.d.sync += self.mask[p].eq(begun & unfinished & columns[p])
        return m
