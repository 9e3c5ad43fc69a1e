"""What write-back writes at once (docs/hardware.md, "Write-back")."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def keep_bytes(pixels: int) -> int:
    """Bytes of what LANE_KEEP counts: half a word of `pixels` or, of less than 4, a word."""
    return pixels // 2 if pixels >= 4 else pixels


def piece_start(
    h: NDArray[np.int64], w: NDArray[np.int64], pitch: int, pixels: int, split: int | bool
) -> NDArray[np.int64]:
    """Column of the first pixel that is written together with (h, w), in a split tensor of those of w's parity.

    A row's words are taken one by one or, split, two at a time from that one on in which the row begins.
    """
    row = h * pitch
    words = (row + w) // pixels - row // pixels
    first = np.maximum((row // pixels + (words // 2 * 2 if split else words)) * pixels - row, 0)
    return first + (w - first) % 2 if split else first
