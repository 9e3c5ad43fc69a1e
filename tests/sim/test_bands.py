"""Networks in bands of rows on the RTL, equal to the network's own integers, in the cycles that are estimated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import headrace.compile
import headrace.moves
from dags import random_dag
from headrace.artifact import Artifact
from headrace.banding import banded
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import CONFIGS, Config
from headrace.cycles import Memory, estimate
from headrace.errors import CompileError
from headrace.graph import Graph
from headrace.image import Image
from headrace.isa import Opcode
from headrace.layout import place
from headrace.network import Network
from headrace.placement import Placement
from headrace.session import Session
from headrace_sim.device import SimDevice
from headrace_sim.network_check import bandwidth
from networks import random_input
from random_layers import library
from sw.test_bands import networks, random_segments

pytestmark = pytest.mark.slow
NARROW = {
    "tiny": replace(CONFIGS["tiny"], x_words=4096, acc_words=256),
    "small": replace(CONFIGS["small"], x_words=1024, acc_words=64),
}
WIDE = Config("wide", lanes=2, pixels=16, x_words=256, acc_words=32, read_ports=2)
"""Both read ports' beats go to one word."""
RANDOM = 20
"""Networks with segments at random, for each configuration."""


def run(image: Image, config: Config, network: Network, x: np.ndarray) -> int:
    """Cycles of one image; fails where its integers are not the network's."""
    memory = Memory()
    options = {"latency": memory.latency, "bandwidth": bandwidth(config, memory), "memory_bytes": 1 << 22}
    with (
        SimDevice(config, library=library(config), max_cycles=20_000_000, **options) as device,
        Session(device, Artifact(image)) as session,
    ):
        result = session.run(x)
    assert np.array_equal(result.outputs, network.run(x))
    return int(result.cycles[0])


@pytest.mark.parametrize("config", NARROW)
@pytest.mark.parametrize("name", networks())
def test_networks_that_do_not_fit(name: str, config: str) -> None:
    network = networks()[name]
    image = compile_network(network, NARROW[config])
    assert sum(descriptor["opcode"] == Opcode.LOAD for descriptor in image.program) > image.input.strips
    cycles = run(image, NARROW[config], network, random_input(np.random.default_rng(2), network))
    assert abs(estimate(image).cycles / cycles - 1) <= 0.05


@pytest.mark.parametrize("config", [*NARROW.values(), WIDE], ids=lambda config: config.name)
def test_random_segments(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads run beside layers wherever their bytes are free, also where that is not the sooner."""
    equal = loads = 0
    monkeypatch.setattr(headrace.moves, "pays", lambda *_: True)
    for seed in range(RANDOM):
        rng = np.random.default_rng([seed, config.lanes])
        network = random_dag(rng, max_size=24)

        def at_random(graph: Graph, config: Config, rng: np.random.Generator = rng) -> tuple[Graph, list[Placement]]:
            cut = banded(graph, random_segments(rng, graph))
            return cut, place(cut, config, ahead=int(rng.integers(4)))

        monkeypatch.setattr(headrace.compile, "fit", at_random)
        try:
            image = compile_network(network, config, effort=Effort.FAST)
        except CompileError:
            continue
        run(image, config, network, random_input(rng, network, 1))
        equal += 1
        loads += sum(one["beside"] for one in image.program)
    assert equal >= RANDOM // 2 and loads > RANDOM
