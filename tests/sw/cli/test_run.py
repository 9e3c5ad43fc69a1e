"""headrace run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from headrace.artifact import Artifact
from headrace.cli import main
from headrace.cli.run import figures
from headrace.config import Config
from headrace.device import Device, open_device
from headrace.network import Network
from headrace.session import LayerCycles, Session
from headrace.session import Result as SessionResult


def run(artifact: object, images: object, output: object, *more: str) -> Result:
    arguments = ["run", str(artifact), "--input", str(images), "--output", str(output), *more]
    return CliRunner().invoke(main, arguments)


def test_model(artifact: Path, images: Path, network: Network, tmp_path: Path):
    result = run(artifact, images, tmp_path / "y.npy", "--json")
    assert result.exit_code == 0 and result.stderr == ""
    values = json.loads(result.stdout)
    assert values["seconds"] > 0
    nothing = {"cycles": None, "stall_cycles": None}
    assert {key: value for key, value in values.items() if key != "seconds"} == {
        "device": "model",
        "images": 3,
        "batch": 1,
        "clock_mhz": None,
        **nothing,
        "layers": [{"name": name, **nothing} for name in ("conv", "pool", "fc")],
    }
    outputs = np.load(tmp_path / "y.npy")
    assert outputs.dtype == np.int8 and np.array_equal(outputs, network.run(np.load(images)))


def test_table(artifact: Path, images: Path, tmp_path: Path):
    result = run(artifact, images, tmp_path / "y", "--device", "model")
    assert result.exit_code == 0
    assert "3 images" in result.stdout and "no cycles are counted" in result.stdout
    assert (tmp_path / "y").is_file()


def test_no_images(artifact: Path, network: Network, tmp_path: Path):
    np.save(tmp_path / "none.npy", np.zeros((0, *network.input_shape), np.int8))
    assert run(artifact, tmp_path / "none.npy", tmp_path / "y.npy", "--json").exit_code == 0
    assert np.load(tmp_path / "y.npy").shape == (0, 5)


def test_figures():
    two = np.array([10, 30])
    layers = (LayerCycles("a", two, two + 1, 2), LayerCycles("b", None, None, 2))
    counted = figures("sim", SessionResult(np.zeros((2, 5), np.int8), 2 * two, layers, 1.0, 50.0))
    assert (counted["cycles"], counted["stall_cycles"], counted["clock_mhz"]) == (80, None, 50.0)
    assert counted["layers"][0] == {"name": "a", "cycles": 40, "stall_cycles": 42}
    whole = figures("sim", SessionResult(np.zeros((2, 5), np.int8), 2 * two, layers[:1], 1.0, 50.0))
    assert whole["stall_cycles"] == 42


def mistaken(result: Result, output: Path) -> str:
    assert result.exit_code == 1 and result.stdout == "", result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert not output.exists()
    return result.stderr


def test_mistakes(artifact: Path, images: Path, network: Network, tmp_path: Path):
    output = tmp_path / "y.npy"
    assert "no device 'gpu'" in mistaken(run(artifact, images, output, "--device", "gpu", "--json"), output)
    assert "none.hrz" in mistaken(run(tmp_path / "none.hrz", images, output), output)
    assert "none.npy" in mistaken(run(artifact, tmp_path / "none.npy", output), output)
    assert "not" in mistaken(run(images, images, output), output)
    assert "no folder" in mistaken(run(artifact, images, tmp_path / "none" / "y.npy"), output)
    for array in (np.zeros((1, *network.input_shape)), np.zeros(network.input_shape, np.int8), np.zeros((), np.int8)):
        np.save(tmp_path / "bad.npy", array)
        assert "the network takes int8 (N, 2, 6, 6)" in mistaken(run(artifact, tmp_path / "bad.npy", output), output)
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    assert "cannot be read" in mistaken(run(artifact, tmp_path / "pickle.npy", output), output)


def test_interrupted(artifact: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "run", stop)
    before = set(tmp_path.iterdir())
    result = run(artifact, images, tmp_path / "y.npy", "--json")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
    assert set(tmp_path.iterdir()) == before


def test_the_artifact_is_checked_before_the_device(images: Path, tmp_path: Path):
    with pytest.raises(Exception, match="none"):
        Artifact.load(tmp_path / "none")
    assert "none" in mistaken(run(tmp_path / "none", images, tmp_path / "y", "--device", "gpu"), tmp_path / "y")


def test_output_that_is_an_input(artifact: Path, images: Path, tmp_path: Path):
    before = artifact.read_bytes(), images.read_bytes()
    sim = ("--device", "sim", "--trace")
    for result in (
        run(artifact, images, artifact),
        run(artifact, images, images),
        run(artifact, images, tmp_path / "y.npy", *sim, str(artifact)),
        run(artifact, images, tmp_path / "y.npy", *sim, str(tmp_path / "y.npy")),
    ):
        assert "another file of this command" in mistaken(result, tmp_path / "y.npy")
    assert (artifact.read_bytes(), images.read_bytes()) == before


def test_trace(artifact: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    asked: list[dict[str, object]] = []

    def opened(name: str, config: Config, **options: object) -> Device:
        asked.append({"name": name, **options})
        return open_device("model", config)

    monkeypatch.setattr("headrace.cli.run.open_device", opened)
    path, output = tmp_path / "f.vcd", tmp_path / "y.npy"
    assert run(artifact, images, output, "--device", "sim", "--trace", str(path)).exit_code == 0
    assert run(artifact, images, output, "--device", "sim").exit_code == 0
    assert asked == [{"name": "sim", "trace": path}, {"name": "sim"}]
    for more in ([], ["--device", "model"]):
        result = run(artifact, images, output, "--trace", str(path), *more)
        assert result.exit_code == 2 and "--trace needs --device sim" in result.stderr
