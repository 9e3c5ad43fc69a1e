"""README.md: its code runs, and its figures are those of the sources it names."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headrace import data, lenet, native
from headrace.artifact import Artifact
from headrace.cli import main
from headrace.cli.formats import weight_formats
from headrace.compile import compile_network
from headrace.config import get_config

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "README.md").read_text()
DEMO = TEXT.split("<!-- demo: written by scripts/readme -->")[1].split("<!-- end of demo -->")[0]
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)


def figures(line: str) -> list[str]:
    """Numbers of the demo's line that starts with a word."""
    return re.findall(rf"^ {line} +([\d,]+) ", DEMO, re.M)


def test_python_on_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(BLOCKS[0], "README.md", "exec"), {})


@pytest.mark.slow
def test_python_on_the_simulation(tmp_path: Path):
    if "sim" not in entry_points(group="headrace.devices").names:
        pytest.skip("needs pip install -e .")
    run = subprocess.run([sys.executable, "-c", "".join(BLOCKS[:2])], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert [line.split()[0] for line in run.stdout.splitlines()] == [
        *("conv1", "conv1_pool", "conv2", "conv2_pool", "fc1", "fc2")
    ]


def test_python_on_a_matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if not native.available():
        pytest.skip("no native kernels")
    monkeypatch.chdir(tmp_path)
    np.save("W.npy", np.eye(5, 7, dtype=np.float32))
    values: dict[str, object] = {}
    exec(compile(BLOCKS[2], "README.md", "exec"), values)
    assert np.array_equal(values["y"], [1, 1, 1, 1, 1, 0, 0])


def test_size_against_peers_is_that_of_the_page():
    page = (ROOT / "docs" / "bench_codecs.md").read_text()
    ratios = re.search(r"^\| headrace / best peer \|(.*)\|$", page, re.M)
    assert ratios
    found = [float(cell) for cell in ratios[1].split("|")]
    assert f"it takes {min(found):.1f} to {max(found)} times the bytes" in " ".join(TEXT.split())


def test_accuracies_are_those_of_the_log():
    log = (ROOT / "docs" / "train_lenet.log").read_text()
    dense = re.search(r"^dense float32: ([\d.]+) of the 10,000 test images", log, re.M)
    small = re.search(r"^pruned to ([\d.]+), at most 32 values a layer, int8 integers: ([\d.]+)$", log, re.M)
    assert dense and small
    flat = " ".join(TEXT.split())
    assert f"the dense float network is right in {dense[1]} of the cases" in flat
    assert f"with {100 * float(small[1]):.2f} % of the weights, in {small[2]}:" in flat


def test_sizes_of_the_demo_are_current(tmp_path: Path):
    """What needs no simulation: a change of format that changes these asks for scripts/readme."""
    weights, densities = lenet.check_weights(data.lenet5(), "shipped")
    assert densities is not None
    calibration = lenet.device_input(data.calibration_digits())
    network, _ = lenet.compress_network(weights, densities, 32, calibration)
    artifact = Artifact(compile_network(network, get_config("demo")), {"source": "lenet5", "values": 32})
    for entry in weight_formats(network, artifact.image, len(artifact.to_bytes())):
        # the file has scales in decimal, whose last digits depend on the processor
        spread = 16 if entry.name == "hrz_file" else 0
        (shown,) = (int(number.replace(",", "")) for number in figures(entry.name))
        assert abs(shown - entry.bytes) <= spread, entry.name
    assert "Model and RTL: all 2,560 logits are equal integers." in DEMO


@pytest.mark.slow
def test_cycles_of_the_demo_are_current():
    if "demo" not in entry_points(group="headrace.commands").names:
        pytest.skip("needs pip install -e .")
    result = CliRunner().invoke(main, ["demo", "--json", "--images", "1"])
    assert result.exit_code == 0, result.output
    for layer in json.loads(result.stdout)["layers"]:
        assert figures(layer["name"]) == [f"{layer['cycles']:,.0f}"]


def test_commands_exist():
    ours = entry_points(group="headrace.commands").names
    shell = "".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, re.M | re.S))
    named = set(re.findall(r"^headrace (\w+)", shell, re.M))
    assert {"compress", "demo", "inspect", "run", "verilog"} <= named
    for command in named - {"demo", "verilog"}:
        assert CliRunner().invoke(main, [command, "--help"]).exit_code == 0, command
    assert not ours or {"demo", "verilog", "synth"} <= set(ours)
    for script in re.findall(r"scripts/(\w+)", TEXT):
        assert list((ROOT / "scripts").glob(f"{script}*")), script
    assert os.access(ROOT / "scripts" / "demo", os.X_OK) and os.access(ROOT / "scripts" / "test", os.X_OK)


def test_links():
    for target in re.findall(r"\]\(([^)]+)\)", TEXT):
        assert target.startswith("http") or (ROOT / target).exists(), target
