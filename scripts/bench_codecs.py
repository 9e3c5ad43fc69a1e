#!/usr/bin/env python3
"""Sizes, decode rates and products of a matrix in every format, measured in one run.

    scripts/bench_codecs.py FILE... [--output docs/bench_codecs] [--json]

FILE is .npy or .npz (n inputs x m outputs), as for `headrace sizes`. Times are medians of interleaved rounds on one
core; what they are compared with ran in the same rounds. With --output, writes OUTPUT.json, OUTPUT.md and OUTPUT.svg.
Peers that are not installed are left out: `pip install zstandard constriction scipy`, `pip install --no-deps nncodec`.
"""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # read when NumPy loads its BLAS

import importlib.util
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
from bench_peers import peers
from numpy.typing import NDArray

from headrace import native
from headrace.cli.output import json_option, print_json, print_table, progress
from headrace.codecs import CODECS, entropy
from headrace.codecs.base import alphabet
from headrace.codecs.stream import Stream
from headrace.errors import HeadraceError
from headrace.files import replacing
from headrace.matrices import load_matrix

ROUNDS = 15
SECONDS = 0.004  # of each contestant in a round: calls are repeated until then
SLOW = 0.2  # a call that takes longer is timed in three rounds only
Call = Callable[[], Any]


def medians(contestants: dict[str, Call]) -> dict[str, float]:
    """Median seconds of one call of each, the rounds interleaved."""
    repeats, rounds = {}, {}
    for name, call in contestants.items():
        call()
        started = time.perf_counter()
        call()
        once = max(time.perf_counter() - started, 1e-7)
        repeats[name], rounds[name] = max(1, int(SECONDS / once)), 3 if once > SLOW else ROUNDS
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(ROUNDS):
        for name, call in contestants.items():
            if number < rounds[name]:
                started = time.perf_counter()
                for _ in range(repeats[name]):
                    call()
                times[name].append((time.perf_counter() - started) / repeats[name])
    return {name: float(np.median(found)) for name, found in times.items()}


def measure(W: NDArray[Any]) -> dict[str, Any]:
    """Everything about one matrix."""
    n, m = W.shape
    dense = 4 * W.size
    values, counts, index = alphabet(W.ravel())
    ranks = index.reshape(W.shape)
    formats: dict[str, dict[str, Any]] = {}
    encode_seconds, decoders = {}, {}
    encoded: dict[str, Any] = {}
    for name, codec in CODECS.items():
        started = time.perf_counter()
        encoded[name] = codec.encode(W)
        encode_seconds[name] = time.perf_counter() - started
        if not np.array_equal(codec.decode(encoded[name]), W):
            raise HeadraceError(f"{name} does not restore the matrix")
        formats[name] = {"bytes": encoded[name].nbytes, **encoded[name].figures}
    for peer in peers(ranks, values):
        if not np.array_equal(peer.decode(), ranks if peer.decode().shape == W.shape else ranks.T):
            raise HeadraceError(f"{peer.name} does not restore the matrix")
        formats[peer.name] = {"bytes": peer.nbytes, "peer": True}
        decoders[peer.name] = peer.decode
    bound = entropy(W) * W.size / 8 + values.nbytes
    formats["H0 bound"] = {"bytes": int(np.ceil(bound)), "peer": True}
    for figures in formats.values():
        figures["fraction"] = figures["bytes"] / dense
        figures["bits_per_weight"] = 8 * figures["bytes"] / W.size

    rng = np.random.default_rng(0)
    x = rng.normal(size=n).astype(np.float32)
    stream = encoded["headrace"]
    products, checks = _products(W, x, encoded, n)
    for name, result in checks.items():
        if not np.allclose(result, x.astype(np.float64) @ W.astype(np.float64), rtol=1e-3, atol=1e-3):
            raise HeadraceError(f"the product of {name} is wrong")
    decoders |= _decoders(encoded)
    decode_times = medians(decoders)
    product_times = medians(products)
    reference = product_times["dense float32, NumPy"]
    symbols = stream.figures["symbols"]
    return {
        "shape": [n, m],
        "density": float(np.count_nonzero(W) / W.size),
        "distinct": int(values.size),
        "entropy_bits": entropy(W),
        "formats": formats,
        "encode_seconds": encode_seconds,
        "decode": {
            name: {
                "seconds": seconds,
                "weights_per_s": W.size / seconds,
                **({"symbols_per_s": symbols / seconds} if name.startswith("headrace") else {}),
            }
            for name, seconds in decode_times.items()
        },
        "product": {
            name: {"seconds": seconds, "ratio": reference / seconds} for name, seconds in product_times.items()
        },
    }
