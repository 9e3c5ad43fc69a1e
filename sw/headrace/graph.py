"""What a device runs of a network: the operations in order, and the tensors in memory that they read and write.

A `Concat` is no operation: what it joins is written to its place in one tensor. Where a tensor is needed in two
layouts, or at two places, an operation copies it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .layers import IDENTITY, Windowed
from .network import Concat, Conv2d, GlobalAveragePool, Layer, Linear, Network, Shape


@dataclass(frozen=True)
class Tensor:
    """C x H x W activations. Those of a concatenation are channels `first` and on of another tensor, its `root`."""

    shape: Shape
    split: bool
    """In four phase planes, for readers of stride 2."""
    root: int
    first: int
    row: int = 0
    """Of the root: where the rows of a tensor begin that is a band of a whole one."""
    whole: int | None = None
    """The root of the unbanded graph whose rows a banded root has a part of; None: this root has all rows."""


@dataclass(frozen=True)
class Op:
    """One layer, or a band of its rows, with what it reads (its input, perhaps a residual) and what it writes: numbers
    of tensors."""

    layer: Layer
    sources: tuple[int, ...]
    target: int
    number: int
    """Of the layer: bands of equal number have the same weights."""
    top: int = 0
    """Rows from the first kernel position of output row 0 down to the input's row 0; negative in a band whose input
    begins above what it reads."""
    skip_row: int = 0
    """Row of the residual that output row 0 adds."""

    @property
    def whole(self) -> bool:
        """It reads every byte of its input for one output pixel."""
        return isinstance(self.layer, Linear | GlobalAveragePool)


@dataclass(frozen=True)
class Transfer:
    """A tensor that goes to DRAM, or comes from there, before operation number `before`."""

    before: int
    tensor: int
    row: int = 0
    """Of the tensor in DRAM: where the rows of one that is a band begin."""


@dataclass(frozen=True)
class Graph:
    """Operations in order, and what is loaded and stored between them.

    `tensors` of a graph without bands starts with the network's input (0) and its layers' outputs (n + 1).
    """

    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    loads: tuple[Transfer, ...]
    """Of the network's input: all of it, or its bands."""
    stores: tuple[Transfer, ...]
    """Of the network's output."""

    @property
    def output(self) -> int:
        """The tensor that is the network's output, or the last band of it."""
        return self.stores[-1].tensor

    @property
    def streamed(self) -> set[int]:
        """Roots of which DRAM holds more rows than they have."""
        moved = (self.tensors[transfer.tensor].root for transfer in (*self.loads, *self.stores))
        return {root for root in moved if self.tensors[root].whole is not None}

    def banded(self, op: Op) -> bool:
        """Whether the operation computes a band of rows."""
        target = self.tensors[op.target]
        root = self.tensors[target.root]
        return root.whole is not None or target.shape[1] != root.shape[1]

    def lifetimes(self, ahead: int = 0) -> dict[int, tuple[int, int]]:
        """Of every root tensor: the operation before which it must have room, and the last before which, or in which,
        it is read. A band of the input has room `ahead` operations earlier, but not before the band before it is due.
        """
        events = [(load.before, 0, load.tensor) for load in self.loads]
        events += [(store.before - 1, 2, store.tensor) for store in self.stores]
        for number, op in enumerate(self.ops):
            events += [(number, 1, tensor) for tensor in (*op.sources, op.target)]
        result: dict[int, tuple[int, int]] = {}
        for number, _, tensor in sorted(events):
            root = self.tensors[tensor].root
            result[root] = result.get(root, (number,))[0], number
        bands = [self.tensors[load.tensor].root for load in self.loads]
        due = {root: result[root][0] for root in bands}
        for before, root in pairwise(bands):
            result[root] = max(due[root] - ahead, due[before]), result[root][1]
        return result


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
                top = layer.padding[0] if isinstance(layer, Windowed) else 0
                ops.append(Op(layer, (main, *self.sources[tensor - 1][1:]), tensor, len(ops), top))
            for copy in self.copies.get(tensor, []):
                name = "input" if tensor == 0 else self.layers[tensor - 1].name
                ops.append(Op(_copy(f"{name}.copy", self.shapes[tensor][0]), (tensor,), copy, len(ops)))
        tensors = tuple(self._tensor(n) for n in range(len(self.shapes)))
        return Graph(tuple(ops), tensors, (Transfer(0, 0),), (Transfer(len(ops), self.count - 1),))

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
