"""Bias correction (arXiv 1906.04721, measured on data): each channel keeps the mean output it had before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headrace.errors import CompileError
from headrace.floats import Conv, FloatGraph, FloatLayer, Linear

from .compress import with_layers
from .walk import Floats, walk_sums

IMAGES = 128
"""Most images used: means of channels need few."""


def channel_means(graph: FloatGraph, x: Floats) -> dict[str, NDArray[np.float64]]:
    """Mean output (M,) of each layer with weights, before its limits. CompileError where one is not finite."""
    means: dict[str, NDArray[np.float64]] = {}

    def visit(_: int, layer: Conv | Linear, y: Floats) -> Floats:
        means[layer.name] = y.mean(axis=(0, 2, 3), dtype=np.float64)
        if not np.isfinite(means[layer.name]).all():
            raise CompileError(f"{layer.name}: the calibration data gives outputs that are not finite")
        return y

    walk_sums(graph, x[:IMAGES], visit)
    return means


def correct_bias(graph: FloatGraph, wanted: dict[str, NDArray[np.float64]], x: Floats) -> FloatGraph:
    """`graph` with biases that give its layers the mean outputs `wanted`; each sees what those before it now give."""
    layers: dict[str, FloatLayer] = {}

    def visit(_: int, layer: Conv | Linear, y: Floats) -> Floats:
        change = (wanted[layer.name] - y.mean(axis=(0, 2, 3), dtype=np.float64)).astype(np.float32)
        layers[layer.name] = replace(layer, bias=layer.bias + change)
        return y + change[:, None, None]

    walk_sums(graph, x[:IMAGES], visit)
    return with_layers(graph, layers)
