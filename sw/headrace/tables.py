"""The tables of a layer in memory, in the order of `isa`, as little-endian 64-bit beats."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .code import Code
from .isa import BEAT_BYTES, CHANNEL, CODE, LANE_KEEP, LANE_ROWS, LANE_STREAM, MASK, TAP
from .layers import Lowered
from .pieces import keep_bytes
from .placement import Placement
from .stream import EncodedLayer

Beats = NDArray[np.uint64]
KEEP_ALL = (0, (1 << 15) - 1)
"""`keep_from`, `keep_to` of a lane that keeps everything."""


def keep_ranges(y: Placement, lanes: int, pixels: int, row: int = 0) -> list[tuple[int, int]]:
    """Which half words of the planes of a layer's output each lane keeps: `keep_from`, `keep_to`.

    `row` of the tensor in strips is the layer's first one.
    """
    if y.strips == 1:
        return [KEEP_ALL] * lanes
    unit = keep_bytes(pixels)
    ahead = y.strip_halo + y.bytes_above(row)
    starts = [(lane // (lanes // y.strips) * y.strip_step - ahead) // unit for lane in range(lanes)]
    return [(start, start + y.strip_bytes // unit) for start in starts]


def lane_beats(
    addresses: Sequence[int],
    encoded: EncodedLayer,
    first_words: Sequence[int] = (),
    keep: Sequence[tuple[int, int]] = (),
    first_rows: Sequence[int] = (),
) -> Beats:
    """Where every lane's stream lies (byte offsets from PROGRAM), its rows, what it keeps: (3 * lanes,) uint64.

    Args:
        addresses: of each of the G streams.
        first_words: of every lane; by default G lanes that begin at word 0. Lane n has stream n % G.
        keep: of every lane; by default all lanes keep everything.
        first_rows: of the output plane, where the first words begin; by default 0.
    """
    groups = len(encoded.streams)
    first_words = first_words or [0] * groups
    first_rows = first_rows or [0] * len(first_words)
    lanes = range(len(first_words))
    first = np.cumsum([0, *encoded.lane_rows])[:-1].tolist()
    places = [
        {"address": address, "beats": len(stream) // BEAT_BYTES}
        for address, stream in zip(addresses, encoded.streams, strict=True)
    ]
    rows = [
        {"rows": count, "first_channel": channel, "table": table}
        for count, channel, table in zip(encoded.lane_rows, first, encoded.lane_tables, strict=True)
    ]
    return np.array(
        [
            *(LANE_STREAM.pack(places[lane % groups]) for lane in lanes),
            *(
                LANE_ROWS.pack(rows[lane % groups] | {"first_word": first_words[lane], "first_row": first_rows[lane]})
                for lane in lanes
            ),
            *(
                LANE_KEEP.pack({"keep_from": low, "keep_to": high})
                for low, high in keep or [KEEP_ALL] * len(first_words)
            ),
        ],
        np.uint64,
    )


def code_beats(codes: Sequence[Code]) -> Beats:
    """(codes * CODE_BEATS,) uint64."""
    beats, first = [], 0
    for code in codes:
        limit, base, escape_limit = code.limits(first)
        beats += [CODE.pack({"limit": int(a), "base": int(b)}) for a, b in zip(limit, base, strict=True)]
        beats.append(CODE.pack({"limit": escape_limit}))
        first += code.entries.size
    return np.array(beats, np.uint64)


def tap_beats(lowered: Lowered, x_bytes: int, ahead: int = 0, shift: int = 0) -> Beats:
    """(taps,) uint64, for lanes that begin `ahead` bytes after the output's first pixel; `shift` is added to shifts.

    An address before or beyond the `x_bytes` of memory wraps.
    """
    return np.array(
        [
            TAP.pack(
                {
                    "x_address": (tap.address + ahead) % x_bytes,
                    "mask": mask,
                    "shift": tap.shift + shift,
                    "end": tap.end,
                }
            )
            for tap, mask in zip(lowered.taps, lowered.masks, strict=True)
        ],
        np.uint64,
    )


def mask_beats(lowered: Lowered) -> Beats:
    """(entries,) uint64."""
    return np.array([MASK.pack({"pixels": pixels}) for pixels in lowered.mask_table], np.uint64)


def symbol_beats(codes: Sequence[Code]) -> Beats:
    """Two entries a beat, the first in the low half; an odd last one is followed by zeros: (ceil(entries / 2),)."""
    used = np.concatenate([code.entries for code in codes]).astype(np.uint64)
    entries = np.append(used, np.zeros(used.size % 2, np.uint64))
    return entries[::2] | entries[1::2] << np.uint64(32)


def channel_beats(lowered: Lowered, order: NDArray[np.integer]) -> Beats:
    """Requantisation of the rows in stored order, row `order[p]` at p: uint64 (M,), or (1,) where they are uniform."""
    beats = [
        CHANNEL.pack(
            {
                "bias": int(lowered.bias[row]),
                "multiplier": int(lowered.multiplier[row]),
                "shift": int(lowered.shift[row]),
            }
        )
        for row in (order[:1] if lowered.uniform else order)
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
