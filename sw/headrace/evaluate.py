"""How well a network does its task, and where its integers depart from the real numbers they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, log10

import numpy as np
from numpy.typing import NDArray

from .compress.quantise import quantise_activations
from .errors import DataError
from .floats import FloatGraph
from .network import Network

BATCH = 32
"""Samples at a time, which bounds memory."""
Progress = Callable[[int, int], None]
Array = NDArray[np.floating]


def top1(outputs: Array, labels: NDArray[np.generic]) -> float:
    """Fraction of outputs (N, classes, ...) whose largest element, the first among equals, is the label.

    DataError for outputs of one element, and as `_one_each`.
    """
    flat = outputs.reshape(len(outputs), -1)
    if flat.shape[1] < 2:
        raise DataError("top-1 needs two outputs or more; of one, take --task auc or mse")
    return float((flat.argmax(axis=1) == _one_each(outputs, labels)).mean())


def auc(outputs: Array, labels: NDArray[np.generic]) -> float:
    """Area under the ROC curve: how often a sample labelled 1 scores above one labelled 0, equal scores half.

    The score is the one output, or the second of two minus the first. DataError unless there are labels 0 and 1 only,
    and some of each, and as `_one_each`.
    """
    labels = _one_each(outputs, labels)
    flat = outputs.reshape(len(outputs), -1).astype(np.float64)
    if flat.shape[1] > 2 or set(np.unique(labels).tolist()) != {0, 1}:
        raise DataError("the area under the curve needs one or two outputs, and labels 0 and 1")
    scores = flat[:, -1] - (flat[:, 0] if flat.shape[1] == 2 else 0)
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positive = labels == 1
    count = int(positive.sum())
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * (len(labels) - count)))


def _one_each(outputs: Array, labels: NDArray[np.generic]) -> NDArray[np.generic]:
    """Labels (N,), also of a column (N, 1). DataError for others, such as a row for each sample."""
    if labels.size != len(outputs):
        raise DataError(f"labels {labels.shape} are not one for each of {len(outputs):,} samples")
    return labels.ravel()


def mean_squared_error(outputs: Array, labels: NDArray[np.generic]) -> float:
    """Between outputs (N, ...) and labels of as many elements. DataError for another number of them."""
    flat = outputs.reshape(len(outputs), -1).astype(np.float64)
    if labels.size != flat.size:
        raise DataError(f"{labels.size:,} labels do not fit {flat.size:,} outputs")
    return float(((flat - labels.reshape(flat.shape).astype(np.float64)) ** 2).mean())


def concordance_index(outputs: Array, labels: NDArray[np.generic]) -> float:
    """Of all two samples with unlike labels, the fraction whose outputs, one each, are in the same order; equal outputs
    count half. DataError for several outputs a sample, labels that are all equal, and as `_one_each`."""
    labels = _one_each(outputs, labels)
    if outputs.size != len(outputs):
        raise DataError(f"the concordance index is of one output a sample, not of {outputs.shape[1:]}")
    order = np.argsort(labels, kind="stable")
    ranked, scores = labels[order], outputs.ravel()[order]
    below = np.searchsorted(ranked, ranked)  # samples with a lesser label
    wins = 0.0
    for index, count in enumerate(below.tolist()):
        wins += np.count_nonzero(scores[:count] < scores[index]) + np.count_nonzero(scores[:count] == scores[index]) / 2
    if not below.sum():
        raise DataError("the concordance index needs two labels or more")
    return wins / int(below.sum())


TASKS: dict[str, Callable[[Array, NDArray[np.generic]], float]] = {
    "top1": top1,
    "auc": auc,
    "mse": mean_squared_error,
    "ci": concordance_index,
}


def accuracy(network: Network, x: NDArray[np.int8], labels: NDArray[np.generic]) -> float:
    """Top-1 of an integer network for its own inputs (N, C, H, W). DataError as `top1`."""
    outputs = [network.run(x[first : first + BATCH]).astype(np.float32) for first in range(0, len(x), BATCH)]
    return top1(np.concatenate(outputs), labels)


def integer_input(graph: FloatGraph, x: NDArray[np.generic], scale: float) -> NDArray[np.int8]:
    """The device's input for the model's own one; `scale` is the network's `input_scale`."""
    return quantise_activations(graph.input.feed(x), scale)


def run_float(graph: FloatGraph, x: NDArray[np.generic], progress: Progress | None = None) -> Array:
    """The real network's outputs (N, *graph.output.model_shape)."""
    return _batches(graph.run, x, progress)


def run_network(graph: FloatGraph, network: Network, x: NDArray[np.generic], progress: Progress | None = None) -> Array:
    """The integer network's outputs in real units, for the model's own inputs: (N, *graph.output.model_shape)."""

    def run(part: NDArray[np.generic]) -> Array:
        y = network.run(integer_input(graph, part, network.input_scale))
        return graph.output.deliver(y.astype(np.float32) * np.float32(network.output_scale))

    return _batches(run, x, progress)


def _batches(run: Callable[[NDArray[np.generic]], Array], x: NDArray[np.generic], progress: Progress | None) -> Array:
    parts = []
    for first in range(0, max(1, len(x)), BATCH):
        parts.append(run(x[first : first + BATCH]))
        if progress is not None:
            progress(min(first + BATCH, len(x)), len(x))
    return np.concatenate(parts)


@dataclass(frozen=True)
class LayerNoise:
    """One layer's outputs in integers beside those in real numbers."""

    name: str
    sqnr_db: float
    """10 * log10 of the real outputs' power over that of the difference; infinite without difference."""
    clipped: float
    """Fraction of integers that are -128 or 127."""
    scale: float


def compare(
    graph: FloatGraph,
    network: Network,
    scales: Mapping[str, float],
    x: NDArray[np.generic],
    progress: Progress | None = None,
) -> list[LayerNoise]:
    """Noise of each integer layer, all errors of the layers before it included, in the network's order.

    graph, scales: `reference` and `scales` of `quantisation.Report`. x: the model's own inputs. DataError where the
    network has a layer that the real one lacks, so that it is no quantisation of it.
    """
    missing = [layer.name for layer in network.layers if layer.name not in {one.name for one in graph.layers}]
    if missing or any(layer.name not in scales for layer in network.layers):
        raise DataError(f"{network.name} is no quantisation of {graph.name}: {(missing or ['its scales'])[0]}")
    signal = dict.fromkeys(scales, 0.0)
    noise, clipped, counts = dict(signal), dict(signal), dict(signal)
    for first in range(0, len(x), BATCH):
        part = x[first : first + BATCH]
        names = [layer.name for layer in network.layers]
        outputs = dict(zip(names, network.trace(integer_input(graph, part, network.input_scale)), strict=True))
        for name, real in graph.trace(graph.input.feed(part)):
            if name not in outputs:
                continue  # absorbed
            wanted, y = real.ravel().astype(np.float64), outputs[name].ravel()
            signal[name] += float((wanted**2).sum())
            noise[name] += float(((y * scales[name] - wanted) ** 2).sum())
            clipped[name] += float(np.count_nonzero((y == 127) | (y == -128)))
            counts[name] += y.size
        if progress is not None:
            progress(min(first + BATCH, len(x)), len(x))
    return [
        LayerNoise(name, _decibels(signal[name], noise[name]), clipped[name] / max(1.0, counts[name]), scales[name])
        for name in (layer.name for layer in network.layers)
    ]


def _decibels(signal: float, noise: float) -> float:
    if not noise:
        return inf
    return 10 * log10(signal / noise) if signal else -inf
