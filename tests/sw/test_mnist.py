"""headrace.data: idx files, and the arrays that come with the package."""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from headrace import data
from headrace.data.mnist import FILES, load_idx, load_mnist
from headrace.errors import DataError


def idx(*shape: int, body: bytes | None = None, kind: int = 8) -> bytes:
    content = bytes(i % 251 for i in range(int(np.prod(shape)))) if body is None else body
    return bytes([0, 0, kind, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + content


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("shape", [(7,), (0,), (3, 28, 28), (2, 3, 4, 5), (4, 0)])
def test_load_idx(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = load_idx(written(tmp_path / "f", idx(*shape)))
    assert array.shape == shape
    assert array.dtype == np.uint8
    assert array.tobytes() == idx(*shape)[4 + 4 * len(shape) :]
    assert array.flags.writeable


BAD = {
    "empty": (b"", "not an idx"),
    "three bytes": (b"\0\0\x08", "not an idx"),
    "other kind": (idx(4, kind=0x0D), "not an idx"),
    "no dimension": (bytes([0, 0, 8, 0]), "not an idx"),
    "five dimensions": (idx(1, 1, 1, 1, 1), "not an idx"),
    "header cut": (idx(3, 4)[:9], "truncated"),
    "body cut": (idx(3, 4)[:-1], "23 bytes where its header promises 24"),
    "trailing": (idx(3, 4) + b"x", "25 bytes where"),
    "huge": (idx(2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, body=b""), "promises"),
    "packed": (gzip.compress(idx(3)), "gzip-packed"),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_load_idx_refuses(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load_idx(written(tmp_path / "f", content))


def test_load_idx_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        load_idx(tmp_path / "none")
    with pytest.raises(DataError, match="cannot be read"):
        load_idx(tmp_path)


def folder(path: Path, images: bytes, labels: bytes, split: str = "test") -> Path:
    for name, content in zip(FILES[split], (images, labels), strict=True):
        written(path / name, content)
    return path


@pytest.mark.parametrize("split", ["train", "test"])
def test_load_mnist(tmp_path: Path, split: str) -> None:
    images, labels = load_mnist(folder(tmp_path, idx(5, 28, 28), idx(5), split), split)
    assert images.shape == (5, 28, 28)
    assert labels.tolist() == [0, 1, 2, 3, 4]


MISFITS = {
    "flat images": (idx(5, 784), idx(5), "not images of 28 x 28"),
    "other size": (idx(5, 28, 27), idx(5), "not images of 28 x 28"),
    "fewer labels": (idx(5, 28, 28), idx(4), "labels for 5 images"),
    "label 10": (idx(2, 28, 28), idx(2, body=b"\x03\x0a"), "label above 9"),
}


@pytest.mark.parametrize(("images", "labels", "reason"), MISFITS.values(), ids=MISFITS)
def test_load_mnist_refuses(tmp_path: Path, images: bytes, labels: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        load_mnist(folder(tmp_path, images, labels), "test")


def test_load_mnist_of_another_split(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split"):
        load_mnist(tmp_path, "validation")


def test_embedded_digits() -> None:
    images, labels = data.embedded_digits()
    assert (images.shape, images.dtype) == ((256, 28, 28), np.uint8)
    assert (labels.shape, labels.dtype) == ((256,), np.uint8)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]  # as MNIST's test set begins
    assert images.max() == 255


def test_calibration_digits() -> None:
    images = data.calibration_digits()
    assert (images.shape, images.dtype) == ((128, 28, 28), np.uint8)
    assert not {x.tobytes() for x in images} & {x.tobytes() for x in data.embedded_digits()[0]}


def test_lenet5() -> None:
    network = data.lenet5()
    assert {name: value.shape for name, value in network.items()} == {
        "conv1_weight": (20, 1, 5, 5),
        "conv1_bias": (20,),
        "conv2_weight": (50, 20, 5, 5),
        "conv2_bias": (50,),
        "fc1_weight": (500, 800),
        "fc1_bias": (500,),
        "fc2_weight": (10, 500),
        "fc2_bias": (10,),
        "densities": (4,),
    }
    assert all(value.dtype == np.float32 and np.isfinite(value).all() for value in network.values())
    weights = [network[f"{name}_weight"] for name in ("conv1", "conv2", "fc1", "fc2")]
    assert sum(np.count_nonzero(w) for w in weights) > 0.99 * 430_500
    kept = sum(float(d) * w.size for d, w in zip(network["densities"], weights, strict=True))
    assert kept <= 0.05 * 430_500


def test_shipped_files_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in data.FOLDER.glob("*.npz")}
    assert set(sizes) == {"lenet5.npz", "mnist_test256.npz", "mnist_calibration128.npz"}
    assert sizes["lenet5.npz"] < 2_000_000
    assert sizes["mnist_test256.npz"] + sizes["mnist_calibration128.npz"] < 200_000


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"\x80\x04pickle"])
def test_missing_or_damaged_package_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    if content is not None:
        written(tmp_path / "lenet5.npz", content)
    monkeypatch.setattr(data, "FOLDER", tmp_path)
    with pytest.raises(DataError, match="install the package again"):
        data.lenet5()


def test_package_data_with_a_flipped_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = bytearray((data.FOLDER / "mnist_calibration128.npz").read_bytes())
    with zipfile.ZipFile(data.FOLDER / "mnist_calibration128.npz") as archive:
        whole[archive.infolist()[0].header_offset + 5000] ^= 0x55
    written(tmp_path / "mnist_calibration128.npz", bytes(whole))
    monkeypatch.setattr(data, "FOLDER", tmp_path)
    with pytest.raises(DataError, match="damaged"):
        data.calibration_digits()
