"""Weights back out of an image: what reports say of a stream is counted on its decoded form."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..code import Code
from ..device.layer import read_codes, split_tables
from ..device.report import Fault
from ..errors import FormatError, StreamError
from ..image import Image, LayerInfo
from ..isa import BEAT_BYTES, LANE_ROWS, LANE_STREAM
from ..stream_decode import MAX_WEIGHTS, decode_counted


@dataclass(frozen=True, eq=False)
class DecodedLayer:
    """A layer's codes and weights."""

    codes: tuple[Code, ...]
    weights: NDArray[np.int16]
    """(M, K) in stored order: output channels lane by lane, positions tap-major."""
    differential_rows: int
    """Rows that are stored as differences from another."""
    symbols: int
    """Codewords in the streams."""
    lane_taps: tuple[int, ...]
    """Multiplications per word of each lane, those of rows without taps included; lanes that work on other strips of
    the same rows count once."""
    symbol_bits: NDArray[np.int64]
    """(symbols,) bits of each, lane by lane."""

    @property
    def taps(self) -> int:
        """Multiplications per word."""
        return sum(self.lane_taps)


def decode_layer(image: Image, info: LayerInfo) -> DecodedLayer:
    """Decode a layer's streams; lanes that work on other strips of the same rows share them.

    StreamError where they are not what the tables promise.
    """
    lanes = image.config.lanes
    fields = image.program[info.descriptor]
    beats = np.frombuffer(image.blob, "<u8", fields["beats"], fields["address"])
    streams, rows, _, code_tables, _, _, symbols, _ = split_tables(beats, lanes, fields)
    groups = lanes // info.spatial_strips
    try:
        codes = read_codes(code_tables, symbols)
    except Fault:
        raise StreamError(f"layer {info.name}: its tables are those of no code") from None
    lane_rows = [LANE_ROWS.unpack(int(row)) for row in rows[:groups]]
    counts = [lane["rows"] for lane in lane_rows]
    if sum(counts) != info.rows or info.rows * info.positions > MAX_WEIGHTS:
        raise StreamError(f"layer {info.name}: {sum(counts)} rows of {info.positions} weights in its lanes")
    parts = []
    for stream, lane in zip(streams[:groups], lane_rows, strict=True):
        place = LANE_STREAM.unpack(int(stream))
        data = image.blob[place["address"] : place["address"] + place["beats"] * BEAT_BYTES]
        parts.append(decode_counted(codes, data, lane["rows"], info.positions, lane["table"]))
    return DecodedLayer(
        codes,
        np.concatenate([part.weights for part in parts]),
        sum(part.differential_rows for part in parts),
        sum(part.symbols for part in parts),
        tuple(part.taps for part in parts),
        np.concatenate([part.bits for part in parts]),
    )


def check_figures(image: Image, info: LayerInfo, decoded: DecodedLayer) -> None:
    """FormatError where the header tells other figures of a layer than its descriptors and decoded streams."""
    strips = [image.program[number] for number in image.descriptors_of(info)]
    copies, lanes, ports = info.spatial_strips, image.config.lanes, image.config.read_ports
    beats = copies * info.stream_bytes // BEAT_BYTES
    nonzeros, size = int(np.count_nonzero(decoded.weights)), decoded.weights.size
    pixels = math.prod(info.output_shape[1:])
    actual = {
        "nonzeros": nonzeros,
        "density": nonzeros / size if size else 0.0,
        "symbols": decoded.symbols,
        "code_tables": len(decoded.codes),
        "rows_differential": decoded.differential_rows,
        "entries": sum(code.entries.size for code in decoded.codes),
        "taps": decoded.taps,
        "macs": decoded.taps * pixels,
        "words": sum(strip["words"] for strip in strips),
        "bound_cycles": sum(
            max(-(-(s["beats"] + beats) // ports), -(-copies * decoded.taps * s["words"] // lanes)) for s in strips
        ),
    }
    for key, value in actual.items():
        if getattr(info, key) != value:
            raise FormatError(f"layer {info.name}: {key} is {value}, the header says {getattr(info, key)}")
