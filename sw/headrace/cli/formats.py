"""Bytes of a network's weights in every storage format, with what is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..codecs.hac import Hac
from ..codecs.shac import Shac
from ..errors import StreamError
from ..image import Image
from ..network import Conv2d, Linear, Network


@dataclass(frozen=True)
class Format:
    """One row of the comparison."""

    name: str
    bytes: int
    counted: str


def matrices(network: Network) -> list[NDArray[np.int8]]:
    """Every weighted layer as the papers' W: n inputs by m outputs, kernels flattened to (C * kh * kw) rows."""
    return [
        np.ascontiguousarray(layer.weights.reshape(len(layer.weights), -1).T)
        for layer in network.layers
        if isinstance(layer, Conv2d | Linear)
    ]


def weight_formats(network: Network, image: Image, file_bytes: int) -> list[Format]:
    """Sizes of the network's weights, `dense_float32` first.

    Each HAC and sHAC form is decoded again; StreamError where the result differs.
    """
    weights = matrices(network)
    count = sum(W.size for W in weights)
    streams = sum(layer.stream_bytes for layer in image.layers)
    tables = sum(layer.table_bytes for layer in image.layers)
    return [
        Format("dense_float32", 4 * count, f"{count:,} weights, 4 bytes each"),
        Format("dense_int8", count, "1 byte each"),
        Format("hac", _coded(Hac(), weights), "codewords of all weights, dictionary, header; a matrix a layer"),
        Format(
            "shac",
            _coded(Shac(), weights),
            "codewords of nonzeros, row indices, column counts, dictionary, header; a matrix a layer",
        ),
        Format("headrace_streams", streams, f"streams of all layers for {image.config.lanes} lanes, padded to 8 bytes"),
        Format(
            "headrace",
            streams + tables,
            "streams, and code, symbol, tap, lane and channel tables (bias and scales too), pooling included",
        ),
        Format("hrz_file", file_bytes, "the whole file: all of that, program, header, checksums"),
    ]


def _coded(codec: Hac | Shac, weights: Sequence[NDArray[np.int8]]) -> int:
    total = 0
    for W in weights:
        encoded = codec.encode(W)
        if not np.array_equal(codec.decode(encoded), W):  # type: ignore[arg-type]
            raise StreamError(f"{codec.name} does not give back the matrix it encoded")
        total += encoded.nbytes
    return total
