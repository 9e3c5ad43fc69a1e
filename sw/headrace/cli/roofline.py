"""The roofline of `headrace bench` and `headrace report`: what bounds each layer, the multipliers or the bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..files import replacing


def bounds(lanes: int, pixels: int, read_ports: int) -> dict[str, int]:
    """What no layer exceeds in one cycle."""
    return {"macs_per_cycle": lanes * pixels, "bytes_per_cycle": 8 * read_ports}


def plot(axes: Any, values: dict[str, Any], ink: str = "#303030") -> None:
    """MACs per cycle over MACs per byte of streams and tables, both logarithmic, a point for each layer.

    Args:
        axes: of matplotlib.
        values: "bounds", as above, and "layers": name, macs, bytes, cycles of each; those without cycles are left out.
        ink: colour of the roof.
    """
    peak, port = values["bounds"]["macs_per_cycle"], values["bounds"]["bytes_per_cycle"]
    layers = [layer for layer in values["layers"] if layer["bytes"] and layer["macs"] and layer["cycles"]]
    intensity = [layer["macs"] / layer["bytes"] for layer in layers]
    reached = [layer["macs"] / layer["cycles"] for layer in layers]
    ridge = peak / port
    span = np.geomspace(min([ridge, *intensity]) / 4, max([ridge, *intensity]) * 4, 50)
    axes.loglog(span, np.minimum(peak, port * span), color=ink, label=f"{peak} MACs, {port} bytes a cycle")
    axes.loglog(intensity, reached, "o", color="#c04030", label="layers")
    for layer, x, y in zip(layers, intensity, reached, strict=True):
        axes.annotate(layer["name"], (x, y), textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set_xlabel("multiplications per byte read")
    axes.set_ylabel("multiplications per cycle")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")
    axes.grid(which="both", alpha=0.2)
    axes.legend(loc="lower right", fontsize=9)


def draw(path: Path, title: str, values: dict[str, Any]) -> None:
    """`plot` as a file: .svg, .png or .pdf. `values` is what `headrace bench --json` prints.

    DataError where the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    # A name is no formula: parse_math would take its dollar signs for one.
    with matplotlib.rc_context({"svg.hashsalt": "headrace", "text.parse_math": False}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot()
        plot(axes, values)
        axes.set_title(f"{title} on config {values['config']}", fontsize=10)
        with replacing(path) as file:
            figure.savefig(file, format=path.suffix[1:].lower() or "svg", dpi=150)
