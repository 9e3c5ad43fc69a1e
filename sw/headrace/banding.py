"""A graph whose segments run in bands: its operations, tensors and transfers (see `headrace.bands`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from .bands import Band, Roots, Segment, plan
from .graph import Graph, Op, Tensor, Transfer


def banded(graph: Graph, segments: Iterable[Segment]) -> Graph:
    """The graph, without bands so far, with these segments in bands. They do not overlap."""
    builder = _Builder(graph)
    at = 0
    for segment in sorted(segments):
        builder.copy(graph.ops[at : segment.first])
        roots = Roots(graph, segment)
        for band in plan(graph, segment):
            builder.add(band, roots)
        at = segment.end
    builder.copy(graph.ops[at:])
    return builder.build()


class _Builder:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.ops: list[Op] = []
        self.tensors: list[Tensor] = []
        self.loads: list[Transfer] = []
        self.stores: list[Transfer] = []
        self.whole: dict[int, int] = {}
        """New numbers of tensors that are not in bands, by their old ones."""

    def build(self) -> Graph:
        loads = self.loads or [Transfer(0, self.tensor(self.graph.loads[0].tensor))]
        stores = self.stores or [Transfer(len(self.ops), self.tensor(self.graph.output))]
        return Graph(tuple(self.ops), tuple(self.tensors), tuple(loads), tuple(stores))

    def new(self, tensor: Tensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def tensor(self, old: int) -> int:
        """The new number of a tensor that is not in bands."""
        if old not in self.whole:
            one = self.graph.tensors[old]
            root = len(self.tensors) if one.root == old else self.tensor(one.root)
            self.whole[old] = self.new(replace(one, root=root))
        return self.whole[old]

    def copy(self, ops: Sequence[Op]) -> None:
        """Operations that are not in bands."""
        for op in ops:
            sources = tuple(self.tensor(source) for source in op.sources)
            self.ops.append(replace(op, sources=sources, target=self.tensor(op.target)))

    def add(self, band: Band, roots: Roots) -> None:
        """Operations, loads and stores of a band."""
        made = _Made(self, band, roots)
        loaded, stored = self.graph.loads[0].tensor, self.graph.output
        if roots.input in made.roots:
            self.loads.append(Transfer(len(self.ops), made.part(loaded), band.rows[roots.input][0]))
        for number in band.ops:
            op = self.graph.ops[number]
            row, stride = band.rows[roots.of(op.target)][0], op.layer.stride
            assert stride is not None
            sources = [made.read(source) for source in op.sources]
            first = [start for _, start in sources]
            top, skip_row = op.top + first[0] - row * stride, row - first[1] if first[1:] else 0
            numbers = tuple(source for source, _ in sources)
            self.ops.append(replace(op, sources=numbers, target=made.part(op.target), top=top, skip_row=skip_row))
        if roots.output in made.roots:
            self.stores.append(Transfer(len(self.ops), made.part(stored), band.rows[roots.output][0]))


class _Made:
    """The tensors of one band."""

    def __init__(self, builder: _Builder, band: Band, roots: Roots) -> None:
        self._builder, self._band = builder, band
        self._parts: dict[int, int] = {}
        self.roots = roots.banded & set(band.rows)
        """Old roots of which the band has rows of its own."""

    def read(self, old: int) -> tuple[int, int]:
        """The new tensor that an operation reads an old one from, and the row of the old one that it begins with."""
        root = self._builder.graph.tensors[old].root
        return (self.part(old), self._band.rows[root][0]) if root in self.roots else (self._builder.tensor(old), 0)

    def part(self, old: int) -> int:
        """The new tensor of the band's rows of an old one: a band of its own, or rows of a whole tensor."""
        if old not in self._parts:
            one = self._builder.graph.tensors[old]
            low, high = self._band.rows[one.root]
            rows = replace(one, shape=(one.shape[0], high - low, one.shape[2]))
            if one.root not in self.roots:
                rows = replace(rows, root=self._builder.tensor(one.root), row=low)
            elif one.root == old:
                rows = replace(rows, root=len(self._builder.tensors), whole=old)
            else:
                rows = replace(rows, root=self.part(one.root))
            self._parts[old] = self._builder.new(rows)
        return self._parts[old]
