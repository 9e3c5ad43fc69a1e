"""Drug-target affinities, DAVIS and KIBA, in the files that DeepDTA publishes: nothing in them is ever executed.

A folder holds `Y` (affinities, a pickle of Python 2), `ligands_can.txt` and `proteins.txt` (JSON objects of SMILES and
amino-acid sequences, in the order of Y's rows and columns) and `folds/` (lists of numbers of measured pairs).
"""

from __future__ import annotations

import json
import pickletools
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import DataError

LARGEST = 64 << 20
"""Bytes of one file; the largest has four million."""
LARGEST_SCORE = 100.0
"""KIBA's scores and logarithms of Kd end at 20; every Kd that was too weak to be measured is 10,000 nM in DAVIS."""
SMILES_LENGTH, PROTEIN_LENGTH = 100, 1000
SMILES_LETTERS = "#%)(+-.1032547698=ACBEDGFIHKMLONPSRUTWVY[Z]_acbedgfihmlonsruty"
"""Of canonical SMILES; letter n, from 1, is number n, pads are 0."""
PROTEIN_LETTERS = "ACBEDGFIHKMLONQPSRUTWVYXZ"

Numbers = NDArray[np.int64]

_GLOBALS = ("numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype")
_PUTS = {"BINPUT", "LONG_BINPUT", "PUT"}


@dataclass(frozen=True, eq=False)
class Affinities:
    """Measured pairs: `pairs` (n, 2) are rows of `ligands` and `proteins`, `values` (n,) float64 their affinities."""

    ligands: tuple[str, ...]
    proteins: tuple[str, ...]
    pairs: Numbers
    values: NDArray[np.float64]
    train: Numbers
    """Numbers of pairs, all training folds together."""
    folds: tuple[Numbers, ...]
    """The same, fold by fold."""
    test: Numbers


def is_affinities(path: Path) -> bool:
    """Whether it is a folder of such files."""
    return (path / "Y").is_file() and (path / "proteins.txt").is_file()


def open_affinities(folder: str | Path) -> Affinities:
    """`load_affinities`, with logarithms if an affinity is above LARGEST_SCORE, and so they are Kd in nM."""
    values = read_matrix(Path(folder) / "Y")
    return load_affinities(folder, logarithmic=bool((values > LARGEST_SCORE).any()))


def load_affinities(folder: str | Path, logarithmic: bool) -> Affinities:
    """The data set in `folder`. `logarithmic`: affinities become -log10(value / 1e9), which DAVIS' Kd in nM need.

    DataError for files that are missing, too large, of another kind, or that contradict each other.
    """
    folder = Path(folder)
    values = read_matrix(folder / "Y")
    ligands, proteins = (_read_texts(folder / name) for name in ("ligands_can.txt", "proteins.txt"))
    if values.shape != (len(ligands), len(proteins)):
        raise DataError(f"{folder}: Y is {values.shape}, for {len(ligands)} ligands and {len(proteins)} proteins")
    measured = ~np.isnan(values)
    affinities = values[measured]
    if logarithmic:
        if affinities.size and affinities.min() <= 0:
            raise DataError(f"{folder}: an affinity of {affinities.min()} has no logarithm")
        affinities = -np.log10(affinities / 1e9)
    folds = folder / "folds"
    parts = _read_json(folds / "train_fold_setting1.txt", list)
    if not all(isinstance(part, list) for part in parts):
        raise DataError(f"{folds / 'train_fold_setting1.txt'} holds no lists")
    test = _read_json(folds / "test_fold_setting1.txt", list)
    return Affinities(
        ligands,
        proteins,
        np.argwhere(measured),
        affinities,
        _numbers(list(chain.from_iterable(parts)), affinities.size, folds),
        tuple(_numbers(part, affinities.size, folds) for part in parts),
        _numbers(test, affinities.size, folds),
    )


def encode(texts: Sequence[str], letters: str, length: int) -> NDArray[np.uint8]:
    """Letters as numbers from 1 in the order of `letters`, cut to or padded with 0 to `length`: (n, length) uint8.

    DataError for a letter that the alphabet lacks.
    """
    table = {letter: number for number, letter in enumerate(letters, 1)}
    result = np.zeros((len(texts), length), np.uint8)
    try:
        for row, text in zip(result, texts, strict=True):
            row[: len(text[:length])] = [table[letter] for letter in text[:length]]
    except KeyError as error:
        raise DataError(f"letter {error} is not in the alphabet {letters!r}") from None
    return result


def read_matrix(path: str | Path) -> NDArray[np.float64]:
    """The one float64 matrix in a pickle that Python 2 wrote of it.

    The file's instructions are not followed, but compared with those such a file has; DataError for any other.
    """
    path = Path(path)
    data = _read(path)
    try:
        found = [(op.name, arg) for op, arg, _ in pickletools.genops(data) if op.name not in _PUTS]
    except (ValueError, UnicodeDecodeError, IndexError) as error:
        raise DataError(f"{path} is damaged: {' '.join(str(error).split())}") from None
    # PROTO, an empty array of bytes, its state: version, shape, type, order of elements, their bytes.
    if [arg for name, arg in found if name == "GLOBAL"] != list(_GLOBALS):
        raise DataError(f"{path} is no pickle of one array")
    arguments = [arg for name, arg in found if name not in ("GLOBAL", "PROTO") and arg is not None]
    state = [0, "b", 1, None, None, "f8", 0, 1, 3, "<", -1, -1, 0, None]
    skeleton = [name for name, _ in found if name in ("REDUCE", "BUILD", "STOP", "NEWFALSE", "NEWTRUE")]
    if len(arguments) != len(state) or skeleton != ["REDUCE", "REDUCE", "BUILD", "NEWFALSE", "BUILD", "STOP"]:
        raise DataError(f"{path} is no pickle of one matrix of float64 in C order")
    if any(want is not None and got != want for got, want in zip(arguments, state, strict=True)):
        raise DataError(f"{path} is no pickle of one matrix of float64 in C order")
    shape, content = arguments[3:5], arguments[-1]
    if not all(type(n) is int and n > 0 for n in shape) or not isinstance(content, str):
        raise DataError(f"{path} holds no matrix")
    raw = content.encode("latin-1")
    if len(raw) != 8 * prod(shape):
        raise DataError(f"{path} has {len(raw):,} bytes for a matrix of {shape[0]} x {shape[1]}")
    return np.frombuffer(raw, "<f8").reshape(shape).astype(np.float64)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path} is larger than any file of these data sets")
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path} is missing") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None


def _read_json(path: Path, kind: type) -> Any:
    try:
        value = json.loads(_read(path))
    except (ValueError, RecursionError):
        raise DataError(f"{path} is no JSON") from None
    if not isinstance(value, kind):
        raise DataError(f"{path} holds no {kind.__name__}")
    return value


def _read_texts(path: Path) -> tuple[str, ...]:
    values = tuple(_read_json(path, dict).values())
    if not all(isinstance(value, str) for value in values):
        raise DataError(f"{path} holds something else than texts")
    return values


def _numbers(values: list[Any], end: int, folder: Path) -> Numbers:
    if not all(type(value) is int and 0 <= value < end for value in values):
        raise DataError(f"{folder}: a fold names a pair beyond the {end:,} measured ones")
    return np.array(values, np.int64)
