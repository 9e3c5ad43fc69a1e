"""What a segment of bands costs and needs, estimated before anything is placed: enough to try the best ones first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

from .bands import Band, Roots, Segment, plan, row_reach
from .config import Config
from .graph import Graph, Op
from .isa import BEAT_BYTES
from .layers import ceil_div
from .network import AveragePool2d, Conv2d, MaxPool2d
from .placement import Placement
from .prefetch import free_from
from .strips import group_tensors
from .transfers import TRANSFER_CYCLES, in_dram, load_cycles, loads

DESCRIPTOR_CYCLES = 150
"""What a LAYER descriptor takes beside its work, while nothing else runs."""


@dataclass(frozen=True)
class Costs:
    """Of the segments of a graph, on devices of a configuration."""

    graph: Graph
    config: Config

    @cached_property
    def _lifetimes(self) -> dict[int, tuple[int, int]]:
        return self.graph.lifetimes()

    @cached_property
    def _whole(self) -> set[int]:
        """Roots that are never in strips."""
        return {root for group in group_tensors(self.graph) if group.whole for root in group.roots}

    @cached_property
    def _reach(self) -> dict[int, int]:
        """Rows of each root that one row of some operation is computed from."""
        result = dict.fromkeys(self._lifetimes, 1)
        for op in self.graph.ops:
            if not op.whole:
                root = self.graph.tensors[op.sources[0]].root
                result[root] = max(result[root], row_reach(op.layer))
        return result

    @cached_property
    def _taps(self) -> list[int]:
        """Multiplications of every operation for one pixel of all its output channels."""
        return [_taps(op, self.graph.tensors[op.sources[0]].shape[0]) for op in self.graph.ops]

    def most(self, first: int, end: int) -> int:
        """Bands of one row of the last operation's output, two where it is split."""
        target = self.graph.tensors[self.graph.ops[end - 1].target]
        return ceil_div(target.shape[1], 2 if target.split else 1)

    def narrowest(self, segment: Segment) -> Segment:
        """The same operations in most bands."""
        return replace(segment, count=self.most(segment.first, segment.end))

    def segment(self, segment: Segment) -> tuple[float, int]:
        """Cycles that the bands take more than the operations would without them; bytes that a lane needs at least."""
        graph, roots = self.graph, Roots(self.graph, segment)
        cycles = -sum(self._cycles(n, self._rows(n)) for n in range(segment.first, segment.end))
        for band in plan(graph, segment):
            for number in band.ops:
                low, high = band.rows[roots.of(graph.ops[number].target)]
                cycles += self._cycles(number, high - low)
            for root, transfer in ((roots.input, graph.loads[0]), (roots.output, graph.stores[0])):
                if root in band.rows and root in roots.banded:
                    channels, _, width = graph.tensors[transfer.tensor].shape
                    rows = band.rows[root][1] - band.rows[root][0]
                    planes = channels * (4 if graph.tensors[root].split else 1)
                    cycles += channels * rows * width / BEAT_BYTES + planes * TRANSFER_CYCLES
        return cycles, sum(self.worst(segment)[1].values())

    def placed(self, cut: Graph, places: Sequence[Placement]) -> float:
        """Cycles of all operations of this graph in bands, whose tensors lie at `places`, and of the loads, as far as
        these do not run beside layers."""
        runs = [self._run(op, places) for op in cut.ops]
        total = sum(cycles for cycles, _ in runs)
        whole = in_dram(cut, cut.loads, places, self.graph.tensors[self.graph.loads[0].tensor].shape)
        for load, first in zip(cut.loads, free_from(cut, places), strict=True):
            moves = loads(load, places[load.tensor], replace(whole, order=None), self.config)
            takes = sum(load_cycles(one, self.config) for one in moves)
            total += max(takes - sum(idle for _, idle in runs[first : load.before]), 0.0)
        return total

    def _run(self, op: Op, places: Sequence[Placement]) -> tuple[float, float]:
        """Cycles of an operation; of these, such in which no results are written and no tables come."""
        config, x, y = self.config, places[op.sources[0]], places[op.target]
        pitch = config.pixels if op.whole else x.pitch
        words = ceil_div(x.strip_step or y.height * pitch, config.pixels)
        passes = ceil_div(words, config.acc_words)
        taps = x.strips * self._taps[op.number]
        reads = passes * taps / (BEAT_BYTES * config.read_ports)
        writes = float(y.channels * x.strips * words)
        overhead = passes * DESCRIPTOR_CYCLES
        work = max(reads, taps * words / config.lanes, writes)
        return overhead + work, max(work - max(writes, overhead), 0.0)

    def worst(self, segment: Segment) -> tuple[int, dict[int, int]]:
        """The operation that needs most in any of the bands, and bytes of every root alive then: the least that a lane
        must hold, where what can be in strips is in as many as there are lanes."""
        roots = Roots(self.graph, segment)
        needs = (
            (number, self._alive(number, band, roots)) for band in plan(self.graph, segment) for number in band.ops
        )
        return max(needs, key=lambda need: sum(need[1].values()))

    def _rows(self, number: int) -> int:
        return self.graph.tensors[self.graph.ops[number].target].shape[1]

    def _cycles(self, number: int, rows: int) -> float:
        """Of one operation for so many rows: reading its stream, of a byte a weight, or multiplying."""
        config, width = self.config, self.graph.tensors[self.graph.ops[number].target].shape[2]
        words = ceil_div(rows * width, config.pixels)
        passes = ceil_div(words, config.acc_words)
        reads = passes * self._taps[number] / (BEAT_BYTES * config.read_ports)
        return passes * DESCRIPTOR_CYCLES + max(reads, self._taps[number] * words / config.lanes)

    def _alive(self, number: int, band: Band, roots: Roots) -> dict[int, int]:
        """Bytes of what is alive during an operation of a band."""
        result = {}
        for root, (first, last) in self._lifetimes.items():
            if first <= number <= last:
                channels, height, width = self.graph.tensors[root].shape
                rows = height
                if root in roots.banded:
                    low, high = band.rows.get(root, (0, 0))
                    rows = high - low
                if root not in self._whole and root not in roots.whole:
                    rows = min(rows, max(ceil_div(rows, self.config.lanes), self._reach[root]))
                result[root] = channels * rows * width
        return result


def _taps(op: Op, channels: int) -> int:
    layer = op.layer
    if isinstance(layer, Conv2d):
        return int(np.count_nonzero(layer.weights)) + (0 if layer.skip is None else int(np.count_nonzero(layer.skip)))
    if isinstance(layer, MaxPool2d):
        return channels * layer.kernel**2
    return channels * prod(layer.kernel) if isinstance(layer, AveragePool2d) else 0
