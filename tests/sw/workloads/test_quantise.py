"""Integers against the real numbers they stand for, on small random networks."""

import numpy as np
import pytest

from headrace.compile import compile_network
from headrace.config import CONFIGS
from headrace.errors import CompileError
from headrace.network import Conv2d, MaxPool2d
from headrace.workloads.floats import FloatLayer, fold, random_parameters, same_padding
from headrace.workloads.quantise import convolve, quantise, random_inputs

SHAPE = (3, 9, 8)
AROUND = (1, 1, 1, 1)


def small(density: float = 1.0) -> list[FloatLayer]:
    """Every kind of layer: a residual, a depthwise convolution of stride 2, a maximum, an average, a product."""
    conv, depthwise, pointwise, linear = random_parameters([(8, 3, 3, 3), (8, 1, 3, 3), (8, 8, 1, 1), (5, 8)], 3)
    return [
        FloatLayer("conv", conv, padding=AROUND, density=density),
        FloatLayer("pointwise", pointwise, skip="conv", density=density),
        FloatLayer("depthwise", depthwise, stride=2, padding=same_padding((9, 8), (3, 3), 2), groups=8),
        FloatLayer("maximum"),
        FloatLayer("average", average=True),
        FloatLayer("linear", linear, relu=False, density=density),
    ]


def reference(x: np.ndarray, weights: np.ndarray, bias: np.ndarray, stride: int, padding: tuple, groups: int):
    """A convolution by loops over every output."""
    top, left, bottom, right = padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    n, _, h, w = x.shape
    m, own, kh, kw = weights.shape
    out = np.zeros((n, m, (h - kh) // stride + 1, (w - kw) // stride + 1))
    for k in range(m):
        first = k // (m // groups) * own
        for i in range(out.shape[2]):
            for j in range(out.shape[3]):
                part = x[:, first : first + own, i * stride : i * stride + kh, j * stride : j * stride + kw]
                out[:, k, i, j] = (part * weights[k]).sum(axis=(1, 2, 3)) + bias[k]
    return out


def forward(layers: list[FloatLayer], x: np.ndarray) -> dict[str, np.ndarray]:
    """Real outputs of `small`, without pruning."""
    real = {}
    for layer in layers:
        if layer.average:
            x = x.mean(axis=(2, 3), keepdims=True)
        elif layer.parameters is None:
            h, w = x.shape[2:]
            x = np.maximum.reduce([x[:, :, i : h // 2 * 2 : 2, j : w // 2 * 2 : 2] for i in (0, 1) for j in (0, 1)])
        else:
            weights, bias = layer.parameters
            if weights.ndim == 2:
                weights = weights[:, :, None, None]
            x = reference(x, weights, bias, layer.stride, layer.padding, layer.groups)
            x = x + (real[layer.skip] if layer.skip else 0)
            x = np.maximum(x, 0) if layer.relu else x
        real[layer.name] = x
    return real


@pytest.mark.parametrize(("groups", "stride", "padding"), [(1, 1, AROUND), (4, 2, (0, 1, 1, 0)), (2, 2, (2, 0, 0, 2))])
def test_convolve(groups: int, stride: int, padding: tuple[int, int, int, int]) -> None:
    rng = np.random.default_rng(groups)
    x, weights = rng.normal(size=(2, 4, 7, 6)), rng.normal(size=(8, 4 // groups, 3, 2))
    layer = FloatLayer("conv", (weights, np.zeros(8)), stride, padding, groups)
    expected = reference(x, weights, np.zeros(8), stride, padding, groups)
    assert np.allclose(convolve(x, weights, layer), expected, rtol=0, atol=1e-12)


def test_outputs_are_near_the_real_ones() -> None:
    """Each of six layers adds at most a step of its output's scale, and as much by rounded weights: 12 steps of 127."""
    layers, scale = small(), 1 / 64
    inputs = random_inputs(SHAPE)
    network = quantise("small", layers, scale, inputs)
    real = forward(layers, inputs * scale)
    for layer, y in zip(network.layers, network.trace(inputs), strict=True):
        expected = real[layer.name].reshape(y.shape)
        step = np.abs(expected).max() / 127
        assert np.abs(y * step - expected).max() <= 12 * step, layer.name
        if not isinstance(layer, MaxPool2d):
            assert 115 <= np.abs(y.astype(int)).max() <= 128


def test_the_residual_is_an_exact_integer() -> None:
    network = quantise("small", small(0.5), 1.0, random_inputs(SHAPE))
    layer = network.layers[1]
    assert isinstance(layer, Conv2d) and layer.skip is not None
    assert layer.skip.min() >= 1
    # One unit of the residual is worth the same in each channel: factor times rescaling.
    worth = layer.skip * layer.multiplier / 2.0**layer.shift
    assert np.allclose(worth, worth[0], rtol=2**-14, atol=0)


@pytest.mark.parametrize("values", [None, 8])
@pytest.mark.parametrize("density", [0.1, 0.37, 1.0])
def test_densities_are_exact(density: float, values: int | None) -> None:
    if values is not None:
        pytest.importorskip("sklearn")
    layers = [layer for layer in small(density) if layer.name != "pointwise"]
    network = quantise("small", layers, 1.0, random_inputs(SHAPE), values)
    for layer, real in zip(network.layers, layers, strict=True):
        if real.parameters is not None:
            assert np.count_nonzero(layer.weights) == round(real.density * layer.weights.size), real.name
            assert values is None or len(np.unique(layer.weights)) <= values


def test_weights_that_round_to_zero_are_kept() -> None:
    weights = np.full((1, 4), 1e-6)
    weights[0, 0] = 1.0
    network = quantise("tiny", [FloatLayer("linear", (weights, np.zeros(1)))], 1.0, random_inputs((4, 1, 1)))
    assert network.layers[0].weights.tolist() == [[127, 1, 1, 1]]


def test_sums_fit_the_accumulators() -> None:
    """Equal weights of 127 would sum to more than 24 bits."""
    parameters = np.full((2, 3000), 0.5), np.array([0.0, 1e5])
    network = quantise("wide", [FloatLayer("linear", parameters)], 1.0, random_inputs((3000, 1, 1)))
    weights = network.layers[0].weights.astype(int)
    assert 0 < np.abs(weights).sum(axis=1).max() * 128 < 1 << 23
    assert weights.max() < 127
    compile_network(network, CONFIGS["demo"])


def test_too_many_weights_say_which_layer() -> None:
    parameters = np.ones((1, 66000)), np.zeros(1)
    with pytest.raises(CompileError, match="wide: 66000 weights an output are too many"):
        quantise("wide", [FloatLayer("wide", parameters)], 1.0, random_inputs((66000, 1, 1)))


def test_a_small_residual_says_which_layer() -> None:
    first = np.full((2, 2, 1, 1), 1e-4), np.zeros(2)
    second = np.full((2, 2, 1, 1), 100.0), np.zeros(2)
    layers = [
        FloatLayer("small", first),
        FloatLayer("large", second, source="input", skip="small"),
    ]
    with pytest.raises(CompileError, match="large: the residual is too small"):
        quantise("net", layers, 1.0, random_inputs((2, 4, 4)))


def test_fold() -> None:
    rng = np.random.default_rng(5)
    weights, bias, x = rng.normal(size=(4, 3, 3, 3)), rng.normal(size=4), rng.normal(size=(2, 3, 6, 6))
    gamma, beta, mean, variance = rng.normal(size=4), rng.normal(size=4), rng.normal(size=4), rng.uniform(0.1, 2, 4)
    y = reference(x, weights, bias, 1, AROUND, 1)
    normal = (y - mean[:, None, None]) / np.sqrt(variance + 1e-3)[:, None, None]
    expected = normal * gamma[:, None, None] + beta[:, None, None]
    folded = fold((weights, bias), gamma, beta, mean, variance, 1e-3)
    assert np.allclose(reference(x, *folded, 1, AROUND, 1), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "expected"),
    [((49, 10), (10, 4), 2, (4, 1, 5, 1)), ((96, 96), (3, 3), 2, (0, 0, 1, 1)), ((6, 6), (3, 3), 1, AROUND)],
)
def test_same_padding(size: tuple, kernel: tuple, stride: int, expected: tuple) -> None:
    assert same_padding(size, kernel, stride) == expected
