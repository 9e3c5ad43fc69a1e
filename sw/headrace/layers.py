"""Lowering: one network layer as a matrix over the activation memory, and the proofs that the device can hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import Config
from .errors import CompileError
from .isa import BIAS_BITS, DESCRIPTOR
from .network import Conv2d, Layer, Linear
from .placement import Placement

IDENTITY = 15
"""multiplier 2**15 and shift 15: `(acc * 2**15 + 2**14) >> 15 == acc`."""

Range = tuple[int, int]
"""Least and greatest value of an activation, 0 included."""


@dataclass(frozen=True, eq=False)
class Lowered:
    """A layer as rows of weights: position t * in_channels + c of a row multiplies the P pixels from address
    `tap_addresses[t] + c * in_plane` on. Rows are in the network's channel order."""

    matrix: NDArray[np.int8]
    """(M, taps * in_channels)"""
    in_channels: int
    in_plane: int
    tap_addresses: tuple[int, ...]
    """For output row 0; row h reads `h * pitch` further on."""
    pitch: int
    """Computed pixels per output row."""
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    low: int = -128
    high: int = 127
    maximum: bool = False


def lower(layer: Layer, x: Placement, pixels: int) -> Lowered:
    """`layer` over an input placed as `x`, split where `layer.stride` is 2, for a device of `pixels` pixels a word."""
    stored = np.arange(x.channels) if x.order is None else np.array(x.order)
    if isinstance(layer, Conv2d):
        rows, _, kh, kw = layer.weights.shape
        matrix = layer.weights[:, stored].transpose(0, 2, 3, 1).reshape(rows, -1)
        addresses = tuple(x.tap_address(i, j) for i in range(kh) for j in range(kw))
        return Lowered(matrix, x.channels, x.plane, addresses, x.pitch, *_requant(layer))
    if isinstance(layer, Linear):
        # One tap; every byte of the input's region is a channel, and bytes that hold no element have weight 0.
        # One output pixel: a pitch of a whole word keeps the word's other pixels in its row, so that write-back sees
        # one row and not many.
        matrix = np.zeros((len(layer.weights), x.size), np.int8)
        matrix[:, (x.offsets() - x.base).ravel()] = layer.weights
        return Lowered(matrix, x.size, 1, (x.base,), pixels, *_requant(layer))
    one = np.zeros((x.channels, x.channels), np.int8)
    one[stored, np.arange(x.channels)] = 1
    addresses = tuple(x.tap_address(i, j) for i in range(layer.kernel) for j in range(layer.kernel))
    same = np.zeros(x.channels, np.int64), np.full(x.channels, 1 << IDENTITY), np.full(x.channels, IDENTITY)
    return Lowered(np.tile(one, len(addresses)), x.channels, x.plane, addresses, x.pitch, *same, maximum=True)


def _requant(layer: Conv2d | Linear) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int, int]:
    return layer.bias, layer.multiplier, layer.shift, layer.low, layer.high


def output_range(layer: Layer, x: Range) -> Range:
    """Values that the layer's outputs can take, and the zeros between them."""
    return (min(layer.low, 0), max(layer.high, 0)) if isinstance(layer, Conv2d | Linear) else x


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def strips(out: Placement, pitch: int, pixels: int, limit: int) -> list[tuple[int, int, int]] | None:
    """Cut the output rows so that a row's pixels fit `limit` accumulator words: (first row, rows, words) each.

    Strips are as even as can be; those of a split output start at even rows. None where one strip cannot be made.
    """
    step = 2 if out.split and out.height > 1 else 1

    def words(rows: int) -> int:
        return ceil_div((rows - 1) * pitch + out.width, pixels)

    most = out.height
    if words(most) > limit:
        most = ((limit * pixels - out.width) // pitch + 1) // step * step
        if limit * pixels < out.width or most < step:
            return None
    count = ceil_div(out.height, most)
    rows = min(most, ceil_div(ceil_div(out.height, count), step) * step)
    return [
        (first, min(rows, out.height - first), words(min(rows, out.height - first)))
        for first in range(0, out.height, rows)
    ]


def check_layer(name: str, lowered: Lowered, config: Config) -> None:
    """CompileError naming the layer and the limit where a table, a field or a constant does not fit."""
    rows = len(lowered.matrix)
    widths = {field.name: field.width for field in DESCRIPTOR.fields}
    for what, value, limit in (
        ("kernel positions", len(lowered.tap_addresses), config.taps),
        ("output channels", rows, config.channels),
        ("positions of one tap", lowered.in_channels, (1 << widths["in_channels"]) - 1),
        ("bytes from channel to channel", lowered.in_plane, (1 << widths["in_plane"]) - 1),
        ("pixels per row", lowered.pitch, (1 << widths["pitch"]) - 1),
    ):
        if value > limit:
            raise CompileError(f"{name}: needs {value} {what}, config {config.name} has room for {limit}")
    most = int(np.abs(lowered.bias).max(initial=0))
    if most >= 1 << (BIAS_BITS - 1):
        raise CompileError(f"{name}: a bias of {most} in accumulator units does not fit {BIAS_BITS} bits")


def check_sums(name: str, lowered: Lowered, x: Range, references: Mapping[int, int | None], config: Config) -> None:
    """CompileError where a row's sum, at any moment of its computation, could leave the accumulator.

    references[r] is the row whose accumulators row r starts from, or None. On the way from row q to row r the
    positions passed hold r's weights and the others q's, so a prefix of r and a suffix of q bound the sum.
    """
    if lowered.maximum:
        return
    least, greatest = -(1 << (config.acc_bits - 1)), (1 << (config.acc_bits - 1)) - 1
    w = lowered.matrix.astype(np.int64)
    up = np.cumsum(np.where(w > 0, w * x[1], w * x[0]), axis=1)
    down = np.cumsum(np.where(w > 0, w * x[0], w * x[1]), axis=1)
    for row in range(len(w)):
        start = references[row]
        high, low = up[row], down[row]
        if start is not None:
            high = high + up[start, -1] - up[start]
            low = low + down[start, -1] - down[start]
        if high.max() > greatest or low.min() < least:
            worst = max(int(high.max()), -int(low.min()))
            raise CompileError(
                f"{name}: sums of output channel {row} can reach {worst}; accumulators of config {config.name} hold "
                f"{greatest} ({config.acc_bits} bits)"
            )
        bias = int(lowered.bias[row])
        if up[row, -1] + bias > 2 * greatest + 1 or down[row, -1] + bias < 2 * least:
            raise CompileError(
                f"{name}: output channel {row} with its bias of {bias} leaves {config.acc_bits + 1} bits"
            )
