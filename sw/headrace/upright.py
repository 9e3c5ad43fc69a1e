"""Signals upright: what lies in one row of pixels as rows of one pixel, which lanes can share as strips."""

from __future__ import annotations

from dataclasses import replace

from .geometry import Padding
from .network import AveragePool2d, Conv2d, Layer, MaxPool2d, Network


def is_signal(network: Network) -> bool:
    """Whether all its tensors are signals or vectors, and some are longer than one sample."""
    shapes = network.shapes()
    return all(shape[1] == 1 for shape in shapes) and any(shape[2] > 1 for shape in shapes)


def upright(network: Network) -> Network:
    """The network of signals (C, 1, W) with the same elements as (C, W, 1)."""
    channels, _, width = network.input_shape
    layers = tuple(map(_turned, network.layers))
    return Network(network.name, (channels, width, 1), network.input_scale, network.output_scale, layers)


def _turned(layer: Layer) -> Layer:
    if isinstance(layer, Conv2d):
        weights, dilation = layer.weights.transpose(0, 1, 3, 2), layer.dilation[::-1]
        return replace(layer, weights=weights, padding=_swapped(layer.padding), dilation=dilation)
    if isinstance(layer, MaxPool2d):
        return replace(layer, padding=_swapped(layer.padding))
    if isinstance(layer, AveragePool2d):
        return replace(layer, kernel=layer.kernel[::-1], padding=_swapped(layer.padding))
    return layer


def _swapped(padding: Padding) -> Padding:
    top, left, bottom, right = padding
    return left, top, right, bottom
