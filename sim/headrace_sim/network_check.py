"""Whole networks on the simulated RTL: cycles of one image, layer by layer, beside what the layers need."""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from headrace.artifact import Artifact
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import Config
from headrace.errors import DeviceError
from headrace.image import LayerInfo
from headrace.network import Network
from headrace.session import Session

from .device import SimDevice

LATENCY = 40
PYNQ_Z2_BEATS = 1.975
"""Beats of 64 bits in a cycle of 100 MHz: 1,580 MB/s, taken as what a PYNQ-Z2's memory yields of the 2,100 MB/s of
its 16 bits at 1050 MT/s."""
TIMEOUT_SECONDS = 3600.0


def board_bandwidth(config: Config) -> float:
    """Beats a cycle that the read ports get from the memory of a PYNQ-Z2."""
    return min(float(config.read_ports), PYNQ_Z2_BEATS)


@dataclass(frozen=True)
class LayerRun:
    """One layer of a run."""

    info: LayerInfo
    cycles: int | None
    """None where the device has no counter left for it."""
    stall_cycles: int | None

    @property
    def useful_macs(self) -> int:
        """Nonzero weights times output pixels."""
        return self.info.nonzeros * prod(self.info.output_shape[1:])

    def utilisation(self, config: Config) -> float | None:
        """Useful multiplications over those that all multipliers could have made."""
        return self.useful_macs / (config.lanes * config.pixels * self.cycles) if self.cycles else None


@dataclass(frozen=True)
class NetworkRun:
    """One image on the RTL; the outputs were the network's."""

    layers: tuple[LayerRun, ...]
    cycles: int
    """From start to interrupt: input, program, tables, streams, output."""
    image_bytes: int
    compile_seconds: float
    simulation_seconds: float

    @property
    def useful_macs(self) -> int:
        return sum(layer.useful_macs for layer in self.layers)

    @property
    def bound_cycles(self) -> int:
        return sum(layer.info.bound_cycles for layer in self.layers)


def run_network(
    network: Network,
    config: Config,
    x: NDArray[np.int8],
    bandwidth: float | None = None,
    effort: Effort = Effort.DEFAULT,
) -> NetworkRun:
    """Compile `network`, run x (1, C, H, W) int8 on the RTL and compare every output with `network.run`.

    Raises:
        CompileError: it does not fit the configuration.
        DeviceError: the RTL's integers are not the network's.
    """
    started = time.perf_counter()
    image = compile_network(network, config, effort=effort)
    compiled = time.perf_counter()
    expected = network.run(x)
    with SimDevice(config, latency=LATENCY, bandwidth=bandwidth) as device:
        before = time.perf_counter()
        with Session(device, Artifact(image)) as session:
            result = session.run(x, timeout_seconds=TIMEOUT_SECONDS)
        seconds = time.perf_counter() - before
    wrong = int(np.count_nonzero(result.outputs.reshape(expected.shape) != expected))
    if wrong:
        raise DeviceError(f"{network.name}: {wrong} of {expected.size} outputs differ between the RTL and the network")
    layers = tuple(
        LayerRun(info, *(None if counts is None else int(counts[0]) for counts in (run.cycles, run.stall_cycles)))
        for info, run in zip(image.layers, result.layers, strict=True)
    )
    return NetworkRun(layers, int(result.cycles[0]), len(image.blob), compiled - started, seconds)
