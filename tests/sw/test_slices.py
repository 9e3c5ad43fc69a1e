"""Slices of channels: the same function, and networks fit that would not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.artifact import Artifact
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.compress import budget
from headrace.config import Config, get_config
from headrace.device.model import ModelDevice
from headrace.errors import CompileError
from headrace.network import AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, MaxPool2d, Network
from headrace.session import Session
from headrace.slices import layer_name, sliced
from networks import conv2d, linear, random_input, scales, sparse

SMALL = get_config("small")
TIGHT = Config("tight", lanes=4, pixels=4, x_words=128, acc_words=64, channels=64)
READERS = ("depthwise", "maximum", "average", "global")


def reader(rng: np.random.Generator, kind: str, channels: int, stride: int) -> Layer:
    """A layer that works on each channel by itself."""
    if kind == "depthwise":
        weights = sparse(rng, (channels, 1, 3, 3), 0.8)
        own = scales(rng, weights)
        return Conv2d("read", weights, **own, groups=channels, stride=stride, padding=(1, 1, 1, 1))
    if kind == "maximum":
        return MaxPool2d("read", 3, stride=stride, padding=(1, 1, 1, 1))
    if kind == "average":
        return AveragePool2d("read", (2, 2), 9000, 15, stride=stride)
    return GlobalAveragePool("read", 900, 15)


def pair(rng: np.random.Generator, kind: str, channels: int, stride: int = 1, side: int = 7) -> Network:
    """A convolution, what reads it channel by channel, and something that reads all of that."""
    last = conv2d(rng, "last", (5, channels, 1, 1))
    layers = (conv2d(rng, "make", (channels, 3, 3, 3)), reader(rng, kind, channels, stride), last)
    return Network("pair", (3, side, side), 1.0, 1.0, layers)


class TestSliced:
    @settings(deadline=None)
    @given(
        st.sampled_from(READERS),
        st.integers(1, 70),
        st.integers(1, 2),
        st.integers(4, 9),
        st.integers(1, 3000),
        st.integers(0, 99),
    )
    def test_same_function(self, kind: str, channels: int, stride: int, side: int, most: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        network = pair(rng, kind, channels, stride, side)
        own = sliced(network, SMALL, most)
        x = random_input(rng, network, 2)
        assert np.array_equal(own.run(x), network.run(x))
        rows = side - 2 if kind == "global" else min({"average": 2}.get(kind, 4 if stride == 2 else 3), side - 2)
        between = [shape for shape, layer in zip(own.shapes()[1:], own.layers, strict=True) if "make" in layer.name]
        one = rows * (side - 2)
        if one <= most:
            assert max(shape[0] for shape in between) * one <= most
        assert (own is network) == (one > most or channels * one <= most)

    def test_names_say_which_channels(self) -> None:
        own = sliced(pair(np.random.default_rng(0), "global", 40), SMALL, 25 * 20)
        assert [layer.name for layer in own.layers] == [
            *("make[0:16]", "read[0:16]", "make[16:32]", "read[16:32]", "make[32:40]", "read[32:40]"),
            *("read", "last"),
        ]
        assert isinstance(own.layers[6], Concat)
        assert layer_name("make[20:40]") == layer_name("make") == "make"
        assert layer_name("a[1]") == "a[1]"

    def test_slices_are_whole_rows_of_lanes_and_beats_where_they_can_be(self) -> None:
        own = sliced(pair(np.random.default_rng(0), "global", 50), TIGHT, 25 * 20)
        assert [len(layer.weights) for layer in own.layers if "make[" in layer.name] == [16, 16, 16, 2]

    @pytest.mark.parametrize("reads", ["others too", "a residual", "groups", "mixes channels", "the input"])
    def test_left_whole(self, reads: str) -> None:
        rng = np.random.default_rng(1)
        make = replace(conv2d(rng, "make", (8, 8, 3, 3)), padding=(1, 1, 1, 1))
        layers: tuple[Layer, ...] = make, MaxPool2d("read")
        if reads == "others too":
            layers = make, MaxPool2d("read"), MaxPool2d("more", inputs=("make",)), Concat("c", inputs=("read", "more"))
        elif reads == "a residual":
            layers = replace(make, skip=np.ones(8, np.int8), inputs=("input", "input")), MaxPool2d("read")
        elif reads == "groups":
            layers = replace(make, weights=make.weights[:, :4], groups=2), MaxPool2d("read")
        elif reads == "mixes channels":
            layers = make, conv2d(rng, "read", (8, 8, 3, 3))
        elif reads == "the input":
            layers = (MaxPool2d("read"),)
        network = Network("left", (8, 6, 6), 1.0, 1.0, layers)
        assert sliced(network, SMALL, 50) is network

    def test_left_whole_where_a_name_is_taken(self) -> None:
        rng = np.random.default_rng(1)
        layers = (
            conv2d(rng, "make", (8, 8, 3, 3)),
            MaxPool2d("read"),
            replace(conv2d(rng, "x", (8, 8, 1, 1)), name="make[0:4]"),
        )
        network = Network("taken", (8, 8, 8), 1.0, 1.0, layers)
        assert sliced(network, SMALL, 50) is network
        renamed = replace(network, layers=(*layers[:2], replace(layers[2], name="make_0")))
        assert sliced(renamed, SMALL, 50) is not renamed

    def test_two_pairs_and_what_is_between(self) -> None:
        rng = np.random.default_rng(2)
        layers = (
            conv2d(rng, "one", (24, 3, 3, 3)),
            reader(rng, "depthwise", 24, 2),
            conv2d(rng, "two", (30, 24, 1, 1)),
            replace(reader(rng, "global", 30, 1), name="mean"),
            linear(rng, "out", (4, 30)),
        )
        network = Network("two", (3, 10, 10), 1.0, 1.0, layers)
        own, x = sliced(network, SMALL, 300), random_input(rng, network, 3)
        assert np.array_equal(own.run(x), network.run(x))
        assert sum(isinstance(layer, Concat) for layer in own.layers) == 2


class TestCompiled:
    def test_a_global_average_of_more_than_the_memory(self) -> None:
        rng = np.random.default_rng(3)
        layers = (
            replace(conv2d(rng, "make", (48, 4, 3, 3)), padding=(1, 1, 1, 1)),
            GlobalAveragePool("mean", 900, 15),
            linear(rng, "out", (7, 48)),
        )
        network = Network("average", (4, 8, 8), 1.0, 1.0, layers)
        assert TIGHT.x_bytes < 48 * 64
        image = compile_network(network, TIGHT)
        assert [layer_name(info.name) for info in image.layers][-1] == "out"
        assert {layer_name(info.name) for info in image.layers} == {"make", "mean", "out"}
        x = random_input(rng, network, 3)
        with ModelDevice(TIGHT) as device, Session(device, Artifact(image)) as session:
            assert np.array_equal(session.run(x).outputs, network.run(x))

    def test_what_fits_is_left_whole(self) -> None:
        network = pair(np.random.default_rng(4), "global", 16)
        assert [info.name for info in compile_network(network, SMALL).layers] == ["make", "read", "last"]

    def test_too_large_in_any_slices(self) -> None:
        rng = np.random.default_rng(5)
        layers = conv2d(rng, "make", (8, 2, 1, 1)), GlobalAveragePool("mean", 900, 15)
        with pytest.raises(CompileError, match=r"make: tensors need .* are short"):
            compile_network(Network("large", (2, 50, 50), 1.0, 1.0, layers), TIGHT)

    def test_a_budget_counts_slices_as_their_layer(self) -> None:
        rng = np.random.default_rng(6)
        layers = conv2d(rng, "make", (60, 4, 1, 1)), GlobalAveragePool("read", 900, 15)
        network = Network("sum", (4, 8, 8), 1.0, 1.0, layers)
        image = compile_network(network, TIGHT)
        total, each = budget._bytes(image)
        assert budget._of_layer(each, "make") + budget._of_layer(each, "read") == sum(each.values()) < total
        cycles = budget._cycles(image)[1]
        assert budget._of_layer(cycles, "make") > cycles[image.layers[0].name] > 0

    def test_planes_of_one_byte_lie_side_by_side(self) -> None:
        config = Config("narrow", lanes=4, pixels=4, x_words=512, acc_words=256, channels=1024)
        rng = np.random.default_rng(9)
        layers = conv2d(rng, "make", (480, 1, 1, 1)), GlobalAveragePool("mean", 900, 15)
        network = Network("joined", (1, 13, 13), 1.0, 1.0, layers)
        x = random_input(rng, network, 2)
        image = compile_network(network, config, effort=Effort.FAST)
        with ModelDevice(config) as device, Session(device, Artifact(image)) as session:
            assert np.array_equal(session.run(x).outputs, network.run(x))

    def test_more_slices_than_a_program_has_layers(self) -> None:
        rng = np.random.default_rng(10)
        config = Config("one", lanes=1, pixels=4, x_words=128, acc_words=128, channels=1024)
        layers = conv2d(rng, "make", (300, 1, 1, 1)), GlobalAveragePool("mean", 900, 15)
        with pytest.raises(CompileError, match=r"in slices of channels$"):
            compile_network(Network("many", (1, 8, 8), 1.0, 1.0, layers), config)


def mobilenet_v2(side: int) -> Network:
    """MobileNetV2 (arXiv 1801.04381, table 2) x 1.0 for 3 x side x side pixels and 10 classes, with random weights."""
    rng, layers, before = np.random.default_rng(7), list[Layer](), 32
    add = layers.append

    def convolution(name: str, channels: int, source: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Conv2d:
        weights = sparse(rng, (channels, source // groups, kernel, kernel), 0.1 if source > groups * 32 else 0.5, 16)
        padding = (kernel // 2,) * 4
        return Conv2d(name, weights, **scales(rng, weights), stride=stride, padding=padding, groups=groups)

    add(convolution("first", before, 3, 3, 2))
    for expansion, channels, count, first_stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for number in range(count):
            name, source, wide = f"block{channels}_{number}", layers[-1].name, expansion * before
            stride = first_stride if number == 0 else 1
            if expansion > 1:
                add(convolution(f"{name}.expand", wide, before))
            add(convolution(f"{name}.depthwise", wide, wide, 3, stride, wide))
            project = convolution(f"{name}.project", channels, wide)
            if stride == 1 and before == channels:
                residual = np.ones(channels, np.int8)
                project = replace(project, skip=residual, inputs=(layers[-1].name, source))
            add(project)
            before = channels
    add(convolution("last", 1280, before))
    add(GlobalAveragePool("average", 900, 13))
    add(linear(rng, "classes", (10, 1280)))
    return Network("mobilenet_v2", (3, side, side), 1.0, 1.0, tuple(layers))


@pytest.mark.slow
def test_mobilenet_v2_fits_a_zynq_7020() -> None:
    network, config = mobilenet_v2(96), get_config("pynq-z2")
    image = compile_network(network, config, effort=Effort.FAST)
    assert any(info.name.endswith("]") for info in image.layers)
    x = random_input(np.random.default_rng(8), network, 1)
    with ModelDevice(config) as device, Session(device, Artifact(image)) as session:
        assert np.array_equal(session.run(x).outputs, network.run(x))
