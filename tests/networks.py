"""Networks with random weights, for every test that needs one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.network import Conv2d, Layer, Linear, MaxPool2d, Network, Shape


def sparse(rng: np.random.Generator, shape: tuple[int, ...], density: float, levels: int = 0) -> NDArray[np.int8]:
    """int8 weights in -127..127, that share of them nonzero; `levels` > 0: that many distinct values at most."""
    values = rng.integers(-127, 128, shape)
    if levels:
        values = rng.choice(rng.integers(-127, 128, levels), shape)
    return np.where(rng.random(shape) < density, values, 0).astype(np.int8)


def scales(rng: np.random.Generator, weights: NDArray[np.int8]) -> dict[str, Any]:
    """Bias, multiplier and shift (M,) that spread the sums of random activations over the int8 range and past it."""
    rows = len(weights)
    spread = 50.0 * np.sqrt((weights.reshape(rows, -1).astype(np.float64) ** 2).sum(axis=1)) + 1
    shift = np.floor(np.log2(spread)).astype(np.int64) + 9
    return {
        "bias": rng.integers(-spread.astype(np.int64), spread.astype(np.int64) + 1),
        "multiplier": np.clip((rng.uniform(30, 120, rows) / spread * 2.0**shift), 1, 65535).astype(np.int64),
        "shift": np.minimum(shift, 63),
    }


def conv2d(
    rng: np.random.Generator,
    name: str,
    shape: tuple[int, int, int, int],
    density: float = 0.5,
    relu: bool = True,
    levels: int = 0,
) -> Conv2d:
    """Weights of `shape` (M, C, kh, kw)."""
    weights = sparse(rng, shape, density, levels)
    return Conv2d(name, weights, **scales(rng, weights), low=0 if relu else -128)


def linear(
    rng: np.random.Generator,
    name: str,
    shape: tuple[int, int],
    density: float = 0.5,
    relu: bool = False,
    levels: int = 0,
) -> Linear:
    """Weights of `shape` (M, K)."""
    weights = sparse(rng, shape, density, levels)
    return Linear(name, weights, **scales(rng, weights), low=0 if relu else -128)


def unit_linear(weights: NDArray[Any], bias: int = 0, name: str = "fc") -> Linear:
    """One bias for all rows of `weights`, multiplier and shift 1."""
    one = np.ones(len(weights), np.int64)
    return Linear(name, weights.astype(np.int8), bias * one, one, one)


def random_network(rng: np.random.Generator, max_layers: int = 5, max_channels: int = 6, max_size: int = 13) -> Network:
    """Convolutions and poolings while they fit, then perhaps linear layers; shapes, densities and clamps at random."""
    channels, height, width = (int(rng.integers(1, most + 1)) for most in (max_channels, max_size, max_size))
    shape: Shape = (channels, height, width)
    first, layers = shape, list[Layer]()
    for index in range(int(rng.integers(1, max_layers + 1))):
        rows, density = int(rng.integers(1, max_channels + 1)), float(rng.choice([0.0, 0.1, 0.4, 1.0]))
        kinds = ["linear"] + (["conv2d"] * 3 + ["pool"] * 2) * (min(shape[1:]) >= 2)
        kind, relu = rng.choice(kinds), bool(rng.integers(2))
        layer: Layer
        if kind == "pool":
            layer = MaxPool2d(f"pool{index}")
        elif kind == "conv2d":
            kernel = [int(rng.integers(1, min(n, 5) + 1)) for n in shape[1:]]
            layer = conv2d(rng, f"conv{index}", (rows, shape[0], kernel[0], kernel[1]), density, relu)
        else:
            layer = linear(rng, f"fc{index}", (rows, shape[0] * shape[1] * shape[2]), density, relu)
        layers.append(layer)
        shape = layer.output_shape(shape)
    return Network("random", first, 1 / 128, 0.125, tuple(layers))


def tiny_lenet(rng: np.random.Generator, density: float = 0.1) -> Network:
    """Caffe's LeNet for MNIST: 20 and 50 kernels of 5 x 5, 500 and 10 neurons; 16 values a layer."""
    layers = (
        conv2d(rng, "conv1", (20, 1, 5, 5), 0.5, relu=False, levels=16),
        MaxPool2d("pool1"),
        conv2d(rng, "conv2", (50, 20, 5, 5), density, relu=False, levels=16),
        MaxPool2d("pool2"),
        linear(rng, "fc1", (500, 800), density, relu=True, levels=16),
        linear(rng, "fc2", (10, 500), 0.5, levels=16),
    )
    return Network("lenet", (1, 28, 28), 1 / 128, 0.125, layers)


def random_input(rng: np.random.Generator, network: Network, images: int = 2) -> NDArray[np.int8]:
    """(N, C, H, W) int8 over the whole range."""
    return rng.integers(-128, 128, (images, *network.input_shape), dtype=np.int8)
