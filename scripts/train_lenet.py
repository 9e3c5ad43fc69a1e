#!/usr/bin/env python3
"""Train the LeNet-5 (20-50-500-10) that headrace ships: one set of weights, good dense and good compressed.

Both networks learn together: loss = CE(f(W)) + CE(f(Q(W * m))), m the magnitude mask of each layer at a density that
falls on a cubic schedule, Q the weight sharing and int8 rounding of the device (straight-through gradients) in the
last third. Small weights outside the mask learn through the dense path alone, so that one-shot pruning of the result
costs next to nothing. Network: conv 5x5 1->20, ReLU, max pool 2, conv 5x5 20->50, ReLU, max pool 2, linear 800->500,
ReLU, linear 500->10. Input: (pixel >> 1) / 127, so that the device's int8 input is `pixel >> 1`. Checkpoints are
chosen on the last 5,000 training images; the test images are looked at once, at the end. Needs `pip install
'headrace[torch]'`; about 15 minutes on two cores.

    scripts/train_lenet.py --data DIR --output lenet5.npz
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray

from headrace.compress.share import share_layer
from headrace.data.mnist import load_mnist
from headrace.lenet import LAYERS, SHAPES, compress_network, device_input
from headrace.network import Network

DENSITIES = {"conv1": 0.6, "conv2": 0.12, "fc1": 0.03, "fc2": 0.2}  # 3.8 % of all weights
SHARED = 32  # values per layer, zero included
VALIDATION = 5000
SIZE_LIMIT = 2_000_000

CALIBRATION = 128  # training images that set the activation scales

Parameters = dict[str, torch.Tensor]
Weights = dict[str, NDArray[np.float32]]


def forward(
    p: Parameters, x: torch.Tensor, scales: Parameters | None = None, seen: Parameters | None = None
) -> torch.Tensor:
    """Logits (n, 10) of images (n, 1, 28, 28).

    With `scales` the activations are rounded to int8 steps of the largest magnitude seen, which is kept there; with
    `seen` each layer's activations are put there.
    """

    def step(name: str, y: torch.Tensor) -> torch.Tensor:
        if seen is not None:
            seen[name] = y
        if scales is None:
            return y
        with torch.no_grad():
            scales[name] = torch.maximum(scales.get(name, y.new_zeros(())) * 0.999, y.abs().max() / 127)
            rounded = torch.clamp(torch.round(y / scales[name]), -128, 127) * scales[name]
        return y + (rounded - y).detach()

    x = step("conv1", F.max_pool2d(F.relu(F.conv2d(x, p["conv1_weight"], p["conv1_bias"])), 2))
    x = step("conv2", F.max_pool2d(F.relu(F.conv2d(x, p["conv2_weight"], p["conv2_bias"])), 2))
    x = step("fc1", F.relu(F.linear(x.flatten(1), p["fc1_weight"], p["fc1_bias"])))
    return F.linear(x, p["fc2_weight"], p["fc2_bias"])


def scaled(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels 0..255 (n, 28, 28) as the network's input, `(pixel >> 1) / 127`, (n, 1, 28, 28) float32."""
    return (torch.floor(pixels.float() / 2) / 127).unsqueeze(1)


def augmented(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Each image turned, scaled, sheared and shifted a little: uint8 (n, 28, 28) to float 0..255 of the same shape."""
    n = pixels.shape[0]
    r = torch.rand((n, 6), generator=generator) * 2 - 1
    angle, shear = r[:, 0] * 0.18, r[:, 1] * 0.1
    zoom_x, zoom_y = 1 + 0.1 * r[:, 2], 1 + 0.1 * r[:, 3]
    theta = torch.zeros((n, 2, 3))
    theta[:, 0, 0], theta[:, 0, 1] = zoom_x * torch.cos(angle), -torch.sin(angle) + shear
    theta[:, 1, 0], theta[:, 1, 1] = torch.sin(angle), zoom_y * torch.cos(angle)
    theta[:, :, 2] = r[:, 4:] * (2 / 14)
    grid = F.affine_grid(theta, [n, 1, 28, 28], align_corners=False)
    return F.grid_sample(pixels.float().unsqueeze(1), grid, align_corners=False).squeeze(1)


class MaskedPath:
    """The compressed network's view of the weights: `W * mask`, shared values once `share` was called."""

    def __init__(self) -> None:
        self.masks: Parameters = {}
        self.grids: Parameters = {}
        self.scales: Parameters = {}

    def update(self, p: Parameters, progress: float, share: bool) -> None:
        """Recompute masks at the density of `progress` (0 to 1, cubic), and each layer's shared values."""
        for name in LAYERS:
            W = p[f"{name}_weight"].detach()
            density = DENSITIES[name] + (1 - DENSITIES[name]) * (1 - min(progress, 1.0)) ** 3
            kept = max(1, round(density * W.numel()))
            threshold = torch.topk(W.abs().flatten(), kept).values[-1]
            mask = W.abs() >= threshold
            self.masks[name] = mask.float()
            if share:
                layer = share_layer(W.numpy(), mask.numpy(), SHARED)
                values = layer.values[layer.values != 0].astype(np.float32) * layer.scale
                self.grids[name] = torch.from_numpy(values.astype(np.float32))

    def parameters(self, p: Parameters) -> Parameters:
        q = dict(p)
        for name in LAYERS:
            W = p[f"{name}_weight"]
            if name in self.grids:
                grid = self.grids[name]
                near = grid[torch.bucketize(W.detach(), (grid[1:] + grid[:-1]) / 2)]
                W = W + (near - W).detach()
            q[f"{name}_weight"] = W * self.masks[name]
        return q


def initial(generator: torch.Generator) -> Parameters:
    """He-normal weights, zero biases."""
    p: Parameters = {}
    for name, shape in SHAPES.items():
        spread = (2 / int(np.prod(shape[1:]))) ** 0.5
        p[f"{name}_weight"] = (torch.randn(shape, generator=generator) * spread).requires_grad_()
        p[f"{name}_bias"] = torch.zeros(shape[0]).requires_grad_()
    return p


@torch.no_grad()
def accuracy(
    p: Parameters, images: NDArray[np.uint8], labels: NDArray[np.uint8], scales: Parameters | None = None
) -> float:
    right = 0
    for i in range(0, len(images), 1000):
        logits = forward(p, scaled(torch.from_numpy(images[i : i + 1000])), None if scales is None else dict(scales))
        right += int((logits.argmax(1).numpy() == labels[i : i + 1000]).sum())
    return right / len(images)


def train(images: NDArray[np.uint8], labels: NDArray[np.uint8], epochs: int, seed: int, log: Log) -> Weights:
    """Weights of the best checkpoint by mean validation accuracy of the dense and the compressed network."""
    generator = torch.Generator().manual_seed(seed)
    x, y = torch.from_numpy(images[:-VALIDATION]), torch.from_numpy(labels[:-VALIDATION]).long()
    held = images[-VALIDATION:], labels[-VALIDATION:]
    p = initial(generator)
    batch, rate = 128, 1.5e-3
    steps = len(x) // batch
    prune_from, prune_to, share_from = round(0.1 * epochs), 0.55 * epochs, round(0.65 * epochs)
    optimiser = torch.optim.AdamW(list(p.values()), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=epochs * steps, pct_start=0.1)
    path, best, best_weights = MaskedPath(), 0.0, {k: v.detach().numpy().copy() for k, v in p.items()}
    for epoch in range(epochs):
        start, total = time.monotonic(), 0.0
        order = torch.randperm(len(x), generator=generator)
        for i in range(steps):
            if i % 50 == 0 and epoch >= prune_from:
                at = epoch + i / steps
                path.update(p, (at - prune_from) / (prune_to - prune_from), share=epoch >= share_from and i == 0)
            chosen = order[i * batch : (i + 1) * batch]
            inputs, wanted = scaled(augmented(x[chosen], generator)), y[chosen]
            loss = F.cross_entropy(forward(p, inputs), wanted, label_smoothing=0.02)
            if path.masks:
                scales = path.scales if epoch >= share_from else None
                loss = loss + F.cross_entropy(forward(path.parameters(p), inputs, scales), wanted, label_smoothing=0.02)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item()
        dense = accuracy(p, *held)
        line = f"epoch {epoch + 1:2}/{epochs}  loss {total / steps:.4f}  validation dense {dense:.4f}"
        if path.masks:
            path.update(p, (epoch + 1 - prune_from) / (prune_to - prune_from), share=epoch >= share_from)
            small = accuracy(path.parameters(p), *held, path.scales if epoch >= share_from else None)
            line += f"  compressed {small:.4f} at density {overall(path.masks):.3f}"
            if epoch >= share_from and dense + small >= best:
                best, best_weights = dense + small, {k: v.detach().numpy().copy() for k, v in p.items()}
                line += "  kept"
        log(f"{line}  {time.monotonic() - start:.0f} s")
    return best_weights


def overall(masks: Parameters) -> float:
    return sum(float(m.sum()) for m in masks.values()) / sum(m.numel() for m in masks.values())


def accuracy_int8(network: Network, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """Fraction of images whose largest int8 output is their label, by the integers of the device model."""
    right = 0
    for i in range(0, len(images), 500):
        y = network.run(device_input(images[i : i + 500]))
        right += int((y.argmax(axis=1) == labels[i : i + 500]).sum())
    return right / len(images)


class Log:
    """Prints each line and keeps it for the log file."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> None:
        print(line, flush=True)
        self.lines.append(line)


def save(weights: Weights, output: Path) -> Weights:
    """Write the .npz and return what it holds; mantissas are shortened, a bit at a time, until it is under 2 MB."""
    densities = np.array([DENSITIES[name] for name in LAYERS], dtype=np.float32)
    temporary = output.with_name(output.name + ".tmp.npz")
    for dropped in range(16):
        kept = {k: shorten(v, dropped) for k, v in weights.items()}
        np.savez_compressed(temporary, densities=densities, **kept)  # type: ignore[arg-type]
        if temporary.stat().st_size < SIZE_LIMIT:
            break
    os.replace(temporary, output)  # noqa: PTH105
    return kept


def shorten(values: NDArray[np.float32], dropped: int) -> NDArray[np.float32]:
    """Round float32 to a mantissa shorter by `dropped` bits (to nearest, ties away from zero)."""
    if not dropped:
        return values
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return ((bits + np.uint32(1 << (dropped - 1))) & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)).view(np.float32)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the four idx files of MNIST")
    parser.add_argument("--output", type=Path, required=True, help="the .npz to write")
    parser.add_argument("--log", type=Path, help="where to write the log")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=24)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    log, start = Log(), time.monotonic()
    log(f"train_lenet --seed {arguments.seed} --epochs {arguments.epochs}, torch {torch.__version__}")
    images, labels = load_mnist(arguments.data, "train")
    weights = save(train(images, labels, arguments.epochs, arguments.seed, log), arguments.output)
    test = load_mnist(arguments.data, "test")
    dense = accuracy({k: torch.from_numpy(v) for k, v in weights.items()}, *test)
    densities = [DENSITIES[name] for name in LAYERS]
    network, layers = compress_network(weights, densities, SHARED, device_input(images[:CALIBRATION]))
    small = accuracy_int8(network, *test)
    nonzero, size = sum(layer.nonzeros for layer in layers), sum(int(np.prod(layer.shape)) for layer in layers)
    log(f"dense float32: {dense:.4f} of the 10,000 test images, {arguments.output.stat().st_size:,} bytes")
    log(f"pruned to {nonzero / size:.4f}, at most {SHARED} values a layer, int8 integers: {small:.4f}")
    for layer in layers:
        whole = int(np.prod(layer.shape))
        log(f"  {layer.name}: {layer.nonzeros:,} of {whole:,} weights ({layer.density:.4f}), {layer.values} values")
    log(f"{time.monotonic() - start:.0f} s in all")
    if arguments.log:
        temporary = arguments.log.with_name(arguments.log.name + ".tmp")
        temporary.write_text("\n".join(log.lines) + "\n")
        os.replace(temporary, arguments.log)  # noqa: PTH105
    return 0


if __name__ == "__main__":
    sys.exit(main())
