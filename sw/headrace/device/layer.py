"""A layer's tables and streams, decoded from device memory into arrays, and kept for the next image."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..code import Code, codes_from_tables
from ..config import Config
from ..errors import StreamError
from ..isa import (
    BEAT_BYTES,
    CHANNEL,
    CODE,
    CODE_BEATS,
    LANE_KEEP,
    LANE_ROWS,
    LANE_STREAM,
    MASK,
    NOBODY,
    TAP,
    ErrorCode,
)
from ..stream import LaneError, Operations, lane_operations
from .lanes import Layer, Reach, matrix
from .report import Fault

CACHED_LAYERS = 256

Bytes = NDArray[np.uint8]
Beats = NDArray[np.uint64]
Fetch = Callable[[int, int], Bytes]


class LayerReader:
    """Reads layers through `fetch(address, nbytes)`, which raises Fault for addresses outside memory."""

    def __init__(self, config: Config, fetch: Fetch) -> None:
        self._config = config
        self._fetch = fetch
        self._cache: OrderedDict[bytes, Layer] = OrderedDict()

    def read(self, fields: Mapping[str, int], program: int) -> Layer:
        """The layer of a LAYER descriptor. Raises Fault; equal bytes give the layer decoded earlier."""
        tables = self._fetch(program + fields["address"], fields["beats"] * BEAT_BYTES)
        beats = tables.view("<u8")
        streams = [
            self._stream(lane, LANE_STREAM.unpack(int(beat)), program)
            for lane, beat in enumerate(beats[: self._config.lanes])
        ]
        key = hashlib.blake2b(repr(sorted(fields.items())).encode(), digest_size=16)
        for part in (tables, *streams):  # the tables say how long the streams are
            key.update(part.tobytes())
        layer = self._cache.get(key.digest())
        if layer is None:
            layer = self._cache[key.digest()] = self._decode(fields, beats, streams)
            if len(self._cache) > CACHED_LAYERS:
                self._cache.popitem(last=False)
        return layer

    def _stream(self, lane: int, fields: Mapping[str, int], program: int) -> Bytes:
        if fields["beats"] == 0:  # the address of nothing is not looked at
            return np.zeros(0, np.uint8)
        if fields["address"] % BEAT_BYTES:
            raise Fault(ErrorCode.BAD_DESCRIPTOR, lane)
        return self._fetch(program + fields["address"], fields["beats"] * BEAT_BYTES)

    def _decode(self, fields: Mapping[str, int], beats: Beats, streams: list[Bytes]) -> Layer:
        """A stream that does not decode is reported before the signature, a table that makes no sense after it."""
        intact = xor(beats, *(stream.view("<u8") for stream in streams)) == fields["signature"]
        try:
            layer = self._build(fields, beats, streams)
        except Fault as fault:
            if intact or fault.lane != NOBODY:
                raise
            raise Fault(ErrorCode.SIGNATURE) from None
        if not intact:
            raise Fault(ErrorCode.SIGNATURE)
        return layer

    def _build(self, fields: Mapping[str, int], beats: Beats, streams: list[Bytes]) -> Layer:
        config, taps = self._config, fields["taps"]
        _, row_table, keep_table, code_table, tap_table, mask_table, symbol_table, channel_table = split_tables(
            beats, config.lanes, fields
        )
        codes = read_codes(code_table, symbol_table)
        entries = [LANE_ROWS.unpack(int(beat)) for beat in row_table]
        rows = tuple(entry["rows"] for entry in entries)
        check_gathered(fields, rows)
        decoded = self._decode_lanes(codes, streams, entries, taps * fields["in_channels"])
        used, place = np.unique(np.concatenate([lane.position for lane in decoded]), return_inverse=True)
        cuts = np.cumsum([lane.position.size for lane in decoded])[:-1]
        operations = tuple(
            replace(lane, position=part) for lane, part in zip(decoded, np.split(place, cuts), strict=True)
        )
        tap, column = np.divmod(used, fields["in_channels"])
        reach = read_reach(tap_table, mask_table, fields["phases"], config.pixels)
        channels = np.concatenate([entry["first_channel"] + np.arange(entry["rows"]) for entry in entries])
        keep = [LANE_KEEP.unpack(int(beat)) for beat in keep_table]
        return Layer(
            operations,
            rows,
            np.array([entry["first_word"] for entry in entries]),
            np.array([(one["keep_from"], one["keep_to"]) for one in keep]),
            matrix(operations, rows, used.size),
            (reach.addresses[tap] + column * fields["in_plane"]) % config.x_bytes,
            tap,
            reach,
            channels,
            *requantisation(channel_table, channels, fields),
        )

    def _decode_lanes(
        self, codes: Sequence[Code], streams: list[Bytes], entries: list[dict[str, int]], positions: int
    ) -> list[Operations]:
        """What every lane does. Lanes that work on the same rows of other strips have equal streams: decoded once."""
        done: dict[tuple[bytes, int, int], Operations] = {}
        for lane, (stream, entry) in enumerate(zip(streams, entries, strict=True)):
            key = stream.tobytes(), entry["rows"], entry["table"]
            if key not in done:
                done[key] = decode(lane, codes, stream, entry["rows"], positions, entry["table"])
        return [
            done[stream.tobytes(), entry["rows"], entry["table"]]
            for stream, entry in zip(streams, entries, strict=True)
        ]


def split_tables(beats: Beats, lanes: int, fields: Mapping[str, int]) -> list[Beats]:
    """Lanes' streams, rows and keep ranges, codes, taps, masks, symbols, channels."""
    sizes = [lanes] * 3 + [fields["code_tables"] * CODE_BEATS]
    sizes += [fields[key] for key in ("taps", "mask_beats", "symbol_beats")]
    return np.split(beats, np.cumsum(sizes))


def check_gathered(fields: Mapping[str, int], rows: Sequence[int]) -> None:
    """Fault BAD_DESCRIPTOR where a gathered layer has rows that fill no word, which the hardware does not look at: it
    would write sums of rows before."""
    gathered = fields["gathered"]
    if gathered and any(count % gathered for count in rows):
        raise Fault(ErrorCode.BAD_DESCRIPTOR)


def read_reach(tap_table: Beats, mask_table: Beats, phases: int, pixels: int) -> Reach:
    """Which pixels every tap reads; Fault BAD_DESCRIPTOR for a mask beyond the table."""
    taps = [TAP.unpack(int(beat)) for beat in tap_table]
    if max(tap["mask"] for tap in taps) * phases > mask_table.size:
        raise Fault(ErrorCode.BAD_DESCRIPTOR)
    words = np.array([MASK.unpack(int(beat))["pixels"] for beat in mask_table], np.int64)
    bits = (words[:, None] >> np.arange(pixels) & 1).astype(bool)
    rows = bits[: mask_table.size // phases * phases].reshape(-1, phases * pixels)
    fields = ([tap[key] for tap in taps] for key in ("x_address", "shift", "end", "mask"))
    addresses, shift, end, mask = (np.array(values, np.int64) for values in fields)
    return Reach(addresses, shift, end, mask, np.concatenate([np.ones((1, phases * pixels), bool), rows]))


def read_codes(code_tables: Beats, symbol_table: Beats) -> tuple[Code, ...]:
    """The codes of these tables; Fault BAD_SYMBOL where they are those of none."""
    tables = []
    for beats in code_tables.reshape(-1, CODE_BEATS):
        records = [CODE.unpack(int(beat)) for beat in beats]
        lengths = records[:-1]
        tables.append(([r["limit"] for r in lengths], [r["base"] for r in lengths], records[-1]["limit"]))
    try:
        return codes_from_tables(tables, symbol_table.view("<u4"))
    except StreamError:
        raise Fault(ErrorCode.BAD_SYMBOL) from None


def decode(lane: int, codes: Sequence[Code], stream: Bytes, rows: int, positions: int, table: int) -> Operations:
    """What a lane does for its rows of `positions`; Fault with the lane's number where the stream is bad."""
    try:
        return lane_operations(codes, stream.tobytes(), rows, positions, table)
    except LaneError as error:
        raise Fault(error.code, lane) from None


def requantisation(
    table: Beats, channels: NDArray[np.int64], fields: Mapping[str, int]
) -> tuple[NDArray[np.int64], ...]:
    """Bias, multiplier and shift of each of `channels`; Fault BAD_DESCRIPTOR where there is none, or a shift of 0."""
    if channels.max(initial=-1) >= fields["out_channels"]:
        raise Fault(ErrorCode.BAD_DESCRIPTOR)
    places = 0 * channels if fields["uniform"] else channels
    entries = [CHANNEL.unpack(int(table[place])) for place in places]
    if any(entry["shift"] == 0 for entry in entries):
        raise Fault(ErrorCode.BAD_DESCRIPTOR)
    return tuple(np.array([entry[name] for entry in entries], np.int64) for name in ("bias", "multiplier", "shift"))


def xor(*parts: Beats) -> int:
    """XOR of all beats of all parts."""
    return int(np.bitwise_xor.reduce(np.concatenate(parts)))
