"""The charts of a report: each is a function from its figures to an <svg>."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import roofline
from .figures import BINS
from .svg import INK, RC, inline

WIDTH, SMALL = 4.4, 3.2
"""Inches: of a chart across the page, and of one of three."""
LONGEST = 24
"""Characters of a name."""
BAR, ACCENT = "#4a86c5", "#d0603a"
"""Colours that are read on white and on black."""
SHARES = {
    "MAC": "#4a86c5",
    "decode": "#d98b2b",
    "stream": "#d0603a",
    "emission": "#8a6fc0",
    "tables": "#4f9d69",
    "balance": "#8c8c8c",
}


def all_charts(values: dict[str, Any]) -> dict[str, str]:
    """Those of the whole network, by name."""
    import matplotlib

    with matplotlib.rc_context(RC):
        charts = {"cycles": _cycles(values["layers"]), "roofline": _roofline(values)}
        if values["formats"]:
            charts["sizes"] = _sizes(values["formats"])
    return charts


def layer_charts(layer: dict[str, Any], number: int) -> list[str]:
    """Those of one layer: densities of its rows, lengths of its codewords, work of its lanes."""
    import matplotlib

    name = layer["name"]
    lengths, lanes = layer["code_lengths"], layer["lane_taps"]
    with matplotlib.rc_context(RC):
        return [
            _histogram(
                *(f"Rows of {name} by density", "nonzero part of a row", "rows", f"d{number}-"),
                *([(edge + 0.5) / BINS for edge in range(BINS)], layer["row_densities"], 1 / BINS),
            ),
            _histogram(
                *(f"Symbols of {name} by length", "bits of a codeword", "symbols", f"c{number}-"),
                *(range(len(lengths)), lengths, 0.9),
            ),
            _histogram(
                *(f"Multiplications of {name} by lane", "lane", "multiplications", f"l{number}-"),
                *(range(len(lanes)), lanes, 0.9),
            ),
        ]


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.add_subplot()


def _histogram(
    label: str, x_label: str, y_label: str, prefix: str, x: Sequence[float], counts: Sequence[int], width: float
) -> str:
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    # Margins are given: to have them fitted takes as long as all the rest, of three charts a layer.
    figure: Any = Figure(figsize=(SMALL, 2.0))
    axes = figure.add_axes((0.18, 0.23, 0.79, 0.73))
    axes.bar(x, counts, width, color=BAR)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.xaxis.get_major_locator().set_params(integer=width != 1 / BINS)
    axes.yaxis.get_major_locator().set_params(integer=True, nbins=5)
    axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    return inline(figure, label, prefix)


def _short(name: str) -> str:
    """What a chart has room for."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _sizes(formats: dict[str, dict[str, Any]]) -> str:
    """Dense forms are left out: they would make all bars but theirs short."""
    shown = {name: row for name, row in formats.items() if not name.startswith("dense")}
    rows = sorted(shown.items(), key=lambda item: -item[1]["bytes"])
    figure, axes = _figure(WIDTH, 0.9 + 0.24 * len(rows))
    colours = [ACCENT if name.startswith(("device", "headrace")) else BAR for name, _ in rows]
    axes.barh([name for name, _ in rows], [row["bits_per_weight"] for _, row in rows], color=colours)
    ticks = [(row["bound_bits"], y) for y, (_, row) in enumerate(rows) if row["bound_bits"] is not None]
    axes.plot(*zip(*ticks, strict=True), "|", color=INK, markersize=11, label="upper bound")
    axes.set_xlabel("bits per weight")
    axes.legend(loc="upper right")
    return inline(figure, "Bits per weight of every format", "s-")


def _cycles(layers: list[dict[str, Any]]) -> str:
    figure, axes = _figure(WIDTH, 1.1 + 0.24 * len(layers))
    places, left = range(len(layers), 0, -1), [0.0] * len(layers)
    for share, colour in SHARES.items():
        widths = [layer["estimate"]["shares"][share] for layer in layers]
        axes.barh(places, widths, left=left, color=colour, label=share)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(places, [_short(layer["name"]) for layer in layers])
    axes.set_xlabel("estimated cycles")
    axes.xaxis.get_major_locator().set_params(nbins=5)
    figure.legend(loc="outside upper left", ncols=6, handlelength=0.8, columnspacing=0.8)
    return inline(figure, "What each layer's cycles go to", "y-")


def _roofline(values: dict[str, Any]) -> str:
    """With the simulated RTL's cycles where there are some."""
    figure, axes = _figure(WIDTH, 3.4)
    layers = [
        {
            **{key: layer[key] for key in ("macs", "bytes")},
            "name": _short(layer["name"]),
            "cycles": layer["simulated_cycles"] or layer["estimate"]["cycles"],
        }
        for layer in values["layers"]
    ]
    roofline.plot(axes, {"bounds": values["bounds"], "layers": layers}, INK)
    return inline(figure, "Multiplications per cycle over multiplications per byte", "r-")
