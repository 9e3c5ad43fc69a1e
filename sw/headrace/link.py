"""From compiled layers to the image: program, tables and streams with every address filled in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .coding import Coding
from .config import Config
from .errors import CompileError
from .graph import Op
from .image import Image, LayerInfo
from .isa import BEAT_BYTES, DESCRIPTOR, DESCRIPTOR_BYTES, GATHERED_ROWS, Opcode, table_beats
from .layers import Lowered, ceil_div
from .network import Network
from .placement import Placement
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
    xor,
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
class Part:
    """One layer, ready to be linked: everything but addresses in DRAM."""

    op: Op
    x: Placement
    y: Placement
    lowered: Lowered
    coding: Coding
    cuts: list[Cut]
    config: Config

    @property
    def encoded(self) -> EncodedLayer:
        """Streams of the G groups of rows; every strip's lanes read them all."""
        return self.coding.encoded

    @property
    def table_bytes(self) -> int:
        """Bytes of one cut's tables."""
        encoded, lowered = self.encoded, self.lowered
        entries = len(lowered.taps), len(lowered.mask_table), ceil_div(encoded.entries, 2), len(lowered.matrix)
        return BEAT_BYTES * table_beats(self.config.lanes, len(encoded.codes), *entries, lowered.uniform)

    @property
    def stream_bytes(self) -> int:
        return sum(len(stream) for stream in self.encoded.streams)


def link(network: Network, config: Config, parts: list[Part], x: Placement, y: Placement) -> Image:
    """Lay out program, tables and streams; the network's input lies at `x`, its output at `y`."""
    output_offset = x.packed_size
    program = loads(x, config)
    infos: list[LayerInfo] = []
    data: list[bytes] = []
    cursor = DESCRIPTOR_BYTES * (len(program) + 2 + sum(len(part.cuts) for part in parts))
    for number, part in enumerate(parts):
        tables = cursor
        streams = tables + len(part.cuts) * part.table_bytes
        infos.append(describe(part, len(program)))
        try:
            blocks = [cut_tables(part, cut, streams) for cut in part.cuts]
            read = [*part.encoded.streams] * (part.x.strips % 2)  # an even number of times leaves no trace
            for index, cut in enumerate(part.cuts):
                place = {"layer": number, "address": tables + index * part.table_bytes}
                program.append(layer_descriptor(part, cut) | place | {"signature": xor(blocks[index], *read)})
                DESCRIPTOR.pack(program[-1])
        except ValueError as error:
            raise CompileError(f"{part.op.layer.name}: {error}") from None
        data += [*blocks, *part.encoded.streams]
        cursor = streams + part.stream_bytes
    store = {"beats": y.padded_size // BEAT_BYTES, "address": output_offset, "x_address": y.base}
    program += [{"opcode": Opcode.STORE, **store}, {"opcode": Opcode.END}]
    packed = [DESCRIPTOR.pack(values).to_bytes(DESCRIPTOR_BYTES, "little") for values in program]
    return Image(
        config=config,
        network=network.name,
        blob=b"".join([*packed, *data]),
        input_shape=network.input_shape,
        output_shape=network.output_shape,
        input_scale=float(network.input_scale),
        output_scale=float(network.output_scale),
        input=x.at(0),
        output=y.at(0),
        input_offset=0,
        output_offset=output_offset,
        layers=tuple(infos),
    )


def loads(x: Placement, config: Config) -> list[dict[str, int]]:
    """One LOAD for the lanes of every strip."""
    share = config.lanes // x.strips
    return [
        {
            "opcode": Opcode.LOAD,
            "beats": x.padded_size // BEAT_BYTES,
            "address": strip * x.padded_size,
            "x_address": x.base,
            "lane_from": strip * share,
            "lane_to": (strip + 1) * share,
        }
        for strip in range(x.strips)
    ]


def cut_tables(part: Part, cut: Cut, streams: int) -> bytes:
    """The tables of one descriptor; the layer's streams follow each other from `streams`."""
    encoded, lowered, config = part.encoded, part.lowered, part.config
    addresses = streams + np.cumsum([0, *(len(stream) for stream in encoded.streams)])[:-1]
    share, step = config.lanes // part.x.strips, part.x.strip_step // config.pixels
    first_words = [cut.first_word + lane // share * step for lane in range(config.lanes)]
    first_rows = [word * config.pixels // lowered.pitch for word in first_words]
    pixel = cut.first_row * lowered.pitch + cut.first_column
    return to_bytes(
        lane_beats(
            addresses.tolist(), encoded, first_words, keep_ranges(part.y, config.lanes, config.pixels), first_rows
        ),
        code_beats(encoded.codes),
        tap_beats(lowered, config.x_bytes, pixel + cut.first_word * config.pixels, pixel),
        mask_beats(lowered),
        symbol_beats(encoded.codes),
        channel_beats(lowered, encoded.order),
    )


def layer_descriptor(part: Part, cut: Cut) -> dict[str, int]:
    """A LAYER descriptor's fields but for its number, address and signature."""
    y, lowered, config, gathered = part.y, part.lowered, part.config, part.coding.gathered
    columns = GATHERED_ROWS if gathered else cut.columns
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
        "beats": part.table_bytes // BEAT_BYTES,
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


def describe(part: Part, descriptor: int) -> LayerInfo:
    """The report of a layer whose first descriptor has that number."""
    matrix, encoded, config, strips = part.lowered.matrix, part.encoded, part.config, part.x.strips
    taps, nonzeros = int(np.sum(encoded.lane_taps)), int(np.count_nonzero(matrix))
    beats = ceil_div((part.table_bytes + strips * part.stream_bytes) // BEAT_BYTES, config.read_ports)
    return LayerInfo(
        name=part.op.layer.name,
        kind=part.op.layer.kind,
        input_shape=(part.x.channels, part.x.height, part.x.width),
        output_shape=(part.y.channels, part.y.height, part.y.width),
        rows=len(matrix),
        positions=matrix.shape[1],
        nonzeros=nonzeros,
        density=nonzeros / matrix.size,
        taps=taps,
        macs=taps * part.y.height * part.y.width,
        symbols=int(np.sum(encoded.lane_symbols)),
        code_tables=len(encoded.codes),
        entries=encoded.entries,
        longest_run=part.coding.longest_run,
        rows_differential=part.coding.rows_differential,
        stream_bytes=part.stream_bytes,
        table_bytes=part.table_bytes * len(part.cuts),
        strips=len(part.cuts),
        spatial_strips=strips,
        descriptor=descriptor,
        words=sum(cut.words for cut in part.cuts),
        bound_cycles=sum(max(beats, ceil_div(strips * taps * cut.words, config.lanes)) for cut in part.cuts),
    )
