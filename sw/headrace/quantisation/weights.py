"""One layer's weights as integers, with scales that the device's 24-bit sums and an absorbed addition allow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.errors import CompileError
from headrace.floats import Conv, Linear
from headrace.network import SUM_LIMIT

Array = NDArray[np.float64]
BIAS_SHARE = 0.45
"""Of 24 bits, what a bias may take: corrections come on top."""
SMALLEST_FACTOR = 4
"""Least integer weight of an absorbed tensor: it is exact, but a small one makes the other weights' steps wide."""

NARROWEST = 2.0**-20
"""Of the widest channel's step, the least that another's is: one that was pruned whole has what its bias needs, which
may be next to nothing."""
MOST_SHARED = 255
"""Values of a codebook beside 0."""


def is_shared(weights: NDArray[np.float32]) -> bool:
    """Whether weights come from a codebook of their layer: a few values, each of them often.

    A scale for each output channel would make other integers of one value in every channel: more to encode, and rows
    that were alike no longer are.
    """
    used = weights[weights != 0]
    return len(np.unique(used)) <= min(MOST_SHARED, used.size // 4)


@dataclass(frozen=True, eq=False)
class Integers:
    """int8 weights of the layer's shape, the real units (M,) of a step, the absorbed tensor's weights (M,) if any."""

    weights: NDArray[np.int8]
    scale: Array
    skip: NDArray[np.int8] | None = None

    def dense(self) -> NDArray[np.float32]:
        """The weights in real units."""
        return (self.weights * _spread(self.scale, self.weights.ndim)).astype(np.float32)


def integers(layer: Conv | Linear, x_scale: float, per_channel: bool, ratio: float | None = None) -> Integers | None:
    """Round a layer's weights, whose input has scale `x_scale`; None where a residual's factor would be too small.

    ratio: scale of the residual over `x_scale`; the scale of a channel is then an integer part of it. CompileError for
    more weights than a sum of 24 bits can hold.
    """
    weights = layer.weights.astype(np.float64)
    flat = np.abs(weights.reshape(len(weights), -1))
    # Rounding adds at most half to each weight; a residual's factor is at most 127.
    room = SUM_LIMIT // 128 - (np.count_nonzero(flat, axis=1) + 1) // 2 - (0 if ratio is None else 127)
    if room.min() < 1:
        raise CompileError(f"{layer.name}: {flat.shape[1]} weights an output are too many for 24-bit sums")
    scale = np.maximum(flat.max(axis=1) / 127, flat.sum(axis=1) / room)
    scale = np.maximum(scale, _least(layer, x_scale))
    if not per_channel:
        scale = np.full(len(weights), scale.max())
    scale[scale == 0] = scale.max() or 1.0
    scale = np.maximum(scale, scale.max() * NARROWEST)
    skip = None
    if ratio is not None:
        factors = np.minimum(np.floor(ratio / scale), 127)
        if factors.min() < SMALLEST_FACTOR:
            return None
        scale, skip = ratio / factors, factors.astype(np.int8)
    rounded = np.clip(np.rint(weights / _spread(scale, weights.ndim)), -127, 127)
    return Integers(rounded.astype(np.int8), scale, skip)


def shared_integers(layer: Conv | Linear, shared: Integers, x_scale: float, ratio: float | None) -> Integers | None:
    """Shared integers as they are, with scales that suit a residual; None where its factors would not fit.

    CompileError where a bias leaves 24 bits in their steps.
    """
    if (shared.scale < _least(layer, x_scale) / 2).any():
        raise CompileError(f"{layer.name}: a bias is too large beside the shared weights")
    if ratio is None:
        return shared
    factors = np.rint(ratio / shared.scale)
    if factors.min() < 2 * SMALLEST_FACTOR or factors.max() > 127:
        return None
    return Integers(shared.weights, ratio / factors, factors.astype(np.int8))


def _least(layer: Conv | Linear, x_scale: float) -> Array:
    """Scales from which a bias fits."""
    return np.abs(layer.bias).astype(np.float64) / (BIAS_SHARE * SUM_LIMIT * x_scale)


def _spread(scale: Array, axes: int) -> Array:
    return scale.reshape(-1, *[1] * (axes - 1))
