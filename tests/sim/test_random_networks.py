"""Random layers and small networks on the RTL of several configurations, equal to the network's own integers."""

from __future__ import annotations

import pytest

from random_layers import CONFIGS, KINDS, Tally, cases, check, library

pytestmark = pytest.mark.slow
SEED = 2024
LAYERS, NETWORKS = 26, 2
"""For each configuration."""


@pytest.mark.parametrize("name", CONFIGS)
def test_random_layers_and_networks(name: str) -> None:
    config, tally = CONFIGS[name], Tally()
    built = library(config)
    for one in cases(config, SEED, LAYERS, NETWORKS):
        check(one, config, built, tally)
    assert tally.equal + tally.unfit == LAYERS + NETWORKS
    assert tally.equal >= 18
    assert {"conv", "linear", "average", "residual", "dag"} <= set(tally.kinds)


def test_slice_has_every_kind_layers_in_strips_in_passes_and_in_bands() -> None:
    tally = Tally()
    for config in CONFIGS.values():
        for one in cases(config, SEED, LAYERS, NETWORKS):
            check(one, config, None, tally)
    assert set(tally.kinds) == {*KINDS, "dag", "graph"}
    assert tally.over_lanes >= 5 and tally.passes >= 20 and tally.banded >= 10
