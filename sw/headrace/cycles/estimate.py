"""Cycles of each layer and what they go to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import prod

from ..image import Image, LayerInfo
from .memory import Memory
from .program import DescriptorCycles, Timeline


class Limit(Enum):
    """What a lane's cycles go to, on average over all lanes; the largest share is what limits a layer."""

    MAC = "MAC"
    """Multiplying, a word of P pixels a cycle."""
    DECODE = "decode"
    """The multipliers wait for operations: long codewords, literals, ends of rows and of kernel taps."""
    STREAM = "stream"
    """The decoder waits for the memory."""
    EMISSION = "emission"
    """A finished row waits for the one way out, or its words for the write-back."""
    TABLES = "tables"
    """The layer's tables were not there when the layer before had ended."""
    BALANCE = "balance"
    """Lanes that have no row left, and the filling and draining of the pipeline."""


@dataclass(frozen=True)
class LayerEstimate:
    """A layer, all its descriptors together."""

    name: str
    cycles: int
    """Since the descriptor before ended, as the device counts."""
    shares: dict[Limit, float]
    """Cycles that a lane spends with each, on average; about `cycles` together."""
    utilisation: float
    """Nonzero weights times output pixels, over the multiplications that all multipliers could make in `cycles`."""

    @property
    def limit(self) -> Limit:
        return max(self.shares, key=lambda share: self.shares[share])


@dataclass(frozen=True)
class Estimate:
    """One run, of `image.batch` inputs."""

    cycles: int
    """From start to interrupt."""
    descriptors: tuple[int, ...]
    """Cycles of each descriptor, END included, as the device's profile counts them: `cycles` less one for each."""
    layers: tuple[LayerEstimate, ...]
    utilisation: float
    """As that of a layer, of all layers and `cycles`."""


def estimate(image: Image, memory: Memory | None = None) -> Estimate:
    """What the device takes for one run; StreamError where tables or streams make no sense.

    Within 5 % of the RTL for whole networks, mostly 1 %; where lanes that finish at the same time queue up in another
    order than here, a short layer may be off by more.
    """
    done = Timeline(image, memory or Memory()).run()
    layers = tuple(
        _layer(image, info, [done[number] for number in image.descriptors_of(info)]) for info in image.layers
    )
    return Estimate(
        done[-1].end,
        tuple(one.cycles for one in done),
        layers,
        sum(map(useful_macs, image.layers)) / (image.config.lanes * image.config.pixels * done[-1].end),
    )


def useful_macs(info: LayerInfo) -> int:
    """Nonzero weights times output pixels."""
    return info.nonzeros * prod(info.output_shape[1:])


def _layer(image: Image, info: LayerInfo, parts: Sequence[DescriptorCycles]) -> LayerEstimate:
    lanes = image.config.lanes
    cycles = sum(part.cycles for part in parts)
    shares = dict.fromkeys(Limit, 0.0)
    for part in parts:
        assert part.run is not None
        stream = min(part.stream_waits, part.run.decode_waits)
        shares[Limit.MAC] += part.run.mac_cycles / lanes
        shares[Limit.STREAM] += stream / lanes
        shares[Limit.DECODE] += (part.run.decode_waits - stream) / lanes
        shares[Limit.EMISSION] += part.run.output_waits / lanes
        shares[Limit.TABLES] += part.tables_wait
    shares[Limit.BALANCE] = max(cycles - sum(shares.values()), 0.0)
    return LayerEstimate(info.name, cycles, shares, useful_macs(info) / (lanes * image.config.pixels * cycles))
