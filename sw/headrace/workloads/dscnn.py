"""DS-CNN of MLPerf Tiny, keyword spotting: 49 x 10 MFCCs, 12 classes.

Convolution 10 x 4 of stride 2, four pairs of a depthwise 3 x 3 and a pointwise one, average, matrix product; ReLU after
each convolution. Only pointwise weights are pruned: the others are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.network import Network

from .floats import FloatLayer, Parameters, check_parameters, random_parameters, same_padding
from .quantise import quantise, random_inputs
from .tflite import read_parameters

INPUT_SHAPE = (1, 49, 10)
INPUT_SCALE = 1.0
"""Coefficients from -123 to 26."""
CHANNELS, BLOCKS, CLASSES = 64, 4, 12
SHAPES = [
    (CHANNELS, 1, 10, 4),
    *[(CHANNELS, 1, 3, 3), (CHANNELS, CHANNELS, 1, 1)] * BLOCKS,
    (CLASSES, CHANNELS),
]


def layers(parameters: Sequence[Parameters], density: float) -> list[FloatLayer]:
    """The network in real numbers; weights as `SHAPES`."""
    result = [FloatLayer("conv", parameters[0], stride=2, padding=same_padding(INPUT_SHAPE[1:], (10, 4), 2))]
    for block in range(BLOCKS):
        depthwise, pointwise = parameters[1 + 2 * block : 3 + 2 * block]
        result.append(FloatLayer(f"depthwise{block + 1}", depthwise, padding=(1, 1, 1, 1), groups=CHANNELS))
        result.append(FloatLayer(f"pointwise{block + 1}", pointwise, density=density))
    return [*result, FloatLayer("average", average=True), FloatLayer("linear", parameters[-1], relu=False)]


def network(path: Path | None, density: float) -> Network:
    """From a .tflite file of the benchmark, real or int8. DataError for a file of another network."""
    parameters = random_parameters(SHAPES) if path is None else read_parameters(path)
    check_parameters(parameters, SHAPES, str(path))
    return quantise("dscnn", layers(parameters, density), INPUT_SCALE, random_inputs(INPUT_SHAPE))
