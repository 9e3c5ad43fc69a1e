"""Global averages that take a word of pixels at a time."""

from __future__ import annotations

import numpy as np

from .config import Config
from .isa import DESCRIPTOR
from .layers import Lowered, ceil_div, gather_counts, requantisation, stored
from .network import GlobalAveragePool
from .placement import Placement, Tap


def lower_by_words(layer: GlobalAveragePool, x: Placement, config: Config) -> Lowered | None:
    """`layer` as rows whose taps are the words of a channel's plane, for a device that adds up a word's pixels.

    None where `layers.lower`, a tap for each pixel, takes fewer cycles, or planes hold more than pixels, or the sum may
    not fit the accumulator or the taps the table.
    """
    pixels, plane = config.pixels, x.height * x.width
    count = ceil_div(plane, pixels)
    dense = x.strips == 1 and not x.split and (x.height == 1 or x.pitch == x.width)
    if not dense or count > config.taps or 128 * count * pixels >= 1 << (config.acc_bits - 1):
        return None
    rows = ceil_div(x.channels, config.lanes)
    gathered = max((1, *gather_counts(config, x.channels)))
    # All rows leave one after the other; going on to the next tap takes a cycle.
    fits = x.size <= DESCRIPTOR.most("in_channels")
    if fits and max(x.channels, rows * 2 * count) >= max(x.channels // gathered, rows * plane):
        return None
    taps = tuple(Tap(x.base + shift, shift, plane, 0, plane) for shift in range(0, plane, pixels))
    matrix = np.zeros((x.channels, count, x.channels), np.int8)
    matrix[stored(x), :, np.arange(x.channels)] = 1
    return Lowered(
        matrix.reshape(x.channels, -1),
        x.channels,
        x.plane,
        taps,
        (0,) * count,
        (),
        1,
        pixels,
        *requantisation(layer, x.channels),
        total=True,
    )
