"""headrace.lenet: the float network, its compression, and what both make of real digits."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

from headrace import data, lenet
from headrace.errors import DataError
from headrace.network import MaxPool2d, Network

LOG = Path(__file__).resolve().parents[2] / "docs" / "train_lenet.log"
Compressed = tuple[Network, tuple[lenet.CompressedLayer, ...]]


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return lenet.check_weights(data.lenet5(), "shipped")[0]


@pytest.fixture(scope="module")
def compressed(weights: dict[str, np.ndarray]) -> Compressed:
    pytest.importorskip("sklearn")
    densities = lenet.check_weights(data.lenet5(), "shipped")[1]
    assert densities is not None
    return lenet.compress_network(weights, densities, 32, lenet.device_input(data.calibration_digits()))


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = data.embedded_digits()
    return lenet.device_input(images), labels


def slow_forward(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """The definition in loops, one image (28, 28)."""

    def conv(x: np.ndarray, name: str) -> np.ndarray:
        kernels, bias = w[f"{name}_weight"].astype(float), w[f"{name}_bias"].astype(float)
        out = np.zeros((len(kernels), x.shape[1] - 4, x.shape[2] - 4))
        for m, kernel in enumerate(kernels):
            for i in range(out.shape[1]):
                for j in range(out.shape[2]):
                    out[m, i, j] = max((kernel * x[:, i : i + 5, j : j + 5]).sum() + bias[m], 0)
        pooled = np.zeros((len(kernels), out.shape[1] // 2, out.shape[2] // 2))
        for i in range(pooled.shape[1]):
            for j in range(pooled.shape[2]):
                pooled[:, i, j] = out[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max(axis=(1, 2))
        return pooled

    x = conv(conv(x[None] / 127.0, "conv1"), "conv2").ravel()
    x = np.maximum(w["fc1_weight"].astype(float) @ x + w["fc1_bias"], 0)
    return w["fc2_weight"].astype(float) @ x + w["fc2_bias"]


def test_device_input():
    images = np.arange(2 * 784, dtype=np.int64).reshape(2, 28, 28).astype(np.uint8)
    x = lenet.device_input(images)
    assert x.dtype == np.int8 and x.shape == (2, 1, 28, 28) and x.min() == 0 and x.max() == 127
    for bad in (images[0], images.astype(np.int8), images[:, :27]):
        with pytest.raises(DataError):
            lenet.device_input(bad)


def test_forward_is_its_definition(weights, digits):
    x = digits[0][:2]
    assert lenet.forward(weights, x) == pytest.approx(np.array([slow_forward(weights, one[0]) for one in x]), abs=1e-3)


def test_forward_in_batches(weights, digits, monkeypatch):
    whole = lenet.forward(weights, digits[0][:5])
    monkeypatch.setattr(lenet, "BATCH", 2)
    assert lenet.forward(weights, digits[0][:5]) == pytest.approx(whole, abs=1e-4)
    assert lenet.forward(weights, digits[0][:0]).shape == (0, 10)


def test_forward_agrees_with_torch(weights, digits):
    torch = pytest.importorskip("torch")
    f = torch.nn.functional
    w = {key: torch.from_numpy(value) for key, value in weights.items()}
    x = torch.from_numpy(digits[0]).float() / 127
    for name in ("conv1", "conv2"):
        x = f.max_pool2d(f.relu(f.conv2d(x, w[f"{name}_weight"], w[f"{name}_bias"])), 2)
    x = f.relu(f.linear(x.flatten(1), w["fc1_weight"], w["fc1_bias"]))
    assert lenet.forward(weights, digits[0]) == pytest.approx(
        f.linear(x, w["fc2_weight"], w["fc2_bias"]).numpy(), abs=1e-3
    )


def test_digits(weights, compressed, digits):
    x, labels = digits
    assert int((lenet.forward(weights, x).argmax(axis=1) == labels).sum()) == 256
    assert int((compressed[0].run(x).argmax(axis=1) == labels).sum()) == 256


def test_report_is_that_of_the_log(compressed):
    network, report = compressed
    layers = [layer for layer in network.layers if not isinstance(layer, MaxPool2d)]
    log = re.findall(r"^  (\w+): ([\d,]+) of ([\d,]+) weights \(([\d.]+)\), (\d+) values$", LOG.read_text(), re.M)
    assert [(line.name, f"{line.nonzeros:,}", f"{line.density:.4f}", str(line.values)) for line in report] == [
        (name, nonzeros, density, values) for name, nonzeros, _, density, values in log
    ]
    for line, layer in zip(report, layers, strict=True):
        assert line.nonzeros == np.count_nonzero(layer.weights)
        assert line.values == np.unique(layer.weights).size <= 32
        assert line.shape == layer.weights.shape == lenet.SHAPES[line.name]
        assert 0 < line.error < 1


def test_compressed_network_follows_its_float_meaning(weights, compressed, digits):
    """Integer logits times their scale are near the float logits of the pruned, shared weights."""
    network, report = compressed
    shared = dict(weights)
    for line, layer in zip(report, (part for part in network.layers if not isinstance(part, MaxPool2d)), strict=True):
        shared[f"{line.name}_weight"] = (layer.weights * line.scale).astype(np.float32)
    real = lenet.forward(shared, digits[0])
    error = np.abs(network.run(digits[0]) * network.output_scale - real)
    assert error.max() < 0.1 * np.abs(real).max()


def test_wrong_arguments(weights):
    x = np.zeros((1, 1, 28, 28), np.int8)
    with pytest.raises(ValueError, match="4 densities"):
        lenet.compress_network(weights, [0.1], 32, x)
    with pytest.raises(ValueError, match="density"):
        lenet.compress_network(weights, [2.0] * 4, 32, x)


def test_load_weights(tmp_path: Path):
    np.savez(tmp_path / "w.npz", **data.lenet5())
    weights, densities = lenet.load_weights(tmp_path / "w.npz")
    assert densities is not None and densities.tolist() == pytest.approx([0.6, 0.12, 0.03, 0.2])
    assert all(np.array_equal(weights[key], data.lenet5()[key]) for key in weights)


def test_arrays_that_claim_too_much(tmp_path: Path):
    path = tmp_path / "w.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (99999999999, 784)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("conv1_weight.npy", header.getvalue())
    with pytest.raises(DataError, match=r"not a readable .npz: conv1_weight.npy: .* the file holds 0"):
        lenet.load_weights(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1_weight.npy", bytes(lenet.LARGEST_MEMBER + 1))
    with pytest.raises(DataError, match="more than any array of LeNet-5"):
        lenet.load_weights(path)


@pytest.mark.filterwarnings("error")
def test_weights_beyond_float32():
    arrays = {**data.lenet5(), "fc2_bias": np.full(10, 1e300)}
    with pytest.raises(DataError, match=r"fc2_bias holds .* a number beyond float32"):
        lenet.check_weights(arrays, "it")
