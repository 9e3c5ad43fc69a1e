"""Cross-layer equalisation (arXiv 1906.04721): move factors of channels from a layer to the one that reads it.

`relu(s * x) = s * relu(x)` for s > 0, so a channel's weights may be divided by s where the next layer's weights for
that channel are multiplied by it. s is chosen so that both have the same largest magnitude.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from headrace.floats import Conv, FloatGraph, FloatLayer, Linear, MaxPool

from .compress import with_layers

ROUNDS = 10
"""Neighbouring pairs pull at each other's factors."""
LARGEST_FACTOR = 1e4


def equalise(graph: FloatGraph) -> tuple[FloatGraph, int]:
    """The equalised network, with the same meaning, and the number of pairs that there are."""
    pairs = _pairs(graph)
    layers: dict[str, FloatLayer] = {layer.name: layer for layer in graph.layers}
    for _ in range(ROUNDS):
        for first, second, channels in pairs:
            a, b = layers[first], layers[second]
            assert isinstance(a, Conv | Linear) and isinstance(b, Conv | Linear)
            layers[first], layers[second] = _equalised(a, b, channels)
    return with_layers(graph, layers), len(pairs)


def _pairs(graph: FloatGraph) -> list[tuple[str, str, int]]:
    """Names of two layers with weights, the second the only reader of the first, and the channels between them.

    A maximum may lie between: it commutes with positive factors.
    """
    result = []
    for index, layer in enumerate(graph.layers):
        if not isinstance(layer, Conv | Linear) or layer.low not in (0.0, -inf) or layer.high != inf:
            continue
        readers = graph.readers(index + 1)
        while len(readers) == 1 and isinstance(graph.layers[readers[0]], MaxPool):
            readers = graph.readers(readers[0] + 1)
        if len(readers) != 1:
            continue
        reader = graph.layers[readers[0]]
        if isinstance(reader, Linear) or (isinstance(reader, Conv) and reader.groups in (1, len(layer.weights))):
            result.append((layer.name, reader.name, len(layer.weights)))
    return result


def _equalised(a: Conv | Linear, b: Conv | Linear, channels: int) -> tuple[FloatLayer, FloatLayer]:
    inner = _by_channel(b, channels)
    ranges = np.abs(a.weights.reshape(channels, -1)).max(axis=1), np.abs(inner).max(axis=(0, 2))
    usable = (ranges[0] > 0) & (ranges[1] > 0)
    ratio = np.where(usable, ranges[0] / np.where(usable, ranges[1], 1), 1.0)
    factor = np.clip(np.sqrt(ratio), 1 / LARGEST_FACTOR, LARGEST_FACTOR).astype(np.float32)
    weights = a.weights / factor.reshape(-1, *[1] * (a.weights.ndim - 1))
    scaled = (inner * factor[:, None]).astype(np.float32)
    if isinstance(b, Conv) and b.groups > 1:
        scaled = scaled.transpose(1, 0, 2)
    return replace(a, weights=weights, bias=a.bias / factor), replace(b, weights=scaled.reshape(b.weights.shape))


def _by_channel(layer: Conv | Linear, channels: int) -> NDArray[np.float32]:
    """(rows, input channels, the rest); of a depthwise layer (rows of a channel, channels, the rest)."""
    if isinstance(layer, Conv) and layer.groups > 1:
        return layer.weights.reshape(channels, len(layer.weights) // channels, -1).transpose(1, 0, 2)
    return layer.weights.reshape(len(layer.weights), channels, -1)
