"""A compiled layer, in what descriptors do of it: everything but addresses in DRAM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .coding import Coding
from .config import Config
from .cycles.costs import write_cycles
from .errors import CompileError
from .graph import Op
from .isa import BEAT_BYTES, Opcode, table_beats
from .layers import Lowered, ceil_div
from .placement import Placement
from .prefetch import LayerRun
from .stream import EncodedLayer
from .tables import (
    channel_beats,
    code_beats,
    keep_ranges,
    lane_beats,
    mask_beats,
    symbol_beats,
    tap_beats,
    to_bytes,
)


@dataclass(frozen=True)
class Cut:
    """What one LAYER descriptor computes of a layer, of its strip in each lane: `words` words of output pixels.

    They begin at output row `first_row` and column `first_column`, which the descriptor takes for the first of `rows`
    and `columns`, or at word `first_word` of the strip.
    """

    words: int
    columns: int
    rows: int
    first_row: int = 0
    first_column: int = 0
    first_word: int = 0


@dataclass(frozen=True, eq=False)
class Band:
    """All of a layer's rows, or a band of them."""

    op: Op
    x: Placement
    y: Placement
    lowered: Lowered
    cuts: list[Cut]
    row: int = 0
    """Of the tensor that `y` is a band of."""


@dataclass(frozen=True, eq=False)
class Part:
    """One layer, ready to be linked: everything but addresses in DRAM."""

    bands: tuple[Band, ...]
    coding: Coding
    config: Config

    @property
    def name(self) -> str:
        return self.bands[0].op.layer.name

    @property
    def encoded(self) -> EncodedLayer:
        """Streams of the G groups of rows; every strip's lanes read them all."""
        return self.coding.encoded

    @property
    def strips(self) -> int:
        """Strips of every band; each one's lanes read all streams."""
        return self.bands[0].x.strips

    def beats(self, band: Band) -> int:
        """Beats of the tables of one cut of the band."""
        encoded, lowered = self.encoded, band.lowered
        entries = len(lowered.taps), len(lowered.mask_table), ceil_div(encoded.entries, 2), len(lowered.matrix)
        return table_beats(self.config.lanes, len(encoded.codes), *entries, lowered.uniform)

    def bound(self, band: Band, cut: Cut) -> int:
        """Cycles that one cut of the band takes at least, to read or to multiply."""
        beats = self.beats(band) + self.strips * self.stream_bytes // BEAT_BYTES
        products = self.strips * int(np.sum(self.encoded.lane_taps)) * cut.words
        return max(ceil_div(beats, self.config.read_ports), ceil_div(products, self.config.lanes))

    @cached_property
    def descriptors(self) -> list[list[dict[str, int]]]:
        """Fields of every band's LAYER descriptors but for their number, address and signature. CompileError for what
        no descriptor can say."""
        try:
            return [[layer_descriptor(self, band, cut) for cut in band.cuts] for band in self.bands]
        except ValueError as error:
            raise CompileError(f"{self.name}: {error}") from None

    @property
    def runs(self) -> list[list[LayerRun]]:
        """What the cuts of every band take, estimated."""
        return [
            [self._run(band, *one) for one in zip(band.cuts, descriptors, strict=True)]
            for band, descriptors in zip(self.bands, self.descriptors, strict=True)
        ]

    def _run(self, band: Band, cut: Cut, fields: Mapping[str, int]) -> LayerRun:
        """Of one cut, whose results are written as if strips began with rows."""
        rows = self.strips * len(band.lowered.matrix) // max(fields["gathered"], 1)
        each = write_cycles(fields, 0, self.config.pixels)
        # All lanes end with a row, about at once, and those leave one after the other.
        cycles = self.bound(band, cut) + min(rows, self.config.lanes) * each
        return LayerRun(self.beats(band), max(cycles, rows * each), rows * each)

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables of all cuts."""
        return BEAT_BYTES * sum(len(band.cuts) * self.beats(band) for band in self.bands)

    @property
    def stream_bytes(self) -> int:
        return sum(len(stream) for stream in self.encoded.streams)


def cut_tables(part: Part, band: Band, cut: Cut, streams: int) -> bytes:
    """The tables of one descriptor; the layer's streams follow each other from `streams`."""
    encoded, lowered, config = part.encoded, band.lowered, part.config
    keep = keep_ranges(band.y, config.lanes, config.pixels, band.row)
    addresses = streams + np.cumsum([0, *(len(stream) for stream in encoded.streams)])[:-1]
    share, step = config.lanes // part.strips, band.x.strip_step // config.pixels
    first_words = [cut.first_word + lane // share * step for lane in range(config.lanes)]
    first_rows = [word * config.pixels // lowered.pitch for word in first_words]
    pixel = cut.first_row * lowered.pitch + cut.first_column
    return to_bytes(
        lane_beats(addresses.tolist(), encoded, first_words, keep, first_rows),
        code_beats(encoded.codes),
        tap_beats(lowered, config.x_bytes, pixel + cut.first_word * config.pixels, pixel),
        mask_beats(lowered),
        symbol_beats(encoded.codes),
        channel_beats(lowered, encoded.order),
    )


def layer_descriptor(part: Part, band: Band, cut: Cut) -> dict[str, int]:
    """A LAYER descriptor's fields but for its number, address and signature."""
    y, lowered, config, gathered = band.y, band.lowered, part.config, part.coding.gathered
    columns = gathered or cut.columns
    # Lanes write whole words lower than addressed: where a halo is not of whole words, the rest comes off the address.
    address = y.row_address(cut.first_row) + cut.first_column // (2 if y.split else 1) - -y.strip_halo % config.pixels
    return {
        "opcode": Opcode.LAYER,
        "maximum": lowered.maximum,
        "split": y.split,
        "flat": y.takes_words(lowered.pitch, columns, config.pixels),
        "uniform": lowered.uniform,
        "gathered": gathered,
        "total": lowered.total,
        "beats": part.beats(band),
        "x_address": address % config.x_bytes,
        "in_channels": lowered.in_channels,
        "taps": len(lowered.taps),
        "in_plane": lowered.in_plane,
        "words": cut.words,
        "out_channels": len(lowered.matrix),
        "symbol_beats": ceil_div(part.encoded.entries, 2),
        "slot_shift": (cut.words - 1).bit_length(),
        "code_tables": len(part.encoded.codes),
        "clamp_low": lowered.low,
        "clamp_high": lowered.high,
        "pitch": lowered.pitch,
        "out_width": columns,
        "out_columns": columns,
        "out_height": cut.rows,
        "out_pitch": y.pitch,
        "out_plane": y.plane,
        "row_phase": y.row_phase,
        "column_phase": y.column_phase,
        "mask_beats": len(lowered.mask_table),
        "phases": lowered.phases,
    }
