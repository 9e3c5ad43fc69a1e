"""Padding: which of a tap's pixels lie in its plane, by number (`end`) and by column (the mask table)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import gcd

import numpy as np

from .placement import Tap


def reachable(tap: Tap, size: tuple[int, int], pitch: int) -> Tap:
    """The tap; with no pixel that counts where it reads beside the plane for all pixels of the output, of `size`
    (height, width)."""
    row, rows = (tap.shift - tap.column) // pitch, -(-tap.end // pitch)
    below = row < rows and size[0] - 1 + row >= 0
    beside = tap.column < tap.columns and size[1] - 1 + tap.column >= 0
    return tap if below and beside else replace(tap, end=0)


def mask_table(
    taps: Sequence[Tap], pitch: int, size: tuple[int, int], pixels: int
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Mask of every tap, the table's entries, and the entries of a row. Equal rows are shared.

    A row clears those columns of the output, of `size` (height, width), in which the tap reads beside its plane. Where
    the output has one row, and the tap's plane too, shift and end tell all.
    """
    height, width = size
    phases = pitch // gcd(pitch, pixels)
    column = np.arange(phases * pixels) % pitch
    rows: dict[bytes, int] = {}
    masks, table = [], list[int]()
    for tap in taps:
        read = column + tap.column
        counts = (column >= width) | ((read >= 0) & (read < tap.columns))
        one_row = height == 1 and tap.shift == tap.column and tap.end == tap.columns
        if tap.end == 0 or one_row or counts.all():
            masks.append(0)
            continue
        key = counts.tobytes()
        if key not in rows:
            rows[key] = len(rows) + 1
            table += [int(sum(1 << p for p in np.flatnonzero(word))) for word in counts.reshape(phases, pixels)]
        masks.append(rows[key])
    return tuple(masks), tuple(table), phases if table else 1
