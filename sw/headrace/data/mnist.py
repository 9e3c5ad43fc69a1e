"""MNIST from its idx files, strictly checked."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
LARGEST = 1 << 28  # bytes: five times the largest MNIST file


def load_idx(path: str | Path) -> NDArray[np.uint8]:
    """The uint8 array of one raw (unpacked) idx file, of the shape its header gives (1 to 4 dimensions).

    Raises DataError where the file is missing, is no idx file of unsigned bytes, or is not exactly as long as its
    header says; lengths are compared before anything is allocated.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(0)
            head = file.read(4)
            if head[:2] == b"\x1f\x8b":
                raise DataError(f"{path} is still gzip-packed: unpack it, or let `headrace fetch mnist` do so")
            if len(head) < 4 or head[:3] != b"\0\0\x08" or not 1 <= head[3] <= 4:
                raise DataError(f"{path} is not an idx file of unsigned bytes")
            sizes = file.read(4 * head[3])
            if len(sizes) < 4 * head[3]:
                raise DataError(f"{path} is truncated within its header: fetch it again")
            shape = struct.unpack(f">{head[3]}I", sizes)
            count = 1
            for n in shape:
                count *= n
            expected = 4 + len(sizes) + count
            if length != expected:
                raise DataError(f"{path} has {length:,} bytes where its header promises {expected:,}: fetch it again")
            if count > LARGEST:
                raise DataError(f"{path} is larger than any MNIST file ({count:,} bytes)")
            return np.fromfile(file, dtype=np.uint8, count=count).reshape(shape)
    except FileNotFoundError:
        raise DataError(f"{path} is missing: fetch MNIST into this folder first") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def load_mnist(folder: str | Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(images uint8 (n, 28, 28), labels uint8 (n,), 0..9) of split "train" (60,000) or "test" (10,000).

    folder: holds the raw idx files under their usual names. Raises DataError as `load_idx` does, and where images and
    labels do not go together; ValueError on another split.
    """
    if split not in FILES:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    images_path, labels_path = (Path(folder) / name for name in FILES[split])
    images, labels = load_idx(images_path), load_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise DataError(f"{images_path} holds an array of shape {images.shape}, not images of 28 x 28")
    if labels.shape != images.shape[:1]:
        raise DataError(f"{labels_path} holds {labels.shape} labels for {len(images):,} images")
    if labels.size and labels.max() > 9:
        raise DataError(f"{labels_path} holds a label above 9")
    return images, labels
