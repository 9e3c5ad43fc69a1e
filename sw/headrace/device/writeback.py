"""Write-back of the model device: flat pixels to the rows and planes of the output tensor, in every lane's memory."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..pieces import keep_bytes, piece_start


def write_back(
    x: NDArray[np.uint8],
    fields: Mapping[str, int],
    keep: NDArray[np.int64],
    first_word: int,
    channels: NDArray[np.int64],
    result: NDArray[np.int8],
) -> None:
    """result: int8 (R, words * P), row i of output channel channels[i], for flat pixels `first_word * P` and on.

    x: uint8 (lanes, x_bytes), changed. keep: (lanes, 2), `keep_from` and `keep_to` of every lane. Pixels are written in
    pieces (`headrace.pieces`); a lane keeps those that start in its range.
    """
    pixels, size = result.shape[1] // fields["words"], x.shape[1]
    unit = keep_bytes(pixels)
    flat = first_word * pixels + np.arange(result.shape[1])
    h, w = np.divmod(flat, fields["pitch"])
    written = (h < fields["out_height"]) & (w < fields["out_columns"])
    values = np.where(w < fields["out_width"], result, 0).astype(np.int8).view(np.uint8)
    base = fields["x_address"] + channels[:, None] * fields["out_plane"]
    phase, number, start = piece_of(fields, flat, h, w, pixels)
    for keep_from, keep_to in np.unique(keep, axis=0):
        lanes = np.flatnonzero((keep == (keep_from, keep_to)).all(axis=1))
        kept = written & (start // unit >= keep_from) & (start // unit < keep_to)
        addresses = (base + (phase + number - keep_from * unit // pixels * pixels)[kept]) % size
        for lane in lanes:
            x[lane, addresses] = values[:, kept]


def piece_of(
    fields: Mapping[str, int], flat: NDArray[np.int64], h: NDArray[np.int64], w: NDArray[np.int64], pixels: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Of computed pixels (h, w): bytes to the phase plane, number in it, that of the first pixel of the same piece."""
    if fields["flat"]:
        return np.zeros_like(flat), flat, flat // pixels * pixels
    first = piece_start(h, w, fields["pitch"], pixels, fields["split"])
    if not fields["split"]:
        row = h * fields["out_pitch"]
        return np.zeros_like(flat), row + w, row + first
    row = h // 2 * fields["out_pitch"]
    return h % 2 * fields["row_phase"] + w % 2 * fields["column_phase"], row + w // 2, row + first // 2
