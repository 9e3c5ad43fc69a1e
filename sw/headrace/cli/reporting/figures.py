"""What a report says of an artifact: the figures of `inspect`, sizes in other formats, histograms, cycles."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...artifact import Artifact
from ...codecs import CODECS
from ...session import Result
from .. import inspect, sizes
from ..decode import DecodedLayer, decode_layer
from ..output import Progress
from ..roofline import bounds

WEIGHTED = ("conv2d", "linear")
"""Kinds of layers whose weights are the network's own; those of pooling follow from its shape."""
BINS = 20
WAITS = ("decode", "stream", "emission")
"""Shares of a lane's estimated cycles in which the device counts it as stalled."""


def figures(artifact: Artifact, file_bytes: int, result: Result | None, show: Progress) -> dict[str, Any]:
    """Those of `headrace inspect --json`, to which are added:

    - "bounds" of a cycle, "lanes", "pixels", and "simulated": cycles of an image in the RTL, None without `result`;
    - "formats" of all weighted layers together, and of each layer (none of pooling): by name bytes, fraction (of dense
      float32), bits_per_weight, bound_bits (None where there is no bound, or not for every layer);
    - to each layer "row_densities" and "code_lengths" (counts), "lane_taps", "balance" (mean over largest),
      "roof", "waits" (estimated stalls), "simulated_cycles" and "simulated_stalls".

    Errors as `inspect.figures`.
    """
    image = artifact.image
    values = inspect.figures(artifact, file_bytes)
    config = image.config
    values["lanes"], values["pixels"] = config.lanes, config.pixels
    values["bounds"] = bounds(config.lanes, config.pixels, config.read_ports)
    values["simulated"] = None if result is None else result.mean_cycles
    codecs = list(CODECS.values())
    for number, (info, layer) in enumerate(zip(image.layers, values["layers"], strict=True)):
        show(number, len(image.layers))
        decoded = decode_layer(image, info)
        layer |= _histograms(decoded)
        layer["bytes"] = info.stream_bytes + info.table_bytes
        layer["roof"] = _roof(values["bounds"], layer)
        layer["waits"] = round(config.lanes * sum(layer["estimate"]["shares"][name] for name in WAITS))
        one = None if result is None else result.layers[number]
        layer["simulated_cycles"] = None if one is None else one.mean_cycles
        layer["simulated_stalls"] = None if one is None else one.mean_stall_cycles
        layer["formats"] = {}
        if info.kind in WEIGHTED:
            W = np.ascontiguousarray(decoded.weights.T.astype(np.int8))
            layer["formats"] = sizes.figures(W, codecs, False, lambda *_: None)["formats"]
    values["formats"] = _totals([layer for layer in values["layers"] if layer["formats"]])
    return values


def _histograms(decoded: DecodedLayer) -> dict[str, Any]:
    weights, taps = decoded.weights, decoded.lane_taps
    densities = np.count_nonzero(weights, axis=1) / max(1, weights.shape[1])
    rows, _ = np.histogram(densities, BINS, (0, 1))
    return {
        "row_densities": rows.tolist(),
        "code_lengths": np.bincount(decoded.symbol_bits).tolist(),
        "lane_taps": list(taps),
        "balance": sum(taps) / (len(taps) * max(taps)) if any(taps) else None,
    }


def _roof(bounds: dict[str, int], layer: dict[str, Any]) -> dict[str, Any] | None:
    """Where a layer is under the roofline, as estimated: None for one that reads or multiplies nothing."""
    if not layer["bytes"] or not layer["macs"]:
        return None
    intensity = layer["macs"] / layer["bytes"]
    stream = intensity * bounds["bytes_per_cycle"]
    reached = layer["macs"] / layer["estimate"]["cycles"]
    return {
        "intensity": intensity,
        "bound": "stream" if stream < bounds["macs_per_cycle"] else "MAC",
        "macs_per_cycle": reached,
        "of_roof": reached / min(stream, bounds["macs_per_cycle"]),
    }


def _totals(layers: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each format over all layers; dense ones and what the device reads besides. Empty without weights."""
    sizes = [layer["rows"] * layer["positions"] for layer in layers]
    weights = sum(sizes)
    if not weights:
        return {}
    result = {}
    for name in layers[0]["formats"]:
        rows = [layer["formats"][name] for layer in layers]
        bits = [row["bound_bits"] for row in rows]
        bound = None if None in bits else sum(b * size for b, size in zip(bits, sizes, strict=True)) / weights
        result[name] = _size(sum(row["bytes"] for row in rows), weights, bound)
    result["dense float32"] = _size(4 * weights, weights)
    result["dense int8"] = _size(weights, weights)
    result["device, streams"] = _size(sum(layer["stream_bytes"] for layer in layers), weights)
    result["device, streams and tables"] = _size(sum(layer["bytes"] for layer in layers), weights)
    return result


def _size(nbytes: int, weights: int, bound: float | None = None) -> dict[str, Any]:
    return {
        "bytes": nbytes,
        "fraction": nbytes / (4 * weights),
        "bits_per_weight": 8 * nbytes / weights,
        "bound_bits": bound,
    }
