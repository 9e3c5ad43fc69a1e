"""headrace eval, with a model and data made here."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.artifact import Artifact
from headrace.cli import eval as command
from headrace.cli import main
from headrace.compile import compile_network
from headrace.config import get_config
from headrace.evaluate import run_network, top1
from headrace.floats import Input
from headrace.quantisation import Options, quantise
from headrace.quantisation.record import KEY, record
from real_graphs import chain, images


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A .npz of samples labelled as the real network sees them; importing any model gives that network."""
    monkeypatch.setattr(command, "import_model", lambda path: chain())
    x = images(40)
    np.savez(tmp_path / "data.npz", x=x, y=chain().run(x).argmax(axis=1))
    return tmp_path / "data.npz"


def run(*arguments: object, code: int = 0):
    result = CliRunner().invoke(main, ["eval", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


def artifact(path: Path, note: bool = True) -> Path:
    options = Options(density=0.8)
    network, _ = quantise(chain(), images(40)[:16], options)
    meta = {KEY: record(options, 16, "raw", network)} if note else {}
    Artifact(compile_network(network, get_config("small")), meta).save(path)
    return path


def test_model(data: Path):
    values = json.loads(run("m.onnx", "--data", data, "--compare", "--json", "--samples", 16).stdout)
    network, _ = quantise(chain(), images(40)[:16], Options())
    labels = chain().run(images(40)).argmax(axis=1)
    assert values["values"] == {"float": 1.0, "int8": top1(run_network(chain(), network, images(40)), labels)}
    assert (values["images"], values["task"]) == (40, "top1")
    assert [layer["name"] for layer in values["layers"]] == ["first", "second", "pool", "linear"]
    assert all(layer["sqnr_db"] > 20 for layer in values["layers"])


def test_options_matter(data: Path):
    plain, pruned = (
        json.loads(run("m.onnx", "--data", data, "--compare", "--json", *more).stdout)["layers"][-1]["sqnr_db"]
        for more in ((), ("--density", 0.3, "--method", "max"))
    )
    fitted = json.loads(run("m.onnx", "--data", data, "--compare", "--json", "--density", 0.3, "--fit").stdout)
    assert plain > fitted["layers"][-1]["sqnr_db"] > pruned


def test_table(data: Path):
    text = run("m.onnx", "--data", data, "--limit", 5, "--compare").stdout
    assert "m.onnx: 5 samples of data.npz" in text and "second" in text and "dB" in text


def test_artifact(data: Path, tmp_path: Path):
    path = artifact(tmp_path / "net.hrz")
    alone = json.loads(run(path, "--data", data, "--limit", 6, "--json").stdout)
    assert list(alone["values"]) == ["model"] and "layers" not in alone
    both = json.loads(run(path, "--data", data, "--limit", 6, "--json", "--model", "m.onnx", "--compare").stdout)
    assert both["values"] == {"model": alone["values"]["model"], "float": 1.0} and len(both["layers"]) == 4
    np.save(tmp_path / "c.npy", images(40)[:16])
    arguments = (path, "--data", data, "--limit", 6, "--json", "--model", "m.onnx", "--compare")
    assert json.loads(run(*arguments, "--calibrate", tmp_path / "c.npy").stdout) == both
    np.save(tmp_path / "c.npy", images(40)[16:])
    assert "does not give the artifact's network" in run(*arguments, "--calibrate", tmp_path / "c.npy", code=1).stderr


def test_errors(data: Path, tmp_path: Path):
    run("m.onnx", "--data", data, "--model", "x.onnx", code=2)
    run("m.onnx", "--data", data, "--device", "model", code=2)
    path = artifact(tmp_path / "net.hrz", note=False)
    assert "--density goes with a model alone" in run(path, "--data", data, "--density", 0.5, code=2).stderr
    run(path, "--data", data, "--compare", code=2)
    result = run(path, "--data", data, "--limit", 1, "--model", "m.onnx", "--compare", code=1)
    assert "does not say how it was quantised" in result.stderr and result.stderr.count("\n") == 1
    assert "no folder" in run("m.onnx", "--data", tmp_path / "none", code=1).stderr
    assert "has no labels" in run("m.onnx", "--data", "mnist", "--split", "train", code=1).stderr
    np.savez(tmp_path / "small.npz", x=np.zeros((2, 3)), y=np.zeros(2))
    assert "the network takes" in run(path, "--data", tmp_path / "small.npz", code=1).stderr


def test_labels_that_do_not_fit(data: Path, tmp_path: Path):
    """A column counts as a list; a row for each sample is refused, and not compared with every output."""
    with np.load(data) as held:
        x, y = held["x"], held["y"]
    np.savez(tmp_path / "column.npz", x=x, y=y[:, None])
    assert json.loads(run("m.onnx", "--data", tmp_path / "column.npz", "--json").stdout)["values"]["float"] == 1.0
    np.savez(tmp_path / "rows.npz", x=x, y=np.eye(y.max() + 1)[y])
    assert "not one for each of 40" in run("m.onnx", "--data", tmp_path / "rows.npz", code=1).stderr


def test_integers_that_embeddings_are_looked_up_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    net = chain()
    table = np.random.default_rng(5).normal(size=(9, net.input.shape[2])).astype(np.float32)
    source = Input(net.input.shape, net.input.shape[:2], table=table)
    monkeypatch.setattr(command, "import_model", lambda path: replace(net, input=source))
    x = np.random.default_rng(6).integers(0, 9, (20, *net.input.shape[:2]))
    np.savez(tmp_path / "data.npz", x=x, y=net.run(table[x]).argmax(axis=1))
    assert json.loads(run("m.onnx", "--data", tmp_path / "data.npz", "--json").stdout)["values"]["float"] == 1.0


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e300])
def test_samples_that_are_not_finite(wrong: float, data: Path, tmp_path: Path):
    x = images(40).astype(np.float64)
    x[3, 0, 0, 0] = wrong
    np.savez(tmp_path / "wrong.npz", x=x, y=np.zeros(40))
    assert "NaN or an infinity" in run("m.onnx", "--data", tmp_path / "wrong.npz", code=1).stderr
    assert "NaN or an infinity" in run(artifact(tmp_path / "a.hrz"), "--data", tmp_path / "wrong.npz", code=1).stderr
