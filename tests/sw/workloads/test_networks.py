"""The benchmark networks: their shapes and densities, and that the board's configuration holds them."""

from pathlib import Path

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import CONFIGS
from headrace.device.model import ModelDevice
from headrace.errors import DataError
from headrace.network import Conv2d, Linear, Network
from headrace.session import Session
from headrace.workloads import autoencoder, dscnn, resnet8, vgg19, vww
from headrace.workloads.floats import check_parameters, random_parameters

CONFIG = CONFIGS["pynq-z2"]
SMALL_VGG = ((4, 2), (8, 2), (8, 4), (16, 4), (16, 4))


def density(layer: Conv2d | Linear) -> tuple[int, int]:
    return int(np.count_nonzero(layer.weights)), layer.weights.size


def test_resnet8() -> None:
    network = resnet8.network(None, 0.2)
    assert network.input_shape == (3, 32, 32)
    assert network.output_shape == (10,)
    shapes = dict(zip((layer.name for layer in network.layers), network.shapes()[1:], strict=True))
    assert shapes["block1b"] == (16, 32, 32)
    assert shapes["skip2"] == shapes["block2a"] == shapes["block2b"] == (32, 16, 16)
    assert shapes["block3b"] == (64, 8, 8)
    assert shapes["average"] == (64, 1, 1)
    with_skip = {
        layer.name: layer.inputs for layer in network.layers if isinstance(layer, Conv2d) and layer.skip is not None
    }
    assert with_skip == {
        "block1b": ("block1a", "conv"),
        "block2b": ("block2a", "skip2"),
        "block3b": ("block3a", "skip3"),
    }
    weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    assert sum(layer.weights.size for layer in weighted) == 77_360
    for layer in weighted:
        kept, size = density(layer)
        assert kept == round(0.2 * size), layer.name


def test_dscnn() -> None:
    network = dscnn.network(None, 0.3)
    assert network.input_shape == (1, 49, 10)
    assert list(network.shapes()[1:-2]) == [(64, 25, 5)] * 9
    assert network.output_shape == (12,)
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            kept, size = density(layer)
            assert kept == (round(0.3 * size) if layer.name.startswith("pointwise") else size), layer.name


def test_vww() -> None:
    network = vww.network(None, 0.4)
    assert network.input_shape == (3, 96, 96)
    assert network.shapes()[1] == (8, 48, 48)
    assert network.shapes()[-4:] == ((256, 3, 3), (256, 3, 3), (256, 1, 1), (2, 1, 1))
    assert sum(isinstance(layer, Conv2d) for layer in network.layers) == 27
    for layer in network.layers:
        if isinstance(layer, Conv2d | Linear):
            kept, size = density(layer)
            assert kept == (round(0.4 * size) if layer.name.startswith("pointwise") else size), layer.name


def test_vgg19() -> None:
    pytest.importorskip("sklearn")
    network = vgg19.network(None, 0.05, SMALL_VGG)
    weighted = [layer for layer in network.layers if isinstance(layer, Conv2d | Linear)]
    assert len(weighted) == 17
    assert network.shapes()[-2:] == ((16, 1, 1), (10, 1, 1))
    for layer in weighted:
        kept, size = density(layer)
        assert kept == round(0.05 * size), layer.name
        assert len(np.unique(layer.weights)) <= 32
    assert vgg19.shapes(vgg19.GROUPS)[-2:] == [(512, 512, 3, 3), (10, 512)]


def test_autoencoder() -> None:
    network = autoencoder.network(None, 0.5)
    assert [shape[0] for shape in network.shapes()] == [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    for layer in network.layers:
        assert isinstance(layer, Linear) and layer.low == (-128 if layer is network.layers[-1] else 0)
        kept, size = density(layer)
        assert kept == round(0.5 * size), layer.name


def test_the_model_device_runs_the_autoencoder_in_batches() -> None:
    network = autoencoder.network(None, 0.2)
    x = np.random.default_rng(1).integers(-128, 128, (18, *network.input_shape)).astype(np.int8)
    image = compile_network(network, CONFIG, batch=16)
    with ModelDevice(CONFIG) as device, Session(device, Artifact(image)) as session:
        assert np.array_equal(session.run(x).outputs, network.run(x))


def test_vgg19_reads_no_file() -> None:
    with pytest.raises(DataError, match="reads no file"):
        vgg19.network(Path("weights"), 0.05)


def check_device(network: Network) -> None:
    x = np.random.default_rng(1).integers(-128, 128, (2, *network.input_shape)).astype(np.int8)
    with ModelDevice(CONFIG) as device, Session(device, Artifact(compile_network(network, CONFIG))) as session:
        assert np.array_equal(session.run(x).outputs.reshape(2, -1), network.run(x).reshape(2, -1))


def test_the_model_device_runs_resnet8() -> None:
    check_device(resnet8.network(None, 0.2))


def test_the_model_device_runs_dscnn() -> None:
    check_device(dscnn.network(None, 0.3))


def test_the_model_device_runs_a_narrow_vgg19() -> None:
    pytest.importorskip("sklearn")
    check_device(vgg19.network(None, 0.5, SMALL_VGG))


@pytest.mark.slow
def test_the_model_device_runs_vww() -> None:
    check_device(vww.network(None, 0.4))


@pytest.mark.slow
def test_the_model_device_runs_vgg19() -> None:
    pytest.importorskip("sklearn")
    check_device(vgg19.network(None, 0.05))


def test_other_weights_are_named() -> None:
    shapes = [(4, 3, 3, 3), (2, 4)]
    parameters = random_parameters(shapes)
    check_parameters(parameters, shapes, "net")
    with pytest.raises(DataError, match=r"net: layer 1 has weights \(2, 4\), not \(2, 5\)"):
        check_parameters(parameters, [(4, 3, 3, 3), (2, 5)], "net")
    with pytest.raises(DataError, match=r"net: layer 1 has weights none, not \(2, 4\)"):
        check_parameters(parameters[:1], shapes, "net")
    with pytest.raises(DataError, match=r"net: layer 1 has weights \(2, 4\), not none"):
        check_parameters(parameters, shapes[:1], "net")
    parameters[1][0][0, 0] = np.nan
    with pytest.raises(DataError, match="net: layer 1 has wrong biases, or numbers that are not finite"):
        check_parameters(parameters, shapes, "net")
