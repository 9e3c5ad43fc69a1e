"""CIFAR-10, from its official binary files or from lossless images of a row a picture, strictly checked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError, HeadraceError

BATCH = 10_000
SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
"""Bytes of a picture in a binary file: its label, then its planes of red, green and blue."""
BATCHES = {"train": tuple(f"data_batch_{n}" for n in range(1, 6)), "test": ("test_batch",)}
LABELS = {"train": "train_lables.json", "test": "test_lables.json"}
"""Beside the images; the spelling is that of the package they come in."""
LARGEST_LABELS = 1 << 20

Pictures = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def load_cifar10(folder: str | Path, split: str) -> Pictures:
    """(pictures uint8 (n, 3, 32, 32), labels uint8 (n,), 0..9) of split "train" (50,000) or "test" (10,000).

    folder: holds `data_batch_1..5` and `test_batch`, all `.bin` as the data set's authors publish them, or all `.png`
    with their lists of labels as `headrace fetch cifar10` brings them. DataError where files are missing, have another
    length or size, or hold a label above 9; HeadraceError for images without Pillow; ValueError on another split.
    """
    if split not in BATCHES:
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")
    folder = Path(folder)
    binaries = [folder / f"{name}.bin" for name in BATCHES[split]]
    if binaries[0].is_file():
        parts = [_read_binary(path) for path in binaries]
        pictures = np.concatenate([part[0] for part in parts])
        labels = np.concatenate([part[1] for part in parts])
    else:
        labels = _read_labels(folder / LABELS[split], BATCH * len(binaries))
        pictures = np.concatenate([_read_image(folder / f"{name}.png") for name in BATCHES[split]])
    if labels.max() > 9:
        raise DataError(f"{folder}: a label above 9")
    return pictures, labels


def _read_binary(path: Path) -> Pictures:
    try:
        if path.stat().st_size != BATCH * RECORD:
            raise DataError(f"{path} has {path.stat().st_size:,} bytes instead of {BATCH * RECORD:,}: fetch it again")
        records = np.fromfile(path, np.uint8).reshape(BATCH, RECORD)
    except OSError as error:
        raise _unreadable(path, error) from None
    return records[:, 1:].reshape(BATCH, *SHAPE), records[:, 0]


def _read_image(path: Path) -> NDArray[np.uint8]:
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise HeadraceError("reading images needs Pillow: pip install 'headrace[data]'") from None
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.size != (32 * 32, BATCH) or image.mode != "RGB":
                raise DataError(f"{path} is {image.mode} {image.size}, not RGB of {32 * 32} x {BATCH} pixels")
            pixels = np.asarray(image)
    except (UnidentifiedImageError, SyntaxError, ValueError, EOFError) as error:
        raise DataError(f"{path} is a damaged image: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise _unreadable(path, error) from None
    return np.ascontiguousarray(pixels.reshape(BATCH, 32, 32, 3).transpose(0, 3, 1, 2))


def _read_labels(path: Path, count: int) -> NDArray[np.uint8]:
    try:
        if path.stat().st_size > LARGEST_LABELS:
            raise DataError(f"{path} is too large for a list of {count:,} labels")
        values = json.loads(path.read_text())
    except OSError as error:
        raise _unreadable(path, error) from None
    except (ValueError, RecursionError):
        raise DataError(f"{path} is no JSON list of labels") from None
    if not isinstance(values, list) or len(values) != count or not all(type(v) is int and 0 <= v <= 9 for v in values):
        raise DataError(f"{path} does not hold {count:,} labels from 0 to 9")
    return np.array(values, np.uint8)


def _unreadable(path: Path, error: OSError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"{path} is missing: fetch CIFAR-10 into this folder first")
    return DataError(f"{path} cannot be read: {error.strerror or error}")
