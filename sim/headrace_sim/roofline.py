"""The roofline of `headrace bench`: what bounds each layer, the multipliers or the bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headrace.files import replacing


def draw(path: Path, title: str, values: dict[str, Any]) -> None:
    """MACs per cycle over MACs per byte of streams and tables, both logarithmic, a point for each layer.

    `values` is what `headrace bench --json` prints. DataError where the file cannot be written.
    """
    import matplotlib
    from matplotlib.figure import Figure

    peak, port = values["bounds"]["macs_per_cycle"], values["bounds"]["bytes_per_cycle"]
    layers = [layer for layer in values["layers"] if layer["bytes"] and layer["macs"]]
    intensity = [layer["macs"] / layer["bytes"] for layer in layers]
    reached = [layer["macs"] / layer["cycles"] for layer in layers]
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    ridge = peak / port
    span = np.geomspace(min([ridge, *intensity]) / 4, max([ridge, *intensity]) * 4, 50)
    axes.loglog(span, np.minimum(peak, port * span), color="#303030", label=f"{peak} MACs, {port} bytes a cycle")
    axes.loglog(intensity, reached, "o", color="#c04030", label="layers, as run")
    for layer, x, y in zip(layers, intensity, reached, strict=True):
        axes.annotate(layer["name"], (x, y), textcoords="offset points", xytext=(5, -10), fontsize=8)
    axes.set_xlabel("multiplications per byte read")
    axes.set_ylabel("multiplications per cycle")
    axes.set_title(f"{title} on config {values['config']}", fontsize=10)
    axes.grid(which="both", alpha=0.2)
    axes.legend(loc="lower right", fontsize=9)
    with replacing(path) as file, matplotlib.rc_context({"svg.hashsalt": "headrace"}):
        figure.savefig(file, format=path.suffix[1:].lower() or "svg", dpi=150)
