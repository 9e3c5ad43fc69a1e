"""The chart of `headrace train --plot`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import replacing

PLOTS = ("png", "svg", "pdf")
AXES: dict[str, tuple[str, Callable[[dict[str, Any]], int]]] = {
    "bytes": ("bytes of all weights, headrace stream", lambda point: point["bytes"]["headrace"]),
    "cycles": ("cycles of one inference, estimated", lambda point: point["cycles"]["estimated"]),
}
_DATES = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
"""Metadata that leave out the time, so that equal results give equal files."""


def draw(path: Path, results: dict[str, Any], against: str) -> None:
    """Test accuracy of the integers of every point against one of AXES, each labelled with what its sweep changed.

    Raises DataError where the file cannot be written, ModuleNotFoundError without matplotlib.
    """
    import matplotlib
    from matplotlib.figure import Figure

    label, value = AXES[against]
    points = sorted(results["points"], key=value)
    x, y = [value(point) for point in points], [100 * point["int8"]["test"] for point in points]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(x, y, "o", color="#4878a8")
    for point, at in zip(points, zip(x, y, strict=True), strict=True):
        text = ", ".join(str(one) for one in point["changes"].values())
        axes.annotate(text, at, textcoords="offset points", xytext=(4, 4), fontsize=7)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("top-1 of the test set, integers, %")
    keys = ", ".join(results["recipe"]["sweep"] or {})
    axes.set_title(results["recipe"]["name"] + (f": {keys}" if keys else ""), fontsize=10)
    axes.grid(alpha=0.3)
    kind = path.suffix[1:].lower()
    with replacing(path) as file, matplotlib.rc_context({"svg.hashsalt": "headrace"}):
        figure.savefig(file, format=kind, dpi=150, metadata=_DATES[kind])
