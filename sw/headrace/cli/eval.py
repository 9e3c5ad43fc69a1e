"""`headrace eval`: accuracy of an artifact on a device, or of a model in real numbers and in integers."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from click.core import ParameterSource
from numpy.typing import NDArray

from ..artifact import SUFFIX, Artifact
from ..data.deepdta import is_affinities
from ..data.samples import NORMALISATIONS, Samples, normalised, open_samples
from ..errors import DataError
from ..evaluate import TASKS, LayerNoise, compare, run_float, run_network
from ..floats import FloatGraph
from ..importers import import_model
from ..network import Network
from ..quantisation import Options, Report, quantise
from ..quantisation.options import METHODS
from ..quantisation.record import quantise_again, read_record
from .eval_pairs import evaluate_pairs
from .files import load_array
from .noise import noise_json, print_noise
from .on_device import run_artifact
from .output import json_option, print_json, print_table, progress

CALIBRATION = 128
MODEL_ALONE = ("method", "density", "values", "fit", "equalise")
"""Choices that an artifact has made already."""
ARTIFACT_ALONE = ("device_name", "model")
PAIRS_ALONE = ("drug", "protein")
NOT_OF_PAIRS = ("task", "normalise", "samples")


@dataclass
class Outcome:
    """What is printed."""

    task: str
    images: int
    values: dict[str, float] = field(default_factory=dict)
    """By "float", "int8" or the device's name."""
    layers: list[LayerNoise] = field(default_factory=list)


@click.command(name="eval", epilog="Example: headrace eval model.onnx --data cifar10 --normalise imagenet --compare")
@click.argument("source", metavar="F.hrz|MODEL", type=click.Path(path_type=Path))
@click.option("--data", required=True, metavar="NAME_OR_DIR", help="mnist (digits that come along), a folder, a .npz.")
@click.option(
    "--drug",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="D.hrz MODEL",
    help="Of DAVIS or KIBA: the network of the drugs, whose results come first in the head F.hrz, and its model.",
)
@click.option(
    "--protein",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="P.hrz MODEL",
    help="The network of the proteins, and its model.",
)
@click.option("--split", type=click.Choice(["test", "train"]), default="test", show_default=True)
@click.option("--task", type=click.Choice(list(TASKS)), default="top1", show_default=True)
@click.option("--normalise", type=click.Choice(list(NORMALISATIONS)), help="What the model takes. [default: by data]")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many samples.")
@click.option("--device", "device_name", default="model", show_default=True, help="Of an artifact: model, sim ...")
@click.option("--model", type=click.Path(path_type=Path), help="The artifact's model (.onnx, .pt2): evaluate it, too.")
@click.option(
    "--compare", "comparing", is_flag=True, help="Signal to quantisation noise of each layer; needs the model."
)
@click.option("--calibrate", type=click.Path(path_type=Path), metavar="X.npy", help="Calibrate with these inputs.")
@click.option("--samples", type=click.IntRange(1), help=f"Else: training samples to use. [default: {CALIBRATION}]")
@click.option("--method", type=click.Choice(METHODS), default="mse", show_default=True, help="Of calibration.")
@click.option(
    "--density", type=click.FloatRange(0, 1), default=1.0, show_default=True, help="Weights kept, of a model."
)
@click.option("--values", type=click.IntRange(2, 256), help="Shared weights of each layer of a model.")
@click.option("--fit", is_flag=True, help="Fit what pruning leaves of a model's weights to the dense layers' outputs.")
@click.option("--equalise", is_flag=True, help="Cross-layer equalisation of a model.")
@json_option
@click.pass_context
def evaluate(
    context: click.Context, source: Path, data: str, task: str, split: str, as_json: bool, **choices: Any
) -> None:
    """Accuracy on a data set: top-1, area under the ROC curve (auc), mean squared error (mse) or
    concordance index (ci).

    Drug-target pairs, a folder of DAVIS or KIBA, give mean squared error and concordance index.

    An artifact runs on a device, as compiled. A model (.onnx, .pt2) runs in real numbers, and in integers as the given
    options quantise it.
    """
    compiled = source.suffix == SUFFIX
    _refuse(
        context,
        MODEL_ALONE if compiled else ARTIFACT_ALONE,
        "with a model alone" if compiled else "with an artifact alone",
    )
    pairs = is_affinities(Path(data))
    _refuse(context, NOT_OF_PAIRS if pairs else PAIRS_ALONE, f"{'not ' if pairs else ''}with drug-target pairs")
    if pairs:
        evaluate_pairs(source, Path(data), split, as_json, choices)
        return
    samples = open_samples(data, split).first(choices["limit"])
    if samples.labels is None:
        raise DataError(f"{samples.title}: split {split} has no labels")
    outcome = Outcome(task, len(samples))
    if compiled:
        _artifact(source, samples, data, outcome, choices)
    else:
        graph = import_model(source)
        normalisation = choices["normalise"] or samples.normalisation
        x = normalised(samples.inputs, normalisation)
        options = Options(
            calibration=choices["method"],
            density=choices["density"],
            values=choices["values"],
            reconstruct=choices["fit"],
            equalise=choices["equalise"],
        )
        calibration = _calibration(graph, data, normalisation, CALIBRATION, choices)
        with progress("calibrating") as show:
            network, report = quantise(graph, calibration, options, show)
        _score(outcome, "float", _run(graph, None, x), samples)
        _score(outcome, "int8", _run(graph, network, x), samples)
        if choices["comparing"]:
            outcome.layers = _compare(network, report, x)
    _show(source, samples, outcome, as_json)


def _refuse(context: click.Context, names: tuple[str, ...], reason: str) -> None:
    """UsageError for options that would do nothing."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name in names:
            raise click.UsageError(f"{parameter.opts[0]} goes {reason}")


def _artifact(path: Path, samples: Samples, data: str, outcome: Outcome, choices: dict[str, Any]) -> None:
    artifact = Artifact.load(path)
    if choices["comparing"] and choices["model"] is None:
        raise click.UsageError("--compare of an artifact needs --model")
    graph = None if choices["model"] is None else import_model(choices["model"])
    x = normalised(samples.inputs, choices["normalise"] or samples.normalisation)
    y = run_artifact(artifact, graph, x, samples.title, choices["device_name"])
    _score(outcome, choices["device_name"], y, samples)
    if graph is None:
        return
    _score(outcome, "float", _run(graph, None, x), samples)
    if choices["comparing"]:
        options, count, normalisation, digest = read_record(artifact.meta)
        if normalisation not in NORMALISATIONS:
            raise DataError(f"{path}: no normalisation {normalisation!r} is known")
        calibration = _calibration(graph, data, normalisation, count, choices)
        with progress("calibrating") as show:
            network, report = quantise_again(graph, calibration, options, digest, show)
        outcome.layers = _compare(network, report, x)


def _calibration(
    graph: FloatGraph, data: str, normalisation: str, count: int, choices: dict[str, Any]
) -> NDArray[np.float32]:
    """From the file given, or the first samples of the training split; a set without splits gives its own first."""
    if choices["calibrate"] is not None:
        x = load_array(choices["calibrate"])
        return graph.input.feed(normalised(x, normalisation))
    x = open_samples(data, "train").first(choices["samples"] or count).inputs
    return graph.input.feed(normalised(x, normalisation))


def _run(graph: FloatGraph, network: Network | None, x: NDArray[np.generic]) -> NDArray[np.floating]:
    with progress("float" if network is None else "int8") as show:
        return run_float(graph, x, show) if network is None else run_network(graph, network, x, show)


def _compare(network: Network, report: Report, x: NDArray[np.generic]) -> list[LayerNoise]:
    with progress("comparing layers") as show:
        return compare(report.reference, network, report.scales, x, show)


def _score(outcome: Outcome, name: str, outputs: NDArray[np.floating], samples: Samples) -> None:
    assert samples.labels is not None
    outcome.values[name] = TASKS[outcome.task](outputs, samples.labels)


def _show(source: Path, samples: Samples, outcome: Outcome, as_json: bool) -> None:
    if as_json:
        values = {"data": samples.title, "images": outcome.images, "task": outcome.task, "values": outcome.values}
        print_json(values | noise_json(outcome.layers))
        return
    title = f"{source.name}: {outcome.images:,} samples of {samples.title}"
    rows = [(name, f"{value:.4f}") for name, value in outcome.values.items()]
    print_table(title, ("network", outcome.task), rows)
    print_noise(outcome.layers)
