"""Samples to calibrate and evaluate with, from whatever a path holds."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError
from headrace.files import read_npy

from . import calibration_digits, embedded_digits, speech
from .cifar10 import load_cifar10
from .deepdta import is_affinities
from .mnist import load_mnist

SPLITS = ("test", "train")
KEYS = (("x", "y"), ("inputs", "labels"), ("mfcc_int8", "y"))
"""Names of the two arrays of a .npz."""
LARGEST_MEMBER = 4 << 30
"""Bytes of an array of a .npz."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs as they are stored, (N, ...); labels (N,) or None where the set has none."""

    title: str
    inputs: NDArray[np.generic]
    labels: NDArray[np.generic] | None
    normalisation: str = "raw"
    """The one of NORMALISATIONS that these inputs usually need."""

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, count: int | None) -> Samples:
        """Only so many of them; None: all."""
        labels = None if self.labels is None else self.labels[:count]
        return Samples(self.title, self.inputs[:count], labels, self.normalisation)


def _imagenet(x: NDArray[np.float32]) -> NDArray[np.float32]:
    if x.ndim != 4 or x.shape[1] != 3:
        raise DataError(f"normalisation imagenet is of pictures (N, 3, H, W), not {x.shape}")
    mean, deviation = np.array([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], np.float32)[..., None, None]
    return (x / np.float32(255) - mean) / deviation


NORMALISATIONS: dict[str, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "raw": lambda x: x,
    "unit": lambda x: x / np.float32(255),
    "imagenet": _imagenet,
    "mfcc": lambda x: (x - np.float32(speech.ZERO)) * np.float32(speech.SCALE),
}
"""By name: numbers as they are; 0..255 as 0..1; that with ImageNet's means and deviations; int8 MFCC as real ones."""


def normalised(x: NDArray[np.generic], name: str) -> NDArray[np.generic]:
    """Stored inputs as float32 of one of NORMALISATIONS; raw integers stay as they are, to look up embeddings.

    DataError for what is no number, for a NaN or an infinity, also in float32.
    """
    if x.dtype.kind not in "fiub":
        raise DataError(f"the data must be numbers, not {x.dtype}")
    if name == "raw" and x.dtype.kind != "f":
        return x
    with np.errstate(over="ignore"):
        real = x.astype(np.float32)
    if not np.isfinite(real).all():
        raise DataError("the data holds a NaN or an infinity")
    return NORMALISATIONS[name](real)


def open_samples(where: str, split: str = "test") -> Samples:
    """Samples of a split, by what is there.

    where: "mnist" (the digits that come with headrace: 256 for tests, 128 without labels else); a folder of MNIST's or
    CIFAR-10's files, of train.npz and test.npz, or of folders of keyword clips (of one split only); or a .npz (of one
    split only). A .npz holds inputs and labels, under one of the KEYS. DataError for anything else.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
    if where == "mnist":
        images, labels = embedded_digits() if split == "test" else (calibration_digits(), None)
        return Samples("MNIST, digits that come with headrace", images[:, None], labels)
    path = Path(where)
    if path.suffix == ".npz" and path.is_file():
        return _read_npz(path)
    if not path.is_dir():
        raise DataError(f"{where} is no folder, no .npz file and not the name mnist")
    if (path / "t10k-images-idx3-ubyte").is_file() or (path / "train-images-idx3-ubyte").is_file():
        images, labels = load_mnist(path, split)
        return Samples(f"MNIST {split}", images[:, None], labels)
    if any((path / f"test_batch.{suffix}").is_file() for suffix in ("bin", "png")):
        return Samples(f"CIFAR-10 {split}", *load_cifar10(path, split))
    if any((path / f"{one}.npz").is_file() for one in SPLITS):
        return _read_npz(path / f"{split}.npz")
    if any((path / name).is_dir() for name in speech.CLASSES):
        return Samples("Speech Commands", *speech.load_speech_commands(path), normalisation="mfcc")
    if is_affinities(path):
        raise DataError(f"{path} holds drug-target pairs, which headrace eval takes with --drug and --protein")
    raise DataError(
        f"{path} holds no files of MNIST or CIFAR-10, no train.npz and test.npz, and no folders of keyword clips"
    )


def _read_npz(path: Path) -> Samples:
    try:
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            names = set(archive.namelist())
            keys = [pair for pair in KEYS if {f"{key}.npy" for key in pair} <= names]
            if not keys:
                wanted = " or ".join(" and ".join(pair) for pair in KEYS)
                raise DataError(f"{path} holds no arrays {wanted}")
            x, y = (_member(archive, f"{key}.npy") for key in keys[0])
    except (OSError, ValueError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable .npz: {' '.join(str(error).split())}") from None
    numbers = x.dtype.kind in "fiu" and y.dtype.kind in "fiu"
    if not numbers or x.ndim < 2 or not y.ndim or len(x) != len(y) or not len(x):
        raise DataError(f"{path}: inputs {x.dtype} {x.shape} and labels {y.dtype} {y.shape} do not go together")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise DataError(f"{path}: a label is a NaN or an infinity")
    if keys[0][0] != "mfcc_int8":
        return Samples(path.name, x, y)
    if x.dtype != np.int8 or x.shape[1:] != (speech.FRAMES, speech.COEFFICIENTS):
        wanted = f"int8 {speech.FRAMES} x {speech.COEFFICIENTS}"
        raise DataError(f"{path}: coefficients are {x.dtype} {x.shape[1:]}, not {wanted}")
    return Samples(path.name, x[:, None], y, "mfcc")


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    member = archive.getinfo(name)
    if member.file_size > LARGEST_MEMBER or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} is too large, or packed in another way")
    with archive.open(member) as file:
        return read_npy(file, member.file_size)
