"""Runs networks in real numbers layer by layer, with all inputs of each layer at hand."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from headrace.floats import Conv, FloatGraph, Linear
from headrace.wiring import outputs

Floats = NDArray[np.float32]
BATCH = 32
"""Images at a time, which bounds memory."""


def walk(graph: FloatGraph, x: Floats, visit: Callable[[int, tuple[Floats, ...]], Floats]) -> None:
    """Call `visit(index, inputs)` for each layer in order; what it returns is the layer's output (N, C, H, W)."""
    sources = tuple(graph.sources(index) for index in range(len(graph.layers)))
    deque(outputs(sources, x, visit), maxlen=0)


def walk_sums(graph: FloatGraph, x: Floats, visit: Callable[[int, Conv | Linear, Floats], Floats]) -> None:
    """Call `visit(index, layer, y)` for each layer with weights, y (N, M, H, W) being its output before its limits.

    What it returns is limited, and then the layer's output.
    """

    def step(index: int, inputs: tuple[Floats, ...]) -> Floats:
        layer = graph.layers[index]
        if not isinstance(layer, Conv | Linear):
            return layer.run(*inputs)
        return layer.limit(visit(index, layer, replace(layer, low=-inf, high=inf).run(*inputs)))

    walk(graph, x, step)
