"""Whole layers on the simulated RTL: one matrix as one linear layer, every weight of which decides a result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.artifact import Artifact
from headrace.coding import Effort
from headrace.compile import compile_network, largest_batch
from headrace.config import Config
from headrace.cycles import Estimate, Memory, estimate
from headrace.device.model import ModelDevice
from headrace.errors import DataError, DeviceError
from headrace.image import LayerInfo
from headrace.layers import IDENTITY
from headrace.network import Linear, Network
from headrace.session import Session

from .device import SimDevice
from .network_check import bandwidth

CONFIG = Config("matrix", lanes=4, pixels=4, x_words=4096, acc_words=32, symbols=2048, channels=4096)


@dataclass(frozen=True)
class LayerCheck:
    """What a layer took on the RTL; all results were equal to the model's."""

    info: LayerInfo
    inputs: int
    cycles: float
    """Of one input: its share of a run's program, tables, streams."""
    layer_cycles: float
    """Of one input, the layer alone, with its tables."""
    stall_cycles: float
    estimate: Estimate
    """Of a run: what the cycle model says to the same memory."""
    batch: int
    """Inputs of a run."""


def levels(W: NDArray[Any]) -> NDArray[np.integer]:
    """W itself if it holds integers, else the distance of each entry from the most frequent one in the dictionary."""
    if W.dtype.kind in "iu":
        return W
    _, index, counts = np.unique(W, return_inverse=True, return_counts=True)
    return index.reshape(W.shape) - int(np.argmax(counts))


def matrix_layer(W: NDArray[np.integer]) -> Linear:
    """W (n inputs x m outputs, -128..127) as a layer whose outputs are the sums of products, where these are int8."""
    one = np.ones(W.shape[1], np.int64)
    return Linear("fc", W.T.astype(np.int8), 0 * one, one << IDENTITY, one * IDENTITY)


def check_matrix(
    W: NDArray[np.integer],
    config: Config = CONFIG,
    effort: Effort = Effort.DEFAULT,
    memory: Memory | None = None,
    batch: int = 1,
) -> LayerCheck:
    """Run W (n inputs x m outputs, -128..127) on the RTL and compare.

    The memory is that of the board unless another is given. A run takes as many inputs, up to `batch`, as there is room
    for. The sums of products leave the device as they are where
    they lie in -128..127. The inputs are ones and minus ones on a few positions each, all positions in turn, so that
    each weight is seen in a sum; random inputs come on top.

    Raises:
        DataError: W is no such matrix.
        CompileError: it does not fit the configuration.
        DeviceError: the RTL's integers are not the model's or NumPy's.
    """
    if W.ndim != 2 or W.size == 0 or W.min() < -128 or W.max() > 127:
        raise DataError("a layer's matrix has two dimensions and weights in -128..127")
    memory = memory or Memory()
    n, m = W.shape
    network = Network("matrix", (n, 1, 1), 1.0, 1.0, (matrix_layer(W),))
    batch = max(1, largest_batch(network, config, batch))
    image = compile_network(network, config, effort=effort, batch=batch)
    x = _inputs(n)
    expected = np.clip(x.astype(np.int64) @ W.astype(np.int64), -128, 127).astype(np.int8)
    outputs = {}
    sim = SimDevice(config, latency=memory.latency, bandwidth=bandwidth(config, memory))
    for name, device in (("model", ModelDevice(config)), ("sim", sim)):
        with device, Session(device, Artifact(image)) as session:
            result = session.run(x.reshape(len(x), n, 1, 1))
            outputs[name] = result.outputs.reshape(len(x), m)
    for name, values in (("NumPy", expected), ("the model", outputs["model"])):
        if not np.array_equal(outputs["sim"], values):
            wrong = int(np.count_nonzero((outputs["sim"] != values).any(axis=0)))
            raise DeviceError(f"outputs {wrong} of {m} differ between the RTL and {name}")
    run = result.layers[0]
    layer_cycles, stalls = (0.0 if n is None else float(n.mean()) / batch for n in (run.cycles, run.stall_cycles))
    return LayerCheck(
        info=image.layers[0],
        inputs=len(x),
        cycles=float(result.cycles.mean()) / batch,
        layer_cycles=layer_cycles,
        stall_cycles=stalls,
        estimate=estimate(image, memory),
        batch=batch,
    )


def _inputs(n: int) -> NDArray[np.int8]:
    """(N, n) int8."""
    rng = np.random.default_rng(n)
    groups = min(n, 16)
    few = np.zeros((groups, n), np.int8)
    few[np.arange(n) % groups, np.arange(n)] = rng.choice([-1, 1], n)
    return np.concatenate([few, rng.integers(-128, 128, (2, n)).astype(np.int8)])
