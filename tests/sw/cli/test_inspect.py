"""headrace inspect, and the decoding below it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from headrace.artifact import Artifact
from headrace.cli import decode, main
from headrace.cli.decode import decode_layer
from headrace.codecs.bounds import entropy
from headrace.network import MaxPool2d, Network


def test_json(artifact: Path, network: Network):
    result = CliRunner().invoke(main, ["inspect", str(artifact), "--json"])
    assert result.exit_code == 0 and result.stderr == ""
    values = json.loads(result.stdout)
    assert (values["network"], values["config"], values["meta"]) == ("small", "demo", {"note": "a test"})
    assert values["file_bytes"] == artifact.stat().st_size
    assert values["input_shape"] == [2, 6, 6] and values["output_shape"] == [5]
    assert [layer["name"] for layer in values["layers"]] == ["conv", "pool", "fc"]
    assert 0 < sum(layer["estimate"]["cycles"] for layer in values["layers"]) < values["estimated_cycles"]
    for layer in values["layers"]:
        estimated = layer["estimate"]
        assert estimated["shares"][estimated["limit"]] == max(estimated["shares"].values())
        assert sum(estimated["shares"].values()) == pytest.approx(estimated["cycles"], abs=1)
        assert estimated["utilisation"] <= layer["macs"] / (4 * 8 * estimated["cycles"])
    for layer, source in zip(values["layers"], network.layers, strict=True):
        if isinstance(source, MaxPool2d):
            continue
        weights = source.weights
        assert layer["nonzeros"] == np.count_nonzero(weights)
        assert layer["bits_per_nonzero"] == 8 * layer["stream_bytes"] / layer["nonzeros"]
        assert layer["bits_per_weight"] == 8 * layer["stream_bytes"] / (layer["rows"] * layer["positions"])
        assert layer["coding"]["longest_code"] <= 12
        if layer["positions"] * layer["rows"] == weights.size:
            assert layer["entropy_bits_per_weight"] == pytest.approx(entropy(weights.reshape(len(weights), -1)))
            assert layer["density"] == np.count_nonzero(weights) / weights.size


def test_table(artifact: Path):
    result = CliRunner().invoke(main, ["inspect", str(artifact)])
    assert result.exit_code == 0
    for word in ("conv", "maxpool2d", "small", "entropy", "limit", "emission", "Computed and not measured"):
        assert word in result.stdout


def test_decoded_weights(artifact: Path, network: Network):
    image = Artifact.load(artifact).image
    first = network.layers[0]
    assert not isinstance(first, MaxPool2d)
    decoded = decode_layer(image, image.layers[0])
    rows = first.weights.transpose(0, 2, 3, 1).reshape(len(first.weights), -1)  # tap-major
    assert sorted(map(tuple, decoded.weights.tolist())) == sorted(map(tuple, rows.tolist()))
    assert decoded.differential_rows == 0


def test_mistakes(artifact: Path, tmp_path: Path):
    whole = artifact.read_bytes()
    for name, content in (("cut", whole[:-1]), ("text", b"hello"), ("empty", b""), ("flip", whole[:-1] + b"\xff")):
        (tmp_path / name).write_bytes(content)
    for name in ("cut", "text", "empty", "flip", "none", "."):
        result = CliRunner().invoke(main, ["inspect", str(tmp_path / name), "--json"])
        assert result.exit_code == 1 and result.stdout == "", name
        assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1


@pytest.mark.parametrize("key", ["nonzeros", "density", "symbols", "entries", "taps", "macs", "words", "bound_cycles"])
def test_figures_that_are_not_those_of_the_streams(artifact: Path, tmp_path: Path, key: str):
    loaded = Artifact.load(artifact)
    first, *others = loaded.image.layers
    layers = (replace(first, **{key: getattr(first, key) + 1}), *others)
    Artifact(replace(loaded.image, layers=layers)).save(tmp_path / "forged.hrz")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "forged.hrz"), "--json"])
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith(f"error: layer conv: {key} is ") and result.stderr.count("\n") == 1


def test_a_lane_is_decoded_once(artifact: Path, monkeypatch: pytest.MonkeyPatch):
    image, calls = Artifact.load(artifact).image, []
    inner = decode.decode_counted
    monkeypatch.setattr(decode, "decode_counted", lambda *arguments: calls.append(1) or inner(*arguments))
    decode_layer(image, image.layers[0])
    assert len(calls) == image.config.lanes
