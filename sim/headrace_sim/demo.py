"""`headrace demo`: a trained network from float weights through the file to the RTL, against the model and NumPy."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from headrace import data, lenet
from headrace.artifact import Artifact
from headrace.cli.compress import DEFAULT_VALUES, SHIPPED
from headrace.cli.files import save_array
from headrace.cli.formats import Format, weight_formats
from headrace.cli.output import json_option, print_json, print_table, progress
from headrace.compile import compile_network
from headrace.config import CONFIGS, Config, get_config
from headrace.device.model import ModelDevice
from headrace.errors import DataError, DeviceError
from headrace.network import Network
from headrace.session import Result, Session
from headrace_hw.clock import Clock, routed_clock

from .build import cached_verilog
from .device import SimDevice
from .tools import find_tools

DIGITS = 256
MARGIN = 0.02
"""Share of images on which the compressed network may be wrong where the float one is right."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """Everything that the demo measured."""

    config: Config
    artifact: Artifact
    formats: list[Format]
    labels: NDArray[np.uint8]
    logits: dict[str, NDArray[Any]]
    """Of `float`, `model` and `sim`: (N, 10)."""
    rtl: Result
    simulated_cycles: int
    """Clock cycles that the simulator ran, register accesses included."""
    clock: Clock
    seconds: float


@click.command(epilog="Example: headrace demo --images 32 --output demo")
@click.option("--config", type=click.Choice(list(CONFIGS)), default="demo", show_default=True, help="Accelerator.")
@click.option("--images", type=click.IntRange(1, DIGITS), default=DIGITS, show_default=True, help="MNIST digits.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to keep lenet5.hrz, input.npy, labels.npy and output.npy in; made if missing.",
)
@json_option
def demo(config: str, images: int, output: Path | None, as_json: bool) -> None:
    """Compress a trained LeNet-5, run it in the simulated RTL, compare with the model and with NumPy.

    Prunes and shares the weights that come with headrace, encodes them into a file, loads it again, and classifies
    MNIST test digits with the dense float network, the integer model and the Verilated RTL. Ends with 0 only if model
    and RTL give equal integers and classify like the float network. The first run builds the simulation, which is kept.
    """
    from .view import figures, show

    find_tools()
    with _folder(output) as folder:
        outcome = measure(get_config(config), images, folder)
    values = figures(outcome)
    if as_json:
        print_json(values)
    else:
        show(values, print_table)


def measure(config: Config, images: int, folder: Path) -> Outcome:
    """Do the work; files go to `folder`."""
    start = time.perf_counter()
    pixels, labels = data.embedded_digits()
    pixels, labels = pixels[:images], labels[:images]
    x = lenet.device_input(pixels)
    weights, densities = lenet.check_weights(data.lenet5(), SHIPPED)
    assert densities is not None
    path = folder / "lenet5.hrz"
    with progress("compressing"):
        digits = lenet.device_input(data.calibration_digits())
        network, _ = lenet.compress_network(weights, densities.tolist(), DEFAULT_VALUES, digits)
        Artifact(compile_network(network, config), {"source": SHIPPED, "values": DEFAULT_VALUES}).save(path)
        artifact = Artifact.load(path)
        formats = weight_formats(network, artifact.image, path.stat().st_size)
    logits: dict[str, NDArray[Any]] = {"float": lenet.forward(weights, x)}
    with ModelDevice.open(config) as device, Session(device, artifact) as session, progress("model") as shown:
        logits["model"] = session.run(x, shown).outputs
    check_model(network, x, logits["model"])
    with progress("building the simulation"):
        clock = routed_clock(config, cached_verilog(config))
        simulator = SimDevice.open(config)
    with simulator, Session(simulator, artifact) as session, progress("simulating the RTL") as shown:
        before = simulator.simulator.cycles
        rtl = session.run(x, shown)
        cycles = simulator.simulator.cycles - before
    logits["sim"] = rtl.outputs
    check_equal(logits["model"], logits["sim"])
    check_accuracy(logits, labels)
    for name, array in (("input", x), ("labels", labels), ("output", rtl.outputs)):
        save_array(folder / f"{name}.npy", array)
    return Outcome(config, artifact, formats, labels, logits, rtl, cycles, clock, time.perf_counter() - start)


def check_model(network: Network, x: NDArray[np.int8], outputs: NDArray[np.int8]) -> None:
    """The model device works on streams, `Network.run` on the weights that were encoded: DeviceError if they differ."""
    check_equal(network.run(x), outputs, "network", "model")


def check_accuracy(logits: dict[str, NDArray[Any]], labels: NDArray[np.uint8]) -> None:
    """DeviceError where the integers do not classify as the float network does, which shares no code with them.

    They may be wrong on 2 % of the images, and on one, more.
    """
    wrong = {name: int((values.argmax(axis=1) != labels).sum()) for name, values in logits.items()}
    allowed = wrong["float"] + MARGIN * len(labels) + 1
    if wrong["sim"] > allowed:
        raise DeviceError(
            f"the compressed network is wrong on {wrong['sim']} of {len(labels)} images, "
            f"the float one on {wrong['float']}"
        )


def check_equal(wanted: NDArray[np.int8], found: NDArray[np.int8], first: str = "model", second: str = "sim") -> None:
    """DeviceError naming the first difference."""
    if wanted.shape != found.shape:
        raise DeviceError(f"{first} gives {wanted.shape} integers, {second} {found.shape}")
    different = np.argwhere(wanted != found)
    if len(different):
        image, *place = map(int, different[0])
        raise DeviceError(
            f"{first} and {second} differ in {len(different)} of {wanted.size} integers; the first: image {image}, "
            f"output {place[0] if len(place) == 1 else place}, {first} {wanted[tuple(different[0])]}, "
            f"{second} {found[tuple(different[0])]}"
        )


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """The folder for the demo's files; a temporary one if none is wanted."""
    if wanted is None:
        with tempfile.TemporaryDirectory(prefix="headrace-") as name:
            yield Path(name)
        return
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{wanted} cannot be made: {error.strerror}") from None
    yield wanted
