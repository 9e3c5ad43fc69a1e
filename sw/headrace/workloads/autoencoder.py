"""The autoencoder of MLPerf Tiny, anomaly detection: 640 mel energies in and out, matrix products alone.

Ten of them, 640 to 128, three times 128 to 128, to 8, and back; ReLU after each but the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from headrace.network import Network

from .floats import FloatLayer, Parameters, check_parameters, random_parameters
from .quantise import quantise, random_inputs
from .tflite import read_parameters

WIDTHS = (640, *(128,) * 4, 8, *(128,) * 4, 640)
SHAPES = [(after, before) for before, after in pairwise(WIDTHS)]
INPUT_SHAPE = (WIDTHS[0], 1, 1)
INPUT_SCALE = 0.391
"""As in the benchmark's int8 model, in decibels."""


def layers(parameters: Sequence[Parameters], density: float) -> list[FloatLayer]:
    """The network in real numbers; weights as `SHAPES`, `density` of them kept."""
    *hidden, last = parameters
    result = [FloatLayer(f"linear{n}", one, density=density) for n, one in enumerate(hidden, 1)]
    return [*result, FloatLayer(f"linear{len(parameters)}", last, relu=False, density=density)]


def network(path: Path | None, density: float) -> Network:
    """From a .tflite file of the benchmark, real or int8. DataError for a file of another network."""
    parameters = random_parameters(SHAPES) if path is None else read_parameters(path)
    check_parameters(parameters, SHAPES, str(path))
    return quantise("autoencoder", layers(parameters, density), INPUT_SCALE, random_inputs(INPUT_SHAPE))
