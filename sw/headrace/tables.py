"""The tables of a layer in memory, in the order of `isa`, as little-endian 64-bit beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .code import Code
from .isa import BEAT_BYTES, CHANNEL, CODE, LANE_ROWS, LANE_STREAM, TAP
from .layers import Lowered
from .stream import EncodedLayer

Beats = NDArray[np.uint64]


def lane_beats(addresses: Sequence[int], encoded: EncodedLayer) -> Beats:
    """Where every lane's stream lies (byte offsets from PROGRAM), then which rows it holds: (2 * lanes,) uint64."""
    places = [
        LANE_STREAM.pack({"address": address, "beats": len(stream) // BEAT_BYTES})
        for address, stream in zip(addresses, encoded.streams, strict=True)
    ]
    first = np.cumsum([0, *encoded.lane_rows])[:-1].tolist()
    rows = [
        LANE_ROWS.pack({"rows": count, "first_channel": channel, "table": table})
        for count, channel, table in zip(encoded.lane_rows, first, encoded.lane_tables, strict=True)
    ]
    return np.array(places + rows, np.uint64)


def code_beats(codes: Sequence[Code]) -> Beats:
    """(codes * CODE_BEATS,) uint64."""
    beats, first = [], 0
    for code in codes:
        limit, base, escape_limit = code.limits(first)
        beats += [CODE.pack({"limit": int(a), "base": int(b)}) for a, b in zip(limit, base, strict=True)]
        beats.append(CODE.pack({"limit": escape_limit}))
        first += code.entries.size
    return np.array(beats, np.uint64)


def tap_beats(addresses: Sequence[int]) -> Beats:
    """(taps,) uint64."""
    return np.array([TAP.pack({"x_address": address}) for address in addresses], np.uint64)


def symbol_beats(codes: Sequence[Code]) -> Beats:
    """Two entries a beat, the first in the low half; an odd last one is followed by zeros: (ceil(entries / 2),)."""
    used = np.concatenate([code.entries for code in codes]).astype(np.uint64)
    entries = np.append(used, np.zeros(used.size % 2, np.uint64))
    return entries[::2] | entries[1::2] << np.uint64(32)


def channel_beats(lowered: Lowered, order: NDArray[np.integer]) -> Beats:
    """Requantisation of the rows in stored order, `order[p]` being the row stored at p: (M,) uint64."""
    beats = [
        CHANNEL.pack(
            {
                "bias": int(lowered.bias[row]),
                "multiplier": int(lowered.multiplier[row]),
                "shift": int(lowered.shift[row]),
            }
        )
        for row in order
    ]
    return np.array(beats, np.uint64)


def to_bytes(*beats: Beats) -> bytes:
    """The beats one after the other in memory order."""
    return np.concatenate(beats).astype("<u8").tobytes()


def xor(*parts: bytes) -> int:
    """XOR of all beats of all parts, each a multiple of 8 bytes long: a layer's signature."""
    total = 0
    for part in parts:
        total ^= int(np.bitwise_xor.reduce(np.frombuffer(part, "<u8"))) if part else 0
    return total
