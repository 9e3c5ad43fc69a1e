"""From compiled layers to the image: program, tables and streams with every address filled in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .coding import Coding
from .config import Config
from .cycles.costs import write_cycles
from .errors import CompileError
from .geometry import Shape
from .graph import Graph, Op
from .image import Image, LayerInfo
from .isa import BEAT_BYTES, DESCRIPTOR, DESCRIPTOR_BYTES, Opcode, table_beats
from .layers import Lowered, ceil_div
from .network import Network
from .placement import Placement
from .prefetch import LayerRun, free_from, load_ahead
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
from .transfers import in_dram, load_beat_cycles, loads, stores


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

    def writes(self, descriptor: Mapping[str, int]) -> int:
        """Cycles of the write-back for a descriptor's results, as if its strips began with rows."""
        words = self.strips * len(self.bands[0].lowered.matrix) // max(descriptor["gathered"], 1)
        return words * write_cycles(descriptor, 0, self.config.pixels)

    @property
    def table_bytes(self) -> int:
        """Bytes of the tables of all cuts."""
        return BEAT_BYTES * sum(len(band.cuts) * self.beats(band) for band in self.bands)

    @property
    def stream_bytes(self) -> int:
        return sum(len(stream) for stream in self.encoded.streams)


def link(
    network: Network, config: Config, layers: Graph, graph: Graph, places: Sequence[Placement], parts: Sequence[Part]
) -> Image:
    """Lay out program, tables and streams.

    `layers` are the operations without bands, each with its part; `graph` is what runs, with its tensors at `places`.
    """
    shapes = network.shapes()
    x = replace(in_dram(graph, graph.loads, places, shapes[0]), order=None)
    y = in_dram(graph, graph.stores, places, shapes[-1])
    moves: list[list[dict[str, int]]] = [[] for _ in range(len(graph.ops) + 1)]
    for one in graph.stores:
        moves[one.before] += stores(one, places[one.tensor], y, x.packed_size)
    ahead: dict[tuple[int, int], list[dict[str, int]]] = {}
    for one, free in zip(graph.loads, free_from(graph, places), strict=True):
        blocks = loads(one, places[one.tensor], x, config)
        if free < one.before:
            ahead.setdefault((free, one.before), []).extend(blocks)
        else:
            moves[one.before] += blocks
    count = sum(len(band.cuts) for part in parts for band in part.bands)
    cursor = DESCRIPTOR_BYTES * (count + sum(map(len, (*moves, *ahead.values()))) + 1)
    bands: list[Iterator[list[LayerRun]]] = []
    data: list[bytes] = []
    for number, part in enumerate(parts):
        descriptors, tables = _descriptors(part, number, cursor)
        bands.append(iter(descriptors))
        data += [*tables, *part.encoded.streams]
        cursor += part.table_bytes + part.stream_bytes
    program: list[dict[str, int]] = []
    first: dict[int, int] = {}
    runs = [next(bands[op.number]) for op in graph.ops]
    own = load_ahead(runs, ahead, load_beat_cycles(config))
    for op, before, descriptors_of_op in zip(graph.ops, moves[:-1], own, strict=True):
        program += before
        first.setdefault(op.number, len(program))
        program += descriptors_of_op
    program += [*moves[-1], {"opcode": Opcode.END}]
    packed = [DESCRIPTOR.pack(values).to_bytes(DESCRIPTOR_BYTES, "little") for values in program]
    infos = []
    for number, (part, op) in enumerate(zip(parts, layers.ops, strict=True)):
        tensors = layers.tensors[op.sources[0]], layers.tensors[op.target]
        infos.append(describe(part, first[number], tensors[0].shape, tensors[1].shape))
    return Image(
        config=config,
        network=network.name,
        blob=b"".join([*packed, *data]),
        input_shape=network.input_shape,
        output_shape=network.output_shape,
        input_scale=float(network.input_scale),
        output_scale=float(network.output_scale),
        input=x,
        output=y,
        input_offset=0,
        output_offset=x.packed_size,
        layers=tuple(infos),
    )


def _descriptors(part: Part, number: int, tables: int) -> tuple[list[list[LayerRun]], list[bytes]]:
    """Descriptors of every band and the tables of all of them, from offset `tables` on, which the streams follow."""
    read = [*part.encoded.streams] * (part.strips % 2)  # an even number of times leaves no trace
    streams = tables + part.table_bytes
    result: list[list[LayerRun]] = []
    blocks: list[bytes] = []
    try:
        for band in part.bands:
            result.append([])
            for cut in band.cuts:
                blocks.append(cut_tables(part, band, cut, streams))
                place = {"layer": number, "address": tables, "signature": xor(blocks[-1], *read)}
                descriptor = layer_descriptor(part, band, cut) | place
                DESCRIPTOR.pack(descriptor)
                writes = part.writes(descriptor)
                result[-1].append(LayerRun(descriptor, max(part.bound(band, cut), writes), writes))
                tables += len(blocks[-1])
    except ValueError as error:
        raise CompileError(f"{part.name}: {error}") from None
    return result, blocks


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


def describe(part: Part, descriptor: int, source: Shape, target: Shape) -> LayerInfo:
    """The report of a layer from a tensor of one shape to one of another, whose first descriptor has that number."""
    encoded, matrix = part.encoded, part.bands[0].lowered.matrix
    taps, nonzeros = int(np.sum(encoded.lane_taps)), int(np.count_nonzero(matrix))
    cuts = [(band, cut) for band in part.bands for cut in band.cuts]
    return LayerInfo(
        name=part.name,
        kind=part.bands[0].op.layer.kind,
        input_shape=source,
        output_shape=target,
        rows=len(matrix),
        positions=matrix.shape[1],
        nonzeros=nonzeros,
        density=nonzeros / matrix.size,
        taps=taps,
        macs=taps * target[1] * target[2],
        symbols=int(np.sum(encoded.lane_symbols)),
        code_tables=len(encoded.codes),
        entries=encoded.entries,
        longest_run=part.coding.longest_run,
        rows_differential=part.coding.rows_differential,
        stream_bytes=part.stream_bytes,
        table_bytes=part.table_bytes,
        strips=len(cuts),
        spatial_strips=part.strips,
        descriptor=descriptor,
        words=sum(cut.words for _, cut in cuts),
        bound_cycles=sum(part.bound(band, cut) for band, cut in cuts),
    )
