"""A matrix from a file that may be damaged, hostile, or of another kind than its name says."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

from numpy.typing import NDArray

from .codecs.base import as_matrix
from .codecs.stream import MAGIC, Stream, StreamEncoded
from .errors import DataError, FormatError, StreamError
from .files import read_npy

_DEFLATE = 1032
"""No byte of a deflated file stands for more."""


def load_matrix(path: str | Path) -> NDArray[Any]:
    """The matrix of a file: n inputs by m outputs, boolean, integer or real, native byte order, -0.0 as 0.0.

    The file is a .npy with the matrix, an .npz with the matrix alone, an .npz with `index`, integers (n, m), and
    `centres` (k,): the matrix is then `centres[index]`; or a stored headrace stream. Its content says which, not its
    name. Nothing is unpickled, and no array is read whose header claims more than the file can hold.

    Raises:
        DataError: the file is missing, damaged, none of these, or its matrix holds a NaN.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            arrays = _arrays(file, os.fstat(file.fileno()).st_size)
        return as_matrix(_matrix(arrays))
    except (OSError, ValueError, EOFError, MemoryError, NotImplementedError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    except (FormatError, StreamError) as error:
        reason = str(error)
    except (zipfile.BadZipFile, zlib.error) as error:
        reason = f"damaged .npz, {error}"
    raise DataError(f"{path} cannot be read as a matrix: {' '.join(reason.split()) or 'it does not fit in memory'}")


def _arrays(file: IO[bytes], size: int) -> dict[str, NDArray[Any]]:
    """Arrays of an .npz by name, or the one of a .npy or of a stored stream under no name."""
    magic = file.read(6)
    file.seek(0)
    if magic == b"\x93NUMPY":
        return {"": read_npy(file, size)}
    if magic.startswith(MAGIC):
        return {"": Stream().decode(StreamEncoded.from_bytes(file.read()))}
    if magic[:2] != b"PK":
        raise ValueError("it is neither .npy nor .npz nor a headrace stream")
    with zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        if len(members) > 1:
            if not {"index", "centres"} <= set(members):
                raise ValueError(f"its arrays are {', '.join(sorted(members))}; wanted one alone, or index and centres")
            members = {name: members[name] for name in ("index", "centres")}
        return {name: _member(archive, info, size) for name, info in members.items()}


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, size: int) -> NDArray[Any]:
    expansion = _DEFLATE if info.compress_type == zipfile.ZIP_DEFLATED else 1
    if info.file_size > expansion * min(info.compress_size, size):
        raise ValueError(f"{info.filename} claims {info.file_size} bytes, more than the file can hold")
    with archive.open(info) as file:
        return read_npy(file, info.file_size)


def _matrix(arrays: dict[str, NDArray[Any]]) -> NDArray[Any]:
    if not arrays:
        raise ValueError("it holds no array")
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    index, centres = arrays["index"], arrays["centres"]
    if index.ndim != 2 or index.dtype.kind not in "iu" or centres.ndim != 1:
        raise ValueError(
            f"index must be integers (n, m) and centres (k,), found {index.dtype} {index.shape} and {centres.shape}"
        )
    if index.size and (index.min() < 0 or index.max() >= centres.size):
        raise ValueError(f"index runs from {index.min()} to {index.max()}, there are {centres.size} centres")
    return centres[index]
