"""`headrace eval` of drug-target affinities: two networks of sequences, whose results the host joins, and a head.

Every drug and every protein goes through its network once, and every pair through the head.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from ..artifact import SUFFIX, Artifact
from ..data.deepdta import PROTEIN_LETTERS, SMILES_LETTERS, encode, open_affinities
from ..errors import DataError
from ..evaluate import LayerNoise, compare, concordance_index, mean_squared_error, run_float
from ..floats import FloatGraph
from ..importers import import_model
from ..quantisation.record import quantise_again, read_record
from .files import load_array
from .noise import noise_json, print_noise
from .on_device import run_artifact
from .output import print_json, print_table, progress

SIDES = (("drug", SMILES_LETTERS), ("protein", PROTEIN_LETTERS))
"""Options of the command that name an artifact and its model, and the letters of their sequences."""
Real = NDArray[np.floating]


def evaluate_pairs(source: Path, folder: Path, split: str, as_json: bool, choices: dict[str, Any]) -> None:
    """Print mean squared error and concordance index of a head and its two networks. UsageError, DataError and what
    devices raise."""
    if source.suffix != SUFFIX or None in (choices["drug"], choices["protein"]):
        raise click.UsageError(
            "drug-target pairs take three networks: HEAD.hrz --drug D.hrz D.pt2 --protein P.hrz P.pt2; a model of two "
            "inputs is exported as these three"
        )
    if choices["comparing"] and None in (choices["model"], choices["calibrate"]):
        raise click.UsageError("--compare of pairs needs --model and --calibrate: the head's, as it was compressed")
    head, graph = Artifact.load(source), None if choices["model"] is None else import_model(choices["model"])
    sides = [(Artifact.load(choices[name][0]), import_model(choices[name][1])) for name, _ in SIDES]
    data = open_affinities(folder)
    numbers = (data.test if split == "test" else data.train)[: choices["limit"]]
    if not len(numbers):
        raise DataError(f"{folder}: split {split} has no pairs")
    device, pairs, labels = choices["device_name"], data.pairs[numbers], data.values[numbers]
    on_device, real = [], []
    for column, ((name, letters), (artifact, model)) in enumerate(zip(SIDES, sides, strict=True)):
        texts = data.ligands if column == 0 else data.proteins
        used, inverse = np.unique(pairs[:, column], return_inverse=True)
        x = encode([texts[number] for number in used], letters, _length(name, model))
        on_device.append(_rows(run_artifact(artifact, model, x, name, device))[inverse])
        if graph is not None:
            with progress(f"float, {name}s") as show:
                real.append(_rows(run_float(model, x, show))[inverse])
    joined = np.concatenate(on_device, axis=1)
    values = {device: _score(run_artifact(head, graph, joined, "the two networks' results", device), labels)}
    noise: list[LayerNoise] = []
    if graph is not None:
        values["float"] = _score(run_float(graph, np.concatenate(real, axis=1)), labels)
        if choices["comparing"]:
            noise = _compare(head, graph, load_array(choices["calibrate"]), np.concatenate(real, axis=1))
    _show(source, folder, len(labels), values, noise, as_json)


def _length(name: str, model: FloatGraph) -> int:
    """Letters of a sequence."""
    if len(model.input.model_shape) != 1 or model.input.table is None:
        raise DataError(f"--{name}: {model.name} takes {model.input.model_shape}, and embeds no sequence of letters")
    return model.input.model_shape[0]


def _rows(outputs: Real) -> Real:
    return outputs.reshape(len(outputs), -1)


def _score(outputs: Real, labels: NDArray[np.float64]) -> dict[str, float]:
    return {"mse": mean_squared_error(outputs, labels), "ci": concordance_index(outputs, labels)}


def _compare(head: Artifact, graph: FloatGraph, calibration: NDArray[np.generic], x: Real) -> list[LayerNoise]:
    options, _, _, digest = read_record(head.meta)
    with progress("calibrating") as show:
        network, report = quantise_again(graph, graph.input.feed(calibration), options, digest, show)
    with progress("comparing layers") as show:
        return compare(report.reference, network, report.scales, x, show)


def _show(
    source: Path, folder: Path, pairs: int, values: dict[str, dict[str, float]], noise: list[LayerNoise], as_json: bool
) -> None:
    if as_json:
        print_json({"data": folder.name, "pairs": pairs, "values": values} | noise_json(noise))
        return
    rows = [(name, f"{score['mse']:.4f}", f"{score['ci']:.4f}") for name, score in values.items()]
    print_table(
        f"{source.name}: {pairs:,} pairs of {folder.name}", ("network", "MSE", "CI"), rows, "CI: concordance index."
    )
    print_noise(noise)
