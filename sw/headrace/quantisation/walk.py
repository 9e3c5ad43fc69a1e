"""Runs networks in real numbers layer by layer, with all inputs of each layer at hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from headrace.floats import Conv, FloatGraph, FloatLayer, Linear

Floats = NDArray[np.float32]
BATCH = 32
"""Images at a time, which bounds memory."""


def walk(graph: FloatGraph, x: Floats, visit: Callable[[int, tuple[Floats, ...]], Floats]) -> None:
    """Call `visit(index, inputs)` for each layer in order; what it returns is the layer's output (N, C, H, W)."""
    last_reader = {source: n for n in range(len(graph.layers)) for source in graph.sources(n)}
    tensors = {0: x}
    for index in range(len(graph.layers)):
        sources = graph.sources(index)
        tensors[index + 1] = visit(index, tuple(tensors[source] for source in sources))
        for source in set(sources):
            if last_reader[source] == index:
                del tensors[source]


def unlimited(layer: FloatLayer, inputs: tuple[Floats, ...]) -> Floats:
    """The output of a layer with weights before its limits."""
    assert isinstance(layer, Conv | Linear)
    return replace(layer, low=-inf, high=inf).run(*inputs)


def limited(layer: FloatLayer, y: Floats) -> Floats:
    """Its limits, applied to what `unlimited` gives."""
    assert isinstance(layer, Conv | Linear)
    return np.clip(y, np.float32(layer.low), np.float32(layer.high))
