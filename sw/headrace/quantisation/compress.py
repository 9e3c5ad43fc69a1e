"""Weights in real numbers as they are after pruning and sharing.

Magnitudes are taken relative to the root mean square of their output channel, which has a multiplier of its own on the
device: batch normalisation, once folded into weights, gives channels ranges that say nothing about their importance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import numpy as np
from numpy.typing import NDArray

from headrace.compress.prune import magnitude_mask
from headrace.compress.share import share_layer
from headrace.errors import CompileError
from headrace.floats import Add, Conv, FloatGraph, FloatLayer, Linear
from headrace.network import SUM_LIMIT

from .options import Options
from .weights import Integers, is_shared

ADDED_LIMIT = 40
"""Largest integer where an addition may be absorbed: its factor, at most 127, grows with the grid's fineness."""


def with_layers(graph: FloatGraph, layers: dict[str, FloatLayer]) -> FloatGraph:
    """`graph` with the layers of these names in place of its own."""
    return replace(graph, layers=tuple(layers.get(layer.name, layer) for layer in graph.layers))


def prune(graph: FloatGraph, options: Options) -> FloatGraph:
    """`graph` with the smallest weights of each layer 0, as `options` say. CompileError for names of other layers."""
    weighted = {layer.name: layer for layer in graph.layers if isinstance(layer, Conv | Linear)}
    unknown = sorted(options.named_layers() - set(weighted))
    if unknown:
        raise CompileError(f"{unknown[0]}: no layer with weights has this name; there are: {', '.join(weighted)}")
    layers: dict[str, FloatLayer] = {}
    for name, layer in weighted.items():
        if options.density_of(name) < 1:
            mask = magnitude_mask(layer.weights / _norms(layer.weights, options.per_channel), options.density_of(name))
            layers[name] = replace(layer, weights=np.where(mask, layer.weights, np.float32(0)))
    return with_layers(graph, layers)


def share(graph: FloatGraph, options: Options) -> dict[str, Integers]:
    """Shared integers of the layers for which `options` ask for some, by name; weights that are 0 stay 0."""
    added = {name for layer in graph.layers if isinstance(layer, Add) for name in layer.inputs}
    shared = {}
    for layer in graph.layers:
        values = options.values_of(layer.name) if isinstance(layer, Conv | Linear) else None
        if values is not None:
            assert isinstance(layer, Conv | Linear)
            limit = ADDED_LIMIT if layer.name in added and layer.low == -inf and layer.high == inf else 127
            shared[layer.name] = _share(layer.weights, values, _norms(layer.weights, options.per_channel), limit)
    return shared


def with_weights(graph: FloatGraph, parts: Mapping[str, Integers]) -> FloatGraph:
    """`graph` with the weights that integers stand for, in the layers of these names."""
    layers: dict[str, FloatLayer] = {}
    for layer in graph.layers:
        if isinstance(layer, Conv | Linear) and layer.name in parts:
            layers[layer.name] = replace(layer, weights=parts[layer.name].dense())
    return with_layers(graph, layers)


def _norms(weights: NDArray[np.float32], per_channel: bool) -> NDArray[np.float64]:
    """Root mean square of each output channel, (M, 1, ...); 1 for a channel of zeros, for weights that are shared
    already, or if not asked."""
    flat = weights.reshape(len(weights), -1).astype(np.float64)
    norms = np.sqrt((flat**2).mean(axis=1)) if per_channel and not is_shared(weights) else np.ones(len(flat))
    norms[norms == 0] = 1.0
    return norms.reshape(-1, *[1] * (weights.ndim - 1))


def _share(weights: NDArray[np.float32], values: int, norms: NDArray[np.float64], limit: int) -> Integers:
    """The finest grid up to `limit` whose rows' sums fit 24 bits."""
    while True:
        shared = share_layer(weights / norms, weights != 0, values, limit)
        rows = np.abs(shared.weights.reshape(len(weights), -1).astype(np.int64)).sum(axis=1)
        most = int(rows.max(initial=0)) * 128
        if most <= SUM_LIMIT or limit == 1:
            return Integers(shared.weights, shared.scale * norms.ravel())
        used = int(np.abs(shared.values.astype(np.int64)).max())
        limit = max(1, min(used - 1, used * SUM_LIMIT // most))
