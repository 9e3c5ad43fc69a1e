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
    """From the input, which lies as `x`, to `place`: one LOAD for the lanes of every strip, or for every plane."""
    if (place.height, place.pitch, place.plane) == (x.height, x.pitch, x.plane):
        share, size = config.lanes // x.strips, x.padded_size
        blocks = [(strip * size, place.base, size, strip * share, (strip + 1) * share) for strip in range(x.strips)]
    else:
        blocks = [(*block, 0, config.lanes) for block in _blocks(transfer.row, place, x)]
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
    if (place.height, place.pitch, place.plane) == (y.height, y.pitch, y.plane):
        blocks = [(0, place.base, y.padded_size)]
    else:
        blocks = _blocks(transfer.row, place, y)
    return [
        {"opcode": Opcode.STORE, "address": offset + address, "x_address": x_address, "beats": size // BEAT_BYTES}
        for address, x_address, size in blocks
    ]


def _blocks(row: int, place: Placement, whole: Placement) -> list[tuple[int, int, int]]:
    """Of each plane of `place`, whose rows are those of `whole` from `row` on: address in DRAM, on the chip, bytes."""
    phases = list(product((0, 1), (0, 1))) if place.split else [(0, 0)]
    result = []
    for channel, (down, across) in product(range(place.channels), phases):
        address, x_address = (
            one.base + channel * one.plane + down * one.row_phase + across * one.column_phase for one in (whole, place)
        )
        rows, first = ((place.height - down + 1) // 2, row // 2) if place.split else (place.height, row)
        if rows:
            result.append((address + first * whole.pitch, x_address, rows * place.pitch))
    return result
