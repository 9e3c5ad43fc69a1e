"""headrace.compress.quantise."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.compress.quantise import (
    activation_scale,
    quantise_activations,
    quantise_bias,
    quantise_multiplier,
)
from headrace.errors import CompileError

SMALLEST, LARGEST = 2.0**-48, math.nextafter(32768 - 0.25, 0)


@given(st.floats(SMALLEST, LARGEST))
def test_multiplier(real: float) -> None:
    multiplier, shift = quantise_multiplier(real)
    assert type(multiplier) is int
    assert type(shift) is int
    assert 2**15 <= multiplier < 2**16
    assert 1 <= shift <= 63
    assert abs(Fraction(multiplier, 2**shift) - Fraction(real)) <= Fraction(real) / 2**16


EXACT = {
    0.5: (32768, 16),
    1.0: (32768, 15),
    3.0: (49152, 14),
    16384.0: (32768, 1),
    32767.5: (65535, 1),
    SMALLEST: (32768, 63),
    math.nextafter(0.5, 0): (32768, 16),  # rounds up to the next power of two
    0.5 * 65535.4 / 65536: (65535, 17),
}


@pytest.mark.parametrize(("real", "expected"), EXACT.items())
def test_multiplier_at_edges(real: float, expected: tuple[int, int]) -> None:
    assert quantise_multiplier(real) == expected


def test_multiplier_of_arrays() -> None:
    reals = np.array([[0.5, 0.001], [3.0, 32767.5]])
    multipliers, shifts = quantise_multiplier(reals)
    assert multipliers.dtype == shifts.dtype == np.int64
    assert multipliers.shape == shifts.shape == (2, 2)
    assert [quantise_multiplier(float(r)) for r in reals.flat] == list(zip(multipliers.flat, shifts.flat, strict=True))
    assert quantise_multiplier(np.zeros(0))[0].shape == (0,)


@pytest.mark.parametrize("real", [0.0, -1.0, 32768.0, 32767.9, 1e30, 2.0**-49, 1e-320, math.inf, math.nan])
def test_multiplier_out_of_range(real: float) -> None:
    with pytest.raises(CompileError, match="rescaling factor"):
        quantise_multiplier(real)
    with pytest.raises(CompileError, match="rescaling factor"):
        quantise_multiplier(np.array([0.5, real]))


def test_bias() -> None:
    bias = quantise_bias(np.array([0.0, 0.26, -0.26, 0.125], np.float32), 0.1)
    assert bias.tolist() == [0, 3, -3, 1]
    assert bias.dtype == np.int64
    assert quantise_bias([2**23 - 1, -(2**23)], 1.0).tolist() == [8388607, -8388608]


@pytest.mark.parametrize("bias", [2.0**23, -(2.0**23) - 1, math.nan, math.inf])
def test_bias_that_does_not_fit(bias: float) -> None:
    with pytest.raises(CompileError, match="24 bits"):
        quantise_bias([0.0, bias], 1.0)


def test_scale_max() -> None:
    samples = np.array([[0.5, -2.54], [1.0, 0.0]])
    assert activation_scale(samples) == pytest.approx(0.02)
    assert quantise_activations(samples, 0.02).tolist() == [[25, -127], [50, 0]]


def test_scale_percentile() -> None:
    samples = np.arange(1001) / 1000.0
    assert activation_scale(samples, "percentile", 50.0) == pytest.approx(0.5 / 127)
    assert activation_scale(samples, "percentile", 100.0) == activation_scale(samples)
    sparse = np.r_[np.zeros(9999), 5.0]  # the percentile itself is zero
    assert activation_scale(sparse, "percentile") == pytest.approx(5 / 127)


def test_scale_mse_clips_an_outlier() -> None:
    samples = np.random.default_rng(0).normal(size=20000)
    samples[0] = 6.0

    def error(scale: float) -> float:
        return float(((quantise_activations(samples, scale) * scale - samples) ** 2).sum())

    found = activation_scale(samples, "mse")
    assert found < activation_scale(samples)
    assert error(found) < error(activation_scale(samples))


@pytest.mark.parametrize("method", ["max", "percentile", "mse"])
@pytest.mark.parametrize("value", [0.0, 1e-320])
def test_scale_of_nothing_to_scale(method: str, value: float) -> None:
    scale = activation_scale(np.full(10, value), method)
    assert scale > 0
    assert quantise_activations(np.zeros(3), scale).tolist() == [0, 0, 0]


@pytest.mark.parametrize("samples", [[], [np.nan], [1.0, np.inf]])
def test_scale_of_bad_samples(samples: list[float]) -> None:
    with pytest.raises(CompileError, match="calibration"):
        activation_scale(samples)


@pytest.mark.parametrize(("method", "percentile"), [("median", 99.0), ("percentile", 0.0), ("percentile", 101.0)])
def test_scale_wrong_arguments(method: str, percentile: float) -> None:
    with pytest.raises(ValueError, match=r"method|percentile"):
        activation_scale([1.0], method, percentile)


def test_activations_saturate() -> None:
    x = quantise_activations([-1e9, -128.4, 0.5, 1.5, 126.6, 1e9], 1.0)
    assert x.tolist() == [-128, -128, 0, 2, 127, 127]
    assert x.dtype == np.int8
