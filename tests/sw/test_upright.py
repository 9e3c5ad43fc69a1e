"""Signals that do not fit in rows of pixels: the same integers from rows of one pixel, in strips over the lanes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import CONFIGS, Config
from headrace.device.model import ModelDevice
from headrace.errors import CompileError
from headrace.layers import lower
from headrace.network import AveragePool2d, Conv2d, GlobalAveragePool, Layer, MaxPool2d, Network
from headrace.placement import Placement
from headrace.session import Session
from headrace.upright import is_signal, upright
from networks import conv2d, linear, random_input

LITTLE = Config("little", lanes=4, pixels=4, x_words=256, acc_words=16)


def signal_network(seed: int, width: int = 120) -> Network:
    """Padded, dilated and strided convolutions of a signal, a residual, pools of all kinds."""
    rng = np.random.default_rng(seed)
    first = replace(conv2d(rng, "first", (4, 3, 1, 5)), padding=(0, 1, 0, 3), dilation=(1, 2))
    skip = replace(conv2d(rng, "skip", (4, 4, 1, 3)), padding=(0, 1, 0, 1), skip=np.array([3, 0, -4, 9], np.int8))
    layers: list[Layer] = [
        first,
        replace(skip, inputs=("first", "first")),
        [MaxPool2d("pool", 3, padding=(1, 0, 1, 0), stride=1), MaxPool2d("pool", 2, padding=(0, 0, 1, 1))][seed % 2],
        AveragePool2d("mean", (1, 3), 21845, 16, padding=(0, 0, 0, 2)),
        replace(conv2d(rng, "strided", (5, 4, 1, 2)), stride=2),
        GlobalAveragePool("all", 3000, 18),
        linear(rng, "out", (3, 5)),
    ]
    return Network("signal", (3, 1, width), 1.0, 1.0, tuple(layers))


@pytest.mark.parametrize("seed", range(4))
def test_same_elements(seed: int):
    network = signal_network(seed)
    turned = upright(network)
    assert is_signal(network) and not is_signal(turned)
    assert turned.input_shape == (3, 120, 1) and turned.shapes()[1][2] == 1
    x = random_input(np.random.default_rng(seed), network, 3)
    outputs = zip(network.trace(x), turned.trace(x.transpose(0, 1, 3, 2)), strict=True)
    assert all(np.array_equal(a.ravel(), b.ravel()) for a, b in outputs)


@pytest.mark.parametrize("seed", range(4))
def test_signals_that_need_strips(seed: int):
    network = signal_network(seed, width=200)
    image = compile_network(network, LITTLE)
    assert (image.input_shape, image.input.height, image.input.width) == ((3, 1, 200), 200, 1)
    assert any(info.spatial_strips > 1 for info in image.layers)
    x = random_input(np.random.default_rng(seed), network, 2)
    artifact = Artifact(image)
    with ModelDevice(LITTLE) as device, Session(device, artifact) as session:
        assert np.array_equal(session.run(x).outputs, network.run(x))
    assert artifact.image.from_header(image.to_header(), image.blob) == image


def test_signals_that_fit_lie_in_rows():
    assert compile_network(signal_network(0), CONFIGS["small"]).input.height == 1


def test_no_way_fits():
    """The reason is that of rows."""
    with pytest.raises(CompileError, match=r"tensors need .*, config little has 1024: \d+ are short"):
        compile_network(signal_network(0, width=4000), LITTLE)


@pytest.mark.slow
def test_signals_too_long_for_strips_go_in_bands():
    """The halves of a signal this long leave what the numbers of a placement in strips reach."""
    layers = (conv2d(np.random.default_rng(0), "conv", (96, 4, 1, 1)), MaxPool2d("pool", 2, padding=(0, 0, 1, 0)))
    network = Network("long", (4, 1, 20_000), 1.0, 1.0, layers)
    image = compile_network(network, CONFIGS["pynq-z2"])
    x = random_input(np.random.default_rng(0), network, 1)
    with ModelDevice(image.config) as device, Session(device, Artifact(image)) as session:
        assert np.array_equal(session.run(x).outputs, network.run(x))


@pytest.mark.parametrize("kernel", [2, 6, 11])
def test_windows_along_a_signal_have_no_positions_in_the_padding(kernel: int):
    pool = MaxPool2d("pool", kernel, stride=1, padding=(0, 0, kernel - 1, 0))
    lowered = lower(pool, Placement.make((3, 1, 20)), 4, (1, 21 - kernel))
    assert len(lowered.taps) == kernel and lowered.matrix.shape == (3, 3 * kernel)
    turned = replace(pool, padding=(0, 0, 0, kernel - 1))
    assert len(lower(turned, Placement.make((3, 20, 1)), 4, (21 - kernel, 1)).taps) == kernel
    everything = Conv2d("centre", *_kernel(), padding=(1, 1, 1, 1))
    assert len(lower(everything, Placement.make((1, 1, 1)), 4, (1, 1)).taps) == 1


def _kernel() -> tuple[np.ndarray, ...]:
    one = np.ones(1, np.int64)
    return np.ones((1, 1, 3, 3), np.int8), one, one, one
