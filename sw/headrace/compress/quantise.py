"""Scales, multipliers and biases: how real numbers become the integers of the device.

int8 = clip(round(x / s), -128, 127) for activations, W ~= scale * int8 for weights. A layer's accumulator then counts
in units of `input scale * weight scale`, and requantisation multiplies by `input scale * weight scale / output
scale`, held as `multiplier * 2**-shift`. The device rounds as `((acc + bias) * multiplier + (1 << (shift - 1))) >>
shift`.
"""

from __future__ import annotations

from typing import overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headrace.errors import CompileError

MULTIPLIER_BITS = 16
LARGEST_SHIFT = 63
BIAS_BITS = 24


@overload
def quantise_multiplier(real: float) -> tuple[int, int]: ...
@overload
def quantise_multiplier(real: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
def quantise_multiplier(
    real: float | NDArray[np.float64],
) -> tuple[int, int] | tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(multiplier, shift) with `real ~= multiplier * 2**-shift`, to a relative error of at most 2**-16.

    multiplier: 16 bits unsigned with its top bit set, 2**15 to 2**16 - 1. shift: 1 to 63. A scalar gives two ints, an
    array two int64 arrays of its shape. Raises CompileError where a factor is not finite, not positive or out of
    range (2**-48 to just below 2**15).
    """
    factors = np.asarray(real, dtype=np.float64)
    bad = ~(np.isfinite(factors) & (factors > 0))
    fraction, exponent = np.frexp(np.where(bad, 1.0, factors))
    multiplier = np.rint(fraction * (1 << MULTIPLIER_BITS)).astype(np.int64)
    carried = multiplier == 1 << MULTIPLIER_BITS  # rounding up reached the next power of two
    multiplier = np.where(carried, multiplier >> 1, multiplier)
    shift = MULTIPLIER_BITS - exponent.astype(np.int64) - carried
    bad |= (shift < 1) | (shift > LARGEST_SHIFT)
    if bad.any():
        raise CompileError(
            f"rescaling factor {float(factors[bad].flat[0])!r} is outside 2**-48 to 2**15: check the layer's scales"
        )
    if factors.ndim == 0:
        return int(multiplier), int(shift)
    return multiplier, shift


def quantise_bias(bias: ArrayLike, scale: float, bits: int = BIAS_BITS) -> NDArray[np.int64]:
    """Bias in accumulator units: `round(bias / scale)`, int64 of bias's shape; scale = input scale * weight scale.

    Raises CompileError where a value is not finite or needs more than `bits` signed bits.
    """
    units = np.rint(np.asarray(bias, dtype=np.float64) / scale)
    half = 1 << (bits - 1)
    if not ((units >= -half) & (units < half)).all():  # false for NaN too
        raise CompileError(f"a bias does not fit in {bits} bits of accumulator units of {scale:.3g}: rescale the layer")
    return units.astype(np.int64)


def activation_scale(samples: ArrayLike, method: str = "max", percentile: float = 99.9) -> float:
    """Scale s of an activation tensor, from samples of it: int8 = clip(round(x / s), -128, 127).

    samples: any shape, at least one value, finite. method: "max" (nothing of the samples is clipped), "percentile"
    (that percentile of |x| maps to 127) or "mse" (the clipping point with the least squared error). All-zero samples
    give 1. Raises ValueError on an unknown method, CompileError on samples that are empty or not finite.
    """
    magnitude = np.abs(np.asarray(samples, dtype=np.float64)).ravel()
    if not magnitude.size or not np.isfinite(magnitude).all():
        raise CompileError("calibration samples are empty or hold a NaN or an infinity")
    largest = float(magnitude.max())
    if method == "max":
        top = largest
    elif method == "percentile":
        if not 0 < percentile <= 100:
            raise ValueError(f"percentile must be above 0 and at most 100, not {percentile}")
        top = float(np.percentile(magnitude, percentile)) or largest
    elif method == "mse":
        tops = largest * np.linspace(0.3, 1.0, 71)
        top = float(min(tops, key=lambda t: _squared_error(magnitude, t / 127)))
    else:
        raise ValueError(f"unknown calibration method {method!r}: use max, percentile or mse")
    return top / 127 or 1.0


def _squared_error(magnitude: NDArray[np.float64], scale: float) -> float:
    """Squared error of int8 rounding at `scale`; 0 where the scale underflows to 0."""
    if not scale:
        return 0.0
    error = magnitude - scale * np.minimum(np.rint(magnitude / scale), 127)
    return float(error @ error)


def quantise_activations(x: ArrayLike, scale: float) -> NDArray[np.int8]:
    """`clip(round(x / scale), -128, 127)` as int8; ties go to the even integer."""
    return np.clip(np.rint(np.asarray(x, dtype=np.float64) / scale), -128, 127).astype(np.int8)
