"""Samples, recognised by what a path holds."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from headrace.data import embedded_digits
from headrace.data.samples import normalised, open_samples
from headrace.errors import DataError


def test_digits_that_come_along():
    test, train = open_samples("mnist"), open_samples("mnist", "train")
    assert test.inputs.shape == (256, 1, 28, 28) and len(test) == 256 and train.labels is None
    assert np.array_equal(test.first(3).labels, embedded_digits()[1][:3]) and len(train.first(None)) == 128


def test_mnist_folder(tmp_path: Path):
    images = np.arange(2 * 784, dtype=np.uint32).astype(np.uint8)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 2, 28, 28) + images.tobytes())
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 2) + b"\x03\x04")
    samples = open_samples(str(tmp_path))
    assert np.array_equal(samples.inputs, images.reshape(2, 1, 28, 28)) and samples.labels.tolist() == [3, 4]


def test_arrays(tmp_path: Path):
    path = tmp_path / "a.npz"
    np.savez(path, x=np.ones((2, 3)), y=np.array([0, 1]))
    assert open_samples(str(path), "train").normalisation == "raw"
    np.savez(path, mfcc_int8=np.ones((2, 49, 10), np.int8), y=np.array([0, 1], np.uint8))
    samples = open_samples(str(path))
    assert samples.inputs.shape == (2, 1, 49, 10) and samples.normalisation == "mfcc"


def test_folder_of_a_training_and_a_test_set(tmp_path: Path):
    np.savez(tmp_path / "train.npz", x=np.ones((3, 2)), y=np.arange(3))
    with pytest.raises(DataError, match=r"test\.npz"):
        open_samples(str(tmp_path))
    np.savez(tmp_path / "test.npz", x=np.ones((2, 2)), y=np.arange(2))
    assert [len(open_samples(str(tmp_path), split)) for split in ("train", "test")] == [3, 2]


@pytest.mark.parametrize(
    "arrays",
    [
        {"a": np.ones(2)},
        {"x": np.ones((2, 2)), "y": np.ones(3)},
        {"x": np.ones(2), "y": np.ones(2)},
        {"x": np.array([["a"], ["b"]]), "y": np.ones(2)},
        {"mfcc_int8": np.ones((2, 4, 10), np.int8), "y": np.ones(2)},
        {"mfcc_int8": np.ones((2, 49, 10)), "y": np.ones(2)},
        {"x": np.ones((2, 2)), "y": np.array(1)},
        {"x": np.ones((2, 2)), "y": np.array([0, np.nan])},
    ],
)
def test_wrong_arrays(tmp_path: Path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError):
        open_samples(str(tmp_path / "a.npz"))


def test_nothing_there(tmp_path: Path):
    (tmp_path / "a.npz").write_bytes(b"no zip")
    for where, reason in (("a.npz", "not a readable"), ("none", "is no folder"), (".", "holds no files")):
        with pytest.raises(DataError, match=reason):
            open_samples(str(tmp_path / where))
    (tmp_path / "Y").touch()
    (tmp_path / "proteins.txt").touch()
    with pytest.raises(DataError, match="drug-target pairs, which headrace eval takes with --drug and --protein"):
        open_samples(str(tmp_path))
    with pytest.raises(ValueError, match="split"):
        open_samples("mnist", "all")


def test_normalisations():
    x = np.array([0, 255], np.uint8)
    assert normalised(x, "raw").tolist() == [0, 255] and normalised(x, "unit").tolist() == [0, 1]
    assert normalised(x, "raw") is x  # integers that embeddings are looked up with
    with pytest.raises(DataError, match="must be numbers"):
        normalised(np.array(["a"]), "unit")
    picture = np.full((1, 3, 1, 1), 255, np.uint8)
    assert np.allclose(
        normalised(picture, "imagenet").ravel(), [(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, 0.594 / 0.225]
    )
    assert np.allclose(normalised(np.array([83, 84], np.int8), "mfcc"), [0, 0.58470291])
    with pytest.raises(DataError, match="imagenet"):
        normalised(x, "imagenet")
