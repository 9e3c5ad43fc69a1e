"""Makes a draft small: normalisations and limits go into the layers before them, padding into those after.

Importers write all of these as depthwise 1 x 1 convolutions: y = clip(x * scale + offset, low, high) by channel, with
zeros around it. What stays is run as such.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import cast

import numpy as np
from numpy.typing import NDArray

from headrace.floats import AveragePool, Conv, FloatLayer, Input, Linear, MaxPool
from headrace.floats.layers import Limited, Weighted
from headrace.geometry import Padding
from headrace.wiring import INPUT

NONE: Padding = (0, 0, 0, 0)


def pointwise(
    name: str,
    source: str,
    scale: NDArray[np.floating],
    offset: NDArray[np.floating],
    low: float = -inf,
    high: float = inf,
    padding: Padding = NONE,
) -> Conv:
    """clip(x * scale + offset, low, high), scale and offset (C,), with zeros around x."""
    weights = np.asarray(scale, np.float32).reshape(-1, 1, 1, 1)
    bias = np.asarray(offset, np.float32)
    return Conv(name, (source,), weights=weights, bias=bias, groups=len(bias), low=low, high=high, padding=padding)


def fuse(source: Input, layers: Sequence[FloatLayer], last: str) -> tuple[Input, list[FloatLayer]]:
    """The same network, without layers that do not lead to `last`, and in as few as can be.

    What remains has the name of the layer with the weights. ValueError naming a layer whose weights leave float32.
    """
    fusing = _Fusing(source, layers, last)
    while fusing.sweep():
        pass
    return fusing.source, list(fusing.layers.values())


class _Fusing:
    def __init__(self, source: Input, layers: Sequence[FloatLayer], last: str) -> None:
        self.source, self.last = source, last
        needed = {last}
        for layer in reversed(layers):
            if layer.name in needed:
                needed |= set(layer.inputs)
        self.layers = {layer.name: layer for layer in layers if layer.name in needed}
        self.readers: dict[str, set[str]] = {name: set() for name in (INPUT, *self.layers)}
        for layer in self.layers.values():
            for name in layer.inputs:
                self.readers[name].add(layer.name)

    def sweep(self) -> bool:
        """Fuse what can be, in order; False where nothing can."""
        fused = False
        for name in list(self.layers):
            layer = self.layers.get(name)
            if isinstance(layer, Conv) and _is_pointwise(layer):
                fused |= self._into_producer(layer) if layer.padding == NONE else self._into_readers(layer)
        return fused

    def _into_producer(self, layer: Conv) -> bool:
        name = layer.inputs[0]
        scale, offset = layer.weights.ravel(), layer.bias
        plain = bool((scale == 1).all() and (offset == 0).all())
        limits = layer.low, layer.high
        if plain and limits == (-inf, inf) and (layer.name != self.last or name != INPUT):
            self._drop(layer, name)
            return True
        if len(self.readers[name]) > 1:
            return False
        if name == INPUT:
            if limits != (-inf, inf) or len(self.layers) == 1:
                return False
            self._scale_input(scale, offset)
            self._drop(layer, INPUT)
            return True
        producer = self.layers[name]
        while plain and isinstance(producer, MaxPool):  # a maximum of limited numbers is the limited maximum
            before = producer.inputs[0]
            if before == INPUT or len(self.readers[before]) > 1:
                return False
            producer = self.layers[before]
        if isinstance(producer, Conv | Linear) and (plain or (producer.low, producer.high) == (-inf, inf)):
            self.layers[producer.name] = _scaled(producer, scale, offset, *_both(producer, limits))
        elif isinstance(producer, Limited) and plain:
            low, high = _both(producer, limits)
            self.layers[producer.name] = replace(producer, low=low, high=high)
        else:
            return False
        self._drop(layer, name)
        return True

    def _drop(self, layer: FloatLayer, name: str) -> None:
        """Whoever reads `layer` reads `name` from now on."""
        del self.layers[layer.name]
        self.readers[name].discard(layer.name)
        self._redirect(layer.name, name)
        if layer.name == self.last:
            self.last = name

    def _redirect(self, old: str, new: str) -> None:
        """Whoever reads `old` reads `new` from now on."""
        for name in self.readers.pop(old):
            reader = self.layers[name]
            inputs = tuple(new if one == old else one for one in reader.inputs)
            self.layers[name] = replace(reader, inputs=inputs)
            self.readers[new].add(name)

    def _scale_input(self, scale: NDArray[np.float32], offset: NDArray[np.float32]) -> None:
        before_scale = 1 if self.source.scale is None else self.source.scale
        before_offset = np.float32(0) if self.source.offset is None else self.source.offset
        total = np.float32(1) * before_scale * scale, before_offset * scale + offset
        self.source = replace(self.source, scale=total[0], offset=total[1])

    def _into_readers(self, layer: Conv) -> bool:
        """Padding is folded into the layers that read it, where all of them can take it."""
        plain = (layer.weights == 1).all() and (layer.bias == 0).all() and (layer.low, layer.high) == (-inf, inf)
        if not plain or layer.name == self.last:
            return False
        padded = [self._padded(self.layers[reader], layer) for reader in self.readers[layer.name]]
        if None in padded:
            return False
        for reader in padded:
            assert reader is not None
            self.layers[reader.name] = reader
        self._drop(layer, layer.inputs[0])
        return True

    def _padded(self, reader: FloatLayer, layer: Conv) -> FloatLayer | None:
        if not isinstance(reader, Conv | AveragePool | MaxPool) or (
            isinstance(reader, MaxPool) and not self._positive(layer.inputs[0])
        ):
            return None
        total = cast(Padding, tuple(a + b for a, b in zip(reader.padding, layer.padding, strict=True)))
        try:
            return replace(reader, padding=total)
        except ValueError:  # pooling takes less than its kernel
            return None

    def _positive(self, name: str) -> bool:
        """Nothing in the tensor is below 0, so that zeros around it change no maximum of a window with part of it."""
        while name != INPUT and isinstance(self.layers[name], MaxPool):
            name = self.layers[name].inputs[0]
        layer = None if name == INPUT else self.layers[name]
        return isinstance(layer, Limited) and layer.low >= 0


def _is_pointwise(layer: Conv) -> bool:
    return layer.weights.shape[1:] == (1, 1, 1) and layer.groups == len(layer.weights) and layer.stride == 1


def _both(first: Limited, then: tuple[float, float]) -> tuple[float, float]:
    """Limits that do what those of `first` and then `then` do."""
    low, high = then
    return min(max(first.low, low), high), min(max(first.high, low), high)


def _scaled(
    layer: Weighted, scale: NDArray[np.float32], offset: NDArray[np.float32], low: float, high: float
) -> Weighted:
    factor = scale.astype(np.float64)
    with np.errstate(over="ignore"):  # infinities are found by the layer
        weights = (layer.weights * factor.reshape(-1, *[1] * (layer.weights.ndim - 1))).astype(np.float32)
        bias = (layer.bias * factor + offset).astype(np.float32)
    return replace(layer, weights=weights, bias=bias, low=low, high=high)
