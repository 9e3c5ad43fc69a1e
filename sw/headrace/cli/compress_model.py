"""`headrace compress` of a model of the user's own: imported, quantised, compiled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from ..artifact import Artifact
from ..coding import Effort
from ..compile import compile_network
from ..compress.alike import price_within
from ..compress.budget import densities_within
from ..compress.quantise import quantise_activations
from ..config import get_config
from ..cycles import estimate
from ..data.samples import normalised, open_samples
from ..errors import DataError
from ..evaluate import accuracy
from ..floats import Conv, FloatGraph, Linear
from ..importers import import_model
from ..network import Network
from ..quantisation import Options, Report, quantise
from ..quantisation.record import KEY, record
from .files import load_array
from .output import progress


@dataclass(frozen=True)
class Choices:
    """What the command line says about a model."""

    config: str
    effort: Effort
    calibrate: Path | None
    densities: tuple[float, ...] | dict[str, float] | None
    options: Options
    """But for `density`, which needs the layers' names."""
    input_shape: tuple[int, ...] | None
    normalise: str | None
    samples: int
    batch: int
    max_bytes: int | None = None
    max_cycles: int | None = None
    alike: float | None = None
    """Percentage points of top-1 on the calibration samples that rows made alike may cost."""


def build_model(path: Path, choices: Choices) -> tuple[Artifact, Report]:
    """The artifact, and what quantisation did.

    Raises the errors of `import_model`, `quantise` and `compile_network`; DataError without calibration data that
    fits; click.BadParameter for densities that do not fit the layers.
    """
    with progress(f"reading {path.name}"):
        graph = import_model(path, choices.input_shape)
    weighted = [layer.name for layer in graph.layers if isinstance(layer, Conv | Linear)]
    x, normalisation, labels = calibration(graph, choices)
    if choices.max_bytes is None and choices.max_cycles is None:
        options = replace(choices.options, density=_densities(choices.densities, weighted))
    else:
        options = replace(choices.options, density=_within(graph, x, choices))
    with progress("calibrating") as show:
        network, report = quantise(graph, x, options, show)
    if choices.alike is not None:
        if labels is None:
            raise DataError(
                f"{choices.calibrate} has no labels, which --alike needs: take training samples that have some"
            )
        options = replace(options, alike=_price(network, quantise_activations(x, network.input_scale), labels, choices))
        network, report = quantise(graph, x, options)
    with progress("encoding") as show:
        image = compile_network(network, get_config(choices.config), show, choices.effort, choices.batch)
    meta = {
        "source": path.name,
        "effort": choices.effort.value,
        KEY: record(options, len(x), normalisation, network),
    }
    return Artifact(image, meta), report


def calibration(graph: FloatGraph, choices: Choices) -> tuple[NDArray[np.float32], str, NDArray[np.generic] | None]:
    """What the device gets of the inputs asked for, (N, C, H, W), N at least 1; how they were normalised; any labels.

    DataError for inputs that are missing or do not fit.
    """
    wanted = ", ".join(map(str, ("N", *graph.input.model_shape)))
    source, labels = choices.calibrate, None
    if source is None:
        raise DataError(f"a model needs --calibrate: some of its inputs, a .npy of numbers ({wanted}), or a data set")
    if source.suffix == ".npy":
        inputs, usual = load_array(source), "raw"
    else:
        samples = open_samples(str(source), "train").first(choices.samples)
        inputs, usual, labels = samples.inputs, samples.normalisation, samples.labels
    normalisation = choices.normalise or usual
    try:
        x = graph.input.feed(normalised(inputs, normalisation))
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    if not len(x):
        raise DataError(f"{source} holds no input")
    return x, normalisation, labels


def _price(network: Network, x: NDArray[np.int8], labels: NDArray[np.generic], choices: Choices) -> float:
    """What `Options.alike` should be. DataError where the network knows the labels no better than a constant does."""
    assert choices.alike is not None
    now = accuracy(network, x, labels)
    constant = float(np.unique(labels, return_counts=True)[1].max()) / labels.size
    if now <= constant:
        raise DataError(
            f"{choices.calibrate}: {now:.1%} of the calibration samples are right, no more than of one label always: "
            "--alike needs labels and a normalisation that fit the model"
        )
    least = max(now - choices.alike / 100, constant)

    def fits(one: Network) -> bool:
        return accuracy(one, x, labels) >= least and _within_limits(one, choices)

    with progress("making rows alike") as show:
        return price_within(network, x, fits, show)


def _within_limits(network: Network, choices: Choices) -> bool:
    """Whether --max-bytes and --max-cycles still hold."""
    if choices.max_bytes is None and choices.max_cycles is None:
        return True
    image = compile_network(network, get_config(choices.config), effort=choices.effort)
    few = choices.max_bytes is None or len(image.blob) <= choices.max_bytes
    return few and (choices.max_cycles is None or estimate(image).cycles <= choices.max_cycles)


def _within(graph: FloatGraph, x: NDArray[np.float32], choices: Choices) -> dict[str, float]:
    if choices.densities is not None:
        raise click.UsageError("--max-bytes and --max-cycles choose the densities: leave --prune out")
    if choices.batch > 1:
        raise click.UsageError("--max-bytes and --max-cycles are counted for one input: leave --batch out")
    with progress("choosing densities") as show:
        return densities_within(
            graph,
            x,
            choices.options,
            get_config(choices.config),
            choices.max_bytes,
            choices.max_cycles,
            show,
            choices.effort,
        )


def _densities(given: tuple[float, ...] | dict[str, float] | None, layers: list[str]) -> float | dict[str, float]:
    if given is None:
        return 1.0
    names = ", ".join(layers)
    if isinstance(given, dict):
        unknown = [name for name in given if name not in layers]
        if unknown:
            raise click.BadParameter(f"no layer {unknown[0]!r}; those with weights are {names}", param_hint="--prune")
        return given
    if len(given) == 1:
        return given[0]
    if len(given) != len(layers):
        raise click.BadParameter(f"{len(given)} fractions for {len(layers)} layers: {names}", param_hint="--prune")
    return dict(zip(layers, given, strict=True))
