"""The chart of `headrace train --plot`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..files import replacing

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
        text = label_of(point, results)
        axes.annotate(text, at, textcoords="offset points", xytext=(4, 4), fontsize=7, rotation=30)
    axes.margins(0.15)
    axes.set_xscale("log")
    axes.set_xlabel(label)
    axes.set_ylabel("top-1 of the test set, integers, %")
    keys = ", ".join(key for key, tried in (results["recipe"]["sweep"] or {}).items() if len(tried) > 1)
    axes.set_title(results["recipe"]["name"] + (f": {keys}" if keys else ""), fontsize=10)
    axes.grid(alpha=0.3)
    kind = path.suffix[1:].lower()
    with replacing(path) as file, matplotlib.rc_context({"svg.hashsalt": "headrace"}):
        figure.savefig(file, format=kind, dpi=150, metadata=_DATES[kind])


def label_of(point: dict[str, Any], results: dict[str, Any]) -> str:
    """What the sweep changed at this point: values of the keys that have several; the recipe's name without a sweep."""
    sweep = results["recipe"]["sweep"] or {}
    changed = [value for key, value in point["changes"].items() if len(sweep[key]) > 1]
    return ", ".join(map(short, changed)) or results["recipe"]["name"]


def short(value: Any) -> str:
    """A number, a word, or numbers."""
    return "x".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
