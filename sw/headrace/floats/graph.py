"""A network in real numbers: what importers make, and what is quantised."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.geometry import Shape
from headrace.network import INPUT

from .edges import Input, Output
from .layers import FloatLayer, Floats

BATCH = 64
"""Images that `run` works on at once, which bounds its memory."""


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """Layers, each after all those that it reads by name; the last one's output is the network's.

    *Tensor* 0 is the device's input, tensor i + 1 the output of layer i, as in `headrace.network.Network`. ValueError
    naming the layer whose name is taken, that reads a name no earlier layer has, whose shapes do not fit, or that is
    not the last and that nothing reads.
    """

    name: str
    input: Input
    layers: tuple[FloatLayer, ...]
    output: Output
    _shapes: tuple[Shape, ...] = field(init=False, repr=False)
    _sources: tuple[tuple[int, ...], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError(f"{self.name}: no layers")
        numbers, shapes, sources = {INPUT: 0}, [self.input.shape], []
        for index, layer in enumerate(self.layers, 1):
            if layer.name in numbers:
                raise ValueError(f"{layer.name}: two layers, or a layer and the network's input, have this name")
            unknown = [name for name in layer.inputs if name not in numbers]
            if unknown:
                raise ValueError(f"{layer.name}: no layer before it is called {unknown[0]!r}")
            sources.append(tuple(numbers[name] for name in layer.inputs))
            shapes.append(layer.output_shape(*(shapes[source] for source in sources[-1])))
            numbers[layer.name] = index
        read = {source for one in sources for source in one}
        unread = [layer.name for index, layer in enumerate(self.layers[:-1], 1) if index not in read]
        if unread:
            raise ValueError(f"{unread[0]}: no layer reads it, and it is not the last")
        if self.output.shape != shapes[-1]:
            raise ValueError(f"{self.name}: output of {shapes[-1]}, not {self.output.shape}")
        object.__setattr__(self, "_shapes", tuple(shapes))
        object.__setattr__(self, "_sources", tuple(sources))

    def shapes(self) -> tuple[Shape, ...]:
        """Every tensor's (C, H, W): the input's, then every layer's output."""
        return self._shapes

    def sources(self, index: int) -> tuple[int, ...]:
        """Tensors (indices into `shapes()`) that layer `index` reads, in the order of its inputs."""
        return self._sources[index]

    def readers(self, tensor: int) -> tuple[int, ...]:
        """Layers (indices into `layers`), ascending, that read a tensor; of the last tensor ()."""
        return tuple(index for index, sources in enumerate(self._sources) if tensor in sources)

    def trace(self, x: Floats) -> Iterator[tuple[str, Floats]]:
        """Name and output (N, C, H, W) of each layer in order, for device inputs x (N, *input.shape) float32.

        Outputs are dropped after their last reader, so that memory stays bounded. ValueError for another shape.
        """
        if x.dtype != np.float32 or x.shape[1:] != self.input.shape:
            raise ValueError(f"{self.name}: input must be float32 (N, {self.input.shape}), not {x.dtype} {x.shape}")
        last_reader = {source: index for index, sources in enumerate(self._sources) for source in sources}
        tensors = {0: x}
        for index, layer in enumerate(self.layers):
            sources = self._sources[index]
            y = layer.run(*(tensors[source] for source in sources))
            tensors[index + 1] = y
            for source in set(sources):
                if last_reader[source] == index:
                    del tensors[source]
            yield layer.name, y

    def run(self, x: NDArray[np.generic]) -> Floats:
        """The model's own output (N, *output.model_shape) float32 for its own input (N, *input.model_shape).

        DataError as `Input.feed`.
        """
        parts = []
        for first in range(0, max(1, len(x)), BATCH):
            last = deque(self.trace(self.input.feed(x[first : first + BATCH])), maxlen=1)
            parts.append(self.output.deliver(last[0][1]))
        return np.concatenate(parts)
