"""Windows of convolutions and pooling: what frameworks say of them, as the device has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np

from headrace.floats import FloatLayer
from headrace.geometry import Padding, Pair, extent, window_counts

from .draft import Draft, Node, Unsupported, Value, canonical
from .fuse import pointwise


def rows(shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    """The shape of a signal or an image as (C, H, W), for windows of `count` axes. Unsupported for others."""
    if count not in (1, 2) or len(shape) != count + 1:
        raise Unsupported(f"windows of {count} axes on a tensor of {len(shape)}; the device has signals and images")
    return canonical(shape)


def pair(values: Sequence[int], missing: int) -> Pair:
    """One number an axis, (rows, columns); a signal's rows get `missing`."""
    full = (missing, *values) if len(values) == 1 else tuple(values)
    if len(full) != 2:
        raise Unsupported(f"{len(values)} numbers for the axes of an image")
    return int(full[0]), int(full[1])


def sides(values: Sequence[int]) -> Padding:
    """Begins of all axes, then ends, as ONNX has them: (top, left, bottom, right)."""
    half = len(values) // 2
    (top, left), (bottom, right) = pair(values[:half], 0), pair(values[half:], 0)
    return top, left, bottom, right


def windows(
    draft: Draft,
    node: Node,
    make: Callable[[int], FloatLayer],
    size: Pair,
    kernel: Pair,
    strides: Pair,
    padding: Padding,
    dilation: Pair = (1, 1),
) -> Value:
    """The layer that `make` makes of a stride, with strides that the device may not have.

    Strides 1 and 2, and any along an axis with one window, are the layer's own. Powers of two are halved by further
    layers, which drop every other row and column. With others the layer computes too much; the result are places in
    its output, which only a matrix product can read.
    """
    wanted = counts(size, kernel, strides, padding, dilation)
    for stride in (1, 2):
        same = all(count == 1 or given == stride for count, given in zip(wanted, strides, strict=True))
        if same and window_counts(size, kernel, stride, padding, dilation) == wanted:
            return draft.add(make(stride))
    if strides[0] == strides[1] and strides[0] & (strides[0] - 1) == 0:
        made, left = draft.add(make(2)), strides[0] // 2
        while left > 1:
            one = np.ones(made.shape[0], np.float32)
            layer = pointwise(draft.unique(f"{node.layer}.half"), made.layer, one, 0 * one)
            made, left = draft.add(replace(layer, stride=2)), left // 2
        return made
    stride = 2 if strides[0] % 2 == strides[1] % 2 == 0 else 1
    made = draft.add(make(stride))
    draft.spend(prod(made.shape))
    places = made.places()[:, :: strides[0] // stride, :: strides[1] // stride][:, : wanted[0], : wanted[1]]
    return Value(made.layer, places.shape, places)


def counts(size: Pair, kernel: Pair, strides: Pair, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
    """Windows along both axes. ValueError where there is none."""
    if min(*kernel, *strides, *dilation) < 1 or min(padding) < 0:
        raise Unsupported(f"kernel {kernel}, strides {strides}, dilation {dilation}, padding {padding}")
    height = window_counts(size, kernel, strides[0], padding, dilation)[0]
    width = window_counts(size, kernel, strides[1], padding, dilation)[1]
    if min(height, width) < 1:
        raise Unsupported(f"no window of {kernel[0]} x {kernel[1]} in {size[0]} x {size[1]}")
    return height, width


def same_sides(size: Pair, kernel: Pair, strides: Pair, dilation: Pair, lower: bool) -> Padding:
    """Padding for ceil(size / stride) windows; an odd one more lies below and to the right, or, `lower`, before."""
    total = [
        max((-(-n // s) - 1) * s + extent(k, d) - n, 0)
        for n, k, s, d in zip(size, kernel, strides, dilation, strict=True)
    ]
    less, more = [t // 2 for t in total], [t - t // 2 for t in total]
    (top, left), (bottom, right) = (more, less) if lower else (less, more)
    return top, left, bottom, right
