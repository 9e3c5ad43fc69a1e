"""Lowering: one network layer as a matrix over the activation memory, and the proofs that the device can hold it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .config import Config
from .errors import CompileError
from .isa import BIAS_BITS, DESCRIPTOR, MASK_BITS, TAP
from .masks import mask_table, reachable
from .network import AveragePool2d, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d
from .placement import Placement, Tap

IDENTITY = 15
"""multiplier 2**15 and shift 15: `(acc * 2**15 + 2**14) >> 15 == acc`."""

Range = tuple[int, int]
"""Least and greatest value of an activation, 0 included."""

Requantisation = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], int, int]
Windowed = Conv2d | MaxPool2d | AveragePool2d
"""Layers that read a window around each output pixel; the others read all of their input at once."""


@dataclass(frozen=True, eq=False)
class Lowered:
    """A layer as rows of weights: position t * in_channels + c of a row multiplies, for flat pixel f of the output, the
    byte at `taps[t].address + c * in_plane + f`. Rows are in the network's channel order."""

    matrix: NDArray[np.int8]
    """(M, taps * in_channels)"""
    in_channels: int
    in_plane: int
    taps: tuple[Tap, ...]
    masks: tuple[int, ...]
    """Row of the mask table of every tap, from 1; 0: every column counts."""
    mask_table: tuple[int, ...]
    """Entries of `isa.MASK`, rows one after the other."""
    phases: int
    """Entries of a row."""
    pitch: int
    """Computed pixels per output row."""
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int64]
    shift: NDArray[np.int64]
    low: int = -128
    high: int = 127
    maximum: bool = False
    total: bool = False
    """A row's result is the sum over all pixels of its only word."""

    @property
    def uniform(self) -> bool:
        """Whether all rows are requantised alike."""
        return all(np.all(values == values[0]) for values in (self.bias, self.multiplier, self.shift))

    @property
    def can_gather(self) -> bool:
        """Whether rows of a single pixel can leave gathered: requantised alike, their word is one row of pixels."""
        return self.uniform and not self.maximum and not self.total


def gather_counts(config: Config, rows: int) -> tuple[int, ...]:
    """How many of a layer's `rows` can leave as one word."""
    return tuple(count for count in (4, 8) if count <= config.gathered_rows and rows % count == 0)


def kernel_offsets(layer: Windowed, top: int | None = None) -> list[tuple[int, int]]:
    """Where each kernel position lies from `stride` times the output's pixel, row by row; negative ones in padding.

    `top`: rows of padding above, in place of the layer's own.
    """
    kh, kw = (layer.kernel, layer.kernel) if isinstance(layer, MaxPool2d) else layer.kernel
    dh, dw = layer.dilation if isinstance(layer, Conv2d) else (1, 1)
    top, left = layer.padding[0] if top is None else top, layer.padding[1]
    return [(i * dh - top, j * dw - left) for i in range(kh) for j in range(kw)]


def lower(
    layer: Layer,
    x: Placement,
    pixels: int,
    size: tuple[int, int],
    skip: Placement | None = None,
    band: bool = False,
    top: int | None = None,
    skip_row: int = 0,
) -> Lowered:
    """`layer` over an input placed as `x`, split where its stride is 2, for a device of `pixels` pixels a word.

    Kernel positions that see nothing but padding are left out, but not in a `band` of rows, which has those of all its
    layer's bands. `size` is the output's height and width. `skip` is where the tensor lies that the layer adds; its
    planes are as far apart as x's. `top` and `skip_row` are those of the `graph.Op`.
    """
    if isinstance(layer, Linear | GlobalAveragePool):
        return _lower_whole(layer, x, pixels)
    assert isinstance(layer, Windowed)
    every = [reachable(x.tap(i, j), size, x.pitch) for i, j in kernel_offsets(layer, top)]
    used = [number for number, tap in enumerate(every) if band or tap.end] or [0]
    taps = tuple(every[number] for number in used)
    order = stored(x)
    if isinstance(layer, Conv2d):
        by_tap = _ungrouped(layer, x.channels)[:, order].transpose(0, 2, 3, 1)
        weights = by_tap.reshape(len(by_tap), len(every), -1)[:, used]
    else:
        one = np.zeros((x.channels, x.channels), np.int8)
        one[order, np.arange(x.channels)] = 1
        weights = np.repeat(one[:, None], len(taps), axis=1)
    if skip is not None:
        assert isinstance(layer, Conv2d) and layer.skip is not None
        weights = _with_skip(weights, layer.skip, stored(skip))
        taps = (*taps, skip.tap(skip_row, 0))
    rows, _, channels = weights.shape
    masks, table, phases = mask_table(taps, x.pitch, size, pixels)
    matrix = np.ascontiguousarray(weights.reshape(rows, -1))
    maximum = isinstance(layer, MaxPool2d)
    return Lowered(
        matrix, channels, x.plane, taps, masks, table, phases, x.pitch, *requantisation(layer, rows), maximum=maximum
    )


def _lower_whole(layer: Linear | GlobalAveragePool, x: Placement, pixels: int) -> Lowered:
    """One tap; every byte of the input's region is a channel, and bytes that hold no element have weight 0.

    One output pixel: a pitch of a whole word keeps the word's other pixels in its row, so that write-back sees one row
    and not many.
    """
    rows = len(layer.weights) if isinstance(layer, Linear) else x.channels
    matrix = np.zeros((rows, x.size), np.int8)
    offsets = (x.offsets() - x.base).reshape(x.channels, -1)
    if isinstance(layer, Linear):
        matrix[:, offsets.ravel()] = layer.weights
    else:
        matrix[np.arange(rows)[:, None], offsets] = 1
    tap = Tap(x.base, 0, 1, 0, 1)
    return Lowered(matrix, x.size, 1, (tap,), (0,), (), 1, pixels, *requantisation(layer, rows))


def stored(x: Placement) -> NDArray[np.int64]:
    """(channels,) channel at each position."""
    return np.arange(x.channels) if x.order is None else np.array(x.order)


def _ungrouped(layer: Conv2d, channels: int) -> NDArray[np.int8]:
    """(M, channels, kh, kw), with zeros where a row's group does not reach."""
    rows, own, kh, kw = layer.weights.shape
    if own == channels:
        return layer.weights
    whole = np.zeros((rows, channels, kh, kw), np.int8)
    first = np.arange(rows) // (rows // layer.groups) * own
    whole[np.arange(rows)[:, None], first[:, None] + np.arange(own)] = layer.weights
    return whole


def _with_skip(weights: NDArray[np.int8], skip: NDArray[np.int8], order: NDArray[np.int64]) -> NDArray[np.int8]:
    """One tap more, and as many positions a tap as the wider of both tensors has channels."""
    rows, taps, channels = weights.shape
    wide = np.zeros((rows, taps + 1, max(channels, rows)), np.int8)
    wide[:, :taps, :channels] = weights
    wide[order, taps, np.arange(rows)] = skip[order]
    return wide


def requantisation(layer: Layer, rows: int) -> Requantisation:
    """Bias, multiplier and shift of each of `rows`, and the limits of the results."""
    if isinstance(layer, Conv2d | Linear):
        return layer.bias, layer.multiplier, layer.shift, layer.low, layer.high
    if isinstance(layer, AveragePool2d | GlobalAveragePool):
        multiplier, shift = np.full(rows, layer.multiplier), np.full(rows, layer.shift)
        return np.zeros(rows, np.int64), multiplier, shift, layer.low, layer.high
    return np.zeros(rows, np.int64), np.full(rows, 1 << IDENTITY), np.full(rows, IDENTITY), -128, 127


def output_range(layer: Layer, inputs: Sequence[Range]) -> Range:
    """Values that the layer's outputs can take, and the zeros between them."""
    least, greatest = min(low for low, _ in inputs), max(high for _, high in inputs)
    if isinstance(layer, Conv2d | Linear | AveragePool2d | GlobalAveragePool):
        return min(layer.low, 0), max(layer.high, 0)
    return least, greatest


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
    for what, value, limit in (
        ("kernel positions", len(lowered.taps), config.taps),
        ("output channels", rows, config.channels),
        ("positions of one tap", lowered.in_channels, DESCRIPTOR.most("in_channels")),
        ("bytes from channel to channel", lowered.in_plane, DESCRIPTOR.most("in_plane")),
        ("pixels per row", lowered.pitch, DESCRIPTOR.most("pitch")),
        ("pixels of a plane", max(tap.end for tap in lowered.taps), TAP.most("end")),
        ("entries of masks", len(lowered.mask_table), min(config.masks, DESCRIPTOR.most("mask_beats"))),
        ("masks", max(lowered.masks), (1 << MASK_BITS) - 1),
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
