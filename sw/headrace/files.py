"""Files written whole or not at all, and arrays read from files that may lie about their size."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from .errors import DataError


@contextmanager
def replacing(path: str | Path, make_folder: bool = False) -> Iterator[IO[bytes]]:
    """`whole`, with DataError, one line, in place of OSError; `make_folder` makes the folder where it is missing."""
    path = Path(path)
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as file:
            yield file
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from None


@contextmanager
def whole(path: Path) -> Iterator[IO[bytes]]:
    """A temporary file beside `target(path)` that takes its name on success and goes away on any error."""
    final = target(path)
    temporary = final.with_name(f".{final.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def target(path: Path) -> Path:
    """The file that writing to `path` replaces: where symbolic links lead. OSError for one that is no regular file."""
    try:
        final = path.resolve() if path.is_symlink() else path
    except RuntimeError:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP)) from None
    if final.is_dir():
        raise OSError(errno.EISDIR, "it is a folder")
    if final.is_symlink() or (final.exists() and not final.is_file()):
        raise OSError(errno.EINVAL, "it is not a regular file")
    return final


def read_npy(file: IO[bytes], size: int) -> NDArray[np.generic]:
    """The array of the .npy that begins here and has at most `size` bytes, never unpickled.

    ValueError, before anything is allocated, for a header that claims more than that.
    """
    start = file.tell()
    version = np.lib.format.read_magic(file)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(f"version {version} of the format is not known")
    shape, _, dtype = readers[version](file)
    if min(shape, default=0) < 0 or dtype.itemsize == 0:
        raise ValueError(f"no array has {dtype} {shape}")
    claimed, held = math.prod(shape) * dtype.itemsize, size - (file.tell() - start)
    if claimed > held:
        raise ValueError(f"{dtype} {shape} takes {claimed} bytes, the file holds {held}")
    file.seek(start)
    array: NDArray[np.generic] = np.lib.format.read_array(file, allow_pickle=False)
    return array
