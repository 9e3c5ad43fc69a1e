"""Signals that lie upright in strips, on the simulated accelerator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.compile import compile_network
from headrace.config import get_config
from headrace.network import MaxPool2d, Network
from headrace_sim.network_check import run_network
from networks import conv2d, linear, random_input

SMALL = get_config("small")


@pytest.mark.slow
def test_equal() -> None:
    """A branch of DeepDTA in small: two convolutions, then the maximum of all samples by halves."""
    rng = np.random.default_rng(5)
    width, layers = 2000, [conv2d(rng, "conv1", (4, 4, 1, 6)), conv2d(rng, "conv2", (8, 4, 1, 6), 0.3)]
    length = width - 10
    while length > 11:
        layers.append(MaxPool2d(f"half{length}", 2, padding=(0, 0, 1, length % 2)))
        length = -(-length // 2)
    layers.append(MaxPool2d("last", length, stride=1, padding=(0, 0, length - 1, 0)))
    network = Network("branch", (4, 1, width), 1 / 128, 0.5, (*layers, linear(rng, "out", (6, 8))))
    image = compile_network(network, SMALL)
    assert image.input.width == 1 and any(info.spatial_strips == 2 for info in image.layers)
    run = run_network(network, SMALL, random_input(rng, network, 1))
    assert abs(run.estimate.cycles - run.cycles) <= 0.05 * run.cycles


@pytest.mark.slow
def test_kernel_positions_in_the_padding_are_left_out() -> None:
    rng = np.random.default_rng(6)
    conv = replace(conv2d(rng, "conv", (5, 3, 3, 5)), padding=(1, 2, 1, 2))
    network = Network("rows", (3, 1, 40), 1.0, 1.0, (conv, MaxPool2d("pool", 9, stride=1, padding=(8, 0, 0, 0))))
    assert [info.positions for info in compile_network(network, SMALL).layers] == [5 * 3, 9 * 5]
    run_network(network, SMALL, random_input(rng, network, 1))
