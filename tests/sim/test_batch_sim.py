"""Batches on the simulated accelerator: the same integers as one input at a time, for fewer cycles each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import get_config
from headrace.cycles import estimate
from headrace.network import Network
from headrace.session import Session
from headrace_sim.bench import ACCELERATOR, bench
from headrace_sim.device import SimDevice
from networks import linear, random_input

pytestmark = pytest.mark.slow


def perceptron() -> Network:
    rng = np.random.default_rng(8)
    layers = (
        linear(rng, "fc1", (40, 6 * 5), 0.3, relu=True),
        linear(rng, "fc2", (33, 40), 0.2, levels=4),
        linear(rng, "fc3", (10, 33), 1.0),
    )
    return Network("perceptron", (1, 6, 5), 1 / 128, 0.25, layers)


@pytest.mark.parametrize(("name", "batch"), [("tiny", 3), ("small", 2), ("small", 4), ("small", 11)])
def test_equal(name: str, batch: int) -> None:
    """A whole batch, and one with a single input; more pixels than a word, and fewer."""
    network, config = perceptron(), get_config(name)
    x = random_input(np.random.default_rng(batch), network, batch + 1)
    cycles = []
    for count in (1, batch):
        image = compile_network(network, config, batch=count)
        with SimDevice.open(config) as device, Session(device, Artifact(image)) as session:
            result = session.run(x)
        assert np.array_equal(result.outputs, network.run(x))
        assert abs(estimate(image).cycles - result.cycles[0]) <= 0.05 * result.cycles[0]
        cycles.append(result.cycles[0] / count)
    if config.pixels > 1:
        assert cycles[1] < 0.75 * cycles[0]


def test_bench_counts_every_input(tmp_path: Path) -> None:
    path = tmp_path / "perceptron.hrz"
    Artifact(compile_network(perceptron(), get_config("small"), batch=4)).save(path)
    run = CliRunner().invoke(
        bench, [str(path), "--clock-mhz", "100", "--images", "5", "--json"], catch_exceptions=False
    )
    assert run.exit_code == 0, run.output
    values = json.loads(run.stdout)
    row = values["rows"][0]
    assert row["name"] == ACCELERATOR and values["batch"] == 4
    assert row["images_per_s"] == pytest.approx(100e6 / values["cycles_per_image"], rel=1e-2)
    whole = sum(layer["cycles"] for layer in values["layers"])
    assert whole < 4 * values["cycles_per_image"] < 2 * whole
