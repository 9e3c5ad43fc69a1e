"""A network in real numbers: what importers make, and what is quantised."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from headrace.geometry import Shape
from headrace.wiring import Sources, Wired, outputs, read_tensors

from .edges import Input, Output
from .layers import FloatLayer, Floats

BATCH = 64
"""Images that `run` works on at once, which bounds its memory."""


@dataclass(frozen=True, eq=False)
class FloatGraph(Wired):
    """Layers, each after all those that it reads by name; the last one's output is the network's.

    Tensor 0 is the device's input. ValueError naming the layer whose name is taken, that reads a name no earlier layer
    has, whose shapes do not fit, or that is not the last and that nothing reads.
    """

    name: str
    input: Input
    layers: tuple[FloatLayer, ...]
    output: Output
    _shapes: tuple[Shape, ...] = field(init=False, repr=False)
    _sources: Sources = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            raise ValueError(f"{self.name}: no layers")
        object.__setattr__(self, "_sources", read_tensors(self.layers))
        shapes = [self.input.shape]
        for layer, sources in zip(self.layers, self._sources, strict=True):
            shapes.append(layer.output_shape(*(shapes[source] for source in sources)))
        if self.output.shape != shapes[-1]:
            raise ValueError(f"{self.name}: output of {shapes[-1]}, not {self.output.shape}")
        object.__setattr__(self, "_shapes", tuple(shapes))

    def trace(self, x: Floats) -> Iterator[tuple[str, Floats]]:
        """Name and output (N, C, H, W) of each layer in order, for device inputs x (N, *input.shape) float32.

        Outputs are dropped after their last reader, so that memory stays bounded. ValueError for another shape.
        """
        if x.dtype != np.float32 or x.shape[1:] != self.input.shape:
            raise ValueError(f"{self.name}: input must be float32 (N, {self.input.shape}), not {x.dtype} {x.shape}")
        run = outputs(self._sources, x, lambda index, inputs: self.layers[index].run(*inputs))
        for layer, y in zip(self.layers, run, strict=True):
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
