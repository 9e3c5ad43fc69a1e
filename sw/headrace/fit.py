"""Which operations run in bands of rows, where a graph's tensors do not fit the activation memory at once."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from .band_costs import Costs
from .banding import banded
from .bands import Segment
from .config import Config
from .errors import CompileError
from .graph import Graph
from .layout import Unplaced, place
from .placement import Placement

TRIES = 100
"""Placements that are tried for one operation that does not fit."""
Fitted = tuple[Graph, list[Placement]]


def fit(graph: Graph, config: Config) -> Fitted:
    """What runs in place of `graph`, and where its tensors lie: the graph as it is or, where that does not fit, with
    segments in bands.

    Of the segments that make room for the operation that needs most, the one of fewest estimated cycles is taken, until
    everything fits. Deterministic. CompileError saying what does not fit even so.
    """
    segments: list[Segment] = []
    try:
        return graph, place(graph, config)
    except Unplaced as unplaced:
        lacking = unplaced
    while True:
        found = _relieve(graph, segments, lacking, config)
        if not isinstance(found, Unplaced):
            return found
        lacking = found


def _relieve(graph: Graph, segments: list[Segment], lacking: Unplaced, config: Config) -> Fitted | Unplaced:
    """Changes `segments` so that something else does not fit, which is returned, or everything does.

    The operations of `lacking` are those of the graph without bands. CompileError where no segment helps.
    """
    number = next((n for n in lacking.ops if not graph.ops[n].whole), None)
    if number is None:
        raise CompileError(str(lacking))
    costs, closest = Costs(graph, config), lacking
    heap = [(*costs.segment(segment), segment) for segment in _starts(graph, costs, segments, number, config)]
    heapq.heapify(heap)
    tries = 0
    while heap and tries < TRIES:
        _, least, segment = heapq.heappop(heap)
        if least <= config.x_bytes:
            tries += 1
            others = [one for one in segments if one.end <= segment.first or segment.end <= one.first]
            cut = banded(graph, [*others, segment])
            try:
                places = place(cut, config, quick=True)
                segments[:] = [*others, segment]
                return cut, places
            except Unplaced as unplaced:
                ops = [cut.ops[n].number for n in unplaced.ops]
                left = Unplaced(str(unplaced), list(dict.fromkeys(ops)), unplaced.short)
                if not any(segment.first <= n < segment.end for n in left.ops):
                    segments[:] = [*others, segment]
                    return left
                closest = min(closest, left, key=lambda one: one.short)
            except CompileError:  # strips are not possible, with fewer rows they may be
                pass
        most = costs.most(segment.first, segment.end)
        if segment.count < most:
            narrower = Segment(segment.first, segment.end, min(most, segment.count + max(1, segment.count // 2)))
            heapq.heappush(heap, (*costs.segment(narrower), narrower))
    raise CompileError(f"{closest}, even in bands of rows")


def _starts(
    graph: Graph, costs: Costs, segments: list[Segment], number: int, config: Config
) -> Iterator[Segment]:
    """Segments around an operation, of fewest bands, that could fit with more."""
    inside = [one for one in segments if one.first <= number < one.end]
    first, end = (inside[0].first, inside[0].end) if inside else (number, number + 1)
    low, high = first, end
    while low and not graph.ops[low - 1].whole:
        low -= 1
    while high < len(graph.ops) and not graph.ops[high].whole:
        high += 1
    for a in range(low, first + 1):
        for b in range(end, high + 1):
            crossed = [one for one in segments if one.first < a < one.end or one.first < b < one.end]
            fewest = inside[0].count + 1 if inside and (a, b) == (first, end) else 2
            most = costs.most(a, b)
            if not crossed and fewest <= most and costs.segment(Segment(a, b, most))[1] <= config.x_bytes:
                yield Segment(a, b, fewest)
