"""`headrace compress`: a trained LeNet-5 as an artifact, or a matrix as a stored stream."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from .. import data, lenet
from ..artifact import Artifact
from ..coding import Effort
from ..compile import compile_network
from ..config import CONFIGS, get_config
from ..errors import DataError
from .files import check_output, load_array
from .output import json_option, print_json, print_table, progress
from .store import SUFFIX as STORED
from .store import store

SHIPPED = "lenet5"
DEFAULT_VALUES = 32


class Densities(click.ParamType):
    """One fraction for all layers, or one for each, separated by commas."""

    name = "densities"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        try:
            fractions = tuple(float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers separated by commas", param, ctx)
        if len(fractions) not in (1, len(lenet.LAYERS)) or not all(0 <= density <= 1 for density in fractions):
            self.fail(f"{value!r} is neither one fraction nor {len(lenet.LAYERS)}, each 0 to 1", param, ctx)
        return fractions * (len(lenet.LAYERS) // len(fractions))


@click.command(epilog="Example: headrace compress lenet5 -o lenet5.hrz --prune 0.6,0.12,0.03,0.2 --share 32")
@click.argument("model", metavar="MODEL")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The .hrz file to write; .hrw for a matrix."
)
@click.option(
    "--prune",
    type=Densities(),
    metavar="DENSITY[,...]",
    help="Fraction of the weights to keep: one for all layers, or one for each of conv1, conv2, fc1 and fc2. "
    "Default: the densities that come with the weights.",
)
@click.option(
    "--share",
    type=click.IntRange(2, 255),
    default=DEFAULT_VALUES,
    show_default=True,
    metavar="K",
    help="Most distinct values of a layer, zero included.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    metavar="X.npy",
    help="Images that set the activation scales: uint8 (N, 28, 28), 0 to 255. Default: 128 MNIST training images.",
)
@click.option("--config", type=click.Choice(list(CONFIGS)), default="demo", show_default=True, help="Accelerator.")
@click.option(
    "--effort",
    type=click.Choice([effort.value for effort in Effort]),
    default=Effort.DEFAULT.value,
    show_default=True,
    help="How many codings of each layer to try.",
)
@json_option
def compress(
    model: str,
    output: Path,
    prune: tuple[float, ...] | None,
    share: int,
    calibrate: Path | None,
    config: str,
    effort: str,
    as_json: bool,
) -> None:
    """Prune, share, quantise and encode a trained LeNet-5 into an artifact, or store a matrix.

    MODEL is `lenet5`, the trained network that comes with headrace, or an .npz file of the same layout: conv1_weight
    (20, 1, 5, 5), conv2_weight (50, 20, 5, 5), fc1_weight (500, 800), fc2_weight (10, 500), the four `_bias`, and
    optionally densities (4,).

    With an output named .hrw, MODEL is a matrix as for `headrace sizes`, stored as it is, bit for bit; of the options,
    only --effort and --json matter then.
    """
    check_output(output, None if model == SHIPPED else Path(model), calibrate)
    if output.suffix == STORED:
        store(Path(model), output, Effort(effort), as_json)
        return
    weights, densities = (
        lenet.check_weights(data.lenet5(), SHIPPED) if model == SHIPPED else lenet.load_weights(Path(model))
    )
    if prune is None and densities is None:
        raise DataError(f"{model} holds no densities; give them with --prune")
    chosen = tuple(map(float, densities)) if prune is None and densities is not None else prune
    assert chosen is not None
    with progress("compressing"):
        artifact, layers = build(weights, chosen, share, calibration(calibrate), config, Effort(effort), model)
    artifact.save(output)
    values = {
        "artifact": str(output),
        "bytes": output.stat().st_size,
        "config": config,
        "layers": [asdict(layer) for layer in layers],
    }
    if as_json:
        print_json(values)
        return
    print_table(
        f"{output}: {values['bytes']:,} bytes, for config {config}",
        ("layer", "weights", "nonzeros", "density", "values", "relative error"),
        [
            (
                layer.name,
                "x".join(map(str, layer.shape)),
                layer.nonzeros,
                f"{layer.density:.4f}",
                layer.values,
                f"{layer.error:.3f}",
            )
            for layer in layers
        ],
    )


def calibration(path: Path | None) -> NDArray[np.int8]:
    """Device inputs from a file of images, or the embedded ones. DataError for other arrays, or none at all."""
    if path is None:
        return lenet.device_input(data.calibration_digits())
    images = load_array(path)
    try:
        x = lenet.device_input(images)  # type: ignore[arg-type]
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    if not len(x):
        raise DataError(f"{path} holds no image")
    return x


def build(
    weights: lenet.Weights,
    densities: tuple[float, ...],
    values: int,
    images: NDArray[np.int8],
    config: str,
    effort: Effort,
    source: str,
) -> tuple[Artifact, tuple[lenet.CompressedLayer, ...]]:
    """The artifact of a LeNet-5 and what compression did to each layer."""
    network, layers = lenet.compress_network(weights, densities, values, images)
    meta = {"source": source, "densities": list(densities), "values": values, "calibration_images": len(images)}
    image = compile_network(network, get_config(config), effort=effort)
    return Artifact(image, meta | {"effort": effort.value}), layers
