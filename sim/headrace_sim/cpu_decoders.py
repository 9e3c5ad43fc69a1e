"""What the accelerator is compared with: the same products on this machine's processor, from each compressed form."""

from __future__ import annotations

import importlib.util
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace import native
from headrace.cli.decode import decode_layer
from headrace.codecs.hac import Hac
from headrace.codecs.shac import Shac
from headrace.codecs.stream import Stream
from headrace.coding import Effort
from headrace.errors import StreamError
from headrace.image import Image
from headrace.timing import Call, medians

WEIGHTED = ("conv2d", "linear")
DENSE = "dense float32, NumPy"


@dataclass(frozen=True, eq=False)
class Job:
    """One layer as a product: W int8 (positions, rows), as decoded from the artifact, times x (pixels, positions).

    The inputs of a batch are pixels.
    """

    name: str
    W: NDArray[np.int8]
    x: NDArray[np.float32]


def jobs(image: Image, rng: np.random.Generator) -> list[Job]:
    """Weighted layers, their activations random int8. Gathering a convolution's windows is left out of all times."""
    found = []
    for info in image.layers:
        if info.kind in WEIGHTED:
            W = np.ascontiguousarray(decode_layer(image, info).weights.T.astype(np.int8))
            pixels = math.prod(info.output_shape[1:])
            found.append(Job(info.name, W, rng.integers(-128, 128, (pixels, len(W))).astype(np.float32)))
    return found


def contestants(job: Job) -> dict[str, tuple[int, Call]]:
    """By name: how often a call has to be made for the layer, and the call. StreamError where a product is wrong.

    HAC and sHAC multiply one vector at a time, as published: their time is that of one product times the pixels.
    """
    dense, x = job.W.astype(np.float32), job.x
    calls: dict[str, tuple[int, Call]] = {DENSE: (1, lambda: x @ dense)}
    if native.available():
        from headrace.native.coders import HacKernel, ShacKernel
        from headrace.native.matrix import MatrixKernel

        matrix = MatrixKernel(Stream(effort=Effort.FAST).encode(job.W))
        hac, shac = HacKernel(Hac().encode(job.W)), ShacKernel(Shac().encode(job.W))
        calls["headrace kernel, 1 thread"] = 1, lambda: matrix.product(x)
        cores = os.cpu_count() or 1
        if cores > 1:
            calls[f"headrace kernel, {cores} threads"] = 1, lambda: matrix.product(x, cores)
        calls["HAC, C++"] = len(x), lambda: hac.product(x[0])
        calls["sHAC, C++"] = len(x), lambda: shac.product(x[0])
    if importlib.util.find_spec("zstandard") is not None:
        import zstandard

        stored = zstandard.ZstdCompressor(level=19).compress(job.W.tobytes())
        decoder = zstandard.ZstdDecompressor()

        def unpacked() -> Any:
            return x @ np.frombuffer(decoder.decompress(stored), np.int8).reshape(job.W.shape).astype(np.float32)

        calls["zstd -19, then dense float32"] = 1, unpacked
    exact = x.astype(np.float64) @ job.W.astype(np.float64)
    for name, (_, call) in calls.items():
        result = np.asarray(call())
        wanted = exact[0] if result.ndim == 1 else exact
        if not np.allclose(result, wanted, rtol=1e-3, atol=1e-3 * max(1.0, float(np.abs(exact).max()))):
            raise StreamError(f"{job.name}: the product of {name} is wrong")
    if native.available():
        from headrace.native.coders import dense_int8

        rows, vector = np.ascontiguousarray(job.W.T), x[0].astype(np.int8)
        calls["dense int8, C++"] = len(x), lambda: dense_int8(rows, vector)
    return calls


def seconds_per_run(work: list[Job], rounds: int, progress: Callable[[int, int], None]) -> dict[str, float]:
    """Median seconds of each contestant for all layers once, with all inputs of a batch; rounds are interleaved."""
    totals: dict[str, float] = {}
    for number, job in enumerate(work):
        progress(number, len(work))
        calls = contestants(job)
        for name, seconds in medians({name: call for name, (_, call) in calls.items()}, rounds).items():
            totals[name] = totals.get(name, 0.0) + calls[name][0] * seconds
    return totals
