"""From compiled layers to the image: program, tables and streams with every address filled in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .compiled import Part, cut_tables
from .config import Config
from .errors import CompileError
from .geometry import Shape
from .graph import Graph
from .image import Image, LayerInfo
from .isa import DESCRIPTOR, DESCRIPTOR_BYTES, Opcode
from .moves import plan_moves
from .network import Network
from .placement import Placement
from .tables import xor
from .transfers import in_dram


def link(
    network: Network, config: Config, layers: Graph, graph: Graph, places: Sequence[Placement], parts: Sequence[Part]
) -> Image:
    """Lay out program, tables and streams.

    `layers` are the operations without bands, each with its part; `graph` is what runs, with its tensors at `places`.
    """
    shapes = network.shapes()
    x = replace(in_dram(graph, graph.loads, places, shapes[0]), order=None)
    y = in_dram(graph, graph.stores, places, shapes[-1])
    moves = plan_moves(graph, places, parts, x, y, config)
    cursor = DESCRIPTOR_BYTES * (len(moves.behind) + sum(map(len, (*moves.before, *moves.behind))) + 1)
    bands: list[Iterator[list[dict[str, int]]]] = []
    data: list[bytes] = []
    for number, part in enumerate(parts):
        descriptors, tables = _descriptors(part, number, cursor)
        bands.append(iter(descriptors))
        data += [*tables, *part.encoded.streams]
        cursor += part.table_bytes + part.stream_bytes
    program: list[dict[str, int]] = []
    first: dict[int, int] = {}
    behind = iter(moves.behind)
    for op, before in zip(graph.ops, moves.before[:-1], strict=True):
        program += before
        first.setdefault(op.number, len(program))
        for descriptor in next(bands[op.number]):
            program += [descriptor, *next(behind)]
    program += [*moves.before[-1], {"opcode": Opcode.END}]
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


def _descriptors(part: Part, number: int, tables: int) -> tuple[list[list[dict[str, int]]], list[bytes]]:
    """Descriptors of every band and the tables of all of them, from offset `tables` on, which the streams follow."""
    read = [*part.encoded.streams] * (part.strips % 2)  # an even number of times leaves no trace
    streams = tables + part.table_bytes
    result: list[list[dict[str, int]]] = []
    blocks: list[bytes] = []
    try:
        for band, descriptors in zip(part.bands, part.descriptors, strict=True):
            result.append([])
            for cut, fields in zip(band.cuts, descriptors, strict=True):
                blocks.append(cut_tables(part, band, cut, streams))
                place = {"layer": number, "address": tables, "signature": xor(blocks[-1], *read)}
                descriptor = fields | place
                DESCRIPTOR.pack(descriptor)
                result[-1].append(descriptor)
                tables += len(blocks[-1])
    except ValueError as error:
        raise CompileError(f"{part.name}: {error}") from None
    return result, blocks


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
