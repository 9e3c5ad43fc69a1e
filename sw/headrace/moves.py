"""Where in the program the network's input is loaded and its output stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from .compiled import Band, Part
from .config import Config
from .graph import Graph
from .placement import Placement
from .prefetch import free_from, load_ahead, pays, spare
from .transfers import Descriptors, in_pieces, loads, stores


@dataclass(frozen=True)
class Moves:
    """LOADs and STOREs."""

    before: list[Descriptors]
    """Of each operation, and behind the last one."""
    behind: list[Descriptors]
    """LOADs behind each LAYER descriptor."""


def plan_moves(
    graph: Graph, places: Sequence[Placement], parts: Sequence[Part], x: Placement, y: Placement, config: Config
) -> Moves:
    """What moves the tensors of `graph`, which lie at `places` and in DRAM as `x` and, behind that, as `y`.

    What a layer's first descriptor does not read of its input comes beside it, where that is the sooner.
    """
    each = [zip(part.bands, part.runs, strict=True) for part in parts]
    bands, runs_of = zip(*(next(each[op.number]) for op in graph.ops), strict=True)
    slots = [0, *accumulate(map(len, runs_of))]  # of each operation, its first LAYER descriptor
    runs = [run for own in runs_of for run in own]
    left = spare(runs)
    before: list[Descriptors] = [[] for _ in range(len(graph.ops) + 1)]
    for one in graph.stores:
        before[one.before] += stores(one, places[one.tensor], y, x.packed_size)
    ahead: dict[tuple[int, int], Descriptors] = {}
    for one, free in zip(graph.loads, free_from(graph, places), strict=True):
        blocks, due = loads(one, places[one.tensor], x, config), slots[one.before]
        if free < one.before:
            ahead.setdefault((slots[free], due), []).extend(blocks)
            continue
        pieces = [blocks]
        ends = _read_until(bands[one.before], config)
        if ends and graph.ops[one.before].sources == (one.tensor,):
            cut = in_pieces(one, places[one.tensor], x, config, ends)
            if cut and pays(blocks, cut, left[due:], config):
                pieces = cut
        before[one.before] += pieces[0]
        for number, piece in enumerate(pieces[1:], due):
            ahead.setdefault((number, number + 1), []).extend(piece)
    return Moves(before, load_ahead(runs, ahead, config))


def _read_until(band: Band, config: Config) -> list[int]:
    """Of each of the band's cuts but the last, the flat pixel of the input's (phase) planes before which lies what it
    and those before it read; in strips counted from the strip's first one."""
    x, pitch = band.x, band.lowered.pitch
    taps = [tap for tap in band.lowered.taps if tap.end]
    reach = max((tap.address - x.base - x.strip_halo if x.interleaved else tap.shift for tap in taps), default=0)
    ends = [
        cut.first_row * pitch + cut.first_column + (cut.first_word + cut.words) * config.pixels + reach
        for cut in band.cuts[:-1]
    ]
    return list(accumulate(ends, max))
