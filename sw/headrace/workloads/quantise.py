"""Networks in real numbers as networks of integers: pruned, quantised, calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from headrace.compress.prune import magnitude_mask
from headrace.compress.quantise import activation_scale, quantise_bias, quantise_multiplier
from headrace.compress.share import share_layer
from headrace.errors import CompileError
from headrace.geometry import Shape
from headrace.network import INPUT, SUM_LIMIT, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d, Network

from .floats import FloatLayer, Floats

BIAS_SHARE = 0.9
"""Of 24 bits, what a bias may take."""
IMAGES = 4


def random_inputs(shape: Shape, low: int = -128, high: int = 127, images: int = IMAGES) -> NDArray[np.int8]:
    """(images, C, H, W) int8, evenly from low to high, always the same."""
    return np.random.default_rng(0).integers(low, high + 1, (images, *shape)).astype(np.int8)


def quantise(
    name: str,
    layers: Sequence[FloatLayer],
    input_scale: float,
    inputs: NDArray[np.int8],
    values: int | None = None,
) -> Network:
    """The network of integers.

    Weights: the `round(density * size)` of each layer that are largest in magnitude, none of which becomes 0 unless it
    was; int8 with a scale an output channel, or, with `values`, shared among that many integers of one scale. Scales
    are coarse enough for 24-bit sums of any inputs, and for a residual's factor to be an integer up to 127. The
    activations' scales map the largest magnitude of every layer's outputs for `inputs`, int8 (N, C, H, W), to 127.

    CompileError naming the layer whose residual or scales cannot be had.
    """
    real: dict[str, Floats] = {INPUT: inputs.astype(np.float64) * input_scale}
    scales = {INPUT: input_scale}
    result: list[Layer] = []
    last = INPUT
    for layer in layers:
        source = layer.source or last
        x, x_scale = real[source], scales[source]
        if layer.parameters is None:
            y = x.mean(axis=(2, 3), keepdims=True) if layer.average else _maxima(x)
            y_scale = activation_scale(y) if layer.average else x_scale
            result.append(_pool(layer, x, x_scale / y_scale, source))
        else:
            ratio = scales[layer.skip] / x_scale if layer.skip else None
            try:
                weights, scale = _weights(layer, ratio, x_scale, values)
                y = _outputs(layer, weights * _spread(scale, weights.ndim), x, real.get(layer.skip))
                y_scale = activation_scale(y)
                result.append(_weighted(layer, weights, scale, x_scale, y_scale, ratio, source))
            except CompileError as error:
                raise CompileError(f"{layer.name}: {error}") from None
        real[layer.name], scales[layer.name], last = y, y_scale, layer.name
    shape = (int(inputs.shape[1]), int(inputs.shape[2]), int(inputs.shape[3]))
    return Network(name, shape, input_scale, scales[last], tuple(result))


def _spread(scale: Floats, axes: int) -> Floats:
    return scale.reshape(-1, *[1] * (axes - 1))


def _maxima(x: Floats) -> Floats:
    """Of 2 x 2 pixels; a last odd row or column is dropped."""
    height, width = (n // 2 for n in x.shape[2:])
    whole = x[:, :, : 2 * height, : 2 * width]
    return whole.reshape(*x.shape[:2], height, 2, width, 2).max(axis=(3, 5))


def _pool(layer: FloatLayer, x: Floats, factor: float, source: str) -> Layer:
    if not layer.average:
        return MaxPool2d(layer.name, 2, inputs=(source,))
    multiplier, shift = quantise_multiplier(factor / (x.shape[2] * x.shape[3]))
    return GlobalAveragePool(layer.name, multiplier, shift, inputs=(source,))


def _weights(
    layer: FloatLayer, ratio: float | None, x_scale: float, values: int | None
) -> tuple[NDArray[np.int8], Floats]:
    """Integers, and the scale of every output channel. `ratio`: the residual's scale over the input's."""
    assert layer.parameters is not None
    weights, bias = layer.parameters
    mask = magnitude_mask(weights, layer.density)
    if values is not None:
        if ratio is not None:
            raise CompileError("shared weights leave no choice of scale for a residual")
        shared = share_layer(weights, mask, values)
        return shared.weights, np.full(len(weights), shared.scale)
    kept = np.where(mask, weights, 0.0)
    flat = kept.reshape(len(kept), -1)
    # Rounding, and weights that would be 0, add at most 1 to each weight.
    room = SUM_LIMIT // 128 - np.count_nonzero(flat, axis=1) - 127
    if room.min() < 1:
        raise CompileError(f"{flat.shape[1]} weights an output are too many for 24-bit sums")
    scale = np.maximum(np.abs(flat).max(axis=1) / 127, np.abs(flat).sum(axis=1) / room)
    scale = np.maximum(scale, np.abs(bias) / (BIAS_SHARE * SUM_LIMIT * x_scale))
    scale[scale == 0] = 1.0
    if ratio is not None:
        factors = np.minimum(np.floor(ratio / scale), 127)
        if factors.min() < 1:
            raise CompileError("the residual is too small beside the weights for an integer factor")
        scale = ratio / factors
    steps = kept / _spread(scale, kept.ndim)
    integers = np.clip(np.rint(steps), -127, 127)
    integers = np.where(integers == 0, np.sign(steps), integers)
    return integers.astype(np.int8), scale


def _outputs(layer: FloatLayer, weights: Floats, x: Floats, skip: Floats | None) -> Floats:
    """In real numbers, (N, M, H, W)."""
    assert layer.parameters is not None
    y = (x.reshape(len(x), -1) @ weights.T)[:, :, None, None] if weights.ndim == 2 else convolve(x, weights, layer)
    y = y + layer.parameters[1][:, None, None] + (0.0 if skip is None else skip)
    return np.maximum(y, 0) if layer.relu else y


def convolve(x: Floats, weights: Floats, layer: FloatLayer) -> Floats:
    """x (N, C, H, W) by weights (M, C // groups, kh, kw) with the layer's padding, stride and groups."""
    top, left, bottom, right = layer.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, weights.shape[2:], axis=(2, 3))
    windows = windows[:, :, :: layer.stride, :: layer.stride]
    n, channels, height, width = windows.shape[:4]
    grouped = windows.reshape(n, layer.groups, channels // layer.groups, *windows.shape[2:])
    by_group = weights.reshape(layer.groups, -1, *weights.shape[1:])
    return np.einsum("ngchwij,gmcij->ngmhw", grouped, by_group, optimize=True).reshape(n, -1, height, width)


def _weighted(
    layer: FloatLayer,
    weights: NDArray[np.int8],
    scale: Floats,
    x_scale: float,
    y_scale: float,
    ratio: float | None,
    source: str,
) -> Layer:
    assert layer.parameters is not None
    units = scale * x_scale
    bias = quantise_bias(layer.parameters[1] / units, 1.0)
    requant = quantise_multiplier(units / y_scale)
    low = 0 if layer.relu else -128
    if weights.ndim == 2:
        return Linear(layer.name, weights, bias, *requant, low, inputs=(source,))
    skip = None if ratio is None else np.rint(ratio / scale).astype(np.int8)
    return Conv2d(
        layer.name,
        weights,
        bias,
        *requant,
        low,
        inputs=(source, layer.skip) if layer.skip else (source,),
        stride=layer.stride,
        padding=layer.padding,
        groups=layer.groups,
        skip=skip,
    )
