"""Global averages by words: when, and that they are those of the network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.averages import lower_by_words
from headrace.compile import compile_network
from headrace.config import CONFIGS
from headrace.cycles import estimate
from headrace.device.model import ModelDevice
from headrace.network import GlobalAveragePool, Network
from headrace.placement import Placement
from headrace.session import Session
from networks import random_input

DEMO = CONFIGS["demo"]


def average(shape: tuple[int, int, int]) -> Network:
    layer = GlobalAveragePool("average", (1 << 15) // (shape[1] * shape[2]), 15)
    return Network("average", shape, 1 / 128, 1 / 128, (layer,))


@pytest.mark.parametrize(
    ("shape", "total"),
    [((64, 8, 8), 1), ((5, 25, 5), 1), ((3, 1, 40), 1), ((8, 16, 17), 0), ((64, 2, 2), 0), ((1, 3, 2), 1)],
)
def test_where_they_take_fewer_cycles(shape: tuple[int, int, int], total: int) -> None:
    network = average(shape)
    image = compile_network(network, DEMO)
    (layer,) = (fields for fields in image.program if fields["taps"])
    assert layer["total"] == total
    assert layer["taps"] == (-(-shape[1] * shape[2] // DEMO.pixels) if total else 1)
    x = random_input(np.random.default_rng(0), network, 3)
    with ModelDevice(DEMO) as device, Session(device, Artifact(image)) as session:
        assert np.array_equal(session.run(x).outputs, network.run(x))


def test_they_are_faster() -> None:
    network = average((64, 25, 5))
    configs = DEMO, replace(DEMO, name="few taps", taps=8)
    words, pixels = (estimate(compile_network(network, config)).layers[0].cycles for config in configs)
    assert words < 0.4 * pixels


@pytest.mark.parametrize(
    "x",
    [Placement.make((4, 8, 8), split=True), Placement.make((4, 8, 8)).widened(9, 8)],
    ids=["split", "rows apart"],
)
def test_planes_that_hold_more(x: Placement) -> None:
    layer = average((4, 8, 8)).layers[0]
    assert isinstance(layer, GlobalAveragePool)
    assert lower_by_words(layer, Placement.make((4, 8, 8)), DEMO) is not None
    assert lower_by_words(layer, x, DEMO) is None


def test_sums_that_may_not_fit() -> None:
    layer = average((4, 16, 16)).layers[0]
    assert isinstance(layer, GlobalAveragePool)
    x = Placement.make((4, 16, 15))
    assert lower_by_words(layer, x, DEMO) is not None
    assert lower_by_words(layer, x, replace(DEMO, acc_bits=16)) is not None
    assert lower_by_words(layer, Placement.make((4, 16, 16)), replace(DEMO, acc_bits=16)) is None
