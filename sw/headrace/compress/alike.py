"""Rows made alike: weights moved to those of a similar row, where that saves a symbol and does little to the output.

The device sends a row as its differences from another one, or from nothing: a weight costs a symbol, and for each
output pixel a multiplication, where it is not that of the row before it in the tree of `headrace.spanning`. So a weight
may become what it is in that row, or 0 where there is none, if the error this makes is worth less than the symbol: a
choice by rate and distortion, made while the tree grows, so that rows come together that can be made alike.

The error is counted as if inputs were independent: squared change times the variance of what the weight reads; biases
make up for the mean. Values of a codebook stay in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from headrace import model
from headrace.network import SUM_LIMIT, Conv2d, Linear, Network

IMAGES = 128
"""Inputs that variances and means are taken from, at most."""
STEPS = 10
"""Halvings of the price's logarithm in a search."""
LEAST, MOST = 1e-5, 10.0
Array = NDArray[np.float64]
Progress = Callable[[int, int], None]


def alike_rows(W: NDArray[np.int8], errors: Array, price: float, together: bool = True) -> NDArray[np.int8]:
    """Rows (M, K), moved towards each other or to 0.

    errors: (M, K), what a squared change by one of each weight costs. price: the error that a symbol is worth.
    together: False moves weights to 0 alone, for comparison. A tree grows from the root, a row of zeros, by the row
    that is cheapest to join, as in Prim's algorithm; distances to a row are to what has become of it. Time O(M^2 K),
    memory O(M K).
    """
    rows = W.astype(np.float64)
    moved = np.zeros_like(rows)
    outside, parent = np.ones(len(rows), np.bool_), np.full(len(rows), -1)
    cost = np.minimum(errors * rows**2, price).sum(axis=1)
    for _ in range(len(rows)):
        left = np.flatnonzero(outside)
        row = left[np.argmin(cost[left])]
        base = moved[parent[row]] if parent[row] >= 0 else 0.0
        moved[row] = np.where(errors[row] * (rows[row] - base) ** 2 <= price, base, rows[row])
        outside[row] = False
        left = left[left != row]
        if not together:
            continue
        now = np.minimum(errors[left] * (rows[left] - moved[row]) ** 2, price).sum(axis=1)
        closer = now < cost[left]
        cost[left[closer]], parent[left[closer]] = now[closer], row
    return moved.astype(np.int8)


def make_alike(network: Network, x: NDArray[np.int8], price: float, together: bool = True) -> Network:
    """The network with rows made alike in every product and every convolution of one group.

    x: int8 inputs (N, C, H, W) of which the first IMAGES tell what layers read. price: noise over signal, summed over
    layers, that saving all of the network's multiplications would be worth; 0 leaves the network as it is. together: as
    for `alike_rows`.
    """
    return _Alike(network, x).at(price, together) if price else network


def price_within(
    network: Network,
    x: NDArray[np.int8],
    fits: Callable[[Network], bool],
    progress: Progress | None = None,
    together: bool = True,
) -> float:
    """The largest price found, by halving between LEAST and MOST, at which `fits(make_alike(...))`; 0 if none did."""
    alike = _Alike(network, x)
    low, high, best = np.log(LEAST), np.log(MOST), 0.0
    for step in range(STEPS):
        middle = (low + high) / 2
        if fits(alike.at(float(np.exp(middle)), together)):
            low, best = middle, float(np.exp(middle))
        else:
            high = middle
        if progress is not None:
            progress(step + 1, STEPS)
    return best


class _Alike:
    """A network whose layers' inputs were looked at once, for any price."""

    def __init__(self, network: Network, x: NDArray[np.int8]) -> None:
        self._network = network
        x = x[:IMAGES]
        tensors, shapes = [x, *network.trace(x)], network.shapes()
        self._read: dict[int, _Read] = {}
        for n, layer in enumerate(network.layers):
            if isinstance(layer, Linear | Conv2d) and _together(layer):
                source = network.sources(n)[0]
                pixels = shapes[n + 1][1] * shapes[n + 1][2]
                self._read[n] = _Read(layer, tensors[source].reshape(len(x), *shapes[source]), pixels)
        self._whole = sum(read.multiplications for read in self._read.values())

    def at(self, price: float, together: bool) -> Network:
        """As `make_alike`."""
        layers = list(self._network.layers)
        for n, read in self._read.items():
            layers[n] = read.at(price * read.pixels / max(1, self._whole), together)
        return replace(self._network, layers=tuple(layers))


class _Read:
    """A layer, and what it makes of x, the inputs that it reads, (N, C, H, W) int8."""

    def __init__(self, layer: Conv2d | Linear, x: NDArray[np.int8], pixels: int) -> None:
        self.pixels = pixels
        self._layer, self._x = layer, x
        self._rows = layer.weights.reshape(len(layer.weights), -1)
        self.multiplications = int(np.count_nonzero(self._rows)) * pixels
        sums = _sums(layer, layer.weights, x).reshape(len(self._rows), -1)
        self._mean = sums.mean(axis=1)
        steps = (layer.multiplier / 2.0**layer.shift) ** 2
        self._signal = float((sums.var(axis=1) * steps).sum())
        self._errors = steps[:, None] * _variances(layer, x)[None] / (self._signal or 1.0)

    def at(self, price: float, together: bool) -> Conv2d | Linear:
        """The layer made alike; price: noise over signal that a symbol is worth."""
        layer, rows = self._layer, self._rows
        if not self._signal:
            return layer
        moved = alike_rows(rows, self._errors, price, together)
        size, was = (np.abs(one.astype(np.int64)).sum(axis=1) for one in (moved, rows))
        added = layer.skip if isinstance(layer, Conv2d) else None
        room = SUM_LIMIT // 128 - (0 if added is None else np.abs(added.astype(np.int64)))
        too_large = (size > was) & (size > room)
        moved[too_large] = rows[too_large]
        weights = moved.reshape(layer.weights.shape)
        mean = self._mean - _sums(layer, weights, self._x).reshape(len(rows), -1).mean(axis=1)
        return replace(layer, weights=weights, bias=layer.bias + np.rint(mean).astype(np.int64))


def _together(layer: Conv2d | Linear) -> bool:
    """Whether all rows read the same inputs."""
    return isinstance(layer, Linear) or layer.groups == 1


def _sums(layer: Conv2d | Linear, weights: NDArray[np.int8], x: NDArray[np.int8]) -> NDArray[np.int64]:
    """(M, ...) of all inputs and pixels, without bias."""
    if isinstance(layer, Linear):
        return model.linear(x.reshape(len(x), -1), weights).T
    sums = model.conv2d(x, weights, layer.stride, layer.padding, layer.groups, layer.dilation)
    return sums.transpose(1, 0, 2, 3)


def _variances(layer: Conv2d | Linear, x: NDArray[np.int8]) -> Array:
    """(K,) of what each weight of a row reads; a kernel's positions are taken to see the same."""
    if isinstance(layer, Linear):
        return x.reshape(len(x), -1).astype(np.float64).var(axis=0)
    by_channel: Sequence[float] = x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1).astype(np.float64).var(axis=1)
    kh, kw = layer.kernel
    return np.repeat(by_channel, kh * kw)
