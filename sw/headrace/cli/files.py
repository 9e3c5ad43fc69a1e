"""Files that commands read and write: checked on the way in, whole or absent on the way out."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..files import read_npy, replacing, target

PLOTS = (".png", ".svg", ".pdf")


def load_array(path: Path) -> NDArray[np.generic]:
    """The array of a .npy file, never unpickled. DataError where it is missing, no .npy, or truncated."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise ValueError("it is not a file")
        with path.open("rb") as file:
            return read_npy(file, os.fstat(file.fileno()).st_size)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"{path} cannot be read as .npy: {' '.join(str(reason).split())}") from None


def save_array(path: Path, array: NDArray[np.generic]) -> None:
    """Write a .npy under exactly this name, whole or not at all. DataError where it cannot be written."""
    with replacing(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def check_output(path: Path, *others: Path | None, suffixes: tuple[str, ...] = ()) -> Path:
    """The path, if a file can be made there; asked before the work, so that no result is lost for want of a folder.

    DataError too where it is one of `others`, the command's further files. With `suffixes`, UsageError for a name that
    has none of them: what follows an option by mistake, such as an input, is not written over.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise click.UsageError(f"{path} is to be written, but does not end in {' or '.join(suffixes)}")
    if path.is_dir():
        raise DataError(f"{path} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise DataError(f"{path} cannot be written: there is no folder {path.parent}")
    try:
        final = target(path)
        if any(other is not None and _same(final, other) for other in others):
            raise DataError(f"{path} is another file of this command; name one of its own for the output")
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def check_plot(path: Path, *others: Path | None) -> Path:
    """As `check_output`, of a chart: UsageError for a name of no known kind, ModuleNotFoundError without matplotlib."""
    check_output(path, *others, suffixes=PLOTS)
    import_module("matplotlib.figure")
    return path


def _same(path: Path, other: Path) -> bool:
    if path.exists() and other.exists():
        return path.samefile(other)
    return path.absolute() == other.absolute()
