"""A matrix compiled for a batch, through every command that reads its artifact."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from headrace.artifact import Artifact
from headrace.cli import main
from headrace.device import open_device
from headrace.session import Session


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


@pytest.fixture
def artifacts(tmp_path: Path) -> dict[int, Path]:
    """Of one matrix, for inputs one by one and by fours."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "w.npy", rng.normal(size=(12, 7)).astype(np.float32))
    np.save(tmp_path / "calibration.npy", rng.normal(size=(9, 12)).astype(np.float32))
    made = {}
    for batch in (1, 4):
        made[batch] = tmp_path / f"batch{batch}.hrz"
        options = ("--calibrate", tmp_path / "calibration.npy", "--config", "small", "--batch", batch)
        done = command("compress", tmp_path / "w.npy", "-o", made[batch], *options, "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["batch"] == batch
    return made


def test_run(artifacts: dict[int, Path], tmp_path: Path) -> None:
    x = np.random.default_rng(1).integers(-128, 128, (6, *Artifact.load(artifacts[4]).image.input_shape), np.int8)
    np.save(tmp_path / "x.npy", x)
    for batch, path in artifacts.items():
        done = command("run", path, "--input", tmp_path / "x.npy", "--output", tmp_path / f"y{batch}.npy", "--json")
        assert done.exit_code == 0, done.output
        values = json.loads(done.stdout)
        assert (values["images"], values["batch"]) == (6, batch)
    assert np.array_equal(np.load(tmp_path / "y1.npy"), np.load(tmp_path / "y4.npy"))
    table = command("run", artifacts[4], "--input", tmp_path / "x.npy", "--output", tmp_path / "y.npy")
    assert "6 images, 4 a run" in table.stdout


def test_inspect(artifacts: dict[int, Path]) -> None:
    one, four = (json.loads(command("inspect", path, "--json").stdout) for path in artifacts.values())
    assert (one["batch"], four["batch"]) == (1, 4)
    assert four["input_shape"] == one["input_shape"] and four["output_shape"] == one["output_shape"]
    assert four["estimated_cycles_per_input"] == four["estimated_cycles"] / 4 < one["estimated_cycles"]
    table = command("inspect", artifacts[4]).stdout
    assert "4 inputs a run, as pixels" in table and f"{four['estimated_cycles_per_input']:,.1f} an input" in table


def test_eval(artifacts: dict[int, Path], tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(10, 12)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=x, y=rng.integers(0, 7, 10))
    one, four = (command("eval", path, "--data", tmp_path / "data.npz", "--json") for path in artifacts.values())
    assert one.exit_code == four.exit_code == 0 and one.stdout == four.stdout
    assert json.loads(four.stdout)["images"] == 10


def test_equal_weights(artifacts: dict[int, Path]) -> None:
    one, four = (Artifact.load(path) for path in artifacts.values())
    x = np.random.default_rng(3).integers(-128, 128, (5, *one.image.input_shape), np.int8)
    results = []
    for artifact in (one, four):
        with open_device("model", artifact.config) as device, Session(device, artifact) as session:
            results.append(session.run(x).outputs)
    assert np.array_equal(*results)


def test_spatial_networks_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    done = command("compress", "lenet5", "-o", tmp_path / "lenet.hrz", "--batch", 2)
    assert done.exit_code == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: conv1: a batch takes matrix products")
    assert command("compress", "lenet5", "-o", tmp_path / "lenet.hrz", "--batch", 0).exit_code == 2
    assert not (tmp_path / "lenet.hrz").exists()
