"""headrace compress of models of the user's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from headrace.artifact import Artifact
from headrace.cli import main
from headrace.compress.quantise import quantise_activations
from headrace.device.model import ModelDevice
from headrace.importers import import_model
from headrace.quantisation import quantise
from headrace.quantisation.record import read_record
from headrace.session import Session

RNG = np.random.default_rng(21)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compress", *map(str, arguments)])


def mistaken(folder: Path, *arguments: object, code: int = 1) -> str:
    """The one line that a user's mistake gives; nothing is written."""
    before = set(folder.iterdir())
    result = run(*arguments, "-o", folder / "a.hrz", "--json")
    assert result.exit_code == code and result.stdout == "", result.output
    assert code == 2 or (result.stderr.startswith("error: ") and result.stderr.count("\n") == 1)
    assert set(folder.iterdir()) == before
    return result.stderr


def matrix(folder: Path, n: int = 24, m: int = 16) -> tuple[Path, Path]:
    """A matrix, and vectors for it."""
    np.save(folder / "W.npy", RNG.normal(size=(n, m)))
    np.save(folder / "x.npy", RNG.normal(size=(20, n)).astype(np.float32))
    return folder / "W.npy", folder / "x.npy"


def test_matrix(tmp_path: Path):
    W, x = matrix(tmp_path)
    result = run(W, "-o", tmp_path / "a.hrz", "--calibrate", x, "--config", "tiny", "--json")
    assert result.exit_code == 0 and result.stderr == "", result.output
    values = json.loads(result.stdout)
    artifact = Artifact.load(tmp_path / "a.hrz")
    assert values["input_shape"] == [24, 1, 1] and values["input_scale"] == artifact.image.input_scale
    assert [layer["shape"] for layer in values["layers"]] == [[16, 24]]
    integers = quantise_activations(np.load(x), artifact.image.input_scale).reshape(20, 24, 1, 1)
    with ModelDevice(artifact.config) as device, Session(device, artifact) as session:
        outputs = session.run(integers).outputs
    real = outputs.reshape(20, 16) * artifact.image.output_scale
    wanted = np.load(x) @ np.load(W)
    assert np.abs(real - wanted).max() < 0.03 * np.abs(wanted).max()
    np.savez(tmp_path / "W.npz", np.load(W))
    again = run(tmp_path / "W.npz", "-o", tmp_path / "b.hrz", "--calibrate", x, "--config", "tiny")
    assert again.exit_code == 0 and Artifact.load(tmp_path / "b.hrz").image.blob == artifact.image.blob


@pytest.mark.parametrize("densities", ["0.25", "linear=0.25"])
def test_pruned_and_shared(densities: str, tmp_path: Path):
    pytest.importorskip("sklearn")
    W, x = matrix(tmp_path)
    result = run(W, "-o", tmp_path / "a.hrz", "--calibrate", x, "--prune", densities, "--share", 5, "--effort", "fast")
    assert result.exit_code == 0 and "linear" in result.stdout and "real value /" in result.stdout
    (layer,) = Artifact.load(tmp_path / "a.hrz").image.layers
    assert layer.nonzeros == 96
    options, count, normalisation, _ = read_record(Artifact.load(tmp_path / "a.hrz").meta)
    assert (options.values, count, normalisation) == (5, 20, "raw")


def test_onnx(tmp_path: Path):
    """The file holds the network that Python gives; its calibration is a data set."""
    pytest.importorskip("onnx")
    from onnx_models import chain, model, saved

    weights = {"w": RNG.normal(size=(3, 1, 5, 5)).astype(np.float32) / 100, "p": np.ones((432, 4), np.float32)}
    steps = (("Conv", ["w"]), ("Relu",), ("MaxPool", [], {"kernel_shape": [2, 2], "strides": [2, 2]}), ("Flatten",))
    path = saved(model(chain(*steps, ("MatMul", ["p"])), ("n", 1, 28, 28), weights), tmp_path)
    result = run(path, "-o", tmp_path / "a.hrz", "--calibrate", "mnist", "--samples", 16, "--normalise", "unit")
    assert result.exit_code == 0, result.output
    artifact = Artifact.load(tmp_path / "a.hrz")
    options, count, normalisation, _ = read_record(artifact.meta)
    assert (count, normalisation) == (16, "unit")
    from headrace.data import calibration_digits

    graph = import_model(path)
    x = graph.input.feed(calibration_digits()[:16, None] / np.float32(255))
    network, _ = quantise(graph, x, options)
    integers = quantise_activations(x, network.input_scale)
    with ModelDevice(artifact.config) as device, Session(device, artifact) as session:
        assert np.array_equal(session.run(integers).outputs, network.run(integers))


def test_choices_of_quantisation_are_kept_in_the_file(tmp_path: Path):
    W, x = matrix(tmp_path)
    choices = ("--prune", 0.5, "--method", "max", "--fit", "--equalise")
    assert run(W, "-o", tmp_path / "a.hrz", "--calibrate", x, "--config", "tiny", *choices).exit_code == 0
    artifact = Artifact.load(tmp_path / "a.hrz")
    options = read_record(artifact.meta)[0]
    assert (options.calibration, options.reconstruct, options.equalise) == ("max", True, True)
    wanted, _ = quantise(import_model(W), np.load(x).reshape(20, 24, 1, 1), options)
    integers = quantise_activations(np.load(x), wanted.input_scale).reshape(20, 24, 1, 1)
    with ModelDevice(artifact.config) as device, Session(device, artifact) as session:
        assert np.array_equal(session.run(integers).outputs, wanted.run(integers))


def test_mistakes(tmp_path: Path):
    W, x = matrix(tmp_path)
    assert "needs --calibrate" in mistaken(tmp_path, W)
    assert "numbers (N, 24)" in mistaken(tmp_path, W, "--calibrate", W)
    assert "No such file" in mistaken(tmp_path, W, "--calibrate", tmp_path / "none.npy")
    assert "no folder" in mistaken(tmp_path, W, "--calibrate", "nothing")
    assert "one alone" in mistaken(tmp_path, _two(tmp_path), "--calibrate", x)
    assert "no layer 'conv'" in mistaken(tmp_path, W, "--calibrate", x, "--prune", "conv=0.5", code=2)
    assert "2 fractions for 1 layers: linear" in mistaken(tmp_path, W, "--calibrate", x, "--prune", "1,1", code=2)
    assert "positive integers" in mistaken(tmp_path, W, "--calibrate", x, "--input-shape", "3,0", code=2)
    np.save(x, np.zeros((0, 24), np.float32))
    assert "holds no input" in mistaken(tmp_path, W, "--calibrate", x)
    (tmp_path / "a.pt2").write_bytes(b"hello")
    (tmp_path / "a.pth").write_bytes(b"hello")
    assert "torch.export.save" in mistaken(tmp_path, tmp_path / "a.pth", "--calibrate", x)
    assert "is no .pt2 file" in mistaken(tmp_path, tmp_path / "a.pt2", "--calibrate", x)


def _two(folder: Path) -> Path:
    np.savez(folder / "two.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    return folder / "two.npz"


@pytest.mark.parametrize("densities", ["a=0.5,0.5", "a=0.5,a=0.5", "a=2", "=x", "a=nan"])
def test_wrong_densities(densities: str):
    result = run("model.onnx", "-o", "x.hrz", "--prune", densities)
    assert result.exit_code == 2 and result.stdout == ""


def test_densities_of_lenet_by_name(tmp_path: Path):
    pytest.importorskip("sklearn")
    named = "fc2=0.05,conv1=0.1,conv2=0.01,fc1=0.001"
    assert run("lenet5", "-o", tmp_path / "a.hrz", "--prune", named, "--share", 4).exit_code == 0
    assert Artifact.load(tmp_path / "a.hrz").meta["densities"] == [0.1, 0.01, 0.001, 0.05]
    assert "name all of" in mistaken(tmp_path, "lenet5", "--prune", "conv1=0.5", code=2)


def test_budgets(tmp_path: Path):
    W, x = matrix(tmp_path, 64, 48)
    arguments = (W, "-o", tmp_path / "a.hrz", "--calibrate", x, "--config", "tiny", "--json")
    dense = json.loads(run(*arguments).stdout)
    size = len(Artifact.load(tmp_path / "a.hrz").image.blob) // 2
    result = run(*arguments, "--max-bytes", size)
    assert result.exit_code == 0, result.output
    assert len(Artifact.load(tmp_path / "a.hrz").image.blob) <= size
    assert 0 < json.loads(result.stdout)["layers"][0]["nonzeros"] < dense["layers"][0]["nonzeros"]
    (tmp_path / "a.hrz").unlink()
    calibrated = (W, "--calibrate", x, "--config", "tiny")
    assert "the sparsest choice" in mistaken(tmp_path, *calibrated, "--max-cycles", 3)
    assert "leave --prune out" in mistaken(tmp_path, *calibrated, "--max-bytes", size, "--prune", "0.5", code=2)
    assert "for models" in mistaken(tmp_path, "lenet5", "--max-bytes", size, code=2)


def test_rows_made_alike_within_an_accuracy(tmp_path: Path):
    W, x = matrix(tmp_path)
    inputs = np.load(x)
    np.savez(tmp_path / "data.npz", x=inputs, y=(inputs @ np.load(W)).argmax(axis=1))
    nonzeros = {}
    for points in (0, 100):
        arguments = (W, "-o", tmp_path / "a.hrz", "--calibrate", tmp_path / "data.npz", "--config", "tiny")
        result = run(*arguments, "--alike", points, "--json")
        assert result.exit_code == 0, result.output
        nonzeros[points] = json.loads(result.stdout)["layers"][0]["nonzeros"]
        options = read_record(Artifact.load(tmp_path / "a.hrz").meta)[0]
        assert (options.alike > 0) >= (points > 0)
    assert nonzeros[100] < nonzeros[0]
    (tmp_path / "a.hrz").unlink()
    assert "has no labels, which --alike needs" in mistaken(tmp_path, W, "--calibrate", x, "--alike", 1)
    np.savez(tmp_path / "wrong.npz", x=inputs, y=np.full(len(inputs), 99))
    arguments = (W, "--calibrate", tmp_path / "wrong.npz", "--config", "tiny", "--alike", 1)
    assert "0.0% of the calibration samples are right" in mistaken(tmp_path, *arguments)
    assert "must be a number" in mistaken(tmp_path, W, "--calibrate", x, "--alike", "nan", code=2)
    assert "--alike is for models" in mistaken(tmp_path, "lenet5", "--alike", 1, code=2)
