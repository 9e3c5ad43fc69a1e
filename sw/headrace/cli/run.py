"""`headrace run`: an artifact on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from ..artifact import Artifact
from ..device import open_device
from ..errors import DataError
from ..session import LayerCycles, Result, Session
from .devices import device_options, overlay_option
from .files import check_output, load_array, save_array
from .output import json_option, print_json, print_table, progress


@click.command(epilog="Example: headrace run lenet5.hrz --device sim --input input.npy --output output.npy")
@click.argument("artifact", metavar="F.hrz", type=click.Path(path_type=Path))
@click.option(
    "--device", "device_name", default="model", show_default=True, help="model (NumPy), sim (Verilated RTL), pynq."
)
@click.option(
    "--input", "source", type=click.Path(path_type=Path), required=True, help="Images: .npy, int8 (N, C, H, W)."
)
@click.option("--output", type=click.Path(path_type=Path), required=True, help="Where the outputs go: .npy, int8.")
@click.option(
    "--trace", type=click.Path(path_type=Path), metavar="F.vcd", help="Waveforms of the run; device sim only."
)
@overlay_option
@json_option
def run(
    artifact: Path,
    device_name: str,
    source: Path,
    output: Path,
    trace: Path | None,
    overlay: Path | None,
    as_json: bool,
) -> None:
    """Run images through an artifact on a device, and count its cycles.

    All devices give equal integers. Cycles are counted by devices that have a clock; the model has none. With --trace
    the simulation records its waveforms, from a slower build.
    """
    if trace is not None and device_name != "sim":
        raise click.UsageError("--trace needs --device sim")
    options = device_options(device_name, overlay, trace=trace)
    loaded, x = Artifact.load(artifact), load_array(source)
    check_output(output, artifact, source)
    if trace is not None:
        check_output(trace, artifact, source, output)
    if x.dtype != np.int8 or x.shape[1:] != loaded.image.input_shape:
        wanted = ", ".join(map(str, ("N", *loaded.image.input_shape)))
        raise DataError(f"{source} holds {x.dtype} {x.shape}; the network takes int8 ({wanted})")
    with progress(f"opening {device_name}"):
        device = open_device(device_name, loaded.config, **options)
    with device, Session(device, loaded) as session, progress("images") as show:
        result = session.run(x.astype(np.int8, copy=False), show)
    save_array(output, result.outputs)
    values = figures(device_name, result, loaded.image.batch)
    if as_json:
        print_json(values)
        return
    images, total, batch = values["images"], values["cycles"], values["batch"]
    print_table(
        f"{artifact.name} on {device_name}: {images} images" + (f", {batch} a run" if batch > 1 else ""),
        ("layer", "cycles / image", "stall cycles / image"),
        [(layer.name, _shown(layer.mean_cycles), _shown(layer.mean_stall_cycles)) for layer in result.layers],
        f"{f'{total:,} cycles' if total else 'no cycles are counted on this device'}, "
        f"{result.seconds:.2f} s on this machine; outputs in {output}",
    )


def figures(device: str, result: Result, batch: int = 1) -> dict[str, Any]:
    """What `--json` prints. Cycles are sums over all images, null where the device counts none."""
    counted = bool(result.cycles.any())
    layers = [{"name": layer.name, **_sums(layer, counted)} for layer in result.layers]
    known = [layer["stall_cycles"] for layer in layers]
    return {
        "device": device,
        "images": len(result.outputs),
        "batch": batch,
        "cycles": int(result.cycles.sum()) if counted else None,
        "stall_cycles": sum(known) if counted and None not in known else None,
        "seconds": result.seconds,
        "clock_mhz": result.clock_mhz,
        "layers": layers,
    }


def _sums(layer: LayerCycles, counted: bool) -> dict[str, int | None]:
    if not counted or layer.cycles is None or layer.stall_cycles is None:
        return {"cycles": None, "stall_cycles": None}
    return {"cycles": int(layer.cycles.sum()), "stall_cycles": int(layer.stall_cycles.sum())}


def _shown(mean: float | None) -> str | None:
    return f"{mean:,.0f}" if mean else None
