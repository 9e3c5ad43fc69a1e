"""What importers have in common: operations of the frameworks as layers of a draft.

Shapes are those of the model without the batch: (C, L) or (C, H, W) before a convolution or a pooling. Each function
raises Unsupported, or ValueError where shapes do not fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf, prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from headrace.floats import Add, Concat, Conv, FloatLayer, Linear
from headrace.floats.layers import Floats
from headrace.geometry import Padding, Pair, extent, window_counts

from .draft import LARGEST, Draft, Node, Unsupported, Value, canonical
from .fuse import NONE, pointwise


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


def conv(
    draft: Draft,
    node: Node,
    x: Value,
    weights: Floats,
    bias: Floats | None,
    strides: Pair,
    padding: Padding,
    dilation: Pair,
    groups: int,
) -> Value:
    """Weights (M, C // groups, k) or (M, C // groups, kh, kw)."""
    shape = rows(x.shape, weights.ndim - 2)
    kernel = pair(weights.shape[2:], 1)
    size = shape[1], shape[2]
    bias = np.zeros(len(weights), np.float32) if bias is None else bias
    if weights.shape[1] * groups != shape[0]:
        raise Unsupported(f"weights {weights.shape} in {groups} groups do not fit {shape[0]} channels")
    height, width = counts(size, kernel, strides, padding, dilation)
    output = (len(weights), height, width) if len(x.shape) == 3 else (len(weights), width)
    with _shape(output):
        layer = Conv(
            draft.unique(node.layer),
            (draft.spatial(x).layer,),
            weights=weights.reshape(*weights.shape[:2], *kernel),
            bias=bias,
            padding=padding,
            dilation=dilation,
            groups=groups,
        )
        made = windows(
            draft, node, lambda stride: replace(layer, stride=stride), size, kernel, strides, padding, dilation
        )
        return made.reshape(output)


def linear(draft: Draft, node: Node, x: Value, weights: Floats, bias: Floats | None) -> Value:
    """Weights (M, K) times the last axis, of K; with axes before it, a 1 x 1 convolution with that one as channels."""
    if weights.ndim != 2 or x.shape[-1:] != weights.shape[1:]:
        raise Unsupported(f"weights {weights.shape} do not fit a last axis of {x.shape[-1:]}")
    bias = np.zeros(len(weights), np.float32) if bias is None else bias
    output = (*x.shape[:-1], len(weights))
    name = draft.unique(node.layer)
    with _shape(output):
        if len(x.shape) == 1:
            x = draft.flat(x)
            places = prod(draft.shapes[x.layer])
            if len(weights) * places > max(weights.size, LARGEST):
                raise Unsupported(f"{len(weights)} products of all {places} places from which strides pick a few")
            draft.spend(len(weights) * places)
            columns = np.zeros((len(weights), places), np.float32)
            columns[:, x.places()] = weights
            return draft.add(Linear(name, (x.layer,), weights=columns, bias=bias), output)
        ahead = draft.spatial(draft.transpose(x, (len(x.shape) - 1, *range(len(x.shape) - 1))))
        made = draft.add(
            Conv(name, (ahead.layer,), weights=weights[:, :, None, None], bias=bias), (len(weights), *x.shape[:-1])
        )
        return draft.transpose(made, (*range(1, len(x.shape)), 0))


def affine(
    draft: Draft,
    node: Node,
    x: Value,
    scale: NDArray[np.floating] | float,
    offset: NDArray[np.floating] | float,
    low: float = -inf,
    high: float = inf,
) -> Value:
    """clip(x * scale + offset, low, high), scale and offset broadcast against x, but constant over height and width."""
    with _shape(x.shape):
        x = draft.flat(x)
        shape = draft.shapes[x.layer]
        by_channel = []
        for values in (scale, offset):
            given = np.asarray(values)
            if given.size == 1:
                by_channel.append(np.full(shape[0], given.ravel()[0], np.float32))
                continue
            if given.ndim > len(x.shape) and set(given.shape[: given.ndim - len(x.shape)]) == {1}:
                given = given.reshape(given.shape[given.ndim - len(x.shape) :])
            spread = np.broadcast_to(given, x.shape).ravel()
            channels = x.places().ravel() // (shape[1] * shape[2])
            by_channel.append(np.zeros(shape[0], np.float32))
            by_channel[-1][channels] = spread
            if not np.array_equal(by_channel[-1][channels], spread.astype(np.float32)):
                raise Unsupported("a constant that differs from pixel to pixel; the device has one number a channel")
        made = draft.add(pointwise(draft.unique(node.layer), x.layer, by_channel[0], by_channel[1], low, high))
        return replace(x, layer=made.layer)


def batch_norm(
    draft: Draft, node: Node, x: Value, gamma: Floats, beta: Floats, mean: Floats, variance: Floats, epsilon: float
) -> Value:
    """The channels are the first axis."""
    if {values.shape for values in (gamma, beta, mean, variance)} != {x.shape[:1]}:
        raise Unsupported("its constants do not fit the channels")
    with np.errstate(all="ignore"):  # what is not finite is found by the layer
        factor = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
        offset = beta - mean * factor
    along = (-1, *[1] * (len(x.shape) - 1))
    return affine(draft, node, x, factor.reshape(along), offset.reshape(along))


def clip(draft: Draft, node: Node, x: Value, low: float, high: float) -> Value:
    """clip(x, low, high)."""
    return affine(draft, node, x, 1.0, 0.0, low, high)


def pad(draft: Draft, node: Node, x: Value, begins: Sequence[int], ends: Sequence[int], value: float) -> Value:
    """Zeros around the axes of a signal or an image, which are all but the first of x."""
    if len(begins) != len(x.shape) or len(ends) != len(x.shape) or begins[0] or ends[0]:
        raise Unsupported(f"padding {tuple(begins)} and {tuple(ends)} of other axes than height and width")
    if min(*begins, *ends) < 0:
        raise Unsupported("negative padding, which cuts off; the device cuts nothing off")
    shape = tuple(b + n + e for b, n, e in zip(begins, x.shape, ends, strict=True))
    if not any(begins) and not any(ends):
        return x
    with _shape(shape):
        if value != 0:
            raise Unsupported(f"padding with {value}; the device pads with 0")
        channels = canonical(x.shape)[0]
        padding = sides((*begins[1:], *ends[1:])) if len(shape) > 1 else NONE
        one = np.ones(channels, np.float32)
        layer = pointwise(draft.unique(node.layer), draft.spatial(x).layer, one, 0 * one, padding=padding)
        return draft.add(layer, shape)


def add(draft: Draft, node: Node, x: Value, y: Value) -> Value:
    """Sum of two tensors of one shape."""
    if x.shape != y.shape:
        raise Unsupported(f"shapes {x.shape} and {y.shape} differ, and the device adds tensors of one shape")
    with _shape(x.shape):
        x, y = draft.flat(x), draft.flat(y)
        if draft.shapes[x.layer] != draft.shapes[y.layer] or not np.array_equal(x.places(), y.places()):
            raise Unsupported("the two tensors lie in different orders, and the device moves no activations")
        made = draft.add(Add(draft.unique(node.layer), (x.layer, y.layer)))
        return replace(x, layer=made.layer)


def concat(draft: Draft, node: Node, values: Sequence[Value], axis: int) -> Value:
    """Joined along an axis of the model, 0 the first after the batch."""
    if len(values) == 1:
        return values[0]
    if not all(len(value.shape) == len(values[0].shape) for value in values):
        raise Unsupported("the tensors differ in their number of axes")
    others = {value.shape[:axis] + value.shape[axis + 1 :] for value in values}
    if len(others) > 1:
        raise Unsupported(f"the tensors differ along other axes than {axis + 1}")
    first = values[0].shape
    output = (*first[:axis], sum(value.shape[axis] for value in values), *first[axis + 1 :])
    with _shape(output):
        values = [draft.flat(value) for value in values]
        made = draft.add(Concat(draft.unique(node.layer), tuple(value.layer for value in values)))
        draft.spend(prod(output))
        offset, places = 0, []
        for value in values:
            places.append(value.places() + offset)
            offset += prod(draft.shapes[value.layer])
        index = np.concatenate(places, axis)
        plain = np.array_equal(index.ravel(), np.arange(index.size))
        return Value(made.layer, output, None if plain else index)


def host(node: Node, x: Value, step: str, axis: int) -> Value:
    """Softmax and the like, which the host does to the model's output; `axis` counts the batch."""
    if x.steps:
        raise Unsupported(f"it follows {x.steps[-1][0]}; the host does one of them, at the end")
    axis = axis + len(x.shape) + 1 if axis < 0 else axis
    if not 1 <= axis <= len(x.shape):
        raise Unsupported(f"along axis {axis}")
    return replace(x, steps=((step, axis),))


def floats(values: NDArray[np.generic]) -> Floats:
    """As float32, C order. Unsupported for anything but numbers."""
    if values.dtype.kind not in "fiub":
        raise Unsupported(f"constants of type {values.dtype}")
    with np.errstate(over="ignore"):
        return cast(Floats, np.ascontiguousarray(values, np.float32))


@contextmanager
def _shape(shape: tuple[int, ...]) -> Iterator[None]:
    """Unsupported and ValueError raised inside say what the output's shape would have been."""
    try:
        yield
    except Unsupported as error:
        raise Unsupported(str(error), shape if error.shape is None else error.shape) from None
    except ValueError as error:
        raise Unsupported(str(error), shape) from None
