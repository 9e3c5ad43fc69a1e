"""What a trained and compressed model is worth: accuracy, bytes, multiplications, cycles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.artifact import Artifact
from headrace.codecs import CODECS
from headrace.compile import compile_network
from headrace.compress.constraints import weight_arrays
from headrace.config import get_config
from headrace.cycles import estimate
from headrace.data.samples import Samples, normalised
from headrace.device import open_device
from headrace.evaluate import run_network, top1
from headrace.floats import Conv, FloatGraph, Linear
from headrace.importers.torch import import_torch
from headrace.nets import NETS
from headrace.network import SUM_LIMIT, Network, Weighted
from headrace.quantisation import Options, quantise
from headrace.quantisation.record import KEY, record
from headrace.quantisation.weights import Integers
from headrace.session import Session

from .data import Data
from .loop import accuracy
from .recipe import Recipe
from .stages import Compressed

Show = Callable[[int, int], None]


@dataclass(frozen=True)
class Exported:
    """A trained model on its way to a device."""

    graph: FloatGraph
    network: Network
    artifact: Artifact


def export(recipe: Recipe, compressed: Compressed, data: Data) -> Exported:
    """The model imported, quantised and compiled. Shared values stay shared; pruned weights stay 0.

    Raises the errors of `quantise` and `compile_network`.
    """
    import torch

    example = torch.zeros(1, *NETS[recipe.network].input_shape)
    graph = import_torch(compressed.model, example, recipe.network)
    trained = grid_integers(compressed, graph)
    tied = {name for one in compressed.constraints.tied for name in one.modules} - set(trained)
    values = {
        layer.name: int(np.unique(layer.weights[layer.weights != 0]).size) + 1
        for layer in graph.layers
        if isinstance(layer, Conv | Linear) and layer.name in tied
    }
    # A scale for each channel would take shared values apart.
    options = Options(per_channel=not tied, values={name: max(2, count) for name, count in values.items()} or None)
    inputs = normalised(data.train.first(recipe.calibration).inputs, recipe.normalise)
    network, _ = quantise(graph, graph.input.feed(inputs), options, trained=trained)
    image = compile_network(network, get_config(recipe.config))
    meta = {"source": recipe.name, KEY: record(options, len(inputs), recipe.normalise, network)}
    return Exported(graph, network, Artifact(image, meta))


def grid_integers(compressed: Compressed, graph: FloatGraph) -> dict[str, Integers]:
    """Integers of layers that share values on a grid, which a batch normalisation may have scaled by channel.

    Layers whose sums of them might leave 24 bits are left out.
    """
    layers = {layer.name: layer for layer in graph.layers if isinstance(layer, Conv | Linear)}
    found = {}
    for tied in (one for one in compressed.constraints.tied if one.grid):
        step, steps = tied.integers()
        for name, integers in steps.items():
            rows = integers.reshape(len(integers), -1).astype(np.int64)
            largest = np.abs(rows).argmax(axis=1)[:, None]
            folded = np.take_along_axis(layers[name].weights.reshape(rows.shape), largest, axis=1)
            units = (folded / (step * np.maximum(1, np.take_along_axis(np.abs(rows), largest, axis=1))))[:, 0]
            units *= np.where(np.take_along_axis(rows, largest, axis=1)[:, 0] < 0, -1, 1)
            units[units == 0] = 1.0
            rows *= np.where(units < 0, -1, 1)[:, None]
            if np.abs(rows).sum(axis=1).max() * 128 <= SUM_LIMIT:
                found[name] = Integers(rows.astype(np.int8).reshape(integers.shape), step * np.abs(units))
    return found


def measure(recipe: Recipe, compressed: Compressed, data: Data, exported: Exported, simulate: bool) -> dict[str, Any]:
    """What JSON holds of one model. `simulate`: one inference on the Verilated RTL counts its cycles."""
    config, image = get_config(recipe.config), exported.artifact.image
    weights = weight_arrays(compressed.model)
    cycles: dict[str, Any] = {"config": recipe.config, "estimated": estimate(image).cycles}
    if simulate:
        cycles["rtl"] = _simulated(exported, data)
    return {
        "weights": sum(W.size for W in weights.values()),
        "nonzeros": sum(int(np.count_nonzero(W)) for W in weights.values()),
        "layers": {
            name: {
                "shape": list(W.shape),
                "nonzeros": int(np.count_nonzero(W)),
                "values": int(np.unique(W).size),
            }
            for name, W in weights.items()
        },
        "float": {
            "validation": accuracy(compressed, data.validation, recipe.normalise),
            "test": accuracy(compressed, data.test, recipe.normalise),
        },
        "int8": {
            "validation": _integer_accuracy(recipe, exported, data.validation),
            "test": _integer_accuracy(recipe, exported, data.test),
        },
        "bytes": storage(exported.network) | {"artifact": len(exported.artifact.to_bytes())},
        "macs": macs(exported.network),
        "cycles": cycles | {"lanes": config.lanes, "pixels": config.pixels},
    }


def _integer_accuracy(recipe: Recipe, exported: Exported, samples: Samples) -> float:
    assert samples.labels is not None
    x = normalised(samples.inputs, recipe.normalise)
    return top1(run_network(exported.graph, exported.network, x), samples.labels)


def storage(network: Network) -> dict[str, int]:
    """Bytes of all integer weights in every storage format, by name, and dense as float32 and int8.

    Biases and multipliers, which every format leaves alone, do not count.
    """
    matrices = [matrix(layer.weights) for layer in network.layers if isinstance(layer, Weighted)]
    size = sum(W.size for W in matrices)
    found = {name: sum(codec.encode(W).nbytes for W in matrices) for name, codec in CODECS.items()}
    return {"float32": 4 * size, "int8": size} | found


def matrix(weights: NDArray[np.int8]) -> NDArray[np.int8]:
    """A layer's weights, output channels first, as a matrix of n inputs by m outputs."""
    return np.ascontiguousarray(weights.reshape(len(weights), -1).T)


def macs(network: Network) -> dict[str, int]:
    """Multiplications of one inference: of all weights, and of those that are not 0."""
    dense = nonzero = 0
    for layer, shape in zip(network.layers, network.shapes()[1:], strict=True):
        if isinstance(layer, Weighted):
            pixels = prod(shape[1:])
            dense += layer.weights.size * pixels
            nonzero += int(np.count_nonzero(layer.weights)) * pixels
    return {"dense": dense, "nonzero": nonzero}


def _simulated(exported: Exported, data: Data) -> int:
    image = exported.artifact.image
    x = np.zeros((1, *image.input_shape), np.int8)  # cycles do not depend on data
    with open_device("sim", image.config) as device, Session(device, exported.artifact) as session:
        return int(session.run(x).cycles.sum())
