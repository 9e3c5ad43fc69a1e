"""Where every tensor of a graph lies in the lanes' memories: strips over lanes, addresses."""

from __future__ import annotations

from math import prod

from .allocate import Full, allocate
from .config import Config
from .errors import CompileError
from .graph import Graph
from .placement import MAX_BYTES, Placement
from .strips import THRIFTS, Group, Misfit, Thrift, geometry, group_tensors


class NoRoomError(CompileError):
    """Not all tensors of operations number `ops` fit at once; those of the first one least, by `short` bytes."""

    def __init__(self, message: str, ops: list[int], short: int) -> None:
        super().__init__(message)
        self.ops, self.short = ops, short


def place(graph: Graph, config: Config, quick: bool = False, ahead: int = 0) -> list[Placement]:
    """A placement of every tensor, in fewest strips. CompileError saying what does not fit; NoRoomError where there is
    too little room. `quick`: only what takes fewest bytes is tried before it is raised. `ahead`: see `Graph.lifetimes`.
    """
    tensors = graph.tensors
    for root, tensor in enumerate(tensors):
        if prod(tensor.shape) > MAX_BYTES // 4:
            ops = [n for n, op in enumerate(graph.ops) if root in {tensors[t].root for t in (*op.sources, op.target)}]
            raise NoRoomError(f"a tensor of {tensor.shape} exceeds every activation memory", ops, prod(tensor.shape))
    groups, last = group_tensors(graph), THRIFTS[-1]
    if quick:
        _place(graph, groups, config, last, ahead)
    for thrift in THRIFTS[:-1]:
        try:
            return _place(graph, groups, config, thrift, ahead)
        except CompileError:
            pass
    return _place(graph, groups, config, last, ahead)


def _place(graph: Graph, groups: list[Group], config: Config, thrift: Thrift, ahead: int) -> list[Placement]:
    strips = [1] * len(groups)
    while True:
        try:
            places = place_in(graph, groups, strips, config, thrift, ahead)
            break
        except Full as full:
            grown = _grow(graph, groups, strips, config, thrift, full.roots)
            if grown is None:
                raise NoRoomError(str(full), full.ops, full.short) from None
            strips = grown
        except Misfit as misfit:
            raise CompileError(str(misfit)) from None
    for index in range(len(groups)):  # groups that grew before others did may have no need of it now
        while strips[index] > 1:
            fewer = [n // 2 if other == index else n for other, n in enumerate(strips)]
            try:
                places = place_in(graph, groups, fewer, config, thrift, ahead)
            except (Full, Misfit):
                break
            strips = fewer
    return places


def _grow(
    graph: Graph, groups: list[Group], strips: list[int], config: Config, thrift: Thrift, roots: list[int]
) -> list[int] | None:
    """More strips for the group with most bytes a lane among those that `roots` belong to: the fewest with which these
    take less. None: nothing helps."""

    def held(places: dict[int, Placement], index: int) -> int:
        return sum(places[root].size for root in groups[index].roots if root in roots)

    now = geometry(graph, groups, strips, config, thrift)
    for index in sorted(range(len(groups)), key=lambda index: (-held(now, index), index)):
        more = 2 * strips[index]
        while not groups[index].whole and held(now, index) and config.lanes % more == 0:
            grown = [more if other == index else n for other, n in enumerate(strips)]
            try:
                if held(geometry(graph, groups, grown, config, thrift), index) < held(now, index):
                    return grown
            except Misfit:
                pass
            more *= 2
    return None


def place_in(
    graph: Graph, groups: list[Group], strips: list[int], config: Config, thrift: Thrift, ahead: int = 0
) -> list[Placement]:
    """A placement of every tensor, those of groups[n] in strips[n] strips. Misfit where the strips are not possible."""
    places = geometry(graph, groups, strips, config, thrift)
    bases = allocate(graph, {root: place.size for root, place in places.items()}, config, ahead)
    result = []
    for tensor in graph.tensors:
        root = places[tensor.root]
        channels, height, width = tensor.shape
        above = root.bytes_above(tensor.row) if root.strips == 1 else 0  # lanes tell by what they keep
        base = bases[tensor.root] + tensor.first * root.plane + above
        result.append(root.of(channels, height, width, base))
    return result
