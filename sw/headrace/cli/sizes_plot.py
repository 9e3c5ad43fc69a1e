"""The chart of `headrace sizes --plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..files import replacing

_DATES = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata that leave out the time, so that equal sizes give equal files."""


def draw(path: Path, title: str, values: dict[str, Any]) -> None:
    """Bits per weight of every format as bars, the smallest on top, bounds as ticks and the entropy as a line.

    Args:
        path: .png, .svg or .pdf; written whole or not at all.
        title: name of the matrix.
        values: what `headrace sizes --json` prints.

    Raises:
        DataError: the file cannot be written.
        ModuleNotFoundError: matplotlib is missing.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = sorted(values["formats"].items(), key=lambda item: -item[1]["bytes"])
    bits = [row["bits_per_weight"] or 0.0 for _, row in rows]
    names = [f"{name}  {value:.3g}" for (name, _), value in zip(rows, bits, strict=True)]
    bounds = [(y, row["bound_bits"]) for y, (_, row) in enumerate(rows) if row["bound_bits"] is not None]
    # A name is no formula: parse_math would take its dollar signs for one.
    with matplotlib.rc_context({"svg.hashsalt": "headrace", "text.parse_math": False}):
        figure = Figure(figsize=(8, 1.6 + 0.36 * len(rows)), layout="constrained")
        axes = figure.add_subplot()
        axes.barh(names, bits, color="#4878a8", label="size")
        axes.plot([x for _, x in bounds], [y for y, _ in bounds], "k|", markersize=14, label="upper bound")
        axes.axvline(values["entropy_bits"], color="#c04030", linestyle="--", label="entropy of single weights")
        axes.set_xlim(0, 1.05 * max([*bits, *(x for _, x in bounds), values["entropy_bits"], 1e-9]))
        axes.set_xlabel("bits per weight, everything that decoding needs")
        n, m = values["shape"]
        density, distinct = values["density"], values["distinct"]
        axes.set_title(f"{title}: {n} x {m}, density {density:.4f}, {distinct:,} distinct values", fontsize=10)
        axes.legend(loc="upper right", fontsize=9)
        kind = path.suffix[1:].lower()
        with replacing(path) as file:
            figure.savefig(file, format=kind, dpi=150, metadata=_DATES[kind])
