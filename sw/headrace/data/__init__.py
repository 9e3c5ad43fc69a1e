"""Data that comes with headrace, a few MNIST digits and a trained LeNet-5, and how to get the rest. See NOTICE.md.

Each function raises DataError where its file is missing from the installation or damaged.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError

FOLDER = Path(__file__).parent


def embedded_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(images uint8 (256, 28, 28), labels uint8 (256,)): the first 256 of MNIST's test set."""
    arrays = _load("mnist_test256.npz")
    return arrays["images"], arrays["labels"]


def calibration_digits() -> NDArray[np.uint8]:
    """Images uint8 (128, 28, 28): the first 128 of MNIST's training set, for activation scales."""
    return _load("mnist_calibration128.npz")["images"]


def lenet5() -> dict[str, NDArray[np.float32]]:
    """The trained LeNet-5 (20-50-500-10), dense, all float32; input is `(pixel >> 1) / 127`.

    Keys: conv1_weight (20, 1, 5, 5), conv2_weight (50, 20, 5, 5), fc1_weight (500, 800), fc2_weight (10, 500), their
    `_bias`, and densities (4,): the fraction of each layer's weights, in this order, that magnitude pruning may keep
    without harm.
    """
    return _load("lenet5.npz")


def _load(name: str) -> dict[str, NDArray]:
    try:
        with (FOLDER / name).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {key: arrays[key] for key in arrays.files}
    except FileNotFoundError:
        raise DataError(f"{name} is not installed with headrace: install the package again") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{name} is damaged ({error}): install the package again") from None
