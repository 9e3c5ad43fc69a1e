"""An artifact of a small network with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import get_config
from headrace.network import MaxPool2d, Network
from networks import conv2d, linear


@pytest.fixture(scope="session")
def network() -> Network:
    rng = np.random.default_rng(5)
    layers = (conv2d(rng, "conv", (3, 2, 3, 3), 0.3), MaxPool2d("pool"), linear(rng, "fc", (5, 12), 0.5))
    return Network("small", (2, 6, 6), 1 / 128, 0.5, layers)


@pytest.fixture
def artifact(network: Network, tmp_path: Path) -> Path:
    path = tmp_path / "small.hrz"
    Artifact(compile_network(network, get_config("demo")), {"note": "a test"}).save(path)
    return path


@pytest.fixture
def images(network: Network, tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, np.random.default_rng(6).integers(-128, 128, (3, *network.input_shape), dtype=np.int8))
    return path
