"""A compiled network: program, tables and streams as one position-independent blob, and how the host lays out data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .config import Config
from .errors import ConfigError, FormatError
from .header import kinds, plain, typed
from .isa import BEAT_BYTES, DESCRIPTOR, DESCRIPTOR_BYTES, LANE_STREAM, TABLE_SIZES, Opcode, table_beats
from .placement import Placement


@dataclass(frozen=True)
class LayerInfo:
    """What reports say of one layer. Counts are of the whole layer, all its descriptors together."""

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    rows: int
    """Output channels."""
    positions: int
    """Weights of a row as the stream sees them, zeros and layout gaps included."""
    nonzeros: int
    """Nonzero weights."""
    density: float
    """nonzeros / (rows * positions)."""
    taps: int
    """Multiplications that the streams ask for, per word; rows that are stored as differences need fewer."""
    macs: int
    """taps * output pixels."""
    symbols: int
    """Codewords in the streams."""
    code_tables: int
    entries: int
    """Entries of the symbol table, which the code tables share."""
    longest_run: int
    """Longest zero run that the encoder gave to one symbol."""
    rows_differential: int
    """Rows that are stored as differences from another."""
    stream_bytes: int
    """Streams in memory, padded to beats; descriptors share them, and so do lanes that work on the same rows."""
    table_bytes: int
    """Tables in memory, of all descriptors."""
    strips: int
    """LAYER descriptors of this layer."""
    spatial_strips: int
    """Parts of the output plane that lanes work on side by side; each is read by lanes / spatial_strips lanes."""
    descriptor: int
    """Number of the first of them in the program. They carry the layer's number; where layers run in bands of rows,
    those of several layers take turns."""
    words: int
    """Words of output pixels that a lane makes of a row, summed over descriptors."""
    bound_cycles: int
    """Sum over descriptors of max(beats read / read ports, spatial_strips * taps * words / lanes): if reads, or
    multiplications, were spread evenly and nothing else took time. A layer can take less, where its beats are read
    while the one before runs; `headrace.cycles` says what it does take."""


@dataclass(frozen=True)
class Image:
    """What a session loads onto a device.

    `blob` goes to any address that is a multiple of 8 (register PROGRAM). The data region of `data_bytes` (register
    DATA) holds the input at `input_offset` and, after a run, the output at `output_offset`. `input` and `output`
    place the tensors' elements relative to those offsets, an input in strips one strip after the other.
    Real value = integer * scale.

    A signal (C, 1, W) can lie as (C, W, 1). A run computes `batch` inputs. Of more than one, `input` and `output` hold
    the elements as channels and the inputs as rows of one pixel; `input_shape` and `output_shape` are those of a single
    one.
    """

    config: Config
    network: str
    blob: bytes
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_scale: float
    output_scale: float
    input: Placement
    output: Placement
    input_offset: int
    output_offset: int
    layers: tuple[LayerInfo, ...]
    batch: int = 1

    @property
    def config_hash(self) -> int:
        """Identity of the configuration that the blob was compiled for."""
        return self.config.hash

    @property
    def input_bytes(self) -> int:
        return self.input.packed_size

    @property
    def output_bytes(self) -> int:
        return self.output.packed_size

    @property
    def data_bytes(self) -> int:
        return max(self.input_offset + self.input_bytes, self.output_offset + self.output_bytes)

    def pack_input(self, x: NDArray[np.int8]) -> bytes:
        """The `input_bytes` bytes at `input_offset` for x (n, *input_shape) int8, n at most `batch`; inputs that lack
        are zeros. ValueError for another shape or dtype."""
        if x.dtype != np.int8 or x.shape[1:] != self.input_shape or not 1 <= len(x) <= self.batch:
            raise ValueError(f"a run takes int8 ({self.batch}, {self.input_shape}), not {x.dtype} {x.shape}")
        if self.batch == 1:
            return self.input.pack(x.reshape(_shape(self.input)))
        inputs = np.zeros((self.batch, self.input.channels), np.int8)
        inputs[: len(x)] = x.reshape(len(x), -1)
        return self.input.pack(inputs.T[:, :, None])

    def unpack_output(self, memory: bytes | bytearray | memoryview | NDArray[np.uint8]) -> NDArray[np.int8]:
        """int8 (batch, *output_shape) from the bytes at `output_offset`."""
        y = self.output.unpack(memory)
        return (y if self.batch == 1 else y[:, :, 0].T).reshape(self.batch, *self.output_shape)

    @cached_property
    def program(self) -> tuple[Mapping[str, int], ...]:
        """The descriptors, END included, parsed once; FormatError where there is no END."""
        return tuple(parse_program(self.blob))

    def descriptors_of(self, info: LayerInfo) -> list[int]:
        """Numbers of a layer's descriptors in the program."""
        return self._by_layer[self.program[info.descriptor]["layer"]]

    @cached_property
    def _by_layer(self) -> dict[int, list[int]]:
        result: dict[int, list[int]] = {}
        for number, values in enumerate(self.program):
            if values["opcode"] == Opcode.LAYER:
                result.setdefault(values["layer"], []).append(number)
        return result

    def descriptors(self) -> list[dict[str, int]]:
        """A copy of `program`, to change at will."""
        return [dict(values) for values in self.program]

    def to_header(self) -> dict[str, Any]:
        """Everything but the blob, ready for JSON; `from_header` undoes it."""
        header: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        del header["blob"]
        if self.batch == 1:
            del header["batch"]  # as before there were batches
        header["config"] = plain(self.config)
        header["config_hash"] = self.config_hash
        header["input"], header["output"] = plain(self.input), plain(self.output)
        header["input_shape"], header["output_shape"] = list(self.input_shape), list(self.output_shape)
        header["layers"] = [plain(layer) for layer in self.layers]
        header["blob_bytes"], header["data_bytes"] = len(self.blob), self.data_bytes
        return header

    @classmethod
    def from_header(cls, header: Mapping[str, Any], blob: bytes) -> Image:
        """The image of `to_header` and its blob. FormatError naming the field that is missing, unknown or wrong."""
        own = kinds(cls)
        del own["blob"]
        if "batch" not in header:
            del own["batch"]
        extra = {"config_hash": "int", "blob_bytes": "int", "data_bytes": "int"}
        values = typed("image", header, {**own, **extra})
        try:
            values["config"] = Config(**typed("config", values["config"], kinds(Config)))
        except ConfigError as error:
            raise FormatError(f"image: {error}") from None
        for key in ("input", "output"):
            place = typed(key, values[key], kinds(Placement))
            if key == "output" and place["strips"] != 1:
                raise FormatError("image output: placement is in strips")
            try:
                values[key] = Placement(**place)
            except ValueError as error:
                raise FormatError(f"image {key}: {error}") from None
        values["layers"] = tuple(LayerInfo(**typed("layer", layer, kinds(LayerInfo))) for layer in values["layers"])
        expected = {key: values.pop(key) for key in extra}
        image = cls(blob=bytes(blob), **values)
        actual = {"config_hash": image.config_hash, "blob_bytes": len(blob), "data_bytes": image.data_bytes}
        for key, value in expected.items():
            if actual[key] != value:
                raise FormatError(f"image: {key} is {actual[key]}, the header says {value}")
        image._check()
        return image

    def _check(self) -> None:
        """FormatError where shapes, offsets or the program's addresses do not fit each other."""
        if self.batch < 1:
            raise FormatError(f"image: a batch of {self.batch} inputs")
        for key in ("input", "output"):
            place, shape = getattr(self, key), getattr(self, f"{key}_shape")
            held = _shape(place)
            if self.batch > 1:
                good = min(shape, default=0) > 0 and held == (prod(shape), self.batch, 1)
            else:
                vector, signal = held[1:] == (1, 1), held[2] == 1
                good = shape in (held, held[:1] if vector else held, (held[0], 1, held[1]) if signal else held)
            if not good:
                raise FormatError(f"image: {key} shape {shape} does not match its placement {held}")
            if place.base or getattr(self, f"{key}_offset") % BEAT_BYTES or getattr(self, f"{key}_offset") < 0:
                raise FormatError(f"image: {key} does not start at a multiple of {BEAT_BYTES}")
            if not (np.isfinite(getattr(self, f"{key}_scale")) and getattr(self, f"{key}_scale") > 0):
                raise FormatError(f"image: {key}_scale is not a positive number")
        if self.data_bytes > 1 << 32:
            raise FormatError(f"image: a data region of {self.data_bytes} bytes is beyond 32-bit addresses")
        for number, values in enumerate(self.program):
            layer = values["opcode"] == Opcode.LAYER
            end = values["address"] + values["beats"] * BEAT_BYTES
            if values["opcode"] == Opcode.LOAD:
                self._check_blocks(number, values)
                end += (values["in_channels"] - 1) * values["stride"]
            region = len(self.blob) if layer else self.data_bytes
            if values["address"] % BEAT_BYTES or end > region:
                raise FormatError(f"image: descriptor {number} leaves the image's {region} bytes")
            if layer:
                self._check_streams(number, values)
        self._check_layers()

    def _check_blocks(self, number: int, load: Mapping[str, int]) -> None:
        """FormatError for a LOAD of no blocks, or of such that lie askew, overlap or leave the activation memory."""
        size, count, step = load["beats"] * BEAT_BYTES, load["in_channels"], load["in_plane"]
        if not size or not count or (step | load["stride"]) % BEAT_BYTES or (count > 1 and step < size):
            raise FormatError(f"image: descriptor {number} loads no blocks, or such that overlap or lie askew")
        if load["x_address"] + (count - 1) * step + size > self.config.x_bytes:
            raise FormatError(f"image: descriptor {number} leaves the activation memory")

    def _check_layers(self) -> None:
        """FormatError for a layer that does not name its descriptors, or with other sizes than theirs."""
        for number, info in enumerate(self.layers):
            numbers = self._by_layer.get(number, [])
            if (numbers[:1], len(numbers)) != ([info.descriptor], info.strips):
                raise FormatError(f"image: layer {info.name} does not name its descriptors")
            own = [self.program[n] for n in numbers]
            for d in own:
                sizes = d["out_channels"], d["taps"] * d["in_channels"]
                if sizes != (info.rows, info.positions):
                    raise FormatError(f"image: layer {info.name} has {sizes[0]} x {sizes[1]} weights, not what it says")
            beats = sum(stream["beats"] for stream in self._groups(info, own[0]))
            tables = sum(d["beats"] for d in own)
            if (beats * BEAT_BYTES, tables * BEAT_BYTES) != (info.stream_bytes, info.table_bytes):
                raise FormatError(f"image: layer {info.name} has streams and tables of other sizes than it says")
        if sum(info.stream_bytes + info.table_bytes for info in self.layers) > len(self.blob):
            raise FormatError("image: layers share streams or tables")

    def _groups(self, info: LayerInfo, descriptor: Mapping[str, int]) -> list[dict[str, int]]:
        """One stream of each group of lanes that work on the same rows, in other strips; FormatError where they do not
        have the same."""
        streams, lanes = self._streams(descriptor), self.config.lanes
        if info.spatial_strips < 1 or lanes % info.spatial_strips:
            raise FormatError(f"image: layer {info.name}: {info.spatial_strips} strips do not share {lanes} lanes")
        groups = streams[: lanes // info.spatial_strips]
        if streams != groups * info.spatial_strips:
            raise FormatError(f"image: layer {info.name}: lanes do not work on the same rows in all strips")
        return groups

    def _streams(self, descriptor: Mapping[str, int]) -> list[dict[str, int]]:
        """Where the streams of a LAYER descriptor lie, lane by lane."""
        beats = np.frombuffer(self.blob, "<u8", self.config.lanes, descriptor["address"])
        return [LANE_STREAM.unpack(int(beat)) for beat in beats]

    def _check_streams(self, number: int, values: Mapping[str, int]) -> None:
        lanes = self.config.lanes
        beats = table_beats(lanes, *(values[key] for key in TABLE_SIZES))
        if values["code_tables"] < 1 or values["beats"] != beats:
            raise FormatError(f"image: descriptor {number}: tables are not those of {lanes} lanes")
        for lane, stream in enumerate(self._streams(values)):
            if stream["address"] % BEAT_BYTES or stream["address"] + stream["beats"] * BEAT_BYTES > len(self.blob):
                raise FormatError(f"image: descriptor {number}: stream of lane {lane} leaves the blob")


def _shape(place: Placement) -> tuple[int, int, int]:
    return place.channels, place.height, place.width


def parse_program(blob: bytes) -> Iterator[dict[str, int]]:
    """The descriptors at the start of `blob` up to END and with it; FormatError where the blob ends before."""
    for start in range(0, len(blob), DESCRIPTOR_BYTES):
        record = blob[start : start + DESCRIPTOR_BYTES]
        values = DESCRIPTOR.unpack(int.from_bytes(record, "little"))
        if len(record) < DESCRIPTOR_BYTES or values["opcode"] not in set(Opcode):
            break
        yield values
        if values["opcode"] == Opcode.END:
            return
    raise FormatError("image: the program has no END")
