"""What `headrace demo` prints, as JSON and as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .demo import Outcome


def figures(outcome: Outcome) -> dict[str, Any]:
    """The object of `--json`. Cycles are means over images, null where not counted."""
    images, rtl, mhz = len(outcome.labels), outcome.rtl, outcome.clock.mhz
    cycles = float(rtl.cycles.mean())
    dense = outcome.formats[0].bytes
    layers = [
        {
            "name": info.name,
            "cycles": layer.mean_cycles,
            "stall_cycles": layer.mean_stall_cycles,
            "macs": info.macs,
            "bound_cycles": info.bound_cycles,
        }
        for info, layer in zip(outcome.artifact.image.layers, rtl.layers, strict=True)
    ]
    stalls = [layer["stall_cycles"] for layer in layers]
    return {
        "equal": bool(np.array_equal(outcome.logits["model"], outcome.logits["sim"])),
        "images": images,
        "config": outcome.config.name,
        "lanes": outcome.config.lanes,
        "pixels": outcome.config.pixels,
        "accuracy": {
            name: float((logits.argmax(axis=1) == outcome.labels).mean()) for name, logits in outcome.logits.items()
        },
        "formats": {
            entry.name: {"bytes": entry.bytes, "fraction": entry.bytes / dense, "counted": entry.counted}
            for entry in outcome.formats
        },
        "layers": layers,
        "cycles_per_image": cycles,
        "stall_cycles_per_image": None if None in stalls else sum(value for value in stalls if value is not None),
        "clock_mhz": mhz,
        "clock_source": outcome.clock.source,
        "images_per_second": None if mhz is None else mhz * 1e6 / cycles,
        "simulation": {
            "cycles": outcome.simulated_cycles,
            "seconds": rtl.seconds,
            "cycles_per_second": outcome.simulated_cycles / rtl.seconds,
        },
        "seconds": outcome.seconds,
    }


def show(values: dict[str, Any], table: Callable[..., None]) -> None:
    """The same as tables."""
    images = values["images"]
    right = {name: round(fraction * images) for name, fraction in values["accuracy"].items()}
    what = {"float": "dense float32, NumPy", "model": "compressed, model", "sim": "compressed, simulated RTL"}
    table(
        f"LeNet-5 on {images} MNIST test digits",
        ("network", "right", "accuracy"),
        [(what[name], f"{count} of {images}", f"{values['accuracy'][name]:.4f}") for name, count in right.items()],
        f"Model and RTL: {'all' if values['equal'] else 'NOT all'} {10 * images:,} logits are equal integers.",
    )
    table(
        "weights",
        ("format", "bytes", "of float32", "what is counted"),
        [
            (name, entry["bytes"], f"{100 * entry['fraction']:.2f} %", entry["counted"])
            for name, entry in values["formats"].items()
        ],
    )
    rows = [
        (layer["name"], _mean(layer["cycles"]), _mean(layer["stall_cycles"]), layer["macs"])
        for layer in values["layers"]
    ]
    total = ("image", _mean(values["cycles_per_image"]), _mean(values["stall_cycles_per_image"]), _sum(values))
    table(
        f"RTL, per image: config {values['config']}, {values['lanes']} lanes x {values['pixels']} pixels",
        ("layer", "cycles", "stall cycles", "MACs"),
        [*rows, total],
        "The last line holds loads and stores too; stall cycles are summed over lanes.",
    )
    clock = f"{values['clock_mhz']:.1f} MHz" if values["clock_mhz"] else "none"
    rate = f"{values['images_per_second']:,.0f}" if values["images_per_second"] else "not given: no clock"
    simulation = values["simulation"]
    table(
        "speed",
        ("what", "value", "source"),
        [
            ("routed clock", clock, values["clock_source"]),
            ("images per second", rate, "clock / cycles per image of the RTL; an estimate until it ran on a board"),
            (
                "simulation",
                f"{simulation['cycles_per_second']:,.0f} cycles/s",
                f"{simulation['cycles']:,} cycles in {simulation['seconds']:.1f} s on this machine",
            ),
            ("whole demo", f"{values['seconds']:.1f} s", "wall time on this machine"),
        ],
    )


def _mean(value: float | None) -> str | None:
    return None if value is None else f"{value:,.0f}"


def _sum(values: dict[str, Any]) -> int:
    return sum(layer["macs"] for layer in values["layers"])
