"""Networks in real numbers: what is read from files of trained weights, and quantised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError
from headrace.geometry import Padding

Floats = NDArray[np.float64]
Parameters = tuple[Floats, Floats]
"""Weights (M, C // groups, kh, kw) or (M, K), biases (M,)."""


@dataclass(frozen=True, eq=False)
class FloatLayer:
    """One layer, which reads the one before it or `source`, and adds `skip`.

    With `parameters` it is a convolution or, of two axes, a matrix product, then ReLU if `relu`; `density` of its
    weights are kept. Without, it is a 2 x 2 maximum of stride 2 or, if `average`, the average of all pixels.
    """

    name: str
    parameters: Parameters | None = None
    stride: int = 1
    padding: Padding = (0, 0, 0, 0)
    groups: int = 1
    relu: bool = True
    source: str = ""
    skip: str = ""
    average: bool = False
    density: float = 1.0


def same_padding(size: tuple[int, int], kernel: tuple[int, int], stride: int) -> Padding:
    """TensorFlow's "same": an odd row or column more goes below or to the right."""
    total = [max((-(-n // stride) - 1) * stride + k - n, 0) for n, k in zip(size, kernel, strict=True)]
    return total[0] // 2, total[1] // 2, total[0] - total[0] // 2, total[1] - total[1] // 2


def fold(
    parameters: Parameters, gamma: Floats, beta: Floats, mean: Floats, variance: Floats, epsilon: float
) -> Parameters:
    """Weights and biases of a convolution with the batch normalisation that follows it."""
    weights, bias = parameters
    factor = gamma / np.sqrt(variance + epsilon)
    return weights * factor.reshape(-1, *[1] * (weights.ndim - 1)), (bias - mean) * factor + beta


def random_parameters(shapes: Sequence[tuple[int, ...]], seed: int = 0) -> list[Parameters]:
    """Normal weights with the variance that keeps the activations' after ReLU (He), small biases."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(0, np.sqrt(2 / prod(shape[1:])), shape), rng.normal(0, 0.05, shape[0])) for shape in shapes]


def check_parameters(parameters: Sequence[Parameters], shapes: Sequence[tuple[int, ...]], what: str) -> None:
    """DataError unless these are the weights of a network whose weights have `shapes`."""
    found = [weights.shape for weights, _ in parameters]
    if found != list(shapes):
        wrong = next(
            (n for n, (a, b) in enumerate(zip(found, shapes, strict=False)) if a != b), min(len(found), len(shapes))
        )
        have = found[wrong] if wrong < len(found) else "none"
        want = shapes[wrong] if wrong < len(shapes) else "none"
        raise DataError(f"{what}: layer {wrong} has weights {have}, not {want}: another network")
    for number, (weights, bias) in enumerate(parameters):
        if bias.shape != weights.shape[:1] or not (np.isfinite(weights).all() and np.isfinite(bias).all()):
            raise DataError(f"{what}: layer {number} has wrong biases, or numbers that are not finite")
