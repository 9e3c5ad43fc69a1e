"""Reads .onnx files: nothing in them is run, and nothing larger than the files themselves is allocated."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import FormatError, HeadraceError

from .draft import MOST_AXES

LARGEST_FILE = (1 << 31) - 1
"""Bytes: the limit of protocol buffers."""
OLDEST = 7
"""Of the ONNX operators: from it on, shapes broadcast as they do now."""
DTYPES: dict[int, tuple[str, str]] = {
    1: ("<f4", "float_data"),
    2: ("u1", "int32_data"),
    3: ("i1", "int32_data"),
    4: ("<u2", "int32_data"),
    5: ("<i2", "int32_data"),
    6: ("<i4", "int32_data"),
    7: ("<i8", "int64_data"),
    9: ("?", "int32_data"),
    10: ("<f2", "int32_data"),
    11: ("<f8", "double_data"),
    12: ("<u4", "uint64_data"),
    13: ("<u8", "uint64_data"),
    16: ("<u2", "int32_data"),
}
"""ONNX's number of a type: its bytes, and the field that holds it where they are not raw. 16 is bfloat16."""
BFLOAT16, FLOAT16 = 16, 10
LOCATION = "location"
"""Key of a tensor's entry that names the other file in which it lies."""


def load_model(path: Path) -> Any:
    """The `ModelProto`, without the data of other files. FormatError for a file that is none, HeadraceError without
    the package `onnx`."""
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise HeadraceError("reading .onnx files needs onnx: pip install 'headrace[onnx]'") from None
    try:
        if not path.is_file():
            raise FormatError(f"{path} is not a file")
        if path.stat().st_size > LARGEST_FILE:
            raise FormatError(f"{path} is larger than any ONNX file; keep weights in files beside it")
        data = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {error.strerror or error}") from None
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} is no ONNX file, or is damaged: {error}") from None
    if not model.graph.node:
        raise FormatError(f"{path} is no ONNX file, or holds no network")
    versions = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    if not versions:
        raise FormatError(f"{path} does not say its version of the ONNX operators")
    if versions[0] < OLDEST:
        raise FormatError(
            f"{path} uses operators of version {versions[0]}; export it again with opset_version=11 or later"
        )
    return model


def tensor_size(tensor: Any) -> int:
    """Numbers that a `TensorProto` claims to hold. FormatError for a type or a shape that none has."""
    shape = tuple(tensor.dims[: MOST_AXES + 1])
    if tensor.data_type not in DTYPES or len(shape) > MOST_AXES or min(shape, default=1) < 0:
        raise FormatError(f"tensor {tensor.name!r}: type {tensor.data_type}, shape {shape}")
    return prod(shape)


def is_external(tensor: Any) -> bool:
    """Whether the numbers lie in another file, where many tensors can name the same ones."""
    return bool(tensor.data_location == 1)


def files_size(path: Path, tensors: Iterable[Any]) -> int:
    """Bytes of a model's file and of the other ones that its tensors name, each counted once. Files that are missing,
    or lie outside of the model's folder, which reading the tensor refuses, count nothing."""
    total = path.stat().st_size
    home = path.parent.resolve()
    names = {entry.value for one in tensors if is_external(one) for entry in one.external_data if entry.key == LOCATION}
    found = set()
    for name in names:
        with suppress(OSError, ValueError, RuntimeError):
            found.add((home / name).resolve())
    return total + sum(file.stat().st_size for file in found if file.is_relative_to(home) and file.is_file())


def tensor_array(tensor: Any, folder: Path) -> NDArray[np.generic]:
    """The numbers of a `TensorProto`, bfloat16 as float32; files it names lie in `folder` or below.

    FormatError for another type, or where the file holds less or more than the shape says.
    """
    count, name, shape = tensor_size(tensor), tensor.name, tuple(tensor.dims)
    code, field = DTYPES[tensor.data_type]
    dtype = np.dtype(code)
    if is_external(tensor):
        raw: bytes | None = _external(tensor, folder, count * dtype.itemsize)
    else:
        raw = tensor.raw_data if tensor.HasField("raw_data") else None
    held = len(raw) // dtype.itemsize if raw is not None else len(getattr(tensor, field))
    if held != count or (raw is not None and len(raw) != count * dtype.itemsize):
        raise FormatError(f"tensor {name!r}: shape {shape} has {count} numbers, the file holds {held}")
    if raw is not None:
        values = np.frombuffer(raw, dtype).reshape(shape)
    else:
        values = _listed(name, getattr(tensor, field), dtype, tensor.data_type).reshape(shape)
    return (values.astype(np.uint32) << 16).view(np.float32) if tensor.data_type == BFLOAT16 else values


def _listed(name: str, numbers: Any, dtype: np.dtype[Any], data_type: int) -> NDArray[np.generic]:
    if data_type == FLOAT16:  # its bits, as integers
        return _listed(name, numbers, np.dtype("<u2"), 0).view("<f2")
    values = np.array(numbers)
    if (
        dtype.kind in "iu"
        and values.size
        and not np.iinfo(dtype).min <= values.min() <= values.max() <= np.iinfo(dtype).max
    ):
        raise FormatError(f"tensor {name!r}: numbers beyond {dtype}")
    return values.astype(dtype)


def _external(tensor: Any, folder: Path, size: int) -> bytes:
    """The bytes that a tensor has in another file: `size` of them."""
    keys = {entry.key: entry.value for entry in tensor.external_data}
    name, location = tensor.name, keys.get(LOCATION, "")
    try:
        offset = int(keys.get("offset", "0"))
        length = int(keys.get("length", str(size)))
    except ValueError:
        raise FormatError(f"tensor {name!r}: offset or length is no number") from None
    if offset < 0 or length != size:
        raise FormatError(f"tensor {name!r}: {length} bytes at {offset} of {location!r}, its shape has {size}")
    try:
        home = folder.resolve()
        path = home if "\0" in location else (home / location).resolve()
        if not path.is_relative_to(home) or not path.is_file():
            raise FormatError(f"tensor {name!r}: {location!r} is no file in the model's folder")
        with path.open("rb") as file:
            if offset + size > os.fstat(file.fileno()).st_size:
                raise FormatError(f"tensor {name!r}: {location!r} ends before its {size} bytes at {offset}")
            file.seek(offset)
            return file.read(size)
    except (OSError, ValueError, RuntimeError) as error:
        raise FormatError(f"tensor {name!r}: {location!r} cannot be read: {error}") from None
