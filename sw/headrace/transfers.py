"""Between DRAM and the activation memory: where the network's input and output lie in DRAM, and what moves them.

A tensor that is moved as a whole lies there as on the chip. Of one that is moved in bands DRAM holds all rows, of whole
beats each, so that every band of every plane is one block. A LOAD moves blocks of one size at equal distances, over all
read ports in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from .config import Config
from .cycles.costs import written_beat_cycles
from .errors import CompileError
from .geometry import Shape
from .graph import Graph, Transfer
from .isa import BEAT_BYTES, DESCRIPTOR, Opcode
from .layers import ceil_div
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
    if not _as_packed(place, x):
        return _pieces(transfer, place, x, config, ())[0]
    size = place.padded_size
    runs = [Run(strip * size, place.base, size).spread(config.read_ports) for strip in range(place.strips)]
    return [_load(run, strip, place, config) for strip, run in enumerate(runs)]


def in_pieces(
    transfer: Transfer, place: Placement, x: Placement, config: Config, ends: Sequence[int]
) -> list[Descriptors]:
    """The same in pieces: of every plane the bytes before each of the `ends`, then the rest. Ends are flat pixels of a
    (phase) plane, in strips counted from the strip's first one; they are rounded up to whole beats of a block.

    Empty where planes are not of whole beats.
    """
    for strip in range(place.strips):
        for region in _regions(transfer.row, place, x, strip):
            if (region.address | region.x_address | region.size) % BEAT_BYTES:
                return []
    return _pieces(transfer, place, x, config, ends)


def _pieces(
    transfer: Transfer, place: Placement, x: Placement, config: Config, ends: Sequence[int]
) -> list[Descriptors]:
    pieces: list[Descriptors] = [[] for _ in range(len(ends) + 1)]
    for strip in range(place.strips):
        orders = [list(_regions(transfer.row, place, x, strip, by_phase)) for by_phase in (False, True)]
        for piece, limits in zip(pieces, pairwise((None, *ends, None)), strict=True):
            runs = min((_runs(_blocks(regions, *limits)) for regions in orders), key=len)
            piece += [_load(run, strip, place, config) for run in runs]
    return pieces


def _as_packed(place: Placement, x: Placement) -> bool:
    """Whether a tensor lies in DRAM, as `x`, just as at `place`."""
    return place == replace(x, base=place.base, order=place.order)


def _load(run: Run, strip: int, place: Placement, config: Config) -> dict[str, int]:
    share = config.lanes // place.strips
    return {
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


def load_cycles(load: Mapping[str, int], config: Config) -> float:
    """Of a LOAD: what the busiest read port brings, if the memory does, and the activation memory takes."""
    read = ceil_div(load["in_channels"], config.read_ports) * load["beats"]
    written = load["in_channels"] * load["beats"] * written_beat_cycles(config.pixels)
    return max(read, written) + TRANSFER_CYCLES


def stores(transfer: Transfer, place: Placement, y: Placement, offset: int) -> Descriptors:
    """From `place` to the output, which lies as `y` from `offset` on: one STORE, or one for every plane."""
    if _as_packed(place, y):
        blocks = [(0, place.base, y.padded_size)]
    else:
        blocks = list(_blocks(_regions(transfer.row, place, y)))
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


@dataclass(frozen=True)
class Region:
    """What lanes hold of one plane: `size` bytes from `address` in DRAM and `x_address` on the chip on, the first of
    them the plane's flat pixel `pixel`, in strips counted from the strip's first one."""

    address: int
    x_address: int
    size: int
    pixel: int


def _blocks(regions: Iterable[Region], begin: int | None = None, end: int | None = None) -> Iterator[Block]:
    """Of every region, from flat pixel `begin` on what lies before `end`, each rounded up to whole beats."""
    for region in regions:
        first, last = (
            min(max(ceil_div(pixel - region.pixel, BEAT_BYTES) * BEAT_BYTES, 0), region.size)
            for pixel in (region.pixel if begin is None else begin, region.pixel + region.size if end is None else end)
        )
        if first < last:
            yield region.address + first, region.x_address + first, last - first


def _regions(row: int, place: Placement, whole: Placement, strip: int = 0, by_phase: bool = False) -> Iterator[Region]:
    """Each plane of `place`, whose rows are those of `whole` from `row` on; phases last, or first.

    In strips, the part of each plane that the strip's lanes hold.
    """
    phased = place.split and not place.interleaved
    phases = list(product((0, 1) if phased else (0,), (0, 1) if phased and place.column_phase else (0,)))
    planes, packed = list(product(range(place.channels), phases)), _as_packed(place, whole)
    if by_phase:
        planes.sort(key=lambda plane: plane[1])
    for channel, (down, across) in planes:
        address, x_address = (
            one.base + channel * one.plane + down * one.row_phase + across * one.column_phase for one in (whole, place)
        )
        if packed:
            held = place.strip_bytes or place.plane // len(phases)
            yield Region(address + strip * place.padded_size, x_address, held, -place.strip_halo)
            continue
        first, end = 0, ((place.height - down + 1) // 2 if place.split else place.height) * place.pitch
        start = strip * place.strip_step - place.strip_halo
        if place.strips > 1:
            first, end = max(start, 0), min(start + place.strip_bytes, end)
        if first < end:
            pixel = first - strip * place.strip_step
            yield Region(address + whole.bytes_above(row) + first, x_address + first - start, end - first, pixel)
