"""Trained weights from public files into the modules of this package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.errors import DataError

from . import NETS, build

if TYPE_CHECKING:
    from torch import nn


def load(name: str, path: str | Path) -> nn.Module:
    """The network with the weights in `path`, a file of the kind that `NETS[name].weights` says.

    Nothing in a file is executed. DataError for a network without such files, and for files that cannot be read or are
    another network's; HeadraceError where the package is missing that reads them.
    """
    path, module = Path(path), build(name)
    kind = NETS[name].weights
    if not kind:
        raise DataError(f"{name}: no files of trained weights are known for it")
    if kind == "th":
        _load_checkpoint(module, path)
        return module
    if kind == "h5":
        _load_keras(module, name, path)
        return module
    parameters = {"tflite": _tflite, "npz": _npz}[kind](path)
    fill(module, name, parameters, str(path))
    return module


def fill(module: nn.Module, name: str, parameters: Sequence[tuple[Any, Any]], source: str) -> None:
    """Weights and biases into the layers of network `name` that have some, in order. DataError for other shapes."""
    from torch import nn

    layers: list[Any] = [layer for layer in module.modules() if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)]
    found = [tuple(weights.shape) for weights, _ in parameters]
    wanted = [tuple(layer.weight.shape) for layer in layers]
    if found != wanted:
        raise DataError(f"{source}: weights of shapes {found}, where {name} has {wanted}")
    import torch

    with torch.no_grad():
        for layer, (weights, bias) in zip(layers, parameters, strict=True):
            layer.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)))
            layer.bias.copy_(torch.from_numpy(np.ascontiguousarray(bias)))


def _load_checkpoint(module: nn.Module, path: Path) -> None:
    """A state dictionary, perhaps under "state_dict" and of a module that was trained in parallel ("module.")."""
    import pickle

    import torch

    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise DataError(f"{path}: no checkpoint of tensors: {str(error).splitlines()[0]}") from None
    state = state.get("state_dict", state) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise DataError(f"{path}: no checkpoint of tensors")
    state = {key.removeprefix("module."): value for key, value in state.items()}
    fixed = {key: value for key, value in module.state_dict().items() if "shortcut" in key}
    try:
        module.load_state_dict({**fixed, **state})
    except RuntimeError as error:
        raise DataError(f"{path}: another network's weights: {' '.join(str(error).split())[:200]}") from None


def _load_keras(module: nn.Module, name: str, path: Path) -> None:
    import torch

    from headrace.workloads.keras import read_layers
    from headrace.workloads.resnet8 import NORMALISED

    layers = read_layers(path, NORMALISED)
    fill(module, name, [layer.parameters for layer in layers], str(path))
    found = [layer.normalisation for layer in layers if layer.normalisation is not None]
    wanted = [part for part in module.modules() if isinstance(part, torch.nn.BatchNorm2d)]
    if [values[0].shape for values in found] != [(part.num_features,) for part in wanted]:
        raise DataError(f"{path}: batch normalisations that {name} has not")
    with torch.no_grad():
        for part, values in zip(wanted, found, strict=True):
            targets = (part.weight, part.bias, part.running_mean, part.running_var)
            for target, value in zip(targets, values, strict=True):
                assert target is not None
                target.copy_(torch.from_numpy(value))


def _tflite(path: Path) -> list[tuple[Any, Any]]:
    from headrace.workloads.tflite import read_parameters

    return read_parameters(path)


def _npz(path: Path) -> list[tuple[Any, Any]]:
    from headrace.lenet import load_weights

    return lenet_parameters(load_weights(path)[0])


def lenet_parameters(weights: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Those of LeNet-5 in the layout of `headrace.lenet`, in order."""
    from headrace.lenet import LAYERS

    return [(weights[f"{layer}_weight"], weights[f"{layer}_bias"]) for layer in LAYERS]
