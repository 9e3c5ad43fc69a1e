"""`headrace bench`: the accelerator's throughput beside that of decoders on a processor, measured in one run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np

from headrace.artifact import Artifact
from headrace.cli import roofline
from headrace.cli.devices import device_options, overlay_option
from headrace.cli.files import check_plot
from headrace.cli.output import json_option, print_json, print_table, progress
from headrace.device import open_device
from headrace.errors import DeviceError
from headrace.session import Result, Session
from headrace_hw.clock import Clock, routed_clock

from .build import cached_verilog
from .cpu_decoders import DENSE, jobs, seconds_per_run

ROUNDS = 5
ACCELERATOR = "headrace accelerator"


@click.command(epilog="Example: headrace bench lenet5.hrz --clock-mhz 100")
@click.argument("artifact", metavar="F.hrz", type=click.Path(path_type=Path))
@click.option(
    "--clock-mhz", type=click.FloatRange(1, 2000), help="Of the accelerator; else the routed one of its config."
)
@click.option("--device", "device_name", type=click.Choice(["sim", "pynq"]), default="sim", show_default=True)
@overlay_option
@click.option(
    "--images", type=click.IntRange(1), default=2, show_default=True, help="Images that the device runs; whole batches."
)
@click.option("--plot", type=click.Path(path_type=Path), metavar="F.svg", help="Roofline: .svg, .png or .pdf.")
@json_option
def bench(
    artifact: Path,
    clock_mhz: float | None,
    device_name: str,
    overlay: Path | None,
    images: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Weights decoded and multiplied per second: by the accelerator, and by decoders on this processor.

    The accelerator's time is its cycles, counted in the simulated RTL or on the board, over its clock: that given, or
    that of the board, or the routed one of its configuration. Those of the processor are medians of interleaved rounds:
    headrace's native kernel, HAC and sHAC, dense float32 and int8, zstd and then dense. Every product is checked.
    """
    options = device_options(device_name, overlay)
    if plot is not None:
        check_plot(plot, artifact)
    loaded = Artifact.load(artifact)
    image, rng = loaded.image, np.random.default_rng(0)
    work = jobs(image, rng)
    with progress(f"opening {device_name}"):
        device = open_device(device_name, image.config, **options)
    runs = -(-images // image.batch)
    x = rng.integers(-128, 128, (runs * image.batch, *image.input_shape), np.int8)
    with device, Session(device, loaded) as session, progress("accelerator") as show:
        result = session.run(x, show)
    clock = _clock(loaded, clock_mhz, result)
    with progress("processor") as show:
        processor = {name: each / image.batch for name, each in seconds_per_run(work, ROUNDS, show).items()}
    values = figures(loaded, result, clock, processor, sum(job.W.size for job in work))
    if plot is not None:
        roofline.draw(plot, artifact.stem, values)
    if as_json:
        print_json(values)
        return
    print_table(
        f"{values['workload']}: {values['weights']:,} weights, "
        + (f"{image.batch} images at a time" if image.batch > 1 else "one image"),
        ("", "weights/s", "images/s", f"x {DENSE}"),
        [
            (row["name"], f"{row['weights_per_s']:.3g}", f"{row['images_per_s']:,.1f}", f"{row['ratio']:.2f}")
            for row in values["rows"]
        ],
        f"accelerator: {values['cycles_per_image']:,} cycles an image ({device_name}) "
        f"at {clock.mhz} MHz, {clock.source}",
    )


def figures(
    artifact: Artifact, result: Result, clock: Clock, processor: dict[str, float], weights: int
) -> dict[str, Any]:
    """What `--json` prints. `seconds` are those of one image, in a batch its share; `ratio` is the speed-up over dense
    float32. Weights a second count once for each image."""
    cycles = result.mean_cycles
    assert cycles and clock.mhz
    seconds = {ACCELERATOR: cycles / (clock.mhz * 1e6), **processor}
    config = artifact.config
    return {
        "workload": artifact.image.network,
        "config": config.name,
        "batch": artifact.image.batch,
        "weights": weights,
        "cycles_per_image": round(cycles),
        "clock_mhz": clock.mhz,
        "clock_source": clock.source,
        "rows": [
            {
                "name": name,
                "weights_per_s": weights / time,
                "images_per_s": 1 / time,
                "seconds": time,
                "ratio": processor[DENSE] / time,
            }
            for name, time in seconds.items()
        ],
        "bounds": roofline.bounds(config.lanes, config.pixels, config.read_ports),
        "layers": [
            {
                "name": info.name,
                "macs": info.macs,
                "bytes": info.stream_bytes + info.table_bytes,
                "cycles": cycles * artifact.image.batch,
            }
            for info, layer in zip(artifact.image.layers, result.layers, strict=True)
            if (cycles := layer.mean_cycles)
        ],
    }


def _clock(artifact: Artifact, given: float | None, result: Result) -> Clock:
    if given is not None:
        return Clock(given, "as given")
    if result.clock_mhz is not None:
        return Clock(result.clock_mhz, "the board's")
    clock = routed_clock(artifact.config, cached_verilog(artifact.config))
    if clock.mhz is None:
        raise DeviceError(f"the accelerator's clock is not known ({clock.source}): give --clock-mhz")
    return clock
