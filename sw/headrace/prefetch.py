"""Which layers bands and pieces of the input are loaded beside: such as run before they are due."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .config import Config
from .graph import Graph
from .placement import Placement
from .transfers import TRANSFER_CYCLES, load_cycles

Descriptor = dict[str, int]


@dataclass(frozen=True)
class LayerRun:
    """What a LAYER descriptor takes, estimated."""

    tables: int
    """Beats."""
    cycles: int
    writes: int
    """Cycles of these in which results are written."""


def free_from(graph: Graph, places: Sequence[Placement]) -> list[int]:
    """Of every load, the first of the operations without a gap before its own that leave alone the bytes it writes; its
    own where there is none. `places` are those of all tensors."""
    lifetimes = graph.lifetimes()

    def free(tensor: int, op: int) -> bool:
        place, root = places[tensor], graph.tensors[tensor].root
        return all(
            place.base + place.padded_size <= places[other].base
            or places[other].base + places[other].padded_size <= place.base
            for other, (first, last) in lifetimes.items()
            if other != root and first <= op <= last
        )

    result = []
    for load in graph.loads:
        first = load.before
        while first and free(load.tensor, first - 1):
            first -= 1
        result.append(first)
    return result


def spare(runs: Sequence[LayerRun]) -> list[float]:
    """Cycles of each run in which a LOAD beside it keeps nobody waiting: while neither results are written nor its own
    descriptor comes, and while the tables of the next run do not come."""
    tables = [run.tables + TRANSFER_CYCLES for run in runs[1:]] + [0]
    return [run.cycles - max(run.writes + TRANSFER_CYCLES, beats) for run, beats in zip(runs, tables, strict=True)]


def pays(
    whole: Sequence[Descriptor], pieces: Sequence[Sequence[Descriptor]], left: Sequence[float], config: Config
) -> bool:
    """Whether LOADs in `pieces`, of which all but the first come beside layers with so many cycles `left`, keep those
    waiting less long than `whole` ones."""
    first, *others = (sum(load_cycles(one, config) for one in piece) for piece in pieces)
    late = sum(max(takes - time, 0) for takes, time in zip(others, left, strict=False))
    return first + late < sum(load_cycles(one, config) for one in whole)


def load_ahead(
    runs: Sequence[LayerRun],
    loads: Mapping[tuple[int, int], Sequence[Descriptor]],
    config: Config,
) -> list[list[Descriptor]]:
    """The LOADs behind every run. Those of `loads[first, due]` may come beside runs `first` to `due` - 1, at least one.

    The front takes a LOAD and the tables of the layer behind it one after the other, so each LAYER gets the first LOADs
    that leave time for those. What remains waits for the last LAYER.
    """
    left = spare(runs)
    behind: list[list[Descriptor]] = [[] for _ in runs]
    for (first, due), descriptors in sorted(loads.items()):
        slot = first
        for descriptor in descriptors:
            takes = load_cycles(descriptor, config)
            while slot < due - 1 and left[slot] < takes:
                slot += 1
            behind[slot].append(descriptor | {"beside": 1})
            left[slot] -= takes
    return behind
