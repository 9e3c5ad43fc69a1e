"""Two layers in slices of channels, on the simulated accelerator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.compile import compile_network
from headrace.config import get_config
from headrace.network import Conv2d, GlobalAveragePool, Network
from headrace.slices import layer_name
from headrace_sim.network_check import run_network
from networks import conv2d, linear, random_input, scales, sparse

SMALL = get_config("small")


@pytest.mark.slow
def test_equal() -> None:
    """An inverted residual block, and a head whose last plane is larger than the memory: both in slices."""
    rng = np.random.default_rng(7)
    side, wide, last = 12, 288, 160
    weights = sparse(rng, (wide, 1, 3, 3), 0.8)
    depthwise = Conv2d("depthwise", weights, **scales(rng, weights), groups=wide, padding=(1, 1, 1, 1))
    add = conv2d(rng, "project", (8, wide, 1, 1), 0.2, relu=False)
    layers = (
        replace(conv2d(rng, "first", (8, 3, 3, 3)), padding=(1, 1, 1, 1)),
        conv2d(rng, "expand", (wide, 8, 1, 1)),
        depthwise,
        replace(add, skip=np.full(8, 3, np.int8), inputs=("depthwise", "first")),
        conv2d(rng, "wide", (last, 8, 1, 1)),
        GlobalAveragePool("mean", 450, 16),
        linear(rng, "out", (10, last)),
    )
    network = Network("block", (3, side, side), 1 / 128, 0.5, layers)
    assert last * side * side > SMALL.x_bytes
    names = [info.name for info in compile_network(network, SMALL).layers]
    assert {layer_name(name) for name in names if name != layer_name(name)} >= {"wide", "mean"}
    run = run_network(network, SMALL, random_input(rng, network, 1))
    assert abs(run.estimate.cycles - run.cycles) <= 0.05 * run.cycles
