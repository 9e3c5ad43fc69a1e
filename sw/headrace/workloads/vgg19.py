"""VGG19 for CIFAR-10: 16 convolutions 3 x 3 in five groups, each followed by a 2 x 2 maximum, and a matrix product.

Weights are random, the same each time; those that are kept are shared among 32 values, zero included.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.errors import DataError
from headrace.network import Network

from .floats import FloatLayer, Parameters, random_parameters
from .quantise import quantise, random_inputs

INPUT_SHAPE = (3, 32, 32)
INPUT_SCALE = 1 / 64
GROUPS = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)]
"""Channels and convolutions."""
CLASSES, VALUES = 10, 32


def layers(parameters: Sequence[Parameters], density: float, groups: Sequence[tuple[int, int]]) -> list[FloatLayer]:
    """The network in real numbers; `density` of the weights of every layer."""
    left = iter(parameters)
    result = []
    for number, (_, convolutions) in enumerate(groups, 1):
        for one in range(1, convolutions + 1):
            result.append(FloatLayer(f"conv{number}_{one}", next(left), padding=(1, 1, 1, 1), density=density))
        result.append(FloatLayer(f"pool{number}"))
    return [*result, FloatLayer("linear", next(left), relu=False, density=density)]


def shapes(groups: Sequence[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Of all weights, the matrix product's last."""
    result: list[tuple[int, ...]] = []
    before = INPUT_SHAPE[0]
    for channels, convolutions in groups:
        for _ in range(convolutions):
            result.append((channels, before, 3, 3))
            before = channels
    return [*result, (CLASSES, before)]


def network(path: Path | None, density: float, groups: Sequence[tuple[int, int]] = tuple(GROUPS)) -> Network:
    """DataError for any path. `groups`: channels and convolutions of each, five in all."""
    if path is not None:
        raise DataError(f"{path}: VGG19 has random weights and reads no file")
    parameters = random_parameters(shapes(groups))
    return quantise("vgg19", layers(parameters, density, groups), INPUT_SCALE, random_inputs(INPUT_SHAPE), VALUES)
