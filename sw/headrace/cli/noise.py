"""How the noise of each layer is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..evaluate import LayerNoise
from .output import print_table


def noise_json(layers: Sequence[LayerNoise]) -> dict[str, Any]:
    """What `--json` holds of them; nothing of none."""
    rows = [
        {
            "name": one.name,
            "sqnr_db": one.sqnr_db if np.isfinite(one.sqnr_db) else None,
            "clipped": one.clipped,
            "scale": one.scale,
        }
        for one in layers
    ]
    return {"layers": rows} if rows else {}


def print_noise(layers: Sequence[LayerNoise]) -> None:
    """A table; nothing of none."""
    if layers:
        print_table(
            "Signal to quantisation noise",
            ("layer", "dB", "clipped", "scale"),
            [(one.name, f"{one.sqnr_db:.1f}", f"{one.clipped:.2%}", f"{one.scale:.3g}") for one in layers],
            "Errors add up from layer to layer: a drop from one to the next is where accuracy is lost.",
        )
