"""A quantised network: layers of int8 weights and activations in a directed acyclic graph, and its exact meaning."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .geometry import Padding, Pair, Shape
from .pooling import AveragePool2d, Concat, GlobalAveragePool, MaxPool2d
from .weighted import Conv2d, Linear, Weighted
from .wiring import INPUT, Sources, Wired, outputs, read_tensors

__all__ = [
    "INPUT",
    "SUM_LIMIT",
    "AveragePool2d",
    "Concat",
    "Conv2d",
    "GlobalAveragePool",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Network",
    "Padding",
    "Pair",
    "Shape",
    "Weighted",
]

SUM_LIMIT = (1 << 23) - 1
"""What a row's sum of weights times -128 stays within where a network is quantised: an accumulator of 24 bits."""
Layer = Conv2d | Linear | MaxPool2d | AveragePool2d | GlobalAveragePool | Concat


@dataclass(frozen=True)
class Network(Wired):
    """Layers, each after all those that it reads: `inputs` names them or "input"; () is the layer before.

    The last layer's output is the network's. Real input = integer * input_scale, real output = integer * output_scale.
    ValueError naming the layer whose name is taken, that reads a name no earlier layer has, whose number of inputs or
    whose shapes do not fit, or that is not the last and that nothing reads.
    """

    name: str
    input_shape: Shape
    input_scale: float
    output_scale: float
    layers: tuple[Layer, ...]
    _shapes: tuple[Shape, ...] = field(init=False, repr=False, compare=False)
    _sources: Sources = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise ValueError(f"{self.name}: input shape must be (C, H, W), not {self.input_shape}")
        if not self.layers:
            raise ValueError(f"{self.name}: no layers")
        for key in ("input_scale", "output_scale"):
            if not (np.isfinite(getattr(self, key)) and getattr(self, key) > 0):
                raise ValueError(f"{self.name}: {key} must be positive, not {getattr(self, key)}")
        object.__setattr__(self, "layers", tuple(self.layers))
        object.__setattr__(self, "_sources", read_tensors(self.layers))
        shapes: list[Shape] = [(int(self.input_shape[0]), int(self.input_shape[1]), int(self.input_shape[2]))]
        for layer, sources in zip(self.layers, self._sources, strict=True):
            shapes.append(layer.output_shape(*(shapes[source] for source in sources)))
        object.__setattr__(self, "input_shape", shapes[0])
        object.__setattr__(self, "_shapes", tuple(shapes))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output: (M,) after a linear layer, else (M, H, W)."""
        return self._flat(len(self.layers))

    def _flat(self, tensor: int) -> tuple[int, ...]:
        linear = tensor > 0 and isinstance(self.layers[tensor - 1], Linear)
        return self._shapes[tensor][:1] if linear else self._shapes[tensor]

    def trace(self, x: NDArray[np.int8]) -> list[NDArray[np.int8]]:
        """Every layer's output for x (N, C, H, W) int8; linear ones (N, M), others (N, M, H, W).

        ValueError for another shape or dtype.
        """
        self._check(x)
        tensors = [x]
        for layer, sources in zip(self.layers, self._sources, strict=True):
            tensors.append(layer.run(*(tensors[source] for source in sources)))
        return [y.reshape(len(x), *self._flat(index)) for index, y in enumerate(tensors)][1:]

    def run(self, x: NDArray[np.int8]) -> NDArray[np.int8]:
        """The network's output for x (N, C, H, W) int8: (N, *output_shape) int8. ValueError as `trace`."""
        self._check(x)
        for y in outputs(self._sources, x, lambda index, inputs: self.layers[index].run(*inputs)):
            last = y
        return last.reshape(len(x), *self.output_shape)

    def _check(self, x: NDArray[np.int8]) -> None:
        if x.dtype != np.int8 or x.shape[1:] != self.input_shape:
            raise ValueError(f"{self.name}: input must be int8 (N, {self.input_shape}), not {x.dtype} {x.shape}")
