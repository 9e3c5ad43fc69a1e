"""The mask table: in which columns of the output a tap reads beside its plane, where padding is."""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd

import numpy as np

from .placement import Tap


def mask_table(
    taps: Sequence[Tap], pitch: int, width: int, pixels: int
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Mask of every tap, the table's entries, and the entries of a row. Equal rows are shared.

    A row clears those of the output's `width` columns in which the tap reads beside its plane.
    """
    phases = pitch // gcd(pitch, pixels)
    column = np.arange(phases * pixels) % pitch
    rows: dict[bytes, int] = {}
    masks, table = [], list[int]()
    for tap in taps:
        read = column + tap.column
        counts = (column >= width) | ((read >= 0) & (read < tap.columns))
        if counts.all():
            masks.append(0)
            continue
        key = counts.tobytes()
        if key not in rows:
            rows[key] = len(rows) + 1
            table += [int(sum(1 << p for p in np.flatnonzero(word))) for word in counts.reshape(phases, pixels)]
        masks.append(rows[key])
    return tuple(masks), tuple(table), phases if table else 1
