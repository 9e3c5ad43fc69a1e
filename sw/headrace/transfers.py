"""Between DRAM and the activation memory: where the network's input and output lie in DRAM, and what moves them.

A tensor that is moved as a whole lies there as on the chip. Of one that is moved in bands DRAM holds all rows, of
whole beats each, so that every band of every plane is one block.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from .config import Config
from .errors import CompileError
from .geometry import Shape
from .graph import Graph, Transfer
from .isa import BEAT_BYTES, Opcode
from .placement import Placement

Descriptors = list[dict[str, int]]


def in_dram(graph: Graph, transfers: Sequence[Transfer], places: Sequence[Placement], shape: Shape) -> Placement:
    """Where all of the tensor of that shape lies, which the transfers move; CompileError for one too large."""
    one = transfers[0].tensor
    place = places[one]
    if graph.tensors[one].root not in graph.streamed:
        return place.at(0)
    try:
        whole = Placement.make(shape, place.split)
        return replace(whole.widened(place.pitch, (shape[1] + 1) // 2 if place.split else shape[1]), order=place.order)
    except ValueError as error:
        raise CompileError(f"a tensor of {shape} is too large: {error}") from None


def loads(transfer: Transfer, place: Placement, x: Placement, config: Config) -> Descriptors:
    """From the input, which lies as `x`, to `place`: one LOAD for the lanes of every strip, or one for every plane."""
    share, size = config.lanes // place.strips, place.padded_size
    blocks = []
    for strip in range(place.strips):
        lanes = strip * share, (strip + 1) * share
        if place == replace(x, base=place.base, order=place.order):
            blocks.append((strip * size, place.base, size, *lanes))
        else:
            blocks += [(*block, *lanes) for block in _blocks(transfer.row, place, x, strip)]
    return [
        {
            "opcode": Opcode.LOAD,
            "address": address,
            "x_address": x_address,
            "beats": size // BEAT_BYTES,
            "lane_from": first,
            "lane_to": end,
        }
        for address, x_address, size, first, end in blocks
    ]


def stores(transfer: Transfer, place: Placement, y: Placement, offset: int) -> Descriptors:
    """From `place` to the output, which lies as `y` from `offset` on: one STORE, or one for every plane."""
    if place == replace(y, base=place.base):
        blocks = [(0, place.base, y.padded_size)]
    else:
        blocks = _blocks(transfer.row, place, y)
    return [
        {"opcode": Opcode.STORE, "address": offset + address, "x_address": x_address, "beats": size // BEAT_BYTES}
        for address, x_address, size in blocks
    ]


def _blocks(row: int, place: Placement, whole: Placement, strip: int = 0) -> list[tuple[int, int, int]]:
    """Of each plane of `place`, whose rows are those of `whole` from `row` on: address in DRAM, on the chip, bytes.

    In strips, the part of each plane that the strip's lanes hold.
    """
    phases = list(product((0, 1), (0, 1))) if place.split else [(0, 0)]
    result = []
    for channel, (down, across) in product(range(place.channels), phases):
        address, x_address = (
            one.base + channel * one.plane + down * one.row_phase + across * one.column_phase for one in (whole, place)
        )
        first, end = 0, ((place.height - down + 1) // 2 if place.split else place.height) * place.pitch
        if place.strips > 1:
            start = strip * place.strip_step - place.strip_halo
            first, end = max(start, 0), min(start + place.strip_bytes, end)
            x_address += first - start
        if first < end:
            result.append((address + whole.bytes_above(row) + first, x_address, end - first))
    return result
