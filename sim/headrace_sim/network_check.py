"""Whole networks on the simulated RTL: cycles of one image, layer by layer, beside what the layers need."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.artifact import Artifact
from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import Config
from headrace.cycles import Estimate, Memory, estimate
from headrace.cycles.estimate import useful_macs
from headrace.errors import DeviceError
from headrace.image import LayerInfo
from headrace.network import Network
from headrace.session import Session

from .device import SimDevice

TIMEOUT_SECONDS = 3600.0


def bandwidth(config: Config, memory: Memory) -> float:
    """Beats a cycle that the read ports get from the memory."""
    return min(float(config.read_ports), memory.beats_per_cycle)


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
        return useful_macs(self.info)

    def utilisation(self, config: Config) -> float | None:
        """Useful multiplications over those that all multipliers could have made."""
        return self.useful_macs / (config.lanes * config.pixels * self.cycles) if self.cycles else None


@dataclass(frozen=True)
class NetworkRun:
    """One run on the RTL, of an image or a batch; the outputs were the network's."""

    layers: tuple[LayerRun, ...]
    cycles: int
    """From start to interrupt: input, program, tables, streams, output."""
    estimate: Estimate
    """What the cycle model says to the same memory."""
    images: int
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
    memory: Memory | None = None,
    effort: Effort = Effort.DEFAULT,
) -> NetworkRun:
    """Compile `network` for a batch of N, run x (N, C, H, W) int8 on the RTL and compare with `network.run`.

    The memory is that of the board unless another is given.

    Raises:
        CompileError: it does not fit the configuration, or takes no batch.
        DeviceError: the RTL's integers are not the network's.
    """
    memory = memory or Memory()
    started = time.perf_counter()
    image = compile_network(network, config, effort=effort, batch=len(x))
    compiled = time.perf_counter()
    expected = network.run(x)
    with SimDevice(config, latency=memory.latency, bandwidth=bandwidth(config, memory)) as device:
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
    cycles = int(result.cycles[0])
    return NetworkRun(layers, cycles, estimate(image, memory), len(x), len(image.blob), compiled - started, seconds)
