"""Which layer reads which tensors, and running layers in that order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from .geometry import Shape

INPUT = "input"
"""What layers call the network's input."""
Tensor = TypeVar("Tensor")
Sources = tuple[tuple[int, ...], ...]


class Named(Protocol):
    """A layer: its name, and those of the layers that it reads; of none: the one before it."""

    @property
    def name(self) -> str: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...


class Wired:
    """*Tensor* 0 is the network's input, tensor i + 1 the output of layer i."""

    _shapes: tuple[Shape, ...]
    _sources: Sources

    def shapes(self) -> tuple[Shape, ...]:
        """Every tensor's (C, H, W): the input's, then every layer's output."""
        return self._shapes

    def sources(self, index: int) -> tuple[int, ...]:
        """Tensors (indices into `shapes()`) that layer `index` reads, in the order of its inputs."""
        return self._sources[index]

    def readers(self, tensor: int) -> tuple[int, ...]:
        """Layers (indices into `layers`), ascending, that read a tensor; of the last tensor ()."""
        return tuple(index for index, sources in enumerate(self._sources) if tensor in sources)


def read_tensors(layers: Sequence[Named]) -> Sources:
    """The tensors that every layer reads.

    ValueError naming the layer whose name is taken, that reads a name no earlier layer has, or that is not the last and
    that nothing reads.
    """
    tensors = {INPUT: 0}
    result = []
    for index, layer in enumerate(layers):
        if layer.name in tensors:
            raise ValueError(f"{layer.name}: two layers, or a layer and the network's input, have this name")
        unknown = [name for name in layer.inputs if name not in tensors]
        if unknown:
            raise ValueError(f"{layer.name}: no layer before it is called {unknown[0]!r}")
        result.append(tuple(tensors[name] for name in layer.inputs) or (index,))
        tensors[layer.name] = index + 1
    read = {source for sources in result for source in sources}
    for index, layer in enumerate(layers[:-1], 1):
        if index not in read:
            raise ValueError(f"{layer.name}: no layer reads it, and it is not the last")
    return tuple(result)


def outputs(sources: Sources, x: Tensor, run: Callable[[int, tuple[Tensor, ...]], Tensor]) -> Iterator[Tensor]:
    """`run(index, inputs)` of every layer in order, x being tensor 0.

    Tensors are dropped after their last reader, so that memory stays bounded.
    """
    last_reader = {source: index for index, read in enumerate(sources) for source in read}
    tensors = {0: x}
    for index, read in enumerate(sources):
        tensors[index + 1] = run(index, tuple(tensors[source] for source in read))
        y = tensors[index + 1]
        for source in set(read):
            if last_reader[source] == index:
                del tensors[source]
        yield y
