"""What a device runs of a network: the operations in order, and the tensors in memory that they read and write.

A `Concat` is no operation: what it joins is written to its place in one tensor. Where a tensor is needed in two
layouts, or at two places, an operation copies it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .layers import IDENTITY
from .network import Concat, Conv2d, GlobalAveragePool, Layer, Linear, Network, Shape


@dataclass(frozen=True)
class Tensor:
    """C x H x W activations. Those of a concatenation are channels `first` and on of another tensor, its `root`."""

    shape: Shape
    split: bool
    """In four phase planes, for readers of stride 2."""
    root: int
    first: int


@dataclass(frozen=True)
class Op:
    """One layer with what it reads (its input, perhaps a residual) and what it writes: numbers of tensors."""

    layer: Layer
    sources: tuple[int, ...]
    target: int

    @property
    def whole(self) -> bool:
        """It reads every byte of its input for one output pixel."""
        return isinstance(self.layer, Linear | GlobalAveragePool)


@dataclass(frozen=True)
class Graph:
    """Operations in order. `tensors` starts with the network's input (0) and its layers' outputs (n + 1)."""

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    output: int
    """The tensor that is the network's output."""

    def lifetimes(self) -> dict[int, tuple[int, int]]:
        """Of every root tensor: the operation before which it must have room, and the last that reads it.

        The input is there before operation 0, the output is read after the last.
        """
        first: dict[int, int] = {}
        last: dict[int, int] = {}
        events = [(-1, (), 0), *((n, op.sources, op.target) for n, op in enumerate(self.ops))]
        for number, sources, target in [*events, (len(self.ops), (self.output,), None)]:
            if target is not None:
                first.setdefault(self.tensors[target].root, number)
                last[self.tensors[target].root] = number
            for source in sources:
                last[self.tensors[source].root] = number
        return {root: (first[root], last[root]) for root in first}


def build_graph(network: Network) -> Graph:
    """The operations and tensors of `network`. Deterministic."""
    return _Builder(network).build()


class _Builder:
    def __init__(self, network: Network) -> None:
        self.layers = network.layers
        self.shapes = list(network.shapes())
        self.count = len(self.shapes)
        self.sources = [tuple(network.sources(index)) for index in range(len(self.layers))]
        self.split = [False] * self.count
        self.view: dict[int, tuple[int, int]] = {}
        """Tensor: the concatenation it is written to, and the channel where it begins there."""
        self.second: dict[int, int] = {}
        """Tensor: its copy in split layout, where it has readers of both layouts."""
        self.copies: dict[int, list[int]] = {}

    def build(self) -> Graph:
        for tensor in reversed(range(self.count)):
            self._settle(tensor)
        ops: list[Op] = []
        for tensor in range(self.count):
            if tensor and not isinstance(self.layers[tensor - 1], Concat):
                layer = self.layers[tensor - 1]
                main = self.sources[tensor - 1][0]
                if self.layers[tensor - 1].stride == 2:
                    main = self.second.get(main, main)
                ops.append(Op(layer, (main, *self.sources[tensor - 1][1:]), tensor))
            for copy in self.copies.get(tensor, []):
                name = "input" if tensor == 0 else self.layers[tensor - 1].name
                ops.append(Op(_copy(f"{name}.copy", self.shapes[tensor][0]), (tensor,), copy))
        return Graph(tuple(ops), tuple(self._tensor(n) for n in range(len(self.shapes))), self.count - 1)

    def _settle(self, tensor: int) -> None:
        """Where the tensor lies, and its copies. Concatenations that join it come later and are settled."""
        wanted = {False} if tensor == self.count - 1 else set()
        joins: list[tuple[int, int]] = []
        for index, sources in enumerate(self.sources):
            if isinstance(self.layers[index], Concat):
                first = 0
                for source in sources:
                    if source == tensor:
                        joins.append((index + 1, first))
                    first += self.shapes[source][0]
            else:
                for position, source in enumerate(sources):
                    if source == tensor:
                        wanted.add(position == 0 and self.layers[index].stride == 2)
        layouts = {self.split[concat] for concat, _ in joins}
        if joins and (wanted <= {self.split[joins[0][0]]}) and (len(joins) == 1 or not self.split[joins[0][0]]):
            self.view[tensor] = joins.pop(0)
            self.split[tensor] = self.split[self.view[tensor][0]]
        else:
            self.split[tensor] = wanted == {True} and not layouts
            if True in wanted and not self.split[tensor]:
                self.second[tensor] = self._new(tensor, True)
        for join in joins:
            self.view[self._new(tensor, self.split[join[0]])] = join

    def _new(self, tensor: int, split: bool) -> int:
        self.shapes.append(self.shapes[tensor])
        self.split.append(split)
        self.copies.setdefault(tensor, []).append(len(self.shapes) - 1)
        return len(self.shapes) - 1

    def _tensor(self, number: int) -> Tensor:
        root, first = number, 0
        while root in self.view:
            root, offset = self.view[root]
            first += offset
        return Tensor(self.shapes[number], self.split[number], root, first)


def _copy(name: str, channels: int) -> Conv2d:
    """The layer whose output is its input."""
    one = np.ones((channels, 1, 1, 1), np.int8)
    same = np.full(channels, 1 << IDENTITY), np.full(channels, IDENTITY)
    return Conv2d(name, one, np.zeros(channels, np.int64), *same, groups=channels)
