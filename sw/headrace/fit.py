"""Which operations run in bands of rows, where a graph's tensors do not fit the activation memory at once."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice, pairwise

from .allocate import needed
from .band_costs import Costs
from .banding import banded
from .bands import Segment
from .config import Config
from .errors import CompileError
from .graph import Graph
from .layout import NoRoomError, place
from .placement import Placement

TRIES = 100
"""Segments that are tried for one operation that does not fit."""
MORE_TRIES, MORE_OPS = 6, 64
"""Of these, behind the first one that fits, in search of one that takes fewer cycles, with its tensors in place; while
there are so few operations in bands: each makes placing take longer."""
Fitted = tuple[Graph, list[Placement]]


def fit(graph: Graph, config: Config) -> Fitted:
    """What runs in place of `graph`, and where its tensors lie: the graph as it is or, where that does not fit, with
    segments in bands.

    Of the segments that make room for the operation that needs most, one of few estimated cycles is taken, then one for
    what does not fit even then, and so on. Deterministic. CompileError saying what does not fit in any bands.
    """
    segments: list[Segment] = []
    try:
        return graph, place(graph, config)
    except NoRoomError as unplaced:
        found: Fitted | NoRoomError = unplaced
    while isinstance(found, NoRoomError):
        segments, found = _relieve(graph, segments, found, config)
    return found


def _relieve(
    graph: Graph, segments: list[Segment], lacking: NoRoomError, config: Config
) -> tuple[list[Segment], Fitted | NoRoomError]:
    """Segments with which everything fits, or something else does not, which is returned.

    The operations of `lacking` are those of `graph`, as are those of what is returned.
    """
    number = next((n for n in lacking.ops if not graph.ops[n].whole), None)
    if number is None:
        raise CompileError(str(lacking))
    costs = Costs(graph, config)
    starts = list(_around(graph, segments, number, costs))
    joined = {one for one in starts if _joined(graph, one)}
    queue = chain(_by_cost(joined, costs), _by_cost(set(starts) - joined, costs))
    closest: NoRoomError | None = None
    best: tuple[float, list[Segment], Fitted] | None = None
    tries = MORE_TRIES
    for segment in islice(queue, TRIES):
        if tries == 0:
            break
        tries -= best is not None
        others = [one for one in segments if one.end <= segment.first or segment.end <= one.first]
        cut = banded(graph, [*others, segment])
        few = len(cut.ops) <= MORE_OPS
        if best and not few:
            continue
        try:
            places = place(cut, config, quick=True)
            if not few:
                return [*others, segment], (cut, places)
            for one in (places, *_ahead(cut, config)):
                cycles = costs.placed(cut, one)
                if best is None or cycles < best[0]:
                    best = cycles, [*others, segment], (cut, one)
            continue
        except NoRoomError as unplaced:
            if best:
                continue
            left = NoRoomError(str(unplaced), [cut.ops[n].number for n in unplaced.ops], unplaced.short)
        except CompileError:  # of strips or masks; with fewer rows they may be possible
            continue
        if not any(segment.first <= n < segment.end for n in left.ops):
            return [*others, segment], left
        closest = left if closest is None or left.short < closest.short else closest
    if best:
        return best[1], best[2]
    if closest is not None:
        raise CompileError(f"{closest}, in bands of rows")
    if not starts:
        raise CompileError(str(lacking))
    worst, alive = min((costs.worst(costs.narrowest(one)) for one in starts), key=lambda need: sum(need[1].values()))
    sizes = {root: size for root, size in alive.items() if size}
    text = f"in bands of one row {graph.ops[worst].layer.name} needs {needed(graph, sizes)}"
    raise CompileError(f"{lacking}; {text} at least: {sum(sizes.values()) - config.x_bytes} are short")


def _ahead(cut: Graph, config: Config) -> Iterator[list[Placement]]:
    """Placements with room for bands of the input before they are due."""
    between = max((load.before - before.before for before, load in pairwise(cut.loads)), default=0)
    for ahead in sorted({between, between // 2, 1} - {0}):
        try:
            yield place(cut, config, quick=True, ahead=ahead)
        except CompileError:  # with more room still there is none
            return


def _around(graph: Graph, segments: list[Segment], number: int, costs: Costs) -> Iterator[Segment]:
    """Segments with an operation, of the fewest bands, each with all of a present one or nothing."""
    inside = next((one for one in segments if one.first <= number < one.end), None)
    first, end = (inside.first, inside.end) if inside else (number, number + 1)
    low, high = first, end
    while low and not graph.ops[low - 1].whole:
        low -= 1
    while high < len(graph.ops) and not graph.ops[high].whole:
        high += 1
    for a in range(low, first + 1):
        for b in range(end, high + 1):
            if any(one.first < a < one.end or one.first < b < one.end for one in segments):
                continue
            count = inside.count + 1 if inside and (a, b) == (first, end) else 2
            if count <= costs.most(a, b):
                yield Segment(a, b, count)


def _joined(graph: Graph, segment: Segment) -> bool:
    """Whether what operations of the segment write together with others, they write with others of the segment."""
    inside, outside = set[int](), set[int]()
    for number, op in enumerate(graph.ops):
        within = segment.first <= number < segment.end
        (inside if within else outside).add(graph.tensors[op.target].root)
    return not inside & outside


def _by_cost(starts: Iterable[Segment], costs: Costs) -> Iterator[Segment]:
    """The segments, with these bands and with more, that could fit: first those of fewest cycles."""
    room = costs.config.x_bytes
    heap = [
        (*costs.segment(segment), segment) for segment in starts if costs.segment(costs.narrowest(segment))[1] <= room
    ]
    heapq.heapify(heap)
    while heap:
        _, need, segment = heapq.heappop(heap)
        if need <= room:
            yield segment
        most = costs.most(segment.first, segment.end)
        if segment.count < most:
            narrower = replace(segment, count=min(most, segment.count + max(1, segment.count // 2)))
            heapq.heappush(heap, (*costs.segment(narrower), narrower))
