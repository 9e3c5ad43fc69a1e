"""Between DRAM and the activation memory: where the network's input and output lie in DRAM, and what moves them.

A tensor that is moved as a whole lies there as on the chip. Of one that is moved in bands DRAM holds all rows, of whole
beats each, so that every band of every plane is one block. A LOAD moves blocks of one size at equal distances, over all
read ports in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from .config import Config
from .cycles.costs import written_beat_cycles
from .errors import CompileError
from .geometry import Shape
from .graph import Graph, Transfer
from .isa import BEAT_BYTES, DESCRIPTOR, Opcode
from .placement import Placement

Descriptors = list[dict[str, int]]
MAX_BLOCKS, MAX_STRIDE = DESCRIPTOR.most("in_channels"), DESCRIPTOR.most("in_plane")
"""Blocks of a LOAD, and bytes from one to the next on the chip."""
TRANSFER_CYCLES = 60
"""What a LOAD or STORE takes beside its beats."""
Block = tuple[int, int, int]
"""Address in DRAM, on the chip, bytes."""


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
    """From the input, which lies as `x`, to `place`: of all its bytes, or blocks of every plane, for the lanes of every
    strip."""
    share, size = config.lanes // place.strips, place.padded_size
    result: Descriptors = []
    for strip in range(place.strips):
        if place == replace(x, base=place.base, order=place.order):
            runs = [Run(strip * size, place.base, size).spread(config.read_ports)]
        else:
            orders = (_blocks(transfer.row, place, x, strip, by_phase) for by_phase in (False, True))
            runs = min((_runs(blocks) for blocks in orders), key=len)
        result += [
            {
                "opcode": Opcode.LOAD,
                "address": run.address,
                "stride": run.stride,
                "x_address": run.x_address,
                "in_plane": run.x_stride,
                "in_channels": run.count,
                "beats": run.size // BEAT_BYTES,
                "lane_from": strip * share,
                "lane_to": (strip + 1) * share,
            }
            for run in runs
        ]
    return result


def load_beat_cycles(config: Config) -> float:
    """Of a beat of a LOAD: what all read ports bring, if the memory does, and the activation memory takes."""
    return max(1 / config.read_ports, written_beat_cycles(config.pixels))


def load_cycles(load: Mapping[str, int], beat_cycles: float) -> float:
    """Of a LOAD, a beat of which takes so many."""
    return load["beats"] * load["in_channels"] * beat_cycles + TRANSFER_CYCLES


def stores(transfer: Transfer, place: Placement, y: Placement, offset: int) -> Descriptors:
    """From `place` to the output, which lies as `y` from `offset` on: one STORE, or one for every plane."""
    if place == replace(y, base=place.base):
        blocks = [(0, place.base, y.padded_size)]
    else:
        blocks = list(_blocks(transfer.row, place, y))
    return [
        {"opcode": Opcode.STORE, "address": offset + address, "x_address": x_address, "beats": size // BEAT_BYTES}
        for address, x_address, size in blocks
    ]


@dataclass
class Run:
    """`count` blocks of `size` bytes at equal distances, from `address` in DRAM and `x_address` on the chip on."""

    address: int
    x_address: int
    size: int
    count: int = 1
    stride: int = 0
    x_stride: int = 0

    def spread(self, ports: int) -> Run:
        """The same bytes in more blocks, where one would leave ports idle and they can be cut evenly."""
        for count in (2, 3, 5, 7) if ports > 1 and self.count == 1 else ():
            size = self.size // count
            if size * count == self.size and size % BEAT_BYTES == 0 and size <= MAX_STRIDE:
                return Run(self.address, self.x_address, size, count, size, size)
        return self

    def goes_on(self, address: int, x_address: int, size: int) -> bool:
        """Whether a block is the next one; from the second one on there is a distance to keep."""
        distance = address - self.address - (self.count - 1) * self.stride
        x_distance = x_address - self.x_address - (self.count - 1) * self.x_stride
        if size != self.size or distance < 0 or not 0 <= x_distance <= MAX_STRIDE or self.count == MAX_BLOCKS:
            return False
        if self.count == 1:
            self.stride, self.x_stride = distance, x_distance
        return (distance, x_distance) == (self.stride, self.x_stride)


def _runs(blocks: Iterable[Block]) -> list[Run]:
    """The blocks, in order, in as few runs as follow from the first on."""
    result: list[Run] = []
    for block in blocks:
        if result and result[-1].goes_on(*block):
            result[-1].count += 1
        else:
            result.append(Run(*block))
    return result


def _blocks(row: int, place: Placement, whole: Placement, strip: int = 0, by_phase: bool = False) -> Iterator[Block]:
    """Of each plane of `place`, whose rows are those of `whole` from `row` on; phases last, or first.

    In strips, the part of each plane that the strip's lanes hold.
    """
    phases = list(product((0, 1), (0, 1))) if place.split else [(0, 0)]
    planes = list(product(range(place.channels), phases))
    if by_phase:
        planes.sort(key=lambda plane: plane[1])
    for channel, (down, across) in planes:
        address, x_address = (
            one.base + channel * one.plane + down * one.row_phase + across * one.column_phase for one in (whole, place)
        )
        first, end = 0, ((place.height - down + 1) // 2 if place.split else place.height) * place.pitch
        if place.strips > 1:
            start = strip * place.strip_step - place.strip_halo
            first, end = max(start, 0), min(start + place.strip_bytes, end)
            x_address += first - start
        if first < end:
            yield address + whole.bytes_above(row) + first, x_address, end - first
