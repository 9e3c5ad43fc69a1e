"""The way from a network in real numbers to integers: equalise, prune, share, calibrate, round, correct biases, make
rows alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import numpy as np

from headrace.compress.alike import make_alike
from headrace.compress.quantise import quantise_activations
from headrace.errors import CompileError
from headrace.floats import Add, Conv, FloatGraph, FloatLayer, Linear
from headrace.network import INPUT, Layer, Network, Weighted

from . import build
from .bias import channel_means, correct_bias
from .calibrate import Progress, calibrate
from .compress import prune, share, with_weights
from .equalise import equalise
from .options import Options
from .reconstruct import reconstruct
from .report import Report, WeightReport, relative_error
from .walk import Floats
from .weights import Integers, integers, is_shared, shared_integers


def quantise(
    graph: FloatGraph,
    calibration: Floats,
    options: Options | None = None,
    progress: Progress | None = None,
    trained: Mapping[str, Integers] | None = None,
) -> tuple[Network, Report]:
    """The integer network, whose layers have the real ones' names, and what was done.

    An addition is absorbed by a convolution that only it reads, which then has the addition's name. calibration:
    float32 (N, *graph.input.shape), as `graph.input.feed` gives. `progress(done, total)` counts images. trained:
    integers that layers were trained to have, by name; their real weights are left out of account. CompileError
    naming the layer that cannot be had in integers; HeadraceError for shared values without scikit-learn.
    """
    options = options or Options()
    start, pairs = equalise(graph) if options.equalise else (graph, 0)
    if not len(calibration):
        raise CompileError(f"{graph.name}: calibration needs data")
    if not np.isfinite(calibration).all():
        raise CompileError(f"{graph.name}: the calibration data holds a NaN or an infinity")
    real = prune(start, options)
    if options.reconstruct and real is not start:
        real = reconstruct(real, start, calibration)
    shared = share(real, options) | dict(trained or {})
    fitted, real = real, with_weights(real, shared)
    means = channel_means(start, calibration) if options.bias_correction else None
    if means is not None:
        real = correct_bias(real, means, calibration)
    scales = calibrate(real, calibration, options, progress)
    rounded = _Rounding(real, scales, shared, options)
    if means is not None:
        real = correct_bias(with_weights(real, rounded.parts), means, calibration)
    layers, names = rounded.layers(real)
    network = Network(graph.name, graph.input.shape, scales[0], scales[-1], tuple(layers))
    if options.alike:
        network = make_alike(network, quantise_activations(calibration, scales[0]), options.alike)
        rounded.take(network, names)
    report = Report(
        tuple(_weight_report(start, fitted, rounded, name, output) for name, output in names.items()),
        {INPUT: scales[0]} | {layer.name: rounded.scale_of(layer.name) for layer in layers},
        means is not None,
        pairs,
        start,
    )
    return network, report


class _Rounding:
    """Integer weights of all layers, and which convolutions absorb additions."""

    def __init__(self, graph: FloatGraph, scales: list[float], shared: dict[str, Integers], options: Options) -> None:
        self.graph, self.scales, self.shared, self.options = graph, scales, shared, options
        self.numbers = {layer.name: index + 1 for index, layer in enumerate(graph.layers)}
        self.parts: dict[str, Integers] = {}
        self.absorbs: dict[str, tuple[str, int]] = {}
        """Addition: the convolution that absorbs it, and the tensor that is added."""
        for index, layer in enumerate(graph.layers):
            if isinstance(layer, Add):
                self._absorb(index)
        for index, layer in enumerate(graph.layers):
            if isinstance(layer, Conv | Linear) and layer.name not in self.parts:
                parts = self._integers(index, None)
                assert parts is not None  # no residual
                self.parts[layer.name] = parts

    def scale_of(self, name: str) -> float:
        return self.scales[self.numbers[name]]

    def layers(self, real: FloatGraph) -> tuple[list[Layer], dict[str, str]]:
        """Integer layers, with the biases of `real`; and by the name of each layer with weights that of its output."""
        absorbed = {name for name, _ in self.absorbs.values()}
        result: list[Layer] = []
        outputs: dict[str, str] = {}
        for index, layer in enumerate(real.layers):
            if layer.name in absorbed:
                continue
            sources, y_scale = real.sources(index), self.scales[index + 1]
            try:
                if layer.name in self.absorbs:
                    assert isinstance(layer, Add)
                    name, added = self.absorbs[layer.name]
                    conv = real.layers[self.numbers[name] - 1]
                    inputs = (*conv.inputs, _name(real, added))
                    result.append(self._weighted(conv, layer.name, y_scale, (layer.low, layer.high), inputs))
                    outputs[name] = layer.name
                elif isinstance(layer, Conv | Linear):
                    bounds = (layer.low, layer.high)
                    result.append(self._weighted(layer, layer.name, y_scale, bounds, layer.inputs))
                    outputs[layer.name] = layer.name
                elif isinstance(layer, Add):
                    both = self.scales[sources[0]], self.scales[sources[1]]
                    result.append(build.addition(layer, both, y_scale, real.shapes()[index + 1][0]))
                else:
                    pixels = int(np.prod(real.shapes()[sources[0]][1:]))
                    result.append(build.unweighted(layer, self.scales[sources[0]], y_scale, pixels))
            except CompileError as error:
                raise CompileError(f"{layer.name}: {error}") from None
        return result, outputs

    def take(self, network: Network, outputs: dict[str, str]) -> None:
        """Other weights of the same layers; `outputs` as `layers` gave them."""
        weights = {layer.name: layer.weights for layer in network.layers if isinstance(layer, Weighted)}
        for name, output in outputs.items():
            self.parts[name] = replace(self.parts[name], weights=weights[output])

    def _weighted(
        self, layer: FloatLayer, name: str, y_scale: float, bounds: build.Limits, inputs: tuple[str, ...]
    ) -> Layer:
        assert isinstance(layer, Conv | Linear)
        x_scale = self.scales[self.graph.sources(self.numbers[layer.name] - 1)[0]]
        return build.weighted(layer, name, self.parts[layer.name], x_scale, y_scale, bounds, inputs)

    def _absorb(self, index: int) -> None:
        """Let the latest convolution of stride 1 that can absorb the addition do so."""
        sources = self.graph.sources(index)
        for one, other in sorted(zip(sources, sources[::-1], strict=True), reverse=True):
            conv = self.graph.layers[one - 1] if one else None
            if one == other or not isinstance(conv, Conv) or conv.stride != 1 or conv.name in self.parts:
                continue
            if len(self.graph.readers(one)) > 1 or conv.low != -inf or conv.high != inf:
                continue
            parts = self._integers(one - 1, other)
            if parts is not None:
                self.parts[conv.name] = parts
                self.absorbs[self.graph.layers[index].name] = conv.name, other
                return

    def _integers(self, index: int, residual: int | None) -> Integers | None:
        layer = self.graph.layers[index]
        assert isinstance(layer, Conv | Linear)
        x_scale = self.scales[self.graph.sources(index)[0]]
        ratio = None if residual is None else self.scales[residual] / x_scale
        if layer.name in self.shared:
            return shared_integers(layer, self.shared[layer.name], x_scale, ratio)
        per_channel = self.options.per_channel and not is_shared(layer.weights)
        return integers(layer, x_scale, per_channel, ratio)


def _name(graph: FloatGraph, tensor: int) -> str:
    return graph.layers[tensor - 1].name if tensor else INPUT


def _weight_report(start: FloatGraph, fitted: FloatGraph, rounded: _Rounding, name: str, output: str) -> WeightReport:
    before, unshared = (graph.layers[rounded.numbers[name] - 1] for graph in (start, fitted))
    assert isinstance(before, Conv | Linear) and isinstance(unshared, Conv | Linear)
    parts, shared = rounded.parts[name], rounded.shared.get(name)
    return WeightReport(
        name,
        output,
        before.weights.shape,
        int(np.count_nonzero(parts.weights)),
        int(np.unique(parts.weights).size),
        None if shared is None else relative_error(unshared.weights, shared.dense()),
        relative_error(before.weights, parts.dense()),
    )
