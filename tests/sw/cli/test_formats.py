"""headrace.cli.formats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.cli.formats import matrices, weight_formats
from headrace.codecs.hac import Hac
from headrace.codecs.shac import Shac
from headrace.errors import StreamError
from headrace.network import MaxPool2d, Network


def test_matrices_have_a_column_for_each_output(network: Network):
    conv, _, fc = network.layers
    assert not isinstance(conv, MaxPool2d) and not isinstance(fc, MaxPool2d)
    first, second = matrices(network)
    assert first.shape == (18, 3) and np.array_equal(first[:, 1], conv.weights[1].ravel())
    assert np.array_equal(second, fc.weights.T)


def test_sizes(network: Network, artifact: Path):
    image = Artifact.load(artifact).image
    sizes = {entry.name: entry.bytes for entry in weight_formats(network, image, 4321)}
    weights = matrices(network)
    assert sizes["dense_float32"] == 4 * (54 + 60) and sizes["dense_int8"] == 54 + 60
    assert sizes["hac"] == sum(Hac().encode(W).nbytes for W in weights)
    assert sizes["shac"] == sum(Shac().encode(W).nbytes for W in weights)
    assert sizes["headrace_streams"] == sum(layer.stream_bytes for layer in image.layers)
    assert sizes["headrace_streams"] < sizes["headrace"] < len(image.blob) and sizes["hrz_file"] == 4321


def test_a_codec_that_loses_weights_is_found(network: Network, artifact: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Hac, "decode", lambda self, encoded: np.zeros(encoded.shape, encoded.dtype))
    with pytest.raises(StreamError, match="hac"):
        weight_formats(network, Artifact.load(artifact).image, 1)
