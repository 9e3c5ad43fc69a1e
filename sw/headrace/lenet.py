"""LeNet-5 (20-50-500-10), the shipped network: its layout, its float meaning, and the way from it to device integers.

conv 5x5 1->20, ReLU, max pool 2, conv 5x5 20->50, ReLU, max pool 2, linear 800->500, ReLU, linear 500->10. The input is
`(pixel >> 1) / 127`, so that the device's int8 input is `pixel >> 1`. `forward` shares no code with `headrace.model`:
each checks the other.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
from numpy.lib.format import MAGIC_PREFIX
from numpy.typing import NDArray

from .compress.prune import magnitude_mask
from .compress.quantise import activation_scale, quantise_bias, quantise_multiplier
from .compress.share import share_layer
from .errors import DataError
from .files import read_npy
from .floats import Conv, FloatGraph, FloatLayer, Input, Output
from .floats import Linear as FloatLinear
from .floats import MaxPool as FloatMaxPool
from .network import INPUT, Conv2d, Layer, Linear, MaxPool2d, Network

SHAPES: dict[str, tuple[int, ...]] = {
    "conv1": (20, 1, 5, 5),
    "conv2": (50, 20, 5, 5),
    "fc1": (500, 800),
    "fc2": (10, 500),
}
"""Weights of each layer, output channels first; the bias has one number for each."""
LAYERS = tuple(SHAPES)
KEYS = (*(f"{layer}_{part}" for layer in LAYERS for part in ("weight", "bias")), "densities")
"""Arrays of an .npz of weights."""
LARGEST_MEMBER = 16 << 20
"""Bytes; the largest array has 3.2 MB as float64."""
INPUT_SHAPE = (1, 28, 28)
INPUT_SCALE = 1 / 127
BATCH = 256
"""Images that `forward` works on at once; bounds its memory to some 100 MB."""

Weights = Mapping[str, NDArray[np.float32]]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class CompressedLayer:
    """What compression did to one layer."""

    name: str
    shape: tuple[int, ...]
    nonzeros: int
    density: float
    """Nonzero weights as a fraction of all."""
    values: int
    """Distinct values, zero included."""
    scale: float
    """Weight units per integer step."""
    error: float
    """Root of the squared error over the squared weights."""


def device_input(images: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Pixels uint8 (N, 28, 28) as the network's integers, int8 (N, 1, 28, 28). DataError for anything else."""
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1:] != INPUT_SHAPE[1:]:
        raise DataError(f"images must be uint8 (N, 28, 28), not {images.dtype} {images.shape}")
    return (images[:, None] >> 1).astype(np.int8)


def forward(weights: Weights, x: NDArray[np.int8]) -> Floats:
    """Float logits (N, 10) of the dense network for device inputs x int8 (N, 1, 28, 28), in the weights' precision."""
    return activations(weights, x)["fc2"]


def activations(weights: Weights, x: NDArray[np.int8]) -> dict[str, Floats]:
    """Real outputs by layer, after ReLU and pooling: (N, 20, 12, 12), (N, 50, 4, 4), (N, 500), (N, 10)."""
    parts = [_activations(weights, x[start : start + BATCH]) for start in range(0, max(len(x), 1), BATCH)]
    return {name: np.concatenate([part[name] for part in parts]) for name in LAYERS}


def _activations(weights: Weights, x: NDArray[np.int8]) -> dict[str, Floats]:
    real = x.astype(weights["conv1_weight"].dtype) * weights["conv1_weight"].dtype.type(INPUT_SCALE)
    conv1 = _pool(_relu(_conv(real, weights["conv1_weight"], weights["conv1_bias"])))
    conv2 = _pool(_relu(_conv(conv1, weights["conv2_weight"], weights["conv2_bias"])))
    fc1 = _relu(conv2.reshape(len(x), SHAPES["fc1"][1]) @ weights["fc1_weight"].T + weights["fc1_bias"])
    fc2 = fc1 @ weights["fc2_weight"].T + weights["fc2_bias"]
    return {"conv1": conv1, "conv2": conv2, "fc1": fc1, "fc2": fc2}


def _conv(x: Floats, w: Floats, bias: Floats) -> Floats:
    """Cross-correlation without padding, as one product of a matrix of windows."""
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))  # (N, C, H', W', kh, kw)
    return np.moveaxis(np.tensordot(windows, w, axes=((1, 4, 5), (1, 2, 3))) + bias, 3, 1)


def _relu(x: Floats) -> Floats:
    return np.maximum(x, 0)


def _pool(x: Floats) -> Floats:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


def float_graph(weights: Weights) -> FloatGraph:
    """The dense network in real numbers as imported ones are, for `headrace.quantisation`; its input are device
    inputs."""

    def part(kind: type[Conv] | type[FloatLinear], name: str, source: str) -> FloatLayer:
        low = -inf if name == LAYERS[-1] else 0.0
        return kind(name, (source,), weights=weights[f"{name}_weight"], bias=weights[f"{name}_bias"], low=low)

    layers = (
        part(Conv, "conv1", INPUT),
        FloatMaxPool("conv1_pool", ("conv1",)),
        part(Conv, "conv2", "conv1_pool"),
        FloatMaxPool("conv2_pool", ("conv2",)),
        part(FloatLinear, "fc1", "conv2_pool"),
        part(FloatLinear, "fc2", "fc1"),
    )
    scaled = Input(INPUT_SHAPE, INPUT_SHAPE, scale=np.array([INPUT_SCALE], np.float32))
    return FloatGraph("lenet5", scaled, layers, Output((10, 1, 1), (10,)))


def compress_network(
    weights: Weights, densities: Sequence[float], values: int, calibration: NDArray[np.int8], name: str = "lenet5"
) -> tuple[Network, tuple[CompressedLayer, ...]]:
    """Magnitude-prune each layer to its density, share the rest, quantise; and what that did to each layer.

    densities: a fraction for each of LAYERS. values: most distinct values of a layer, zero included, all on an int8
    grid of the layer's own scale. calibration: device inputs int8 (N, 1, 28, 28); the largest activation that the
    compressed float network has on them becomes 127. Raises ValueError on wrong arguments, CompileError where a scale
    or bias cannot be held, HeadraceError without scikit-learn.
    """
    if len(densities) != len(LAYERS):
        raise ValueError(f"{len(LAYERS)} densities are needed, one a layer, not {len(densities)}")
    shared = {}
    for layer, density in zip(LAYERS, densities, strict=True):
        W = weights[f"{layer}_weight"]
        shared[layer] = share_layer(W, magnitude_mask(W, density), values)
    dense = {f"{layer}_weight": part.dense() for layer, part in shared.items()}
    seen = activations({**weights, **dense}, calibration)
    layers: list[Layer] = []
    report = []
    scale = INPUT_SCALE
    for layer, part in shared.items():
        output = activation_scale(seen[layer])
        bias = quantise_bias(weights[f"{layer}_bias"], scale * part.scale)
        rescale = quantise_multiplier(np.full(len(bias), scale * part.scale / output))
        kind = Conv2d if part.weights.ndim == 4 else Linear
        layers.append(kind(layer, part.weights, bias, *rescale, low=-128 if layer == LAYERS[-1] else 0))
        if kind is Conv2d:
            layers.append(MaxPool2d(f"{layer}_pool"))
        scale = output
        nonzeros, size = int(np.count_nonzero(part.weights)), part.weights.size
        W = weights[f"{layer}_weight"].astype(np.float64)
        error = float(np.sqrt(((W - part.dense()) ** 2).sum() / max((W**2).sum(), np.finfo(np.float64).tiny)))
        report.append(
            CompressedLayer(layer, SHAPES[layer], nonzeros, nonzeros / size, part.values.size, part.scale, error)
        )
    return Network(name, INPUT_SHAPE, INPUT_SCALE, scale, tuple(layers)), tuple(report)


def load_weights(path: Path) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float64] | None]:
    """Weights, and densities where the file has them, from a .npz of the layout of `headrace.data.lenet5`.

    DataError where the file is missing, damaged, or holds other arrays.
    """
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC_PREFIX)) == MAGIC_PREFIX:
                raise DataError(f"{path} is a single array, not an .npz of LeNet-5 weights")
            with zipfile.ZipFile(file) as archive:
                arrays = {key: _member(archive, f"{key}.npy") for key in KEYS if f"{key}.npy" in archive.namelist()}
    except (FileNotFoundError, IsADirectoryError):
        raise DataError(f"{path} is not a file") from None
    except (OSError, ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is not a readable .npz: {' '.join(str(error).split())}") from None
    return check_weights(arrays, str(path))


def is_layout(path: Path) -> bool:
    """Whether the file is an .npz with any array of this layout."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(f"{key}.npy" in archive.namelist() for key in KEYS)
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile):
        return False


def _member(archive: zipfile.ZipFile, name: str) -> NDArray[np.generic]:
    """An array of an .npz; ValueError where it claims to be larger than it can be."""
    member = archive.getinfo(name)
    if member.file_size > LARGEST_MEMBER or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name}: {member.file_size} bytes, more than any array of LeNet-5, or packed in another way")
    with archive.open(member) as file:
        try:
            return read_npy(file, member.file_size)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def check_weights(
    arrays: Mapping[str, NDArray], source: str
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float64] | None]:
    """The eight arrays as float32, and `densities`, where there, as float64 (4,); DataError naming what is wrong."""
    weights = {}
    for layer, shape in SHAPES.items():
        for key, wanted in ((f"{layer}_weight", shape), (f"{layer}_bias", shape[:1])):
            if key not in arrays:
                raise DataError(f"{source} holds no array {key!r}")
            array = arrays[key]
            if array.shape != wanted or array.dtype.kind != "f":
                raise DataError(f"{source}: {key} must be floats {wanted}, not {array.dtype} {array.shape}")
            with np.errstate(over="ignore"):
                weights[key] = array.astype(np.float32)
            if not np.isfinite(weights[key]).all():
                raise DataError(f"{source}: {key} holds a NaN, an infinity, or a number beyond float32")
    if "densities" not in arrays:
        return weights, None
    densities = arrays["densities"].astype(np.float64) if arrays["densities"].dtype.kind == "f" else np.zeros(0)
    if densities.shape != (len(LAYERS),) or not ((densities >= 0) & (densities <= 1)).all():
        raise DataError(f"{source}: densities must be {len(LAYERS)} fractions")
    return weights, densities
