"""headrace.network."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import literal
from graphs import random_graph
from headrace import model
from headrace.network import Concat, Conv2d, GlobalAveragePool, Linear, MaxPool2d, Network
from networks import random_input, random_network, tiny_lenet


def conv(m: int = 2, c: int = 1, k: int = 3, name: str = "conv", **changes: object) -> Conv2d:
    one = np.ones(m, np.int64)
    values = {"weights": np.ones((m, c, k, k), np.int8), "bias": 0 * one, "multiplier": one, "shift": one}
    return Conv2d(name, **(values | changes))


def fc(m: int, k: int) -> Linear:
    one = np.ones(m, np.int64)
    return Linear("fc", np.ones((m, k), np.int8), 0 * one, one, one)


def test_lenet_shapes_and_meaning() -> None:
    rng = np.random.default_rng(0)
    network = tiny_lenet(rng)
    assert network.shapes() == (
        (1, 28, 28), (20, 24, 24), (20, 12, 12), (50, 8, 8), (50, 4, 4), (500, 1, 1), (10, 1, 1),
    )  # fmt: skip
    assert network.output_shape == (10,)
    x = random_input(rng, network, 3)
    trace = network.trace(x)
    y = x
    for layer, result in zip(network.layers, trace, strict=True):
        if isinstance(layer, MaxPool2d):
            y = model.max_pool2d(y, 2)
        else:
            acc = model.conv2d(y, layer.weights) if isinstance(layer, Conv2d) else None
            acc = model.linear(y.reshape(3, -1), layer.weights) if acc is None else acc
            y = model.requant(acc, layer.bias, layer.multiplier, layer.shift, layer.low, layer.high)
        assert np.array_equal(result, y)
    assert np.array_equal(network.run(x), y) and y.shape == (3, 10) and y.dtype == np.int8


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_shapes_are_those_of_the_results(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    trace = network.trace(random_input(rng, network, 2))
    for result, shape, layer in zip(trace, network.shapes()[1:], network.layers, strict=True):
        assert result.shape[1:] == (shape[:1] if isinstance(layer, Linear) else shape)
    assert trace[-1].shape == (2, *network.output_shape)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_graphs_are_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_graph(rng)
    x = random_input(rng, network, 2)
    trace, expected = network.trace(x), literal.trace(network, x)
    for layer, y, wanted, shape in zip(network.layers, trace, expected, network.shapes()[1:], strict=True):
        assert wanted.shape[1:] == shape
        assert y.dtype == np.int8 and np.array_equal(y, wanted[:, :, 0, 0] if isinstance(layer, Linear) else wanted)
    assert np.array_equal(network.run(x), trace[-1])


@pytest.mark.parametrize("seed", range(30))
def test_sources_and_readers_are_each_others_inverse(seed: int) -> None:
    network = random_graph(np.random.default_rng(seed))
    names = ["input", *(layer.name for layer in network.layers)]
    for index, layer in enumerate(network.layers):
        assert tuple(names[source] for source in network.sources(index)) == layer.inputs
        assert max(network.sources(index)) <= index
    for tensor in range(len(names)):
        expected = [i for i in range(len(network.layers)) if tensor in network.sources(i)]
        assert list(network.readers(tensor)) == expected
        assert bool(expected) == (tensor < len(network.layers))


def test_random_graphs_have_every_kind_of_layer() -> None:
    layers = [layer for seed in range(40) for layer in random_graph(np.random.default_rng(seed)).layers]
    assert {layer.kind for layer in layers} == {
        "conv2d", "linear", "maxpool2d", "averagepool2d", "globalaveragepool", "concat",
    }  # fmt: skip
    convolutions = [layer for layer in layers if isinstance(layer, Conv2d)]
    for feature in (
        lambda c: c.skip is not None,
        lambda c: c.stride == 2 and c.padding[0] != c.padding[2],
        lambda c: c.groups > 1 and c.weights.shape[1] > 1,
        lambda c: c.groups > 1 and c.weights.shape[1] == 1,
        lambda c: max(c.dilation) > 1,
    ):
        assert sum(map(feature, convolutions)) > 3


def test_a_block_with_two_branches() -> None:
    layers = (
        conv(1, 1, 1, "a"),
        conv(1, 1, 1, "b", inputs=("input",)),
        Concat("cat", inputs=("b", "input", "a")),
        conv(3, 3, 1, "sum", skip=np.ones(3, np.int8), inputs=("cat", "cat")),
    )
    network = Network("n", (1, 2, 2), 1.0, 1.0, layers)
    assert network.shapes() == ((1, 2, 2), (1, 2, 2), (1, 2, 2), (3, 2, 2), (3, 2, 2))
    assert [network.sources(i) for i in range(4)] == [(0,), (0,), (2, 0, 1), (3, 3)]
    assert [network.readers(i) for i in range(5)] == [(0, 1, 2), (2,), (2,), (3,), ()]
    x = np.array([[[[8, 4], [-16, 0]]]], np.int8)
    # a = b = (x + 1) >> 1, for x even x / 2; every channel of the sum is 2 * x + itself, halved.
    assert network.run(x)[0, :, 0, 0].tolist() == [10, 12, 10]
    assert network.run(x)[0, :, 1, 0].tolist() == [-20, -24, -20]


def test_outputs_after_averages_keep_their_axes() -> None:
    network = Network("n", (2, 3, 3), 1.0, 1.0, (GlobalAveragePool("gap", 1, 1),))
    assert network.output_shape == (2, 1, 1) and network.run(np.zeros((1, 2, 3, 3), np.int8)).shape == (1, 2, 1, 1)


def test_linear_flattens_channels_first() -> None:
    weights = np.zeros((1, 12), np.int8)
    weights[0, 1 * 6 + 1 * 3 + 2] = 1  # channel 1, row 1, column 2 of (2, 2, 3)
    one = np.ones(1, np.int64)
    network = Network("n", (2, 2, 3), 1.0, 1.0, (Linear("fc", weights, 0 * one, 2 * one, one),))
    x = np.arange(12, dtype=np.int8).reshape(1, 2, 2, 3)
    assert network.run(x).tolist() == [[x[0, 1, 1, 2]]]


def test_arrays_are_copied_and_locked() -> None:
    weights = np.ones((2, 1, 3, 3), np.int8)
    layer = conv(weights=weights)
    weights[...] = 5
    assert (layer.weights == 1).all()
    with pytest.raises(ValueError, match="read-only"):
        layer.bias[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        layer.low = 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": np.ones((2, 1, 3, 3))}, r"conv: weights must be int8 \(M, C, kh, kw\), not float64"),
        ({"weights": np.ones((2, 9), np.int8)}, "conv: weights must be int8"),
        ({"weights": np.ones((2, 0, 3, 3), np.int8)}, "conv: weights must be int8"),
        ({"bias": np.zeros(3, np.int64)}, "conv: bias must be 2 integers"),
        ({"bias": np.zeros(2)}, "conv: bias must be 2 integers, not float64"),
        ({"multiplier": np.array([1, 65536])}, "conv: multiplier must be in 0..65535"),
        ({"shift": np.array([0, 1])}, "conv: shift must be in 1..63"),
        ({"shift": np.array([1, 64])}, "conv: shift must be in 1..63"),
        ({"low": 1, "high": 0}, "conv: limits 1, 0"),
        ({"high": 128}, "conv: limits -128, 128"),
    ],
)
def test_wrong_layers_are_named(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        conv(**change)


@pytest.mark.parametrize(
    ("shape", "layers", "message"),
    [
        ((2, 5, 5), (conv(),), "conv: weights .* do not fit an input of"),
        ((1, 2, 5), (conv(),), "conv: weights .* do not fit"),
        ((1, 5, 5), (conv(), fc(3, 17)), "fc: weights .* do not fit"),
        ((1, 5, 5), (conv(), fc(3, 18), MaxPool2d("pool")), "pool: no 2 x 2 window"),
        ((1, 5), (conv(),), "n: input shape"),
        ((1, 0, 5), (conv(),), "n: input shape"),
        ((1, 5, 5), (), "n: no layers"),
        ((1, 5, 5), (conv(inputs=("x",)),), "conv: no layer before it is called 'x'"),
        ((1, 5, 5), (conv(inputs=("fc",)), fc(3, 18)), "conv: no layer before it is called 'fc'"),
        ((1, 5, 5), (conv(inputs=("conv",)),), "conv: no layer before it is called 'conv'"),
        ((1, 9, 9), (conv(), conv(2, 2)), "conv: two layers, or .*, have this name"),
        ((1, 5, 5), (conv(name="input"),), "input: two layers, or a layer and the network's input"),
        ((1, 5, 5), (conv(), conv(name="b", inputs=("input",))), "conv: no layer reads it, and it is not the last"),
        ((1, 5, 5), (conv(skip=np.ones(2, np.int8)),), "conv: a convolution with skip reads 2 inputs, not 1"),
        ((1, 5, 5), (MaxPool2d("pool"), Concat("cat")), "cat: a concatenation reads 2 or more inputs, not 1"),
    ],
)
def test_wrong_networks_are_named(shape: tuple, layers: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network("n", shape, 1.0, 1.0, layers)


def test_wrong_scales_pools_and_inputs_are_named() -> None:
    with pytest.raises(ValueError, match="n: output_scale must be positive, not nan"):
        Network("n", (1, 5, 5), 1.0, float("nan"), (conv(),))
    with pytest.raises(ValueError, match="pool: stride must be 1 or 2, not 3"):
        MaxPool2d("pool", 3)
    network = Network("n", (1, 5, 5), 1.0, 1.0, (conv(),))
    with pytest.raises(ValueError, match="n: input must be int8"):
        network.run(np.zeros((1, 1, 5, 5), np.uint8))
    with pytest.raises(ValueError, match="n: input must be int8"):
        network.run(np.zeros((1, 5, 5), np.int8))
