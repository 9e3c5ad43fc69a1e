"""The `.hrz` file: a compiled network with everything that a device and a reader need, and nothing executable.

Layout, little-endian, without gaps:

    8 bytes   MAGIC
    u32       version: 1, or 2 of a network that is compiled for a batch, whose `image` holds `batch`
    u32       bytes of the header
    u32       CRC-32 of the three fields above, then the header
    header    JSON object, ASCII, keys sorted
    sections  in the order of the header's list, up to the end of the file

The header holds `image` (`Image.to_header`), `meta` (free-form, from whoever made the file), `isa` (instruction set
version) and `sections`: a list of `name`, `offset` (from the first section), `bytes`, `crc32`. Every byte of the file
is under one of the checksums.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .config import Config
from .errors import FormatError
from .files import replacing
from .image import Image
from .isa import ISA_VERSION

MAGIC = b"\x89HRZ\r\n\x1a\n"
"""Not text, and altered by what alters line ends, as in PNG."""
CONTAINER_VERSION, BATCH_VERSION = 1, 2
MAX_HEADER_BYTES = 16 << 20
MAX_ELEMENTS = 1 << 24
"""Of an input or output tensor: many times what fits any activation memory."""
SUFFIX = ".hrz"
SECTIONS = ("blob",)

_PREFIX = struct.Struct("<8sII")
_CRC = struct.Struct("<I")


@dataclass(frozen=True)
class Artifact:
    """A compiled network and notes about it."""

    image: Image
    meta: Mapping[str, Any] = field(default_factory=dict)
    """What JSON can hold: where the network comes from, its accuracy, how it was compressed."""

    @property
    def config(self) -> Config:
        """The configuration that the image was compiled for."""
        return self.image.config

    def to_bytes(self) -> bytes:
        """The file's content: equal artifacts give equal bytes. FormatError for `meta` that is no JSON or too large."""
        blob = self.image.blob
        header = {
            "isa": ISA_VERSION,
            "image": self.image.to_header(),
            "meta": self.meta,
            "sections": [{"name": "blob", "offset": 0, "bytes": len(blob), "crc32": zlib.crc32(blob)}],
        }
        try:
            text = json.dumps(header, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")
        except (TypeError, ValueError) as error:
            raise FormatError(f"artifact: not JSON: {error}") from None
        if len(text) > MAX_HEADER_BYTES:
            raise FormatError(f"artifact: header of {len(text)} bytes exceeds {MAX_HEADER_BYTES}")
        prefix = _PREFIX.pack(MAGIC, CONTAINER_VERSION if self.image.batch == 1 else BATCH_VERSION, len(text))
        return prefix + _CRC.pack(zlib.crc32(text, zlib.crc32(prefix))) + text + blob

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all. DataError where it cannot be written."""
        content = self.to_bytes()
        with replacing(path) as file:
            file.write(content)

    @classmethod
    def load(cls, path: str | Path) -> Artifact:
        """The artifact in the file. FormatError, one line, saying what is wrong with it."""
        path = Path(path)
        try:
            with path.open("rb") as file:
                return cls._read(file, os.fstat(file.fileno()).st_size)
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from None
        except OSError as error:
            raise FormatError(f"{path}: cannot be read: {error.strerror}") from None

    @classmethod
    def _read(cls, file: BinaryIO, size: int) -> Artifact:
        header, start, version = _read_header(file, size)
        if header.get("isa") != ISA_VERSION:
            raise FormatError(
                f"made for instruction set {header.get('isa')!r}, this headrace has {ISA_VERSION}; compile it again"
            )
        sections = _read_sections(file, _field(header, "sections", list), size - start)
        if set(sections) != set(SECTIONS):
            raise FormatError(f"sections are {', '.join(sections) or 'missing'}, not {', '.join(SECTIONS)}")
        image = _field(header, "image", dict)
        for name in ("input", "output"):
            _check_placement(name, _field(image, name, dict))
        batch = _field(image, "batch", int) if "batch" in image else 1
        if (batch == 1 and "batch" in image) or (batch != 1) != (version == BATCH_VERSION):
            raise FormatError(f"corrupted header: a batch of {batch} in a container of version {version}")
        return cls(Image.from_header(image, sections["blob"]), _field(header, "meta", dict))


def _read_header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int, int]:
    """The header, the offset of the first section, and the container's version."""
    prefix = file.read(_PREFIX.size + _CRC.size)
    if prefix[: len(MAGIC)] != MAGIC[: len(prefix)] or not prefix:
        raise FormatError("not a headrace artifact")
    if len(prefix) < _PREFIX.size + _CRC.size:
        raise FormatError("truncated: the file ends within its first fields")
    _, version, length = _PREFIX.unpack_from(prefix)
    (crc,) = _CRC.unpack_from(prefix, _PREFIX.size)
    if version not in (CONTAINER_VERSION, BATCH_VERSION):
        known = f"{CONTAINER_VERSION} and {BATCH_VERSION}"
        raise FormatError(f"container version {version}, this headrace reads versions {known}")
    if length > MAX_HEADER_BYTES:
        raise FormatError(f"corrupted header: {length} bytes, more than {MAX_HEADER_BYTES}")
    if len(prefix) + length > size:
        raise FormatError(f"truncated: {size} bytes, the header alone needs {len(prefix) + length}")
    text = file.read(length)
    if zlib.crc32(text, zlib.crc32(prefix[: _PREFIX.size])) != crc:
        raise FormatError("corrupted header: checksum does not match")
    try:
        header = json.loads(text.decode("ascii"), parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"corrupted header: {' '.join(str(error).split())}") from None
    if not isinstance(header, dict):
        raise FormatError("corrupted header: not an object")
    return header, len(prefix) + length, version


def _read_sections(file: BinaryIO, entries: list[Any], size: int) -> dict[str, bytes]:
    """The sections by name; they must fill the rest of the file, `size` bytes, in order."""
    total, bounds = 0, []
    for entry in entries:
        if not isinstance(entry, dict):
            raise FormatError("corrupted header: a section is not an object")
        name, length = _field(entry, "name", str), _field(entry, "bytes", int)
        if _field(entry, "offset", int) != total or length < 0:
            raise FormatError(f"corrupted header: section {name!r} does not follow the one before")
        total += length
        bounds.append((name, length, _field(entry, "crc32", int)))
    if total > size:
        raise FormatError(f"truncated: {total - size} of {total} section bytes are missing")
    if total < size:
        raise FormatError(f"corrupted: {size - total} bytes follow the last section")
    sections = {}
    for name, length, crc in bounds:
        data = file.read(length)
        if len(data) < length:
            raise FormatError(f"truncated: section {name!r} ends after {len(data)} of {length} bytes")
        if zlib.crc32(data) != crc:
            raise FormatError(f"corrupted section {name!r}: checksum does not match")
        if name in sections:
            raise FormatError(f"corrupted header: two sections {name!r}")
        sections[name] = data
    return sections


def _check_placement(name: str, placement: dict[str, Any]) -> None:
    """Bound what building the placement computes and allocates."""
    if any(type(value) is int and value >> 32 for value in placement.values()):
        raise FormatError(f"corrupted header: a number of {name!r} is not in 0..2**32 - 1")
    elements = 1
    for key in ("channels", "height", "width"):
        elements *= _field(placement, key, int)
    if elements > MAX_ELEMENTS:
        raise FormatError(f"{name} of {elements} elements exceeds {MAX_ELEMENTS}")


def _field(values: dict[str, Any], key: str, kind: type) -> Any:
    """values[key], which must be there and of that type (a bool is no int)."""
    if type(values.get(key)) is not kind:
        raise FormatError(f"corrupted header: {key!r} is missing or not of type {kind.__name__}")
    return values[key]


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:32]} is not a finite number")
    return value
