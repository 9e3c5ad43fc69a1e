"""Where in a program bands of the input are loaded: beside layers that run before they are due, where there is room."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .graph import Graph
from .placement import Placement
from .transfers import TRANSFER_CYCLES, load_cycles

Descriptor = dict[str, int]


@dataclass(frozen=True)
class LayerRun:
    """A LAYER descriptor, and what it takes at least: cycles, and of these such in which results are written."""

    descriptor: Descriptor
    cycles: int
    writes: int


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


def load_ahead(
    ops: Sequence[Sequence[LayerRun]],
    loads: Mapping[tuple[int, int], Sequence[Descriptor]],
    beat_cycles: float,
) -> list[list[Descriptor]]:
    """The program of every operation: its LAYER descriptors and LOADs behind them. Those of `loads[first, due]` may run
    beside operations `first` to `due` - 1, at least one. A beat takes `beat_cycles`.

    A LOAD's beats are written while no results are. The front takes it and the tables of the layer behind it one after
    the other, so each LAYER gets the first LOADs that leave time for those. What remains waits for the last LAYER.
    """
    slots = [(number, cut) for number, cuts in enumerate(ops) for cut in range(len(cuts))]
    runs = [ops[number][cut] for number, cut in slots]
    tables = [run.descriptor["beats"] + TRANSFER_CYCLES for run in runs[1:]] + [0]
    left: list[float] = [run.cycles - max(run.writes, beats) for run, beats in zip(runs, tables, strict=True)]
    behind: list[list[Descriptor]] = [[] for _ in slots]
    for (first, due), descriptors in sorted(loads.items()):
        own = [slot for slot, (number, _) in enumerate(slots) if first <= number < due]
        slot = own[0]
        for descriptor in descriptors:
            takes = load_cycles(descriptor, beat_cycles)
            while slot < own[-1] and left[slot] < takes:
                slot += 1
            behind[slot].append(descriptor | {"beside": int(left[slot] > 0)})
            left[slot] -= takes
    programs: list[list[Descriptor]] = [[] for _ in ops]
    for (number, _), run, moves in zip(slots, runs, behind, strict=True):
        programs[number] += [run.descriptor, *moves]
    return programs
