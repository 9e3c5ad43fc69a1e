"""CIFAR-10 in both forms, with batches of a few pictures."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from headrace.data import cifar10
from headrace.data.cifar10 import load_cifar10
from headrace.errors import DataError

COUNT = 6


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    if "HEADRACE_CIFAR10" not in os.environ:
        monkeypatch.setattr(cifar10, "BATCH", COUNT)


def pictures(batches: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(batches)
    count = batches * COUNT
    return rng.integers(0, 256, (count, 3, 32, 32)).astype(np.uint8), rng.integers(0, 10, count).astype(np.uint8)


def write_binaries(folder: Path) -> None:
    for split, names in cifar10.BATCHES.items():
        x, y = pictures(len(names))
        for number, name in enumerate(names):
            part = slice(number * COUNT, (number + 1) * COUNT)
            records = np.concatenate([y[part, None], x[part].reshape(COUNT, -1)], axis=1)
            (folder / f"{name}.bin").write_bytes(records.tobytes())
        assert split in ("train", "test")


def write_images(folder: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    for split, names in cifar10.BATCHES.items():
        x, y = pictures(len(names))
        (folder / cifar10.LABELS[split]).write_text(json.dumps(y.tolist()))
        for number, name in enumerate(names):
            rows = x[number * COUNT : (number + 1) * COUNT].transpose(0, 2, 3, 1).reshape(COUNT, 1024, 3)
            image.fromarray(rows).save(folder / f"{name}.png")


@pytest.mark.parametrize("write", [write_binaries, write_images])
def test_both_forms(tmp_path: Path, write):
    write(tmp_path)
    for split, batches in (("train", 5), ("test", 1)):
        wanted, got = pictures(batches), load_cifar10(tmp_path, split)
        assert all(np.array_equal(a, b) and b.dtype == np.uint8 for a, b in zip(wanted, got, strict=True))


def fails(folder: Path, reason: str) -> None:
    with pytest.raises(DataError, match=reason) as caught:
        load_cifar10(folder, "test")
    assert "\n" not in str(caught.value)


def test_bad_binaries(tmp_path: Path):
    write_binaries(tmp_path)
    path = tmp_path / "test_batch.bin"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    fails(tmp_path, "bytes instead of")
    path.write_bytes(b"\x0a" + data[1:])
    fails(tmp_path, "a label above 9")


def test_bad_images(tmp_path: Path):
    fails(tmp_path, "missing: fetch CIFAR-10")
    write_images(tmp_path)
    path, labels = tmp_path / "test_batch.png", tmp_path / "test_lables.json"
    good, image = labels.read_text(), path.read_bytes()
    for text in ("[1, 2]", "{", good.replace("]", "0]").replace("[", "[1"), "[" * 100_000):
        labels.write_text(text)
        fails(tmp_path, "labels")
    labels.write_text(good)
    for data in (image[:200], b"x" * 50, image[:60] + b"????" + image[64:]):
        path.write_bytes(data)
        fails(tmp_path, "damaged image|cannot be read")
    pytest.importorskip("PIL.Image").new("L", (1024, COUNT)).save(path)
    fails(tmp_path, r"is L .*not RGB")
    with pytest.raises(ValueError, match="split"):
        load_cifar10(tmp_path, "valid")


@pytest.mark.skipif("HEADRACE_CIFAR10" not in os.environ, reason="HEADRACE_CIFAR10 names no folder of CIFAR-10")
def test_real_files():
    x, y = load_cifar10(os.environ["HEADRACE_CIFAR10"], "train")
    assert x.shape == (50_000, 3, 32, 32) and (np.bincount(y) == 5000).all()
    assert np.allclose(x.mean(axis=(0, 2, 3)) / 255, [0.4914, 0.48216, 0.44653], atol=1e-5)
