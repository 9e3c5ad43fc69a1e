"""What importers have in common: operations of the frameworks as layers of a draft.

Shapes are those of the model without the batch: (C, L) or (C, H, W) before a convolution or a pooling. Each function
raises Unsupported, or ValueError where shapes do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import inf, prod
from typing import cast

import numpy as np
from numpy.typing import NDArray

from headrace.floats import Add, Concat, Conv, Linear
from headrace.floats.layers import Floats
from headrace.geometry import Padding, Pair

from .draft import LARGEST, Draft, Node, Unsupported, Value, canonical
from .fuse import NONE, pointwise
from .windows import counts, pair, rows, sides, windows


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
