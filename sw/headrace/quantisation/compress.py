"""Weights in real numbers as they are after pruning and sharing.

Magnitudes are taken relative to the root mean square of their output channel, which has a multiplier of its own on the
device: batch normalisation, once folded into weights, gives channels ranges that say nothing about their importance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from headrace.compress.prune import magnitude_mask
from headrace.compress.share import share_layer
from headrace.errors import CompileError
from headrace.floats import Add, Conv, FloatGraph, FloatLayer, Linear

from .options import Options
from .weights import SUM_LIMIT, Integers

ADDED_LIMIT = 40
"""Largest integer where an addition may be absorbed: its factor, at most 127, grows with the grid's fineness."""


@dataclass(frozen=True, eq=False)
class Compressed:
    """A network whose weights are pruned and shared; `shared` by the name of each layer with shared weights."""

    graph: FloatGraph
    shared: dict[str, Integers]


def with_layers(graph: FloatGraph, layers: dict[str, FloatLayer]) -> FloatGraph:
    """`graph` with the layers of these names in place of its own."""
    return replace(graph, layers=tuple(layers.get(layer.name, layer) for layer in graph.layers))


def compress(graph: FloatGraph, options: Options) -> Compressed:
    """Prune, then share, as `options` say. CompileError for names of layers without weights.

    Shared integers are small enough for sums of 24 bits, see `weights.SUM_LIMIT`.
    """
    weighted = {layer.name: layer for layer in graph.layers if isinstance(layer, Conv | Linear)}
    unknown = sorted(options.named_layers() - set(weighted))
    if unknown:
        raise CompileError(f"{unknown[0]}: no layer with weights has this name; there are: {', '.join(weighted)}")
    layers: dict[str, FloatLayer] = {}
    shared: dict[str, Integers] = {}
    added = {name for layer in graph.layers if isinstance(layer, Add) for name in layer.inputs}
    for name, layer in weighted.items():
        density, values = options.density_of(name), options.values_of(name)
        if density == 1.0 and values is None:
            continue
        norms = _norms(layer.weights, options.per_channel)
        relative = layer.weights / norms
        mask = magnitude_mask(relative, density)
        weights = np.where(mask, layer.weights, np.float32(0))
        if values is not None:
            limit = ADDED_LIMIT if name in added and layer.low == -inf and layer.high == inf else 127
            shared[name] = _share(relative, mask, values, norms, limit)
            weights = shared[name].dense()
        layers[name] = replace(layer, weights=weights)
    return Compressed(with_layers(graph, layers), shared)


def _norms(weights: NDArray[np.float32], per_channel: bool) -> NDArray[np.float64]:
    """Root mean square of each output channel, (M, 1, ...); 1 for a channel of zeros, or if not asked."""
    flat = weights.reshape(len(weights), -1).astype(np.float64)
    norms = np.sqrt((flat**2).mean(axis=1)) if per_channel else np.ones(len(flat))
    norms[norms == 0] = 1.0
    return norms.reshape(-1, *[1] * (weights.ndim - 1))


def _share(
    relative: NDArray[np.float64], mask: NDArray[np.bool_], values: int, norms: NDArray[np.float64], limit: int
) -> Integers:
    """The finest grid up to `limit` whose rows' sums fit 24 bits."""
    while True:
        shared = share_layer(relative, mask, values, limit)
        rows = np.abs(shared.weights.reshape(len(relative), -1).astype(np.int64)).sum(axis=1)
        most = int(rows.max(initial=0)) * 128
        if most <= SUM_LIMIT or limit == 1:
            return Integers(shared.weights, shared.scale * norms.ravel())
        used = int(np.abs(shared.values.astype(np.int64)).max())
        limit = max(1, min(used - 1, used * SUM_LIMIT // most))
