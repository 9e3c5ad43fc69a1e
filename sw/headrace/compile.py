"""From a quantised network to the image that a device runs: placement, streams, tables, program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .coding import Coding, Effort, Strips, choose_coding
from .config import Config
from .errors import CompileError
from .image import Image, LayerInfo
from .isa import BEAT_BYTES, DESCRIPTOR, DESCRIPTOR_BYTES, SLOTS, Opcode, table_beats
from .layers import Lowered, Range, ceil_div, check_layer, check_sums, lower, output_range, strips
from .network import Layer, Network
from .placement import Placement
from .stream import EncodedLayer
from .tables import channel_beats, code_beats, lane_beats, symbol_beats, tap_beats, to_bytes, xor

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Part:
    """One layer, ready to be linked: everything but addresses in DRAM."""

    layer: Layer
    x: Placement
    y: Placement
    lowered: Lowered
    coding: Coding
    strips: list[tuple[int, int, int]]
    """(first row, rows, words) each: one LAYER descriptor."""

    @property
    def encoded(self) -> EncodedLayer:
        return self.coding.encoded

    @property
    def table_bytes(self) -> int:
        """Bytes of one strip's tables."""
        encoded, taps, rows = self.encoded, len(self.lowered.tap_addresses), len(self.lowered.matrix)
        symbol_beats = ceil_div(encoded.entries, 2)
        return BEAT_BYTES * table_beats(len(encoded.streams), len(encoded.codes), taps, symbol_beats, rows)

    @property
    def stream_bytes(self) -> int:
        return sum(len(stream) for stream in self.encoded.streams)


def compile_network(
    network: Network, config: Config, progress: Progress | None = None, effort: Effort = Effort.DEFAULT
) -> Image:
    """The image of `network` for devices of `config`; equal arguments give equal bytes.

    `progress(done, total, name)` is called before each layer. CompileError names the layer, what it needs and what
    the configuration has.
    """
    places = place(network, config)
    parts: list[Part] = []
    values: Range = (-128, 127)
    for index, layer in enumerate(network.layers):
        if progress is not None:
            progress(index, len(network.layers), layer.name)
        parts.append(compile_layer(layer, places[index], places[index + 1], values, config, effort))
        places[index + 1] = parts[-1].y
        values = output_range(layer, values)
    return link(network, config, parts)


def place(network: Network, config: Config) -> list[Placement]:
    """Where the input and every layer's output lie: in turn at the bottom and at the top of the activation memory.

    So a layer's input and output never overlap, and their sum is all that must fit. Every tensor starts at a beat and
    has whole beats for itself. It is split where the layer that reads it has stride 2.
    """
    strides = [layer.stride for layer in network.layers] + [1]
    places = [Placement.make(shape, split=stride == 2) for shape, stride in zip(network.shapes(), strides, strict=True)]
    for layer, x, y in zip(network.layers, places, places[1:], strict=False):
        need = x.padded_size + y.padded_size
        if need > config.x_bytes:
            raise CompileError(
                f"{layer.name}: input and output need {x.padded_size} + {y.padded_size} = {need} bytes of activation "
                f"memory, config {config.name} has {config.x_bytes}"
            )
    return [tensor.at(index % 2 * (config.x_bytes - tensor.padded_size)) for index, tensor in enumerate(places)]


def compile_layer(
    layer: Layer, x: Placement, y: Placement, values: Range, config: Config, effort: Effort = Effort.DEFAULT
) -> Part:
    """One layer whose input lies at `x` with values in `values`; its output goes to `y`, in an order of its own."""
    lowered = lower(layer, x, config.pixels)
    check_layer(layer.name, lowered, config)
    cuts = strips(y, lowered.pitch, config.pixels, config.acc_words)
    if cuts is None:
        rows = 2 if y.split else 1
        raise CompileError(
            f"{layer.name}: {rows} output rows of {lowered.pitch} pixels do not fit {config.acc_words} words of "
            f"{config.pixels} accumulators of config {config.name}"
        )
    words = tuple(words for _, _, words in cuts)
    beats = table_beats(config.lanes, 0, len(lowered.tap_addresses), 0, len(lowered.matrix))
    slots = min(SLOTS, config.acc_words >> (max(words) - 1).bit_length())
    work = Strips(words, beats)
    try:
        coding = choose_coding(lowered.matrix, config, work, 0 if lowered.maximum else slots, effort)
        _check(layer, lowered, values, coding, config)
    except CompileError:
        # Sums on the way from row to row can be larger than those of any row from zero.
        coding = choose_coding(lowered.matrix, config, work, 0, effort)
        _check(layer, lowered, values, coding, config)
    return Part(layer, x, y.ordered(coding.encoded.order), lowered, coding, cuts)


def _check(layer: Layer, lowered: Lowered, values: Range, coding: Coding, config: Config) -> None:
    parents = {row.row: row.parent for lane in coding.plan for row in lane}
    check_sums(layer.name, lowered, values, parents, config)


def link(network: Network, config: Config, parts: list[Part]) -> Image:
    """Lay out program, tables and streams, and fill in every address."""
    first, last = parts[0].x, parts[-1].y
    output_offset = first.padded_size
    program = [{"opcode": Opcode.LOAD, "beats": first.padded_size // BEAT_BYTES, "address": 0, "x_address": first.base}]
    infos: list[LayerInfo] = []
    data: list[bytes] = []
    cursor = DESCRIPTOR_BYTES * (3 + sum(len(part.strips) for part in parts))
    for number, part in enumerate(parts):
        tables = cursor
        streams = tables + len(part.strips) * part.table_bytes
        infos.append(describe(part, len(program), config))
        try:
            blocks = [strip_tables(part, first_row, streams) for first_row, _, _ in part.strips]
            for index, strip in enumerate(part.strips):
                signature = xor(blocks[index], *part.encoded.streams)
                address = tables + index * part.table_bytes
                program.append(
                    layer_descriptor(part, strip) | {"layer": number, "address": address, "signature": signature}
                )
                DESCRIPTOR.pack(program[-1])
        except ValueError as error:
            raise CompileError(f"{part.layer.name}: {error}") from None
        data += [*blocks, *part.encoded.streams]
        cursor = streams + part.stream_bytes
    program.append(
        {
            "opcode": Opcode.STORE,
            "beats": last.padded_size // BEAT_BYTES,
            "address": output_offset,
            "x_address": last.base,
        }
    )
    program.append({"opcode": Opcode.END})
    packed = [DESCRIPTOR.pack(values).to_bytes(DESCRIPTOR_BYTES, "little") for values in program]
    return Image(
        config=config,
        network=network.name,
        blob=b"".join([*packed, *data]),
        input_shape=network.input_shape,
        output_shape=network.output_shape,
        input_scale=float(network.input_scale),
        output_scale=float(network.output_scale),
        input=first.at(0),
        output=last.at(0),
        input_offset=0,
        output_offset=output_offset,
        layers=tuple(infos),
    )


def strip_tables(part: Part, first_row: int, streams: int) -> bytes:
    """The tables of the strip from output row `first_row` on; the layer's streams follow each other from `streams`."""
    encoded, lowered = part.encoded, part.lowered
    addresses = streams + np.cumsum([0, *(len(stream) for stream in encoded.streams)])[:-1]
    return to_bytes(
        lane_beats(addresses.tolist(), encoded),
        code_beats(encoded.codes),
        tap_beats([address + first_row * lowered.pitch for address in lowered.tap_addresses]),
        symbol_beats(encoded.codes),
        channel_beats(lowered, encoded.order),
    )


def layer_descriptor(part: Part, strip: tuple[int, int, int]) -> dict[str, int]:
    """A LAYER descriptor's fields but for its number, address and signature."""
    (first_row, rows, words), y, lowered = strip, part.y, part.lowered
    return {
        "opcode": Opcode.LAYER,
        "maximum": lowered.maximum,
        "split": y.split,
        "beats": part.table_bytes // BEAT_BYTES,
        "x_address": y.row_address(first_row),
        "in_channels": lowered.in_channels,
        "taps": len(lowered.tap_addresses),
        "in_plane": lowered.in_plane,
        "words": words,
        "out_channels": len(lowered.matrix),
        "symbol_beats": ceil_div(part.encoded.entries, 2),
        "slot_shift": (words - 1).bit_length(),
        "code_tables": len(part.encoded.codes),
        "clamp_low": lowered.low,
        "clamp_high": lowered.high,
        "pitch": lowered.pitch,
        "out_width": y.width,
        "out_columns": y.width,
        "out_height": rows,
        "out_pitch": y.pitch,
        "out_plane": y.plane,
        "row_phase": y.row_phase,
        "column_phase": y.column_phase,
    }


def describe(part: Part, descriptor: int, config: Config) -> LayerInfo:
    """The report of a layer whose first descriptor has that number."""
    matrix, encoded = part.lowered.matrix, part.encoded
    taps, nonzeros = int(np.sum(encoded.lane_taps)), int(np.count_nonzero(matrix))
    beats = (part.table_bytes + part.stream_bytes) // BEAT_BYTES
    return LayerInfo(
        name=part.layer.name,
        kind=part.layer.kind,
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
        table_bytes=part.table_bytes * len(part.strips),
        strips=len(part.strips),
        descriptor=descriptor,
        words=sum(words for _, _, words in part.strips),
        bound_cycles=sum(max(beats, ceil_div(taps * words, config.lanes)) for _, _, words in part.strips),
    )
