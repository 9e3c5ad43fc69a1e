"""Two layers, of which the second works on each channel by itself, in slices of channels.

Where a convolution makes more than a lane's memory holds and what reads it (a depthwise convolution, pooling, a global
average) takes each channel alone, some channels of both are computed, then the next: what lies between them is never
whole. Each slice has the weights of its own output channels, so nothing is multiplied, read or decoded twice.
"""

from __future__ import annotations

import re
from dataclasses import replace
from math import prod

from .config import Config
from .geometry import extent
from .layers import ceil_div
from .network import INPUT, AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, MaxPool2d, Network, Shape

_SLICE = re.compile(r"(.+)\[\d+:\d+\]")


def sliced(network: Network, config: Config, most: int) -> Network:
    """The same function of the same input, with no tensor between two such layers of which a lane must hold more than
    `most` bytes at once; `network` itself where there is none.

    Slices have even shares of the channels, a multiple of the lanes if they have more; "name[a:b]" computes channels a
    to b - 1 of "name". Layers stay whole where such a name is taken.
    """
    shapes = network.shapes()
    names = [INPUT, *(layer.name for layer in network.layers)]
    cuts: dict[int, int] = {}
    """Layer that reads channel by channel: of what it reads, channels in a slice."""
    for index in range(len(network.layers)):
        if (before := _makes(network, index)) is not None:
            channels, *_ = shape = shapes[before + 1]
            fit = most * channels // _held(network.layers[index], shape)
            own = f"{names[before + 1]}[", f"{names[index + 1]}["
            if 0 < fit < channels and not any(name.startswith(own) for name in names):
                even = ceil_div(channels, ceil_div(channels, fit))
                whole = [n for n in (ceil_div(even, config.lanes), even // config.lanes) if 0 < n * config.lanes <= fit]
                cuts[index] = whole[0] * config.lanes if whole else even
    made = {network.sources(index)[0] - 1 for index in cuts}
    layers: list[Layer] = []
    for index, layer in enumerate(network.layers):
        inputs = tuple(names[source] for source in network.sources(index))
        if index in cuts:
            first = network.sources(index)[0] - 1
            maker = network.layers[first]
            assert isinstance(maker, Conv2d)
            layers += _in_slices(maker, names[network.sources(first)[0]], layer, shapes[first + 1][0], cuts[index])
        elif index not in made:
            layers.append(replace(layer, inputs=inputs))
    scales = network.input_scale, network.output_scale
    return Network(network.name, network.input_shape, *scales, tuple(layers)) if cuts else network


def layer_name(name: str) -> str:
    """The layer that a slice is of; `name` itself where it is not a slice's."""
    found = _SLICE.fullmatch(name)
    return found[1] if found else name


def _makes(network: Network, index: int) -> int | None:
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


def _held(layer: Layer, shape: Shape) -> int:
    """Bytes that a lane holds of a layer's input at least: of each channel the rows of one window."""
    if isinstance(layer, GlobalAveragePool):
        return prod(shape)
    assert isinstance(layer, Conv2d | MaxPool2d | AveragePool2d)
    kernel = layer.kernel if isinstance(layer, MaxPool2d) else layer.kernel[0]
    rows = extent(kernel, layer.dilation[0] if isinstance(layer, Conv2d) else 1)
    return shape[0] * min(rows + (rows % 2 if layer.stride == 2 else 0), shape[1]) * shape[2]


def _in_slices(maker: Conv2d, source: str, reader: Layer, channels: int, size: int) -> list[Layer]:
    """Both layers slice by slice, and what joins the results."""
    result: list[Layer] = []
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
