"""Where things lie in a program, to break them, and what the device has to say of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from headrace.code import Code
from headrace.device.layer import read_codes
from headrace.errors import StreamError
from headrace.image import Image
from headrace.isa import (
    CODE_BEATS,
    DESCRIPTOR,
    DESCRIPTOR_BYTES,
    LANE_ROWS,
    LANE_STREAM,
    LANE_TABLES,
    ErrorCode,
)
from headrace.stream_decode import LaneError, lane_operations


@dataclass(frozen=True)
class Outcome:
    """STATUS.done and the ERROR register."""

    done: bool
    code: ErrorCode = ErrorCode.NONE
    lane: int = 0
    layer: int = 0
    descriptor: int = 0


@dataclass(frozen=True)
class Place:
    """Where things of one layer (its first strip) lie in the blob."""

    image: Image
    descriptor: int
    layer: int
    lanes: int

    @property
    def fields(self) -> dict[str, int]:
        return self.image.descriptors()[self.descriptor]

    @property
    def tables(self) -> int:
        return self.fields["address"]

    def stream(self, lane: int) -> tuple[int, int]:
        """Byte offset in the blob, and beats."""
        entry = LANE_STREAM.unpack(self.beat(lane))
        return entry["address"], entry["beats"]

    def rows(self, lane: int) -> int:
        return LANE_ROWS.unpack(self.beat(self.lanes + lane))["rows"]

    def table(self, lane: int) -> int:
        return LANE_ROWS.unpack(self.beat(self.lanes + lane))["table"]

    def with_stream_beats(self, lane: int, beats: int) -> bytes:
        """The blob with that length in the lane's table."""
        address = self.stream(lane)[0]
        return self.with_beat(lane, LANE_STREAM.pack({"address": address, "beats": beats}))

    def with_fields(self, **changes: int) -> bytes:
        """The blob with changes in the descriptor."""
        at = self.descriptor * DESCRIPTOR_BYTES
        return self._replaced(at, DESCRIPTOR.pack({**self.fields, **changes}), DESCRIPTOR_BYTES)

    def with_beat(self, index: int, value: int) -> bytes:
        """The blob with that beat in the layer's tables."""
        return self._replaced(self.tables + 8 * index, value, 8)

    def _replaced(self, at: int, value: int, size: int) -> bytes:
        return self.image.blob[:at] + value.to_bytes(size, "little") + self.image.blob[at + size :]

    def beat(self, index: int) -> int:
        start = self.tables + 8 * index
        return int.from_bytes(self.image.blob[start : start + 8], "little")


def codes_of(place: Place) -> tuple[Code, ...]:
    """The layer's codes, from its tables."""
    lanes, fields = place.lanes, place.fields
    beats = np.frombuffer(place.image.blob, "<u8", fields["beats"], place.tables)[LANE_TABLES * lanes :]
    first = fields["code_tables"] * CODE_BEATS
    symbols = beats[first + fields["taps"] + fields["mask_beats"] :][: fields["symbol_beats"]]
    return read_codes(beats[:first], symbols)


def faults_of(place: Place, blob: bytes, beats: dict[int, int] | None = None) -> dict[int, ErrorCode]:
    """Which lanes the software decoder expects to stop, and why, with the streams in `blob`."""
    fields, codes = place.fields, codes_of(place)
    result: dict[int, ErrorCode] = {}
    for lane in range(place.lanes):
        address, count = place.stream(lane)
        count = (beats or {}).get(lane, count)
        try:
            data = blob[address : address + 8 * count]
            positions = fields["taps"] * fields["in_channels"]
            lane_operations(codes, data, place.rows(lane), positions, place.table(lane))
        except LaneError as error:
            result[lane] = error.code
        except StreamError:
            pass
    return result
