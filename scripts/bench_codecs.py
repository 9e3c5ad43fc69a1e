#!/usr/bin/env python3
"""Sizes, decode rates and products of a matrix in every format, measured in one run."""

from __future__ import annotations

import os

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"  # read when NumPy loads its BLAS

import importlib.util
import platform
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from bench_peers import peers
from bench_report import write_report
from headrace import native
from headrace.cli.files import check_output
from headrace.cli.output import json_option, print_json, print_table, progress
from headrace.codecs import CODECS, entropy
from headrace.codecs.base import alphabet
from headrace.errors import HeadraceError, StreamError
from headrace.matrices import load_matrix
from headrace.timing import Call, medians

ROUNDS, QUICK_ROUNDS = 15, 3
DENSE = "dense float32, NumPy"
BATCH = 8


def measure(W: NDArray[Any], rounds: int) -> dict[str, Any]:
    """Everything about one matrix. StreamError where a format does not restore it or a product is wrong."""
    values, _, index = alphabet(W.ravel())
    formats: dict[str, dict[str, Any]] = {}
    encoded, encode_seconds, decoders = {}, {}, {}
    for name, codec in CODECS.items():
        started = time.perf_counter()
        encoded[name] = codec.encode(W)
        encode_seconds[name] = time.perf_counter() - started
        if not np.array_equal(codec.decode(encoded[name]), W):
            raise StreamError(f"{name} does not restore the matrix")
        formats[name] = {"bytes": encoded[name].nbytes, "peer": name in ("hac", "shac"), **encoded[name].figures}
    ranks = index.reshape(W.shape)
    for peer in peers(ranks, values):
        decoded = peer.decode()
        if not np.array_equal(decoded, ranks if decoded.shape == W.shape else ranks.T):
            raise StreamError(f"{peer.name} does not restore the matrix")
        formats[peer.name] = {"bytes": peer.nbytes, "peer": True}
        decoders[peer.name] = peer.decode
    bound = int(np.ceil(entropy(W) * W.size / 8)) + values.nbytes
    formats["H0 bound"] = {"bytes": bound, "peer": True}
    for figures in formats.values():
        figures |= {"fraction": figures["bytes"] / (4 * W.size), "bits_per_weight": 8 * figures["bytes"] / W.size}

    products, batches = _products(W, encoded)
    decoders |= _decoders(encoded)
    symbols = formats["headrace"]["symbols"]
    return {
        "shape": list(W.shape),
        "density": float(np.count_nonzero(W) / W.size),
        "distinct": int(values.size),
        "nonzeros": int(np.count_nonzero(W)),
        "entropy_bits": entropy(W),
        "formats": formats,
        "encode_seconds": encode_seconds,
        "decode": {
            name: {"seconds": seconds, "weights_per_s": W.size / seconds}
            | ({"symbols_per_s": symbols / seconds} if name == "headrace, symbols" else {})
            for name, seconds in medians(decoders, rounds).items()
        },
        "product": _ratios(medians(products, rounds)),
        f"product_batch_{BATCH}": _ratios(medians(batches, rounds)),
    }


def _ratios(times: dict[str, float]) -> dict[str, dict[str, float]]:
    return {name: {"seconds": seconds, "speedup": times[DENSE] / seconds} for name, seconds in times.items()}


def _products(W: NDArray[Any], encoded: dict[str, Any]) -> tuple[dict[str, Call], dict[str, Call]]:
    """Contestants of x^T W for one input and for BATCH, each checked."""
    rng = np.random.default_rng(0)
    dense = W.astype(np.float32)
    xs = rng.normal(size=(BATCH, len(W))).astype(np.float32)
    x = xs[0]
    one: dict[str, Call] = {DENSE: lambda: x @ dense}
    several: dict[str, Call] = {DENSE: lambda: xs @ dense}
    if importlib.util.find_spec("scipy") is not None:
        from scipy.sparse import csc_matrix

        sparse = csc_matrix(dense).T.tocsr()
        one["CSC, SciPy"] = lambda: sparse @ x
        several["CSC, SciPy"] = lambda: (sparse @ xs.T).T
    if native.available():
        from headrace.native.coders import HacKernel, ShacKernel
        from headrace.native.matrix import MatrixKernel

        kernel = MatrixKernel(encoded["headrace"])
        hac, shac = HacKernel(encoded["hac"]), ShacKernel(encoded["shac"])
        one["headrace"] = lambda: kernel.product(x)
        one["HAC"] = lambda: hac.product(x)
        one["sHAC"] = lambda: shac.product(x)
        several["headrace"] = lambda: kernel.product(xs)
        cores = os.cpu_count() or 1
        if cores > 1:
            one[f"headrace, {cores} threads"] = lambda: kernel.product(x, cores)
            several[f"headrace, {cores} threads"] = lambda: kernel.product(xs, cores)
    for contestants, given in ((one, x), (several, xs)):
        exact = given.astype(np.float64) @ W.astype(np.float64)
        for name, call in contestants.items():
            if not np.allclose(call(), exact, rtol=1e-3, atol=1e-3 * float(np.abs(exact).max())):
                raise StreamError(f"the product of {name} is wrong")
    if native.available():
        from headrace.native.coders import dense_int8

        levels = np.ascontiguousarray(np.unique(W, return_inverse=True)[1].reshape(W.shape).T % 128, np.int8)
        q = rng.integers(-128, 128, len(W)).astype(np.int8)
        one["dense int8, C++"] = lambda: dense_int8(levels, q)
    return one, several


def _decoders(encoded: dict[str, Any]) -> dict[str, Call]:
    """Decoders of this project, native."""
    if not native.available():
        return {}
    from headrace.native.coders import HacKernel, ShacKernel
    from headrace.native.matrix import MatrixKernel

    result: dict[str, Call] = {"HAC": HacKernel(encoded["hac"]).ranks, "sHAC": ShacKernel(encoded["shac"]).ranks}
    matrix = MatrixKernel(encoded["headrace"])
    if matrix.kernel is not None:
        result["headrace, symbols"] = matrix.kernel.symbol_counter()
        result["headrace, whole rows"] = matrix.kernel.decode
    return result


def machine() -> dict[str, Any]:
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


@click.command(epilog="Example: scripts/bench_codecs.py fc1.npz fc2.npz --output docs/bench_codecs")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), help="Write OUTPUT.json, OUTPUT.md and OUTPUT.svg.")
@click.option("--quick", is_flag=True, help="Fewer rounds.")
@json_option
def main(files: tuple[Path, ...], output: Path | None, quick: bool, as_json: bool) -> None:
    """Size, decode rate and product of matrices in every format, and in coders from elsewhere, in one run.

    FILE is .npy, .npz or .hrw, as for `headrace sizes`. Times are medians of interleaved rounds on one thread. Peers
    that are not installed are left out: `pip install headrace[bench]`, and `pip install --no-deps nncodec`.
    """
    try:
        if output is not None:
            check_output(output.with_suffix(".md"), *files)
        result: dict[str, Any] = {"machine": machine(), "matrices": {}}
        with progress("measuring") as show:
            for number, file in enumerate(files):
                show(number, len(files))
                result["matrices"][file.stem] = measure(load_matrix(file), QUICK_ROUNDS if quick else ROUNDS)
        if output is not None:
            write_report(result, output)
    except HeadraceError as error:
        raise click.ClickException(str(error)) from None
    if not native.available():
        click.echo("no native kernels: rows that need them are left out", err=True)
    if as_json:
        print_json(result)
        return
    for name, figures in result["matrices"].items():
        rows = sorted(figures["formats"].items(), key=lambda item: item[1]["bytes"])
        print_table(
            f"{name}: sizes",
            ("format", "bytes", "fraction"),
            [(form, row["bytes"], f"{row['fraction']:.4f}") for form, row in rows],
        )
        print_table(
            f"{name}: one product",
            ("how", "microseconds", "speed-up"),
            [(how, f"{1e6 * row['seconds']:.1f}", f"{row['speedup']:.2f}") for how, row in figures["product"].items()],
        )


if __name__ == "__main__":
    main()
