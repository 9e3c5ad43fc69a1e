"""ResNet-8 of MLPerf Tiny, CIFAR-10: three residual blocks of 16, 32 and 64 channels.

The batch normalisations are folded. A residual is one more tap of its block's second convolution; those of blocks with
stride 2 come from 1 x 1 convolutions, which are layers of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.network import Network

from .floats import FloatLayer, Parameters, check_parameters, random_parameters, same_padding
from .keras import read_parameters
from .quantise import quantise, random_inputs

INPUT_SHAPE = (3, 32, 32)
INPUT_SCALE = 2.0
"""The device's input is `pixel >> 1`, the trained network's `pixel`."""
NORMALISED = [("conv2d", "batch_normalization")]
NORMALISED += [(f"conv2d_{n}", f"batch_normalization_{n}") for n in range(1, 5)]
NORMALISED += [("conv2d_5", ""), ("conv2d_6", "batch_normalization_5"), ("conv2d_7", "batch_normalization_6")]
NORMALISED += [("conv2d_8", ""), ("dense", "")]
"""Names in the file: layers with weights, and the batch normalisation of each."""
SHAPES: list[tuple[int, ...]] = [(16, 3, 3, 3), (16, 16, 3, 3), (16, 16, 3, 3)]
for _channels in (32, 64):
    SHAPES += [(_channels, _channels // 2, 3, 3), (_channels, _channels, 3, 3), (_channels, _channels // 2, 1, 1)]
SHAPES.append((10, 64))


def layers(parameters: Sequence[Parameters], density: float) -> list[FloatLayer]:
    """The network in real numbers; weights as `SHAPES`, `density` of those of every layer."""
    around = (1, 1, 1, 1)
    first, a, b = parameters[:3]
    result = [
        FloatLayer("conv", first, padding=around, density=density),
        FloatLayer("block1a", a, padding=around, density=density),
        FloatLayer("block1b", b, padding=around, density=density, skip="conv"),
    ]
    for block, size in ((2, 32), (3, 16)):
        before = f"block{block - 1}b"
        a, b, residual = parameters[3 * block - 3 : 3 * block]
        padding = same_padding((size, size), (3, 3), 2)
        skip, inner = f"skip{block}", f"block{block}a"
        result += [
            FloatLayer(skip, residual, stride=2, relu=False, density=density, source=before),
            FloatLayer(inner, a, stride=2, padding=padding, density=density, source=before),
            FloatLayer(f"block{block}b", b, padding=around, density=density, skip=skip),
        ]
    return [
        *result,
        FloatLayer("average", average=True),
        FloatLayer("linear", parameters[-1], relu=False, density=density),
    ]


def network(path: Path | None, density: float) -> Network:
    """From the Keras .h5 file of the benchmark. DataError for a file of another network."""
    parameters = random_parameters(SHAPES) if path is None else read_parameters(path, NORMALISED)
    check_parameters(parameters, SHAPES, str(path))
    return quantise("resnet8", layers(parameters, density), INPUT_SCALE, random_inputs(INPUT_SHAPE, 0))
