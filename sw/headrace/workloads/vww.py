"""MobileNetV1 x 0.25 of MLPerf Tiny, visual wake words: 96 x 96 pixels of 3 channels, 2 classes.

Convolution 3 x 3 of stride 2, 13 pairs of a depthwise 3 x 3 and a pointwise one, average, matrix product; ReLU after
each convolution. Only pointwise weights are pruned: the others are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from headrace.network import Network

from .floats import FloatLayer, Parameters, check_parameters, random_parameters, same_padding
from .quantise import quantise, random_inputs
from .tflite import read_parameters

INPUT_SHAPE = (3, 96, 96)
INPUT_SCALE = 2 / 255
"""The device's input is `pixel >> 1`, the trained network's `pixel / 255`."""
FIRST, CLASSES = 8, 2
PAIRS = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2), *[(128, 1)] * 5, (256, 2), (256, 1)]
"""Output channels of the pointwise convolution, stride of the depthwise one."""
_CHANNELS = [FIRST, *(channels for channels, _ in PAIRS)]
SHAPES: list[tuple[int, ...]] = [(FIRST, 3, 3, 3)]
for _before, _after in pairwise(_CHANNELS):
    SHAPES += [(_before, 1, 3, 3), (_after, _before, 1, 1)]
SHAPES.append((CLASSES, _CHANNELS[-1]))


def layers(parameters: Sequence[Parameters], density: float) -> list[FloatLayer]:
    """The network in real numbers; weights as `SHAPES`."""
    size = INPUT_SHAPE[1]
    result = [FloatLayer("conv", parameters[0], stride=2, padding=same_padding((size, size), (3, 3), 2))]
    size //= 2
    for number, (_, stride) in enumerate(PAIRS, 1):
        depthwise, pointwise = parameters[2 * number - 1 : 2 * number + 1]
        padding = same_padding((size, size), (3, 3), stride)
        size //= stride
        groups = len(depthwise[0])
        result.append(FloatLayer(f"depthwise{number}", depthwise, stride=stride, padding=padding, groups=groups))
        result.append(FloatLayer(f"pointwise{number}", pointwise, density=density))
    return [*result, FloatLayer("average", average=True), FloatLayer("linear", parameters[-1], relu=False)]


def network(path: Path | None, density: float) -> Network:
    """From a .tflite file of the benchmark, real or int8. DataError for a file of another network."""
    parameters = random_parameters(SHAPES) if path is None else read_parameters(path)
    check_parameters(parameters, SHAPES, str(path))
    return quantise("vww", layers(parameters, density), INPUT_SCALE, random_inputs(INPUT_SHAPE, 0))
