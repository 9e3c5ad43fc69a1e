"""What pruning left, fitted to what a layer gave before: least squares on calibration data, layer after layer.

Each output channel's kept weights and its bias are those with the least squared error against the outputs of the dense
network, given what the pruned layers before it now give; the old weights are the prior.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headrace.floats import Conv, FloatGraph, FloatLayer, Linear
from headrace.geometry import extent

from .compress import with_layers
from .walk import Floats, walk, walk_sums

IMAGES = 512
SAMPLES = 16_384
"""Most images, and most output pixels of a layer, that are fitted to."""
PRIOR = 1e-2
"""Weight of the old weights, in units of the inputs' mean square."""

Places = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


def reconstruct(pruned: FloatGraph, dense: FloatGraph, x: Floats) -> FloatGraph:
    """`pruned` with its layers that hold zeros fitted to those of `dense`, whose weights they were. Deterministic."""
    x = x[:IMAGES]
    wanted: dict[str, Floats] = {}

    def look(index: int, layer: Conv | Linear, y: Floats) -> Floats:
        image, row, column = _places(index, y.shape)
        wanted[layer.name] = y[image, :, row, column]
        return y

    changed: dict[str, FloatLayer] = {}

    def fit(index: int, inputs: tuple[Floats, ...]) -> Floats:
        layer = pruned.layers[index]
        if isinstance(layer, Conv | Linear) and not layer.weights.all():
            shape = (len(x), *pruned.shapes()[index + 1])
            layer = _fitted(layer, inputs[0], _places(index, shape), wanted[layer.name])
            changed[layer.name] = layer
        return layer.run(*inputs)

    walk_sums(dense, x, look)
    walk(pruned, x, fit)
    return with_layers(pruned, changed)


def _places(index: int, shape: tuple[int, ...]) -> Places:
    """Image, row and column of the output pixels of layer `index` that count; always the same."""
    count = shape[0] * shape[2] * shape[3]
    chosen = np.arange(count)
    if count > SAMPLES:
        chosen = np.sort(np.random.default_rng(index).choice(count, SAMPLES, replace=False))
    image, pixel = np.divmod(chosen, shape[2] * shape[3])
    return image, *np.divmod(pixel, shape[3])


def _fitted(layer: Conv | Linear, x: Floats, places: Places, wanted: Floats) -> Conv | Linear:
    windows = _windows(layer, x, places)
    groups = layer.groups if isinstance(layer, Conv) else 1
    rows = len(layer.weights) // groups
    weights = layer.weights.reshape(len(layer.weights), -1).astype(np.float64)
    fitted, bias = weights.copy(), layer.bias.astype(np.float64)
    for group in range(groups):
        own = slice(group * rows, (group + 1) * rows)
        inputs = windows[:, group].astype(np.float64)
        outputs = wanted[:, own].astype(np.float64)
        centre, middle = inputs.mean(axis=0), outputs.mean(axis=0)
        inputs -= centre
        square, product = inputs.T @ inputs, inputs.T @ (outputs - middle)
        prior = PRIOR * max(float(np.trace(square)) / len(square), np.finfo(np.float64).tiny)
        for row in range(own.start, own.stop):
            kept = np.flatnonzero(weights[row])
            if kept.size:
                matrix = square[np.ix_(kept, kept)] + prior * np.eye(kept.size)
                fitted[row, kept] = np.linalg.solve(matrix, product[kept, row - own.start] + prior * weights[row, kept])
            bias[row] = middle[row - own.start] - centre @ fitted[row]
    return replace(layer, weights=fitted.reshape(layer.weights.shape).astype(np.float32), bias=bias.astype(np.float32))


def _windows(layer: Conv | Linear, x: Floats, places: Places) -> Floats:
    """What each of those output pixels reads: (pixels, groups, weights of a row)."""
    image, row, column = places
    if isinstance(layer, Linear):
        return x.reshape(len(x), 1, -1)[image]
    top, left, bottom, right = layer.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = tuple(extent(kernel, dilation) for kernel, dilation in zip(layer.kernel, layer.dilation, strict=True))
    view = np.lib.stride_tricks.sliding_window_view(padded, reach, axis=(2, 3))
    view = view[:, :, :: layer.stride, :: layer.stride, :: layer.dilation[0], :: layer.dilation[1]]
    return view[image, :, row, column].reshape(len(image), layer.groups, -1)
