"""Small workloads whose cycles on the RTL are compared with a recorded baseline, as are resources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from headrace import data, lenet
from headrace.cli.compress import DEFAULT_VALUES, SHIPPED
from headrace.config import get_config
from headrace.network import Network
from headrace.workloads.floats import FloatLayer, random_parameters
from headrace.workloads.quantise import quantise, random_inputs

from .network_check import run_network

TOLERANCE = 0.02
"""By how much a number may exceed its baseline."""
RESOURCES = ("lut", "bram36", "dsp")
UPDATE = 'scripts/baseline --reason "..." records the numbers of today and why they are right'


def lenet5() -> Network:
    """The network of `headrace demo`."""
    weights, densities = lenet.check_weights(data.lenet5(), SHIPPED)
    assert densities is not None
    digits = lenet.device_input(data.calibration_digits())
    return lenet.compress_network(weights, densities.tolist(), DEFAULT_VALUES, digits)[0]


def residual() -> Network:
    """Convolutions of stride 1 and 2 with a residual, a maximum and a matrix product, random weights, a fifth kept."""
    first, second, third, last = random_parameters(
        [(16, 3, 3, 3), (16, 16, 3, 3), (24, 16, 3, 3), (10, 24 * 4 * 4)], 11
    )
    around = (1, 1, 1, 1)
    layers = [
        FloatLayer("first", first, padding=around, density=0.5),
        FloatLayer("second", second, padding=around, skip="first", density=0.2),
        FloatLayer("third", third, stride=2, padding=around, density=0.2),
        FloatLayer("maximum"),
        FloatLayer("last", last, relu=False, density=0.2),
    ]
    return quantise("residual", layers, 1 / 64, random_inputs((3, 16, 16)))


def depthwise() -> Network:
    """Depthwise and pointwise convolutions and an average, random weights, a third of the pointwise ones kept."""
    shapes = [(16, 2, 3, 3), (16, 1, 3, 3), (32, 16, 1, 1), (8, 32)]
    first, second, third, last = random_parameters(shapes, 12)
    around = (1, 1, 1, 1)
    layers = [
        FloatLayer("first", first, padding=around),
        FloatLayer("second", second, padding=around, groups=16),
        FloatLayer("third", third, density=0.3),
        FloatLayer("average", average=True),
        FloatLayer("last", last, relu=False),
    ]
    return quantise("depthwise", layers, 1 / 64, random_inputs((2, 12, 12)))


WORKLOADS: dict[str, tuple[str, Callable[[], Network]]] = {
    "demo: LeNet-5": ("demo", lenet5),
    "demo: residual": ("demo", residual),
    "demo: depthwise": ("demo", depthwise),
    "small: residual": ("small", residual),
    "small: depthwise": ("small", depthwise),
}
"""Each with its configuration."""


def measure(name: str) -> int:
    """Cycles of one inference on the RTL with the board's memory, all outputs right."""
    config, make = WORKLOADS[name]
    network = make()
    x = np.random.default_rng(1).integers(-128, 128, (1, *network.input_shape)).astype(np.int8)
    return run_network(network, get_config(config), x).cycles


def baseline(cycles: Mapping[str, int], reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What is recorded: cycles of each workload, resources of each configuration with a synthesis report."""
    return {
        "resources": {name: {kind: report[kind] for kind in RESOURCES} for name, report in sorted(reports.items())},
        "cycles": dict(cycles),
    }


def excesses(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[str]:
    """What is missing, or exceeds its baseline by more than TOLERANCE, in words; of `now`, and of all that it has."""
    found = []
    for name, values in now["resources"].items():
        for kind, value in values.items():
            found += _excess(f"config {name}, {kind}", value, before["resources"].get(name, {}).get(kind))
    for name, value in now["cycles"].items():
        found += _excess(f"cycles of {name}", value, before["cycles"].get(name))
    return found


def _excess(what: str, value: float, limit: float | None) -> list[str]:
    if limit is None:
        return [f"{what}: {value:,} is not in the baseline; {UPDATE}"]
    if value > limit * (1 + TOLERANCE):
        return [f"{what}: {value:,} is {value / limit - 1:.1%} more than the baseline's {limit:,}; {UPDATE}"]
    return []
