"""Integer layers from real ones, once scales and integer weights are known."""

from __future__ import annotations

from math import inf

import numpy as np

from headrace.compress.quantise import quantise_bias, quantise_multiplier
from headrace.floats import Add, AveragePool, Concat, Conv, FloatLayer, GlobalAveragePool, Linear, MaxPool
from headrace.network import AveragePool2d, Conv2d, Layer, MaxPool2d
from headrace.network import Concat as IntegerConcat
from headrace.network import GlobalAveragePool as IntegerGlobalAveragePool
from headrace.network import Linear as IntegerLinear

from .weights import Integers

Limits = tuple[float, float]


def limits(low: float, high: float, scale: float) -> tuple[int, int]:
    """Of outputs, in steps."""
    least = -128 if low == -inf else max(-128, min(127, round(low / scale)))
    return least, 127 if high == inf else max(least, min(127, round(high / scale)))


def weighted(
    layer: Conv | Linear,
    name: str,
    parts: Integers,
    x_scale: float,
    y_scale: float,
    bounds: Limits,
    inputs: tuple[str, ...],
) -> Layer:
    """A convolution or product called `name`; its second input, if any, is what `parts.skip` weighs."""
    units = parts.scale * x_scale
    bias = quantise_bias(layer.bias / units, 1.0)
    requant = (*quantise_multiplier(units / y_scale), *limits(*bounds, y_scale))
    if isinstance(layer, Linear):
        return IntegerLinear(name, parts.weights, bias, *requant, inputs=inputs)
    return Conv2d(
        name,
        parts.weights,
        bias,
        *requant,
        inputs=inputs,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        skip=parts.skip,
    )


def addition(layer: Add, scales: tuple[float, float], y_scale: float, channels: int) -> Layer:
    """A sum that no convolution absorbs: one of 1 x 1 with a weight a channel, and the other tensor as its residual.

    The weights are the two integers up to 127 whose ratio is nearest to that of the scales.
    """
    a, b = scales
    candidates = np.arange(1, 128) * min(1.0, a / b)
    first = np.maximum(np.rint(candidates), 1)
    second = np.minimum(np.rint(first * (b / a)), 127)
    best = int(np.argmin(np.abs(second * a - first * b)[::-1] / first[::-1]))
    w, skip = int(first[::-1][best]), int(second[::-1][best])
    multiplier, shift = quantise_multiplier(a / w / y_scale)
    return Conv2d(
        layer.name,
        np.full((channels, 1, 1, 1), w, np.int8),
        np.zeros(channels, np.int64),
        np.full(channels, multiplier),
        np.full(channels, shift),
        *limits(layer.low, layer.high, y_scale),
        inputs=layer.inputs,
        groups=channels,
        skip=np.full(channels, skip, np.int8),
    )


def unweighted(layer: FloatLayer, x_scale: float, y_scale: float, x_pixels: int) -> Layer:
    """Maxima, averages, concatenation. `x_pixels`: H * W of the input."""
    if isinstance(layer, MaxPool):
        return MaxPool2d(layer.name, layer.kernel, stride=layer.stride, padding=layer.padding, inputs=layer.inputs)
    if isinstance(layer, Concat):
        return IntegerConcat(layer.name, inputs=layer.inputs)
    assert isinstance(layer, AveragePool | GlobalAveragePool)
    low, high = limits(layer.low, layer.high, y_scale)
    if isinstance(layer, GlobalAveragePool):
        multiplier, shift = quantise_multiplier(x_scale / y_scale / x_pixels)
        return IntegerGlobalAveragePool(layer.name, multiplier, shift, low, high, inputs=layer.inputs)
    multiplier, shift = quantise_multiplier(x_scale / y_scale / (layer.kernel[0] * layer.kernel[1]))
    return AveragePool2d(
        layer.name,
        layer.kernel,
        multiplier,
        shift,
        low=low,
        high=high,
        stride=layer.stride,
        padding=layer.padding,
        inputs=layer.inputs,
    )
