"""`headrace compress`: a trained network as an artifact, or a matrix as a stored stream."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite, prod
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
from ..data.samples import NORMALISATIONS
from ..errors import DataError
from ..importers import MATRICES
from ..quantisation import Options
from ..quantisation.options import METHODS
from .compress_model import Choices, build_model
from .files import check_output, load_array
from .output import json_option, print_json, print_table, progress
from .store import SUFFIX as STORED
from .store import store

SHIPPED = "lenet5"
DEFAULT_VALUES = 32


class Densities(click.ParamType):
    """One fraction, one for each layer in order, or layers by name: `0.1`, `0.6,0.1`, `conv1=0.6,fc1=0.1`."""

    name = "densities"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...] | dict[str, float]:
        parts = str(value).split(",")
        named = {}
        try:
            fractions = []
            for part in parts:
                name, separator, number = part.rpartition("=")
                fractions.append(float(number))
                if separator:
                    named[name.strip()] = fractions[-1]
        except ValueError:
            self.fail(f"{value!r} is not numbers separated by commas", param, ctx)
        if not all(0 <= density <= 1 for density in fractions):
            self.fail(f"{value!r}: each must be a fraction from 0 to 1", param, ctx)
        if named and len(named) != len(parts):
            self.fail(f"{value!r} names some layers and not others, or one twice", param, ctx)
        return named or tuple(fractions)


class Sizes(click.ParamType):
    """Positive integers separated by commas."""

    name = "sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        try:
            sizes = tuple(int(part) for part in str(value).split(","))
        except ValueError:
            sizes = (0,)
        if min(sizes) < 1:
            self.fail(f"{value!r} is not positive integers separated by commas", param, ctx)
        return sizes


@click.command(epilog="Example: headrace compress model.onnx -o model.hrz --calibrate x.npy --prune 0.1 --share 32")
@click.argument("model", metavar="MODEL")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="The .hrz file to write; .hrw for a matrix."
)
@click.option(
    "--prune",
    type=Densities(),
    metavar="DENSITY[,...]",
    help="Fraction of the weights to keep: one for all layers, one for each in order, or LAYER=DENSITY,... for some. "
    "Default: those that come with the weights of LeNet-5; all of a model's.",
)
@click.option(
    "--max-bytes",
    type=click.IntRange(1),
    help="Of the weights and program in memory: prune a model to fit, in place of --prune.",
)
@click.option("--max-cycles", type=click.IntRange(1), help="Of one inference, as estimated: prune a model to fit.")
@click.option(
    "--share",
    type=click.IntRange(2, 255),
    metavar="K",
    help=f"Most distinct values of a layer, 0 included. Default: {DEFAULT_VALUES} of LeNet-5, all of int8 for a model.",
)
@click.option(
    "--calibrate",
    type=click.Path(path_type=Path),
    metavar="X.npy|DATA",
    help="Inputs that set the activation scales: numbers (N, ...), as the model takes them, or a data set as for "
    "`headrace eval`. Of LeNet-5 a .npy, uint8 (N, 28, 28), 0 to 255; default: 128 MNIST training images.",
)
@click.option("--samples", type=click.IntRange(1), default=128, show_default=True, help="Of a data set, so many.")
@click.option("--normalise", type=click.Choice(list(NORMALISATIONS)), help="What a model takes.  [default: by data]")
@click.option(
    "--method", type=click.Choice(METHODS), default="mse", show_default=True, help="Of calibration, of a model."
)
@click.option("--fit", is_flag=True, help="Fit what pruning leaves of a model's weights to the dense layers' outputs.")
@click.option("--equalise", is_flag=True, help="Cross-layer equalisation of a model.")
@click.option(
    "--alike",
    type=click.FloatRange(0, 100),
    metavar="POINTS",
    help="Make rows of a model's weights alike, which saves symbols, as far as top-1 on the calibration samples, which "
    "must have labels, falls by no more percentage points.",
)
@click.option(
    "--input-shape",
    type=Sizes(),
    metavar="C,H,W",
    help="Shape of one input, without the batch, where a model leaves sizes open.",
)
@click.option("--config", type=click.Choice(list(CONFIGS)), default="demo", show_default=True, help="Accelerator.")
@click.option(
    "--effort",
    type=click.Choice([effort.value for effort in Effort]),
    default=Effort.DEFAULT.value,
    show_default=True,
    help="How many codings of each layer to try.",
)
@click.option(
    "--batch",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Inputs a run, of a network of matrix products alone: as pixels they share each decoded weight.",
)
@json_option
def compress(
    model: str,
    output: Path,
    prune: tuple[float, ...] | dict[str, float] | None,
    max_bytes: int | None,
    max_cycles: int | None,
    share: int | None,
    calibrate: Path | None,
    samples: int,
    normalise: str | None,
    method: str,
    fit: bool,
    equalise: bool,
    alike: float | None,
    input_shape: tuple[int, ...] | None,
    config: str,
    effort: str,
    batch: int,
    as_json: bool,
) -> None:
    """Prune, share, quantise and encode a trained network into an artifact, or store a matrix.

    MODEL is an .onnx file, a .pt2 file of torch.export.save, or a matrix of n inputs by m outputs as for `headrace
    sizes`, .npy or .npz, which gets no biases; all need --calibrate. Or it is `lenet5`, the trained network that comes
    with headrace, or an .npz file of the same layout: conv1_weight (20, 1, 5, 5), conv2_weight (50, 20, 5, 5),
    fc1_weight (500, 800), fc2_weight (10, 500), the four `_bias`, and optionally densities (4,).

    With an output named .hrw, MODEL is any matrix, stored as it is, bit for bit; of the options, only --effort and
    --json matter then.
    """
    if alike is not None and not isfinite(alike):
        raise click.BadParameter("must be a number", param_hint="--alike")
    check_output(output, None if model == SHIPPED else Path(model), calibrate)
    if output.suffix == STORED:
        store(Path(model), output, Effort(effort), as_json)
        return
    if Path(model).suffix and not lenet.is_layout(Path(model)):
        corrected = Path(model).suffix not in MATRICES
        options = Options(
            calibration=method, values=share, reconstruct=fit, equalise=equalise, bias_correction=corrected
        )
        choices = Choices(
            config,
            Effort(effort),
            calibrate,
            prune,
            options,
            input_shape,
            normalise,
            samples,
            batch,
            max_bytes,
            max_cycles,
            alike,
        )
        artifact, report = build_model(Path(model), choices)
        layers = [asdict(layer) for layer in report.weights]
    else:
        if max_bytes is not None or max_cycles is not None:
            raise click.UsageError("--max-bytes and --max-cycles are for models; LeNet-5 weights take --prune")
        if alike is not None:
            raise click.UsageError("--alike is for models")
        with progress("compressing"):
            artifact, layers = _lenet(model, prune, share or DEFAULT_VALUES, calibrate, config, Effort(effort), batch)
    artifact.save(output)
    values = {
        "artifact": str(output),
        "bytes": output.stat().st_size,
        "config": config,
        "batch": batch,
        "input_shape": list(artifact.image.input_shape),
        "input_scale": artifact.image.input_scale,
        "output_scale": artifact.image.output_scale,
        "layers": layers,
    }
    if as_json:
        print_json(values)
        return
    print_table(
        f"{output}: {values['bytes']:,} bytes, for config {config}" + (f", {batch} inputs a run" if batch > 1 else ""),
        ("layer", "weights", "nonzeros", "density", "values", "relative error"),
        [
            (
                layer["name"],
                "x".join(map(str, layer["shape"])),
                layer["nonzeros"],
                f"{layer['nonzeros'] / prod(layer['shape']):.4f}",
                layer["values"],
                f"{layer['error']:.3f}",
            )
            for layer in layers
        ],
        f"input: int8 {artifact.image.input_shape}, real value / {artifact.image.input_scale:.6g}",
    )


def _lenet(
    model: str,
    prune: tuple[float, ...] | dict[str, float] | None,
    share: int,
    calibrate: Path | None,
    config: str,
    effort: Effort,
    batch: int,
) -> tuple[Artifact, list[dict[str, Any]]]:
    weights, densities = (
        lenet.check_weights(data.lenet5(), SHIPPED) if model == SHIPPED else lenet.load_weights(Path(model))
    )
    if isinstance(prune, dict):
        unknown = [name for name in prune if name not in lenet.LAYERS]
        if unknown or len(prune) < len(lenet.LAYERS):
            raise click.BadParameter(f"name all of {', '.join(lenet.LAYERS)}", param_hint="--prune")
        prune = tuple(prune[name] for name in lenet.LAYERS)
    if prune is not None and len(prune) not in (1, len(lenet.LAYERS)):
        raise click.BadParameter(f"neither one fraction nor {len(lenet.LAYERS)}", param_hint="--prune")
    if prune is None and densities is None:
        raise DataError(f"{model} holds no densities; give them with --prune")
    chosen = tuple(map(float, densities if prune is None else prune))  # type: ignore[arg-type]
    chosen *= len(lenet.LAYERS) // len(chosen)
    artifact, layers = build(weights, chosen, share, calibration(calibrate), config, effort, model, batch)
    return artifact, [asdict(layer) for layer in layers]


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
    batch: int = 1,
) -> tuple[Artifact, tuple[lenet.CompressedLayer, ...]]:
    """The artifact of a LeNet-5 and what compression did to each layer."""
    network, layers = lenet.compress_network(weights, densities, values, images)
    meta = {"source": source, "densities": list(densities), "values": values, "calibration_images": len(images)}
    image = compile_network(network, get_config(config), effort=effort, batch=batch)
    return Artifact(image, meta | {"effort": effort.value}), layers
