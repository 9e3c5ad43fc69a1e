"""Some operations of a graph in *bands*: a few rows of all of them, then the next rows, so that what lies between them
is never whole.

Tensors that something outside of the segment needs stay whole on the chip, except for the network's input and output,
which DRAM holds: their bands are loaded and stored. A band of any other tensor has the rows that the band's later
operations read, halos included, some of which two bands compute.
"""

from __future__ import annotations

from dataclasses import dataclass

from .geometry import Pair, extent
from .graph import Graph, Op
from .layers import Windowed, ceil_div
from .network import Conv2d, Layer, MaxPool2d

Rows = dict[int, Pair]
"""Of tensors by their roots: first row, row after the last."""


@dataclass(frozen=True, order=True)
class Segment:
    """Operations `first` to `end` - 1, all of them windowed, in `count` bands."""

    first: int
    end: int
    count: int


@dataclass(frozen=True)
class Band:
    """Rows of every root that one band reads from DRAM or writes; roots with none are left out."""

    rows: Rows
    ops: tuple[int, ...]
    """Operations that have something to do."""


class Roots:
    """What a segment makes of the roots that it touches."""

    def __init__(self, graph: Graph, segment: Segment) -> None:
        self.graph = graph
        self.ops = graph.ops[segment.first : segment.end]
        read = {self.of(source) for op in self.ops for source in op.sources}
        self.written = {self.of(op.target) for op in self.ops}
        lifetimes = graph.lifetimes()
        self.banded = {
            root
            for root in self.written | read
            if segment.first <= lifetimes[root][0] and lifetimes[root][1] < segment.end
        }
        self.input, self.output = self.of(graph.loads[0].tensor), self.of(graph.output)
        self.whole = (read - self.banded) | {self.output}
        """Roots that lanes do not share."""
        self.results = (self.written - self.banded) | (self.written & {self.output})
        """Roots that have at least an even share of their rows in every band; others have what the band reads."""

    def of(self, tensor: int) -> int:
        """The root of a tensor."""
        return self.graph.tensors[tensor].root

    def height(self, root: int) -> int:
        return self.graph.tensors[root].shape[1]


def plan(graph: Graph, segment: Segment) -> list[Band]:
    """The rows of every band, in order. Those of a whole tensor are written once, each by the first band to need it."""
    roots = Roots(graph, segment)
    done = dict.fromkeys(roots.written - roots.banded, 0)
    bands = []
    for number in range(segment.count):
        goals: Rows = {}
        for root in roots.written:
            share = [_share(roots, root, parts, segment.count) for parts in (number, number + 1)]
            if root in done and number == segment.count - 1:
                goals[root] = done[root], roots.height(root)
            elif root in roots.results:
                goals[root] = done.get(root, share[0]), share[1]
        rows = _needed(roots, {root: goal for root, goal in goals.items() if goal[0] < goal[1]}, done)
        done |= {root: rows[root][1] for root in done if root in rows}
        ops = [n for n in range(segment.first, segment.end) if roots.of(graph.ops[n].target) in rows]
        bands.append(Band(rows, tuple(ops)))
    return bands


def _share(roots: Roots, root: int, parts: int, count: int) -> int:
    """Rows of the root that the first `parts` of `count` bands have."""
    rows = ceil_div(roots.height(root) * parts, count)
    return _even(roots, root, rows)


def _even(roots: Roots, root: int, rows: int) -> int:
    """A row in which a band of a split tensor can end and the next begin."""
    return min(roots.height(root), rows + rows % 2) if roots.graph.tensors[root].split else rows


def _needed(roots: Roots, rows: Rows, done: dict[int, int]) -> Rows:
    """The rows of the band that must have `rows`: those and what they are computed from."""
    graph = roots.graph
    before: Rows = {}
    while rows != before:  # parts of a concatenation have equal rows, whichever of them is read
        before = dict(rows)
        for op in reversed(roots.ops):
            band = rows.get(roots.of(op.target))
            if band is None:
                continue
            for source, (low, high) in zip(op.sources, read_rows(graph, op, band), strict=True):
                root = roots.of(source)
                if root in done:
                    low, high = done[root], max(_even(roots, root, high), rows.get(root, (0, 0))[1])
                    if low < high:
                        rows[root] = low, high
                elif root in roots.banded:
                    old = rows.get(root, (low, high))
                    low, high = min(low, old[0]), max(high, old[1])
                    loaded = root == roots.input and graph.tensors[root].split  # from where the planes in DRAM begin
                    rows[root] = low - low % 2 if loaded else low, high
    return rows


def read_rows(graph: Graph, op: Op, band: Pair) -> list[Pair]:
    """Rows of each source that the output's rows `band` are computed from, at least one."""
    height, stride = graph.tensors[op.sources[0]].shape[1], op.layer.stride
    assert stride is not None
    low, high = band[0] * stride - op.top, (band[1] - 1) * stride - op.top + row_reach(op.layer)
    low = min(max(low, 0), height - 1)
    return [(low, max(min(high, height), low + 1)), band][: len(op.sources)]


def row_reach(layer: Layer) -> int:
    """Rows from the first to the last that one row of a windowed layer's output is computed from."""
    assert isinstance(layer, Windowed)
    kernel = layer.kernel if isinstance(layer, MaxPool2d) else layer.kernel[0]
    return extent(kernel, layer.dilation[0] if isinstance(layer, Conv2d) else 1)
