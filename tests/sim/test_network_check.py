"""Whole networks on the RTL with their cycles, and the script that prints them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from headrace.config import CONFIGS
from headrace.cycles import Memory
from headrace.errors import CompileError
from headrace.workloads.floats import FloatLayer, random_parameters
from headrace.workloads.quantise import quantise, random_inputs
from headrace_sim.network_check import bandwidth, run_network
from script_modules import script_module

CONFIG = CONFIGS["demo"]
SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_networks"


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def test_run_network() -> None:
    shape = (2, 8, 8)
    conv, linear = random_parameters([(4, 2, 3, 3), (5, 4 * 4 * 4)])
    layers = [
        FloatLayer("conv", conv, padding=(1, 1, 1, 1), density=0.5),
        FloatLayer("maximum"),
        FloatLayer("linear", linear, relu=False),
    ]
    inputs = random_inputs(shape)
    run = run_network(quantise("small", layers, 1.0, inputs), CONFIG, inputs[:1])
    assert [layer.info.name for layer in run.layers] == ["conv", "maximum", "linear"]
    assert [layer.useful_macs for layer in run.layers] == [36 * 64, 4 * 4 * 16, 5 * 64]
    assert run.useful_macs == 36 * 64 + 4 * 4 * 16 + 5 * 64
    for layer in run.layers:
        assert layer.cycles is not None
        assert layer.utilisation(CONFIG) == layer.useful_macs / (CONFIG.lanes * CONFIG.pixels * layer.cycles)
        assert 0 < layer.cycles < run.cycles < 10_000
    assert abs(run.estimate.cycles - run.cycles) <= 0.05 * run.cycles


def test_bandwidth_is_the_memorys_or_the_ports() -> None:
    assert bandwidth(CONFIG, Memory()) == CONFIG.read_ports == 1
    assert bandwidth(CONFIGS["pynq-z2"], Memory()) == Memory().beats_per_cycle < 2
    assert bandwidth(CONFIG, Memory(0.25)) == 0.25


def test_misfits_are_errors() -> None:
    (wide,) = random_parameters([(4, 1 << 16)])
    network = quantise("wide", [FloatLayer("linear", wide, density=0.1)], 1.0, random_inputs((1 << 16, 1, 1)))
    with pytest.raises(CompileError, match="linear: "):
        run_network(network, CONFIG, random_inputs((1 << 16, 1, 1), images=1))


def test_script_prints_matrices_and_misfits(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    fits, wide = tmp_path / "fits.npy", tmp_path / "wide.npy"
    np.save(fits, rng.integers(-3, 4, (20, 9)))
    np.save(wide, rng.integers(-3, 4, (4, 2000)))
    figures, tables = tmp_path / "out.json", tmp_path / "out.md"
    done = script(fits, wide, "--config", "demo", "--json", figures, "--markdown", tables)
    assert done.returncode == 0, done.stderr
    assert "images/s at 100 MHz" in done.stdout
    assert "wide.npy as a linear layer: does not fit: fc: needs 2000 output channels" in done.stdout
    result = json.loads(figures.read_text())
    assert result["config"]["lanes"] == CONFIG.lanes
    assert [one["name"] for one in result["networks"]] == ["fits", "wide"]
    assert abs(result["networks"][0]["estimate_error"]) <= 0.05
    assert result["networks"][0]["cycles"] > 0 and "misfit" in result["networks"][1]
    (alone,), behind = result["networks"][0]["layers"], result["networks"][0]["behind"]
    assert alone["bound_cycles"] < alone["cycles"] < result["networks"][0]["cycles"]
    assert 0 < behind["cycles"] < alone["cycles"]
    names = [line.split("|")[1].strip() for line in tables.read_text().split("## ")[1].splitlines() if "|" in line]
    assert names[2:] == ["alone", "program", "behind another"]
    assert "## fits.npy as a linear layer" in tables.read_text()


def test_script_does_not_write_over_what_it_is_to_read(tmp_path: Path) -> None:
    matrix, other = tmp_path / "matrix.npy", tmp_path / "other.npy"
    np.save(matrix, np.eye(3))
    before = matrix.read_bytes()
    for option in ("--json", "--markdown"):
        done = script(option, matrix, other, "--config", "demo")
        assert done.returncode == 2 and f"{matrix} is to be written, but does not end in" in done.stderr
        assert matrix.read_bytes() == before


def test_documented_page_is_of_the_figures() -> None:
    docs = SCRIPT.parents[1] / "docs"
    found = json.loads((docs / "bench_networks.json").read_text())
    page = script_module("bench_networks").markdown(CONFIGS["pynq-z2"], 16, found["networks"])
    assert page == (docs / "bench_networks.md").read_text()


def test_script_names_what_is_missing(tmp_path: Path) -> None:
    pytest.importorskip("tflite")
    done = script("--network", "dscnn")
    assert done.returncode == 2 and "dscnn has trained weights: say with --models where they are" in done.stderr
    done = script("--network", "dscnn", "--models", tmp_path)
    assert done.returncode == 1 and "kws_ref_model_float32.tflite: No such file" in done.stderr
    done = script(tmp_path / "none.npy")
    assert done.returncode == 1 and "none.npy" in done.stderr
