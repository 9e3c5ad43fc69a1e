"""Scales of all tensors from data: what one step of the int8 activations stands for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from headrace.errors import CompileError
from headrace.floats import Concat, FloatGraph, MaxPool

from .options import Options
from .walk import BATCH, Floats

BINS = 4096
"""Of the histogram of magnitudes that percentile and least error are taken from."""
LEAST = 1e-30
CANDIDATES = np.linspace(0.2, 1.0, 81)
Progress = Callable[[int, int], None]


def calibrate(graph: FloatGraph, x: Floats, options: Options, progress: Progress | None = None) -> list[float]:
    """Real units of a step of each tensor: the input's, then every layer's output.

    Tensors that a maximum or a concatenation joins have one scale, the widest they need. x: (N, *input.shape), N > 0.
    CompileError for data that leads to a NaN or an infinity.
    """
    groups = _groups(graph)
    largest = np.zeros(len(groups))
    passes = 1 if options.calibration == "max" else 2
    for number, tensors in enumerate(_batches(graph, x, progress, 0, passes)):
        for tensor, values in enumerate(tensors):
            top = float(np.abs(values).max())
            if not np.isfinite(top):
                name = graph.layers[tensor - 1].name if tensor else "input"
                raise CompileError(f"{name}: batch {number} of the calibration data gives values that are not finite")
            largest[groups[tensor]] = max(largest[groups[tensor]], top)
    tops = largest
    if options.calibration != "max":
        counts = np.zeros((len(groups), BINS), np.int64)
        for tensors in _batches(graph, x, progress, 1, passes):
            for tensor, values in enumerate(tensors):
                if largest[groups[tensor]]:
                    counts[tensor] += _histogram(values, largest[groups[tensor]])
        tops = np.zeros(len(groups))
        for tensor, group in enumerate(groups):
            tops[group] = max(tops[group], _top(counts[tensor], options) * largest[group])
    scales = [float(tops[group]) / 127 or 1.0 for group in groups]
    if options.input_scale is not None:
        fixed = options.input_scale
        scales = [scale if group else fixed for group, scale in zip(groups, scales, strict=True)]
    return scales


def _groups(graph: FloatGraph) -> list[int]:
    """For every tensor the lowest one of its group."""
    group = list(range(len(graph.layers) + 1))
    for index, layer in enumerate(graph.layers):
        if isinstance(layer, MaxPool | Concat):
            joined = {group[tensor] for tensor in (index + 1, *graph.sources(index))}
            group = [min(joined) if one in joined else one for one in group]
    return group


def _batches(
    graph: FloatGraph, x: Floats, progress: Progress | None, done: int, passes: int
) -> Iterator[Iterator[Floats]]:
    """Of each batch all tensors, one after the other."""
    for first in range(0, len(x), BATCH):
        part = x[first : first + BATCH]
        yield _tensors(graph, part)
        if progress is not None:
            progress(done * len(x) + first + len(part), passes * len(x))


def _tensors(graph: FloatGraph, x: Floats) -> Iterator[Floats]:
    yield x
    for _, y in graph.trace(x):
        yield y


def _histogram(values: Floats, largest: float) -> NDArray[np.int64]:
    # The factor of magnitudes next to nothing is beyond float32.
    kind = np.float32 if largest > LEAST else np.float64
    bins = np.minimum((np.abs(values.ravel()) * kind(BINS / largest)).astype(np.int64), BINS - 1)
    return np.bincount(bins, minlength=BINS)


def _top(counts: NDArray[np.int64], options: Options) -> float:
    """The magnitude that becomes 127, as a fraction of the largest one of its group; 0 of nothing but zeros."""
    if not counts.sum():
        return 0.0
    highest = (int(np.flatnonzero(counts)[-1]) + 1) / BINS
    if options.calibration == "percentile":
        reached = np.cumsum(counts) >= options.percentile / 100 * counts.sum()
        return (int(np.argmax(reached)) + 1) / BINS
    middles = (np.arange(BINS) + 0.5) / BINS
    tops = CANDIDATES * highest
    steps = np.minimum(np.rint(middles / (tops[:, None] / 127)), 127) * (tops[:, None] / 127)
    errors = ((middles - steps) ** 2 * counts).sum(axis=1)
    return float(tops[int(np.argmin(errors))])
