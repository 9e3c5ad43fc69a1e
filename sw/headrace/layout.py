"""Where every tensor of a graph lies in the lanes' memories: pitches, strips over lanes, addresses."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd, prod

import numpy as np

from .allocate import Full, allocate
from .config import Config
from .errors import CompileError
from .graph import Graph, Op
from .isa import BEAT_BYTES, MASK_BITS
from .layers import Windowed, ceil_div, kernel_offsets
from .masks import mask_table, reachable
from .pieces import piece_start
from .placement import MAX_BYTES, Placement


class Misfit(Exception):  # noqa: N818 - one attempt of many; the last one's reason becomes a CompileError
    """These strips are not possible; says which layer and why."""


@dataclass
class Group:
    """Root tensors with one geometry: those that a layer adds up must be read with the same flat pixel numbers."""

    roots: list[int] = field(default_factory=list)
    readers: list[Op] = field(default_factory=list)
    """Operations that read a window around each pixel of these tensors."""
    whole: bool = False
    """Something reads all of it at once, so it cannot be in strips."""


def group_tensors(graph: Graph) -> list[Group]:
    """In the order of their first tensors."""
    number = {tensor.root: tensor.root for tensor in graph.tensors}
    tensors = graph.tensors
    for op in graph.ops:
        if len(op.sources) == 2:
            a, b = (number[tensors[source].root] for source in op.sources)
            number = {root: min(a, b) if group == max(a, b) else group for root, group in number.items()}
    groups: dict[int, Group] = {}
    for root in sorted(number):
        groups.setdefault(number[root], Group()).roots.append(root)
    groups[number[tensors[graph.output].root]].whole = True
    for op in graph.ops:
        group = groups[number[tensors[op.sources[0]].root]]
        if op.whole:
            group.whole = True
        else:
            group.readers.append(op)
    return list(groups.values())


def place(graph: Graph, config: Config) -> list[Placement]:
    """A placement of every tensor, in fewest strips. CompileError saying what does not fit."""
    for tensor in graph.tensors:
        if prod(tensor.shape) > MAX_BYTES // 4:
            raise CompileError(f"a tensor of {tensor.shape} exceeds every activation memory")
    groups = group_tensors(graph)
    strips = [1] * len(groups)
    while True:
        try:
            places = place_in(graph, groups, strips, config)
            break
        except Full as full:
            grown = _grow(graph, groups, strips, config, full.roots)
            if grown is None:
                raise CompileError(str(full)) from None
            strips = grown
        except Misfit as misfit:
            raise CompileError(str(misfit)) from None
    for index in range(len(groups)):  # groups that grew before others did may have no need of it now
        while strips[index] > 1:
            fewer = [n // 2 if other == index else n for other, n in enumerate(strips)]
            try:
                places = place_in(graph, groups, fewer, config)
            except (Full, Misfit):
                break
            strips = fewer
    return places


def _grow(graph: Graph, groups: list[Group], strips: list[int], config: Config, roots: list[int]) -> list[int] | None:
    """More strips for the group with most bytes a lane among those that `roots` belong to: the fewest with which these
    take less. None: nothing helps."""

    def held(places: dict[int, Placement], index: int) -> int:
        return sum(places[root].size for root in groups[index].roots if root in roots)

    now = geometry(graph, groups, strips, config)
    for index in sorted(range(len(groups)), key=lambda index: (-held(now, index), index)):
        more = 2 * strips[index]
        while not groups[index].whole and held(now, index) and config.lanes % more == 0:
            grown = [more if other == index else n for other, n in enumerate(strips)]
            try:
                if held(geometry(graph, groups, grown, config), index) < held(now, index):
                    return grown
            except Misfit:
                pass
            more *= 2
    return None


def place_in(graph: Graph, groups: list[Group], strips: list[int], config: Config) -> list[Placement]:
    """A placement of every tensor, those of groups[n] in strips[n] strips. Misfit where the strips are not possible."""
    places = geometry(graph, groups, strips, config)
    bases = allocate(graph, {root: place.size for root, place in places.items()}, config)
    result = []
    for tensor in graph.tensors:
        root = places[tensor.root]
        channels, height, width = tensor.shape
        base = bases[tensor.root] + tensor.first * root.plane
        result.append(root.of(channels, height, width, base))
    return result


def geometry(graph: Graph, groups: list[Group], strips: list[int], config: Config) -> dict[int, Placement]:
    """Placements at address 0 of all root tensors. Strips want rows that words divide; wider pitches are tried."""
    striped = max(strips) > 1
    attempts = [(1, 1), (1, min(8, config.pixels)), (min(8, config.pixels),) * 2, (config.pixels,) * 2]
    for number, (whole, cut) in enumerate(attempts if striped else attempts[:1]):
        try:
            return _attempt(graph, groups, strips, config, whole, cut)
        except Misfit:
            if not striped or number == len(attempts) - 1:
                raise
    raise AssertionError("unreachable")


def _attempt(
    graph: Graph, groups: list[Group], strips: list[int], config: Config, whole: int, cut: int
) -> dict[int, Placement]:
    """`whole`, `cut`: what pitches are multiples of, of tensors in one strip and in several."""
    places: dict[int, Placement] = {}
    for group, count in zip(groups, strips, strict=True):
        pitch = _pitch(graph, group, config, cut if count > 1 else whole)
        places |= _strips(graph, group, count, pitch, config)
    tensors = graph.tensors
    for op in graph.ops:
        x, y = places[tensors[op.sources[0]].root], places[tensors[op.target].root]
        if x.strips > 1 or y.strips > 1:
            check_rows(op, x, y, graph.tensors[op.target].shape, config)
    return places


def _natural(graph: Graph, root: int) -> tuple[int, int]:
    """Rows and columns of a (phase) plane."""
    tensor = graph.tensors[root]
    _, height, width = tensor.shape
    return (ceil_div(height, 2), ceil_div(width, 2)) if tensor.split else (height, width)


def _pitch(graph: Graph, group: Group, config: Config, multiple: int) -> int:
    """The narrowest: results of every reader in a row, and masks that fit the table. Misfit where there is none."""
    least = max([_natural(graph, root)[1] for root in group.roots])
    least = max([least, *(graph.tensors[op.target].shape[2] for op in group.readers)])
    reason = ""
    step = multiple
    while step <= max(multiple, config.pixels):
        pitch = ceil_div(least, step) * step
        reason = _mask_misfit(graph, group, pitch, config)
        if not reason:
            return pitch
        step *= 2
    raise Misfit(reason)


def _mask_misfit(graph: Graph, group: Group, pitch: int, config: Config) -> str:
    """Empty, or which layer's masks do not fit."""
    for op in group.readers:
        tensor = graph.tensors[op.sources[0]]
        assert isinstance(op.layer, Windowed)
        rows, _ = _natural(graph, op.sources[0])
        own = Placement.make(tensor.shape, tensor.split).widened(pitch, rows)
        size = graph.tensors[op.target].shape[1:]
        taps = [reachable(own.tap(i, j), size[0], pitch) for i, j in kernel_offsets(op.layer)]
        masks, table, _ = mask_table(taps, pitch, size, config.pixels)
        if len(table) > min(config.masks, 255) or max(masks) >= 1 << MASK_BITS:
            return (
                f"{op.layer.name}: padding needs {max(masks)} masks, {len(table)} entries, for rows of {pitch} pixels; "
                f"config {config.name} has room for {(1 << MASK_BITS) - 1} and {min(config.masks, 255)}"
            )
    return ""


def _strips(graph: Graph, group: Group, count: int, pitch: int, config: Config) -> dict[int, Placement]:
    """The group's tensors in `count` strips."""
    pixels, tensors = config.pixels, graph.tensors
    rows = max(_natural(graph, root)[0] for root in group.roots)
    step = halo = held = 0
    if count > 1:
        if not group.readers:
            raise Misfit("nothing reads these tensors by rows")
        heights = [tensors[op.target].shape[1] for op in group.readers]
        step = ceil_div(max(heights), count)
        while step * pitch % (2 * pixels):
            step += 1
        rows_read = [0]  # beside the output's row; columns beside the plane are masked, so whole rows suffice
        for op in group.readers:
            assert isinstance(op.layer, Windowed)
            place = Placement.make(tensors[op.sources[0]].shape, tensors[op.sources[0]].split)
            taps = [place.tap(i, j) for i, j in kernel_offsets(op.layer)]
            rows_read += [(tap.shift - tap.column) // place.pitch for tap in taps]
        halo = ceil_div(-min(rows_read) * pitch, 2 * pixels) * 2 * pixels
        held = halo + step * pitch + ceil_div(max(rows_read) * pitch, pixels) * pixels
        if held >= 1 << 15 or (count * step * pitch) // pixels >= 1 << 15:
            raise Misfit(f"{group.readers[0].layer.name}: strips of {held} bytes are too long")
    phase = held if count > 1 else rows * pitch
    plane = max(4 * phase if tensors[root].split else phase for root in group.roots)
    if any(tensor.first for tensor in tensors if tensor.root in group.roots):
        plane = ceil_div(plane, BEAT_BYTES) * BEAT_BYTES
    result = {}
    for root in group.roots:
        channels, height, width = tensors[root].shape
        phases = (2 * phase, phase) if tensors[root].split else (0, 0)
        strips = (count, step * pitch, halo, held) if count > 1 else (1, 0, 0, 0)
        result[root] = Placement(channels, height, width, 0, plane, pitch, tensors[root].split, *phases, None, *strips)
    return result


def check_rows(op: Op, x: Placement, y: Placement, shape: tuple[int, int, int], config: Config) -> None:
    """Misfit where an operation's results would reach over the words in which lanes keep its output, or where its rows
    cannot be cut into descriptors of whole words."""
    pixels = config.pixels
    pitch = pixels if op.whole else x.pitch
    if y.strips > 1 and not (pitch == y.pitch == shape[2] and not y.split):
        h, w = np.arange(shape[1])[:, None], np.arange(shape[2])
        first = piece_start(h, w, pitch, pixels, y.split)
        row, across = (h // 2, 2) if y.split else (h, 1)
        starts = np.arange(y.strips) * y.strip_step - y.strip_halo
        limits = np.sort(np.concatenate([starts, starts + y.strip_bytes]))
        begin, end = (np.searchsorted(limits, row * y.pitch + column // across, "right") for column in (first, w))
        if (begin != end).any():
            raise Misfit(f"{op.layer.name}: rows of {pitch} pixels do not fit words of {pixels} in rows of {y.pitch}")
    if (x.strips > 1 or y.strips > 1) and (unit := pitch // gcd(pitch, pixels)) > config.acc_words:
        raise Misfit(
            f"{op.layer.name}: {unit} words, the least of whole rows of {pitch} pixels, do not fit {config.acc_words} "
            f"words of {pixels} accumulators of config {config.name}"
        )
