"""Reads .pt2 files, which `torch.export.save` writes, without PyTorch: JSON, and numbers as bytes.

Anything in such a file that is pickled could run code when it is loaded, and is never touched.
"""

from __future__ import annotations

import json
import os
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from headrace.errors import FormatError

from .draft import MOST_AXES, budget

Array = NDArray[np.generic]
LARGEST_JSON = 32 << 20
"""Bytes; the graph of a network of a thousand layers takes one megabyte."""
DTYPES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?", 13: "<u2"}
"""PyTorch's number of a type. 13 is bfloat16."""
BFLOAT16 = 13
AGAIN = "load it with its own torch, and save it with torch.export.save of torch 2.13"


@dataclass(frozen=True)
class Program:
    """The graph of an exported program, as its JSON has it, and the numbers that it names."""

    nodes: list[dict[str, Any]]
    inputs: list[str]
    outputs: list[str]
    sizes: dict[str, list[int | None]]
    """Of every tensor in the graph; None where the batch, or something else, is left open."""
    constants: dict[str, Array]
    names: dict[str, str]
    """What the module calls them: "features.0.weight"."""
    size: int
    """Bytes of the file."""


def read_program(file: IO[bytes], name: str) -> Program:
    """FormatError, in one line with `name`, for a file that is damaged, of another kind, or holds pickled weights.

    Nothing larger than the file is allocated, the graph's JSON aside.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            return _program(_Archive(archive, file.seek(0, os.SEEK_END)))
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise FormatError(f"{name} is no .pt2 file, or is damaged: {' '.join(str(error).split())}") from None
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        what = f"{type(error).__name__} {error}"
        raise FormatError(f"{name} is damaged, or of another version: {' '.join(what.split())}") from None


class _Archive:
    """Members of a zip file by their names below its one folder."""

    def __init__(self, archive: zipfile.ZipFile, size: int) -> None:
        self.archive, self.size = archive, size
        self.held: dict[str, bytes] = {}
        self.members = {one.filename.partition("/")[2]: one for one in archive.infolist()}
        if len({one.filename.partition("/")[0] for one in archive.infolist()}) > 1:
            raise FormatError("more than one folder: not written by torch.export.save")
        if sum(one.file_size for one in archive.infolist()) > size:
            raise FormatError("its members claim more bytes than the file has")

    def read(self, name: str, size: int | None = None) -> bytes:
        """A member, which must be of `size` bytes if given. FormatError for one that is missing or packed."""
        member = self.members.get(name)
        if member is None:
            raise FormatError(f"no {name}: not written by torch.export.save of torch 2.9 or later; {AGAIN}")
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise FormatError(f"{name} is packed, which torch.export.save does not do")
        if size is not None and member.file_size != size:
            raise FormatError(f"{name} has {member.file_size} bytes, its shape {size}")
        if name not in self.held:  # tied weights are one member
            self.held[name] = self.archive.read(member)
        return self.held[name]

    def json(self, name: str) -> Any:
        """A member as JSON."""
        if name in self.members and self.members[name].file_size > LARGEST_JSON:
            raise FormatError(f"{name} has more than {LARGEST_JSON} bytes")
        return json.loads(self.read(name))


def _program(archive: _Archive) -> Program:
    if archive.read("archive_format") != b"pt2":
        raise FormatError("not written by torch.export.save")
    if "byteorder" in archive.members and archive.read("byteorder") != b"little":
        raise FormatError("written on a machine of another byte order")
    module = archive.json("models/model.json")["graph_module"]
    graph = module["graph"]
    numbers = dict(_numbers(archive, "weights")) | dict(_numbers(archive, "constants"))
    inputs, constants, names = [], {}, {}
    for spec in module["signature"]["input_specs"]:
        (kind, one), *_ = spec.items()
        if kind == "user_input":
            inputs.append(one["arg"].get("as_tensor", {}).get("name", "a number"))
        elif kind in ("parameter", "buffer", "tensor_constant"):
            label = one[f"{kind}_name"]
            names[one["arg"]["name"]] = label
            constants[one["arg"]["name"]] = numbers[label]
        else:
            raise FormatError(f"an input of the kind {kind}")
    outputs = []
    for spec in module["signature"]["output_specs"]:
        if "user_output" in spec:
            outputs.append(spec["user_output"]["arg"].get("as_tensor", {}).get("name", "a number"))
    sizes = {
        name: [size.get("as_int") if isinstance(size.get("as_int"), int) else None for size in meta["sizes"]]
        for name, meta in graph["tensor_values"].items()
    }
    return Program(graph["nodes"], inputs, outputs, sizes, constants, names, archive.size)


def _numbers(archive: _Archive, kind: str) -> Iterator[tuple[str, Array]]:
    """The parameters and buffers, or the constants, by name."""
    if f"data/{kind}/model_{kind}_config.json" not in archive.members and kind == "constants":
        return
    total = 0
    for name, entry in archive.json(f"data/{kind}/model_{kind}_config.json")["config"].items():
        path, meta = entry["path_name"], entry["tensor_meta"]
        if entry["use_pickle"] or meta is None:
            raise FormatError(f"{name!r} is pickled, which is not read, as loading it could run code; {AGAIN}")
        values = _tensor(archive, f"data/{kind}/{path}", name, meta)
        total += values.size  # many can name the same member
        if total > budget(archive.size):
            raise FormatError(f"weights of more than {budget(archive.size)} numbers")
        yield name, values


def _tensor(archive: _Archive, path: str, name: str, meta: dict[str, Any]) -> Array:
    """The numbers of a tensor that lies whole in its file, in C order or with its axes permuted."""
    shape, strides = ([int(one["as_int"]) for one in meta[key]] for key in ("sizes", "strides"))
    fits = len(strides) == len(shape) <= MOST_AXES
    if meta["dtype"] not in DTYPES or not fits or min(shape, default=0) < 0:
        shown = f"shape {tuple(shape[:MOST_AXES])}, strides {tuple(strides[:MOST_AXES])}"
        raise FormatError(f"{name!r}: type {meta['dtype']}, {shown}")
    dtype = np.dtype(DTYPES[meta["dtype"]])
    order = sorted(range(len(shape)), key=lambda axis: (-strides[axis], shape[axis]))
    packed = [shape[axis] for axis in order]
    for place, axis in enumerate(order):
        if shape[axis] > 1 and strides[axis] != prod(packed[place + 1 :]):
            raise FormatError(
                f"{name!r}: strides {tuple(strides)} leave gaps; call .contiguous() on it, and save again"
            )
    if int(meta["storage_offset"]["as_int"]):
        raise FormatError(f"{name!r} is a part of another tensor; call .clone() on it, and save again")
    data = archive.read(path, prod(shape) * dtype.itemsize)
    values = np.frombuffer(data, dtype).reshape(packed).transpose(np.argsort(order))
    return (values.astype(np.uint32) << 16).view(np.float32) if meta["dtype"] == BFLOAT16 else values
