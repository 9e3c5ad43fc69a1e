"""headrace compress."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from headrace import data, lenet
from headrace.artifact import Artifact
from headrace.cli import main

pytest.importorskip("sklearn", reason="weight sharing needs the compress extra")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["compress", *map(str, arguments)])


def small(tmp_path: Path, **changes: np.ndarray | None) -> Path:
    """The shipped weights with changes; None leaves an array out."""
    arrays: dict[str, np.ndarray | None] = {**data.lenet5(), **changes}
    np.savez(tmp_path / "weights.npz", **{key: array for key, array in arrays.items() if array is not None})
    return tmp_path / "weights.npz"


def test_shipped(tmp_path: Path):
    path = tmp_path / "a.hrz"
    result = run("lenet5", "-o", path, "--json", "--prune", "0.02", "--share", 8)
    assert result.exit_code == 0 and result.stderr == ""
    values = json.loads(result.stdout)
    assert values["bytes"] == path.stat().st_size and values["config"] == "demo"
    assert [layer["nonzeros"] for layer in values["layers"]] == [10, 500, 8000, 100]
    assert all(layer["values"] <= 8 for layer in values["layers"])
    artifact = Artifact.load(path)
    assert artifact.meta["densities"] == [0.02] * 4 and artifact.image.network == "lenet5"


def test_file_with_everything_chosen(tmp_path: Path):
    np.save(tmp_path / "x.npy", data.calibration_digits()[:4])
    result = run(
        *(small(tmp_path, densities=None), "-o", tmp_path / "a.hrz", "--prune", "0.1,0.01,0.001,0.05"),
        *("--share", 4, "--calibrate", tmp_path / "x.npy", "--config", "small"),
    )
    assert result.exit_code == 0, result.output
    assert "conv1" in result.stdout and "small" in result.stdout
    artifact = Artifact.load(tmp_path / "a.hrz")
    assert artifact.config.name == "small" and artifact.meta["calibration_images"] == 4
    assert [layer.nonzeros for layer in artifact.image.layers if layer.kind != "maxpool2d"] == [50, 250, 400, 250]


@pytest.mark.parametrize(
    "arguments",
    [
        ["lenet5"],
        ["-o", "x.hrz"],
        ["lenet5", "-o", "x.hrz", "--prune", "0.1,0.2"],
        ["lenet5", "-o", "x.hrz", "--prune", "1.5"],
        ["lenet5", "-o", "x.hrz", "--prune", "nan"],
        ["lenet5", "-o", "x.hrz", "--prune", "much"],
        ["lenet5", "-o", "x.hrz", "--share", "1"],
        ["lenet5", "-o", "x.hrz", "--share", "256"],
        ["lenet5", "-o", "x.hrz", "--config", "huge"],
    ],
)
def test_wrong_usage(arguments: list[str]):
    result = run(*arguments)
    assert result.exit_code == 2 and result.stdout == ""


def mistaken(tmp_path: Path, *arguments: object) -> str:
    """The one line that a user's mistake gives; nothing is written."""
    before = set(tmp_path.iterdir())
    result = run(*arguments, "-o", tmp_path / "a.hrz", "--json")
    assert result.exit_code == 1 and result.stdout == "", result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    assert set(tmp_path.iterdir()) == before
    return result.stderr


def test_mistakes(tmp_path: Path):
    assert "is not a file" in mistaken(tmp_path, tmp_path / "none")
    assert "No such file" in mistaken(tmp_path, tmp_path / "none.npz")
    assert "is not a file" in mistaken(tmp_path, "resnet8")
    (tmp_path / "text").write_text("hello")
    assert "not a readable .npz" in mistaken(tmp_path, tmp_path / "text")
    np.save(tmp_path / "one", np.zeros(3))
    (tmp_path / "one.npy").rename(tmp_path / "one")
    assert "single array" in mistaken(tmp_path, tmp_path / "one")
    assert "'fc1_bias'" in mistaken(tmp_path, small(tmp_path, fc1_bias=None))
    assert "conv1_weight must be floats (20, 1, 5, 5)" in mistaken(tmp_path, small(tmp_path, conv1_weight=np.zeros(3)))
    nan = np.full(10, np.nan, np.float32)
    assert "fc2_bias holds a NaN" in mistaken(tmp_path, small(tmp_path, fc2_bias=nan))
    assert "fc2_bias must be floats" in mistaken(tmp_path, small(tmp_path, fc2_bias=np.zeros(10, np.int8)))
    assert "give them with --prune" in mistaken(tmp_path, small(tmp_path, densities=None))
    assert "4 fractions" in mistaken(tmp_path, small(tmp_path, densities=np.full(4, 2.0)))
    assert "does not fit in 24 bits" in mistaken(tmp_path, small(tmp_path, fc2_bias=np.full(10, 1e9, np.float32)))


def test_calibration_mistakes(tmp_path: Path):
    path = tmp_path / "x.npy"
    for array, reason in (
        (np.zeros((3, 28, 28)), "must be uint8 (N, 28, 28)"),
        (np.zeros((3, 28, 27), np.uint8), "must be uint8 (N, 28, 28)"),
        (np.zeros((0, 28, 28), np.uint8), "holds no image"),
    ):
        np.save(path, array)
        assert reason in mistaken(tmp_path, "lenet5", "--calibrate", path)
    assert "No such file" in mistaken(tmp_path, "lenet5", "--calibrate", tmp_path / "none.npy")


def test_output_in_a_folder_that_is_not_there(tmp_path: Path):
    result = run("lenet5", "-o", tmp_path / "none" / "a.hrz")
    assert result.exit_code == 1 and "there is no folder" in result.stderr


def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lenet, "compress_network", stop)
    result = run("lenet5", "-o", tmp_path / "a.hrz")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "interrupted\n")
    assert list(tmp_path.iterdir()) == []


def test_interrupted_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "a.hrz"
    path.write_text("the one before")

    def stop(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.fsync", stop)
    result = run("lenet5", "-o", path, "--prune", "0.01", "--share", 3)
    assert result.exit_code == 130
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("a.hrz", "the one before")]


def test_output_that_is_an_input(tmp_path: Path):
    weights = small(tmp_path)
    before = weights.read_bytes()
    np.save(tmp_path / "x.npy", data.calibration_digits()[:4])
    for result in (
        run(weights, "-o", weights),
        run("lenet5", "-o", tmp_path / "x.npy", "--calibrate", tmp_path / "x.npy"),
    ):
        assert result.exit_code == 1 and "another file of this command" in result.stderr
        assert result.stderr.count("\n") == 1
    assert weights.read_bytes() == before
