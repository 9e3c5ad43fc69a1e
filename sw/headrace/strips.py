"""Planes in the lanes' memories: the pitch of their rows, and strips of rows over lanes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import gcd, lcm

import numpy as np

from .config import Config
from .graph import Graph, Op, Tensor
from .isa import BEAT_BYTES, MASK_BITS
from .layers import Windowed, ceil_div, kernel_offsets
from .masks import mask_table, reachable
from .pieces import keep_bytes, piece_start
from .placement import Placement, phase_planes, phases_of


class Misfit(Exception):  # noqa: N818 - one attempt of many; the last one's reason becomes a CompileError
    """These strips are not possible; says which layer and why."""


@dataclass
class Group:
    """Root tensors with one geometry: those that a layer adds up must be read with the same flat pixel numbers."""

    roots: list[int] = field(default_factory=list)
    readers: list[Op] = field(default_factory=list)
    """Operations that read a window around each pixel of these tensors."""
    whole: bool = False
    """Something reads all of it at once, or bands of it, or it is stored, so it cannot be in strips."""
    streamed: bool = False
    """DRAM holds more rows of it: each must be whole beats there."""
    shapes: dict[tuple[object, ...], dict[int, Placement] | Misfit] = field(default_factory=dict, repr=False)
    widths: dict[tuple[object, ...], tuple[int, int] | Misfit] = field(default_factory=dict, repr=False)
    """What `geometry` has found out, for one graph and configuration."""


@dataclass(frozen=True)
class Thrift:
    """What strips may cost in cycles where it saves bytes."""

    half_words: bool = False
    """Rows beside a strip may end in the middle of a word, which is then written in two cycles."""
    interleaved: bool = False
    """Of split tensors, a row of each phase plane may follow the other: more pixels are computed than looked at."""


THRIFTS = (Thrift(), Thrift(half_words=True), Thrift(half_words=True, interleaved=True))


def group_tensors(graph: Graph) -> list[Group]:
    """In the order of their first tensors."""
    number = {tensor.root: tensor.root for tensor in graph.tensors}
    members = {root: [root] for root in number}
    tensors = graph.tensors

    def join(one: int, other: int) -> None:
        a, b = sorted((number[one], number[other]))
        if a != b:
            members[a] += members.pop(b)
            number.update(dict.fromkeys(members[a], a))

    bands: dict[int, int] = {}
    for root in sorted(number):
        if (whole := tensors[root].whole) is not None:
            join(bands.setdefault(whole, root), root)
    for op in graph.ops:
        if len(op.sources) == 2:
            join(*(tensors[source].root for source in op.sources))
    groups: dict[int, Group] = {}
    for root in sorted(number):
        groups.setdefault(number[root], Group()).roots.append(root)
    groups[number[tensors[graph.output].root]].whole = True
    for root in graph.streamed:
        groups[number[root]].streamed = True
    for op in graph.ops:
        for root in (tensors[source].root for source in op.sources):
            if graph.banded(op) and tensors[root].whole is None:
                groups[number[root]].whole = True
    for op in graph.ops:
        group = groups[number[tensors[op.sources[0]].root]]
        if op.whole:
            group.whole = True
        else:
            group.readers.append(op)
    return list(groups.values())


def geometry(
    graph: Graph, groups: list[Group], strips: list[int], config: Config, thrift: Thrift
) -> dict[int, Placement]:
    """Placements at address 0 of all root tensors, those of groups[n] in strips[n] strips.

    Strips want rows that words divide: pitches are widened where an operation needs it. Misfit where none helps.
    """
    tensors = graph.tensors
    number = {root: index for index, group in enumerate(groups) for root in group.roots}
    multiples = [1] * len(groups)
    widths = sorted({1, min(8, config.pixels), config.pixels})

    def places(index: int, multiple: int) -> dict[int, Placement]:
        return _shaped(graph, groups[index], strips[index], multiple, config, thrift)

    def widen(op: Op, i: int, j: int) -> tuple[int, int] | Misfit:
        """The multiples of least bytes for the groups of an operation's input and output."""
        reasons, best = [], None
        for x, y in product(widths, widths):
            if x < multiples[i] or y < multiples[j] or (i == j and x != y):
                continue
            try:
                a, b = places(i, x), places(j, y)
                source, target = tensors[op.sources[0]].root, tensors[op.target].root
                if strips[i] > 1 or strips[j] > 1:
                    check_rows(op, a[source], b[target], tensors[op.target], config)
            except Misfit as misfit:
                reasons.append(misfit)
                continue
            size = sum(place.size for places in (a, b) for place in places.values())
            if best is None or size < best[0]:
                best = size, (x, y)
        return best[1] if best else Misfit(str(reasons[0]))

    pending = list(graph.ops)
    while pending:
        op = pending.pop()
        i, j = (number[tensors[tensor].root] for tensor in (op.sources[0], op.target))
        key = op.target, strips[i], strips[j], multiples[i], multiples[j], thrift
        if key not in groups[i].widths:
            groups[i].widths[key] = widen(op, i, j)
        found = groups[i].widths[key]
        if isinstance(found, Misfit):
            raise Misfit(str(found))
        if found != (multiples[i], multiples[j]):
            multiples[i], multiples[j] = found
            pending = list(graph.ops)
    return {root: place for index, multiple in enumerate(multiples) for root, place in places(index, multiple).items()}


def _shaped(
    graph: Graph, group: Group, count: int, multiple: int, config: Config, thrift: Thrift
) -> dict[int, Placement]:
    """The group's tensors in `count` strips, with rows of a multiple of bytes."""
    key = count, multiple, thrift
    if key not in group.shapes:
        try:
            pitch = _pitch(graph, group, config, multiple)
            group.shapes[key] = _strips(graph, group, count, pitch, config, thrift)
        except Misfit as misfit:
            group.shapes[key] = Misfit(str(misfit))
        except ValueError:  # beyond what a placement may have
            shape = " x ".join(map(str, graph.tensors[group.roots[0]].shape))
            group.shapes[key] = Misfit(f"a tensor of {shape} is too large to be laid out in strips")
    found = group.shapes[key]
    if isinstance(found, Misfit):
        raise Misfit(str(found))
    return found


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
    multiple = lcm(multiple, BEAT_BYTES) if group.streamed else multiple
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
        taps = [reachable(own.tap(i, j), size, pitch) for i, j in kernel_offsets(op.layer, op.top)]
        masks, table, _ = mask_table(taps, pitch, size, config.pixels)
        if len(table) > min(config.masks, 255) or max(masks) >= 1 << MASK_BITS:
            return (
                f"{op.layer.name}: padding needs {max(masks)} masks, {len(table)} entries, for rows of {pitch} pixels; "
                f"config {config.name} has room for {(1 << MASK_BITS) - 1} and {min(config.masks, 255)}"
            )
    return ""


def _strips(graph: Graph, group: Group, count: int, pitch: int, config: Config, thrift: Thrift) -> dict[int, Placement]:
    """The group's tensors in `count` strips."""
    tensors = graph.tensors
    if count == 1:
        held = max(_natural(graph, root)[0] for root in group.roots) * pitch
        return _group_placements(graph, group, held, pitch, held, (1, 0, 0, 0))
    if not group.readers:
        raise Misfit("nothing reads these tensors by rows")
    rows = ceil_div(max(tensors[op.target].shape[1] for op in group.readers), count)
    before, after = _rows_beside(graph, group)
    grain = keep_bytes(config.pixels) if thrift.half_words else config.pixels
    grain = max(grain, BEAT_BYTES) if group.streamed else grain

    def cut(pitch: int) -> tuple[int, int, int]:
        """Bytes of a plane from strip to strip, of those before a strip that its lanes hold too, of all they hold."""
        step = ceil_div(rows * pitch, lcm(pitch, config.pixels)) * lcm(pitch, config.pixels)
        halo = ceil_div(before * pitch, grain) * grain
        return step, halo, halo + step + ceil_div(after * pitch, grain) * grain

    strip, phase = cut(pitch), cut(pitch)[2]
    split = all(tensors[root].split for root in group.roots)
    if (
        thrift.interleaved
        and split
        and min(tensors[root].shape[2] for root in group.roots) > 1
        and not group.streamed
        and cut(4 * pitch)[2] < 4 * phase
        and not _mask_misfit(graph, group, 4 * pitch, config)
    ):
        strip, phase, pitch = cut(4 * pitch), pitch, 4 * pitch
    step, halo, held = strip
    if held >= 1 << 15 or count * step // keep_bytes(config.pixels) >= 1 << 15:
        raise Misfit(f"{group.readers[0].layer.name}: strips of {held} bytes are too long")
    return _group_placements(graph, group, held, pitch, phase, (count, step, halo, held))


def _rows_beside(graph: Graph, group: Group) -> tuple[int, int]:
    """Rows of a (phase) plane that are read above the output's row and below it.

    Columns beside the plane are masked, so whole rows suffice.
    """
    read = [0]
    for op in group.readers:
        assert isinstance(op.layer, Windowed)
        tensor = graph.tensors[op.sources[0]]
        place = Placement.make(tensor.shape, tensor.split)
        taps = [place.tap(i, j) for i, j in kernel_offsets(op.layer, op.top)]
        read += [op.skip_row, *((tap.shift - tap.column) // place.pitch for tap in taps)]
    return -min(read), max(read)


def _group_placements(
    graph: Graph, group: Group, held: int, pitch: int, phase: int, strips: tuple[int, int, int, int]
) -> dict[int, Placement]:
    """`held`: bytes of a plane; `phase`: from a split tensor's phase plane to the next, less where interleaved."""
    tensors = graph.tensors
    plane = max(
        max(phase_planes(tensors[root].shape[2]) * phase, held) if tensors[root].split else held for root in group.roots
    )
    if any(tensor.first * plane % BEAT_BYTES for tensor in tensors if tensor.root in group.roots):
        plane = ceil_div(plane, BEAT_BYTES) * BEAT_BYTES
    result = {}
    for root in group.roots:
        channels, height, width = tensors[root].shape
        phases = phases_of(width, phase) if tensors[root].split else (0, 0)
        result[root] = Placement(channels, height, width, 0, plane, pitch, tensors[root].split, *phases, None, *strips)
    return result


def check_rows(op: Op, x: Placement, y: Placement, target: Tensor, config: Config) -> None:
    """Misfit where an operation's results would reach over the words in which lanes keep its output, which lies as `y`
    or is a band of it, or where its rows cannot be cut into descriptors of whole words."""
    pixels, shape, ahead = config.pixels, target.shape, y.bytes_above(target.row)
    if y.strips > 1 and ahead % pixels:
        raise Misfit(f"{op.layer.name}: a band from row {target.row} on does not begin with a word of {pixels} pixels")
    pitch = pixels if op.whole else x.pitch
    if y.strips > 1 and not y.takes_words(pitch, shape[2], pixels):
        h, w = np.arange(shape[1])[:, None], np.arange(shape[2])
        first = piece_start(h, w, pitch, pixels, y.split)
        row, across = (h // 2, 2) if y.split else (h, 1)
        starts = np.arange(y.strips) * y.strip_step - y.strip_halo - ahead
        limits = np.sort(np.concatenate([starts, starts + y.strip_bytes]))
        begin, end = (np.searchsorted(limits, row * y.pitch + column // across, "right") for column in (first, w))
        if (begin != end).any():
            raise Misfit(f"{op.layer.name}: rows of {pitch} pixels do not fit words of {pixels} in rows of {y.pitch}")
    if (x.strips > 1 or y.strips > 1) and (unit := pitch // gcd(pitch, pixels)) > config.acc_words:
        raise Misfit(
            f"{op.layer.name}: {unit} words, the least of whole rows of {pitch} pixels, do not fit {config.acc_words} "
            f"words of {pixels} accumulators of config {config.name}"
        )
