"""The cycle model against cycles of the RTL."""

from __future__ import annotations

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.cycles import Memory, estimate
from headrace.errors import CompileError
from headrace.registers import PROFILE_ENTRIES, offset
from headrace.session import Session
from headrace_sim.device import SimDevice
from headrace_sim.network_check import bandwidth
from random_layers import CONFIGS, cases, library

LAYERS, NETWORKS = 26, 4
FEW = 24
"""Cycles that an estimate may be off even where that is more than 5 %."""
MEMORIES = {"r4x4": Memory(), "r8x2": Memory(1.5, 90), "r2x16": Memory(2.0, 10)}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEMORIES)
def test_random_layers_and_networks(name: str) -> None:
    config, memory, errors = CONFIGS[name], MEMORIES[name], []
    options = {"latency": memory.latency, "bandwidth": bandwidth(config, memory), "memory_bytes": 1 << 22}
    for one in cases(config, 31, LAYERS, NETWORKS):
        try:
            image = compile_network(one.network, config)
        except CompileError:
            continue
        with SimDevice(config, library=library(config), **options) as device:
            with Session(device, Artifact(image)) as session:
                cycles = int(session.run(one.images[:1]).cycles[0])
            profile = [device.read(offset("PROFILE", 2 * n)) for n in range(min(len(image.program), PROFILE_ENTRIES))]
        estimated = estimate(image, memory)
        errors.append(abs(estimated.cycles / cycles - 1))
        assert errors[-1] <= max(0.05, FEW / cycles), (one.kind, cycles, profile, estimated.descriptors)
    assert len(errors) >= 18
    assert np.mean(errors) <= 0.02
