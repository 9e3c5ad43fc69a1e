"""Two layers, of which the second works on each channel by itself, in slices of channels.

Where a convolution makes more than a lane's memory holds and what reads it (a depthwise convolution, pooling, a global
average) takes each channel alone, some channels of both are computed, then the next: what lies between them is never
whole. Each slice has the weights of its own output channels, so nothing is multiplied, read or decoded twice.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import lcm, prod

from .bands import row_reach
from .config import Config
from .isa import BEAT_BYTES
from .layers import ceil_div
from .network import INPUT, AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, MaxPool2d, Network, Shape

_SLICE = re.compile(r"(.+)\[\d+:\d+\]")


def sliced(network: Network, config: Config, most: int) -> Network:
    """The same function of the same input, with such layers in slices, where a lane must hold more than `most` bytes of
    what lies between them at once, and can hold a channel of it; `network` itself where there are none.

    "name[a:b]" computes channels a to b - 1 of "name"; layers stay whole where such a name may be taken.
    """
    shapes = network.shapes()
    names = [INPUT, *(layer.name for layer in network.layers)]
    sizes: dict[int, int] = {}
    """Of layers that read channel by channel: channels in a slice."""
    for index, layer in enumerate(network.layers):
        if (maker := _maker(network, index)) is not None:
            channels, *_ = shape = shapes[maker + 1]
            fit = most * channels // _held(layer, shape)
            taken = any(name.startswith((f"{names[maker + 1]}[", f"{layer.name}[")) for name in names)
            if 0 < fit < channels and not taken:
                sizes[index] = _size(channels, fit, config.lanes)
    makers = {network.sources(index)[0] - 1 for index in sizes}
    layers: list[Layer] = []
    for index, layer in enumerate(network.layers):
        if index in sizes:
            first = network.sources(index)[0] - 1
            made = network.layers[first]
            assert isinstance(made, Conv2d)
            layers += _cut(made, names[network.sources(first)[0]], layer, sizes[index])
        elif index not in makers:
            layers.append(replace(layer, inputs=tuple(names[source] for source in network.sources(index))))
    scales = network.input_scale, network.output_scale
    return Network(network.name, network.input_shape, *scales, tuple(layers)) if sizes else network


def layer_name(name: str) -> str:
    """The layer that a slice is of; `name` itself where it is not a slice's."""
    found = _SLICE.fullmatch(name)
    return found[1] if found else name


def _maker(network: Network, index: int) -> int | None:
    """The convolution whose output layer `index` alone reads, channel by channel; None where it is not so."""
    layer, sources = network.layers[index], network.sources(index)
    if isinstance(layer, Conv2d):
        alone = layer.groups == len(layer.weights) and layer.weights.shape[1] == 1 and layer.skip is None
    else:
        alone = isinstance(layer, MaxPool2d | AveragePool2d | GlobalAveragePool)
    if not alone or sources[0] == 0 or network.readers(sources[0]) != (index,):
        return None
    maker = network.layers[sources[0] - 1]
    whole = isinstance(maker, Conv2d) and maker.groups == 1 and maker.skip is None
    return sources[0] - 1 if whole else None


def _size(channels: int, fit: int, lanes: int) -> int:
    """Channels in each slice, the last one perhaps fewer: about even shares of at most `fit`.

    Multiples of the lanes keep all of them busy, multiples of a beat's bytes let planes of one byte lie side by side.
    """
    even = ceil_div(channels, ceil_div(channels, fit))
    units = lcm(lanes, BEAT_BYTES), BEAT_BYTES
    sizes = (count * unit for unit in units for count in (ceil_div(even, unit), even // unit))
    return next((size for size in sizes if 0 < size <= fit), even)


def _held(layer: Layer, shape: Shape) -> int:
    """Bytes that a lane holds of a layer's input at least: of each channel the rows of one window."""
    if isinstance(layer, GlobalAveragePool):
        return prod(shape)
    rows = row_reach(layer)
    return shape[0] * min(rows + (rows % 2 if layer.stride == 2 else 0), shape[1]) * shape[2]


def _cut(maker: Conv2d, source: str, reader: Layer, size: int) -> list[Layer]:
    """Both layers slice by slice, and what joins the results."""
    channels, result = len(maker.weights), list[Layer]()
    results = []
    for first in range(0, channels, size):
        end = min(first + size, channels)
        made, read = (f"{one.name}[{first}:{end}]" for one in (maker, reader))
        result.append(replace(_of_channels(maker, first, end, 1), name=made, inputs=(source,)))
        own = _of_channels(reader, first, end, end - first) if isinstance(reader, Conv2d) else reader
        result.append(replace(own, name=read, inputs=(made,)))
        results.append(read)
    return [*result, Concat(reader.name, inputs=tuple(results))]


def _of_channels(layer: Conv2d, first: int, end: int, groups: int) -> Conv2d:
    """Output channels `first` to `end` - 1, in so many groups."""
    own = slice(first, end)
    bias, multiplier, shift = (values[own] for values in (layer.bias, layer.multiplier, layer.shift))
    return replace(layer, weights=layer.weights[own], bias=bias, multiplier=multiplier, shift=shift, groups=groups)
