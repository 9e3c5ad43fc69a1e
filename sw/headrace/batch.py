"""Several inputs at a time: a network of vectors as one whose tensors have a pixel for each input.

A lane multiplies each weight that it decodes with P pixels. A vector is a single one, so a network of vectors leaves
P - 1 of P multipliers idle. Its twin has the elements of its vectors as channels and N inputs as their pixels, and each
matrix product as a convolution of 1 x 1: the same weights, decoded once for N inputs.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from .errors import CompileError
from .network import Concat, Conv2d, Layer, Linear, Network, Shape


def batched(network: Network, count: int) -> Network:
    """The network of `count` inputs: x (1, K, count, 1), input n being x[0, :, n, 0], flattened, K its elements.

    Its output (1, M, count, 1) holds those of `network`, element by element. CompileError naming the first layer that
    is no matrix product of its whole input and works on planes of more than one pixel, or around one.
    """
    shapes = network.shapes()
    layers = [
        _of_vectors(layer, [shapes[source] for source in network.sources(index)])
        for index, layer in enumerate(network.layers)
    ]
    shape = (prod(network.input_shape), count, 1)
    return Network(network.name, shape, network.input_scale, network.output_scale, tuple(layers))


def _of_vectors(layer: Layer, shapes: list[Shape]) -> Layer:
    if isinstance(layer, Linear):
        weights = layer.weights[:, :, None, None]
        requantisation = layer.bias, layer.multiplier, layer.shift, layer.low, layer.high
        return Conv2d(layer.name, weights, *requantisation, inputs=layer.inputs)
    if all(shape[1:] == (1, 1) for shape in shapes):
        if isinstance(layer, Concat):
            return layer
        if isinstance(layer, Conv2d) and layer.kernel == (1, 1) and not any(layer.padding):
            return replace(layer, stride=1)
    sizes = ", ".join("x".join(map(str, shape)) for shape in shapes)
    raise CompileError(
        f"{layer.name}: a batch takes matrix products, sums and concatenations of vectors, this {layer.kind} of "
        f"{sizes} has pixels of its own: compile for a batch of 1"
    )
