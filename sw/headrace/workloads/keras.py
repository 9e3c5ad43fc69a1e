"""Weights of Keras .h5 files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headrace.errors import DataError, HeadraceError

from .floats import Floats, Parameters, fold

EPSILON = 1e-3
"""Keras' default, which the benchmark's networks use."""


@dataclass(frozen=True, eq=False)
class KerasLayer:
    """Weights, biases, and the batch normalisation that follows, if any."""

    parameters: Parameters
    normalisation: tuple[Floats, Floats, Floats, Floats] | None
    """gamma, beta, mean, variance."""

    def folded(self) -> Parameters:
        """Weights and biases of the layer and its normalisation in one."""
        return self.parameters if self.normalisation is None else fold(self.parameters, *self.normalisation, EPSILON)


def read_layers(path: Path, names: Sequence[tuple[str, str]]) -> list[KerasLayer]:
    """Layers, each with the batch normalisation named beside it ("": none).

    DataError for a file that cannot be read or lacks one of them, HeadraceError without h5py.
    """
    try:
        import h5py
    except ImportError:
        raise HeadraceError("reading .h5 files needs h5py: pip install 'headrace[workloads]'") from None
    try:
        with h5py.File(path, "r") as file:
            root = file.get("model_weights", file)
            return [_layer(root, *one) for one in names]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: not the Keras file of this network: {error}") from None


def read_parameters(path: Path, names: Sequence[tuple[str, str]]) -> list[Parameters]:
    """As `read_layers`, folded."""
    return [layer.folded() for layer in read_layers(path, names)]


def _layer(root: Any, layer: str, normalisation: str) -> KerasLayer:
    def read(owner: str, key: str) -> Floats:
        return np.array(root[owner][owner][f"{key}:0"], np.float64)

    weights = read(layer, "kernel")
    weights = weights.transpose(3, 2, 0, 1) if weights.ndim == 4 else weights.T
    parameters = weights, read(layer, "bias")
    if not normalisation:
        return KerasLayer(parameters, None)
    gamma, beta, mean, variance = (
        read(normalisation, key) for key in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    return KerasLayer(parameters, (gamma, beta, mean, variance))
