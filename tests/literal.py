"""The definitions of all layers, one Python integer at a time; shares no code with headrace.model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.network import AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d, Network


def count(size: int, before: int, after: int, kernel: int, stride: int, dilation: int = 1) -> int:
    """Positions of a kernel on an axis, found by trying them."""
    starts = range(-before, size + after, stride)
    return sum(start + dilation * (kernel - 1) < size + after for start in starts)


def taps(
    plane: NDArray[Any], row: int, column: int, kernel: Any, stride: int, padding: Any, dilation: Any = (1, 1)
) -> Iterator[tuple[int, int, int | None]]:
    """(i, j, element) of the window of output (row, column); None outside `plane`."""
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            h, v = row * stride + i * dilation[0] - padding[0], column * stride + j * dilation[1] - padding[1]
            inside = 0 <= h < plane.shape[0] and 0 <= v < plane.shape[1]
            yield i, j, int(plane[h, v]) if inside else None


def _empty(x: NDArray[Any], rows: int, kernel: Any, stride: int, padding: Any, dilation: Any = (1, 1)) -> NDArray[Any]:
    top, left, bottom, right = padding
    height = count(x.shape[2], top, bottom, kernel[0], stride, dilation[0])
    return np.zeros((len(x), rows, height, count(x.shape[3], left, right, kernel[1], stride, dilation[1])), object)


def conv2d(
    x: NDArray[Any], w: NDArray[Any], stride: int, padding: Any, groups: int = 1, dilation: Any = (1, 1)
) -> NDArray[Any]:
    """Python integers (N, M, H', W')."""
    m, channels, *kernel = w.shape
    out = _empty(x, m, kernel, stride, padding, dilation)
    for n, row, h, v in np.ndindex(out.shape):
        first = row // (m // groups) * channels
        out[n, row, h, v] = sum(
            element * int(w[row, c, i, j])
            for c in range(channels)
            for i, j, element in taps(x[n, first + c], h, v, kernel, stride, padding, dilation)
            if element is not None
        )
    return out


def pool2d(x: NDArray[Any], function: Any, outside: int, kernel: Any, stride: int, padding: Any) -> NDArray[Any]:
    """`function` (max or sum) of each window, `outside` where it lies outside."""
    out = _empty(x, x.shape[1], kernel, stride, padding)
    for n, c, h, v in np.ndindex(out.shape):
        window = taps(x[n, c], h, v, kernel, stride, padding)
        out[n, c, h, v] = function(outside if element is None else element for _, _, element in window)
    return out


def requant(acc: NDArray[Any], layer: Any) -> NDArray[np.int8]:
    """`layer` has multiplier and shift, one or M of each, low, high, perhaps bias."""
    out = np.zeros(acc.shape, np.int8)
    rows = acc.shape[1]
    bias = getattr(layer, "bias", np.zeros(rows, int))
    multiplier, shift = np.broadcast_to(layer.multiplier, rows), np.broadcast_to(layer.shift, rows)
    for index in np.ndindex(acc.shape):
        m, s = index[1], int(shift[index[1]])
        value = ((int(acc[index]) + int(bias[m])) * int(multiplier[m]) + (1 << (s - 1))) >> s
        out[index] = min(max(value, layer.low), layer.high)
    return out


def run_layer(layer: Layer, inputs: list[NDArray[Any]]) -> NDArray[np.int8]:
    """The layer's output, (N, C, H, W)."""
    x = inputs[0]
    if isinstance(layer, Conv2d):
        acc = conv2d(x, layer.weights, layer.stride, layer.padding, layer.groups, layer.dilation)
        if layer.skip is not None:
            for index in np.ndindex(acc.shape):
                acc[index] += int(layer.skip[index[1]]) * int(inputs[1][index])
        return requant(acc, layer)
    if isinstance(layer, Linear):
        flat = [[int(v) for channel in image for row in channel for v in row] for image in x]
        sums = [[sum(a * int(b) for a, b in zip(image, w, strict=True)) for w in layer.weights] for image in flat]
        return requant(np.array(sums, object)[:, :, None, None], layer)
    if isinstance(layer, MaxPool2d):
        return pool2d(x, max, -128, (layer.kernel,) * 2, layer.stride, layer.padding).astype(np.int8)
    if isinstance(layer, AveragePool2d):
        return requant(pool2d(x, sum, 0, layer.kernel, layer.stride, layer.padding), layer)
    if isinstance(layer, GlobalAveragePool):
        return requant(pool2d(x, sum, 0, x.shape[2:], 1, (0, 0, 0, 0)), layer)
    assert isinstance(layer, Concat)
    return np.array([[channel for y in inputs for channel in y[n]] for n in range(len(x))], np.int8)


def trace(network: Network, x: NDArray[np.int8]) -> list[NDArray[np.int8]]:
    """Every layer's output, (N, C, H, W), found by name."""
    tensors: dict[str, NDArray[Any]] = {"input": x}
    last = "input"
    for layer in network.layers:
        tensors[layer.name] = run_layer(layer, [tensors[name] for name in layer.inputs or (last,)])
        last = layer.name
    return [tensors[layer.name] for layer in network.layers]
