"""Networks that papers on compression use, as torch modules: the definition here, the weights from files of the user's.

`build(name)` gives a module with random weights, in evaluation mode; torch is imported then and not before. Layers have
the shapes of the published networks; batch normalisations of networks whose weights only come folded are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from headrace.errors import DataError

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Net:
    """Where a network is defined, and the shapes of one input and one output."""

    module: str
    function: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    weights: str
    """Which files `headrace.nets.weights.load` reads for it; empty where none are public."""


NETS = {
    "lenet300100": Net("lenet", "lenet300100", (1, 28, 28), (10,), ""),
    "lenet5": Net("lenet", "lenet5", (1, 28, 28), (10,), "npz"),
    "resnet8": Net("resnet", "resnet8", (3, 32, 32), (10,), "h5"),
    "resnet20": Net("resnet", "resnet20", (3, 32, 32), (10,), "th"),
    "resnet56": Net("resnet", "resnet56", (3, 32, 32), (10,), "th"),
    "resnet110": Net("resnet", "resnet110", (3, 32, 32), (10,), "th"),
    "vgg19": Net("vgg", "vgg19", (3, 32, 32), (10,), ""),
    "vgg19-mnist": Net("vgg", "vgg19_mnist", (1, 32, 32), (10,), ""),
    "dscnn": Net("mobile", "dscnn", (1, 49, 10), (12,), "tflite"),
    "mobilenet": Net("mobile", "mobilenet", (3, 96, 96), (2,), "tflite"),
    "autoencoder": Net("autoencoder", "autoencoder", (640,), (640,), "tflite"),
    "deepdta-drug": Net("deepdta", "drug", (100,), (96,), ""),
    "deepdta-protein": Net("deepdta", "protein", (1000,), (96,), ""),
    "deepdta-head": Net("deepdta", "head", (192,), (1,), ""),
    "matching": Net("matching", "matching", (1, 9, 9), (32, 1, 1), ""),
}


def build(name: str) -> nn.Module:
    """The network of that name. DataError lists the names there are; ModuleNotFoundError without torch."""
    if name not in NETS:
        raise DataError(f"no network {name!r}; there are: {', '.join(NETS)}")
    net = NETS[name]
    function: Callable[[], nn.Module] = getattr(import_module(f"{__name__}.{net.module}"), net.function)
    return function().eval()
