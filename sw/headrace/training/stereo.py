"""A stereo matching network pruned, then trained with the device's rounding: after the idea of arXiv 2010.01892.

What is left is chosen over all layers, by Taylor scores or, as a control, by magnitudes; each layer keeps a floor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass, replace
from math import cos, isfinite, pi
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.compile import compile_network
from headrace.compress.constraints import Constraints, masked, weight_arrays
from headrace.compress.prune import cubic_density
from headrace.compress.rounding import Rounding
from headrace.compress.taylor import TaylorScores, taylor_masks
from headrace.config import get_config
from headrace.cycles import estimate
from headrace.data.stereo import Scene
from headrace.errors import DataError
from headrace.evaluate import run_network
from headrace.importers.torch import import_torch
from headrace.nets import build
from headrace.network import Network, Weighted
from headrace.quantisation import quantise

from .matching import Array, Pairs, errors, hinge, normalised_picture
from .results import macs, storage

if TYPE_CHECKING:
    import torch
    from torch import nn

SCORES = ("taylor", "magnitude")
TILE = 72
"""Pixels of a side of what is calibrated with, and of the picture that cycles are of."""
TILES = 4
"""Of each side of a training picture, to calibrate with."""
CONFIG = "pynq-z2"


@dataclass(frozen=True)
class Plan:
    """How long each part takes, and with what. Epochs are of `samples` positions, drawn anew for each."""

    dense: int = 20
    prune: int = 6
    round: int = 4
    samples: int = 40_000
    batch: int = 128
    rate: float = 1e-3
    """Of Adam, along half a cosine in the first part, and over the other two together."""
    every: int = 20
    """Steps between two prunings."""
    hard: bool = False
    """What was pruned stays so. Else it goes on learning and is ranked anew, until the last pruning."""
    pixels: int = 20_000
    """Of the held-out scene, to measure errors on."""
    seed: int = 1

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.samples // self.batch


Show = Callable[[], None]
"""Called after each epoch."""


def untrained(plan: Plan) -> nn.Module:
    """Random weights by the seed."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        return build("matching")


def dense(pairs: Pairs, plan: Plan, show: Show) -> nn.Module:
    """The network trained from random weights."""
    constraints = Constraints(untrained(plan))
    parts = [epoch / plan.dense for epoch in range(plan.dense)]
    _train(constraints, pairs, plan, 0, parts, show)
    return constraints.model


def pruned(start: nn.Module, pairs: Pairs, plan: Plan, score: str, density: float, show: Show) -> Constraints:
    """A copy of the network trained on for `plan.prune` epochs, along a cubic down to `density` in two thirds of them.

    score: one of SCORES; a density of 1 prunes nothing. Its masks hold from then on.
    """
    constraints = Constraints(deepcopy(start))
    pruning = _Pruning(constraints, plan, score, density)
    parts = [epoch / (plan.prune + plan.round) for epoch in range(plan.prune)]
    _train(constraints, pairs, plan, 1, parts, show, pruning.passes, pruning.after_step)
    constraints.set_masks(pruning.masks)
    return constraints


class _Pruning:
    """Masks of a network in training."""

    def __init__(self, constraints: Constraints, plan: Plan, score: str, density: float) -> None:
        self.constraints, self.plan, self.score, self.density = constraints, plan, score, density
        self.scores = TaylorScores(constraints.model)
        self.masks: dict[str, NDArray[np.bool_]] = {}
        self._tensors: dict[str, torch.Tensor] = {}
        self._over = max(1, 2 * plan.prune * plan.steps // 3)

    @contextmanager
    def passes(self) -> Iterator[None]:
        with masked(self.constraints.modules, self._tensors):
            yield
        self.scores.update()  # with the weights whole, so that pruned ones have scores too

    def after_step(self, step: int) -> None:
        import torch

        if self.density == 1 or step > self._over or (step % self.plan.every and step != self._over):
            return
        falling = cubic_density(step / self._over, self.density)
        if self.score == "taylor":
            self.masks = self.scores.masks(falling)
        else:
            weights = weight_arrays(self.constraints.model)
            self.masks = taylor_masks({name: np.abs(W) for name, W in weights.items()}, falling)
        self._tensors = {name: torch.from_numpy(mask) for name, mask in self.masks.items()}
        if self.plan.hard:
            self.constraints.set_masks(self.masks)


def rounded(start: Constraints, pairs: Pairs, plan: Plan, show: Show) -> nn.Module:
    """A copy trained on for `plan.round` epochs, its masks fixed, with int8 weights and activations forward."""
    constraints = Constraints(deepcopy(start.model))
    constraints.load(start.state())
    rounding = Rounding(constraints.model, set())
    parts = [(plan.prune + epoch) / (plan.prune + plan.round) for epoch in range(plan.round)]
    _train(constraints, pairs, plan, 2, parts, show, rounding.active)
    return constraints.model


def _train(
    constraints: Constraints,
    pairs: Pairs,
    plan: Plan,
    stage: int,
    parts: Sequence[float],
    show: Show,
    passes: Callable[[], AbstractContextManager[None]] = nullcontext,
    after_step: Callable[[int], None] = lambda _: None,
) -> None:
    """An epoch for each of `parts`, which say how far along its half cosine the rate is. `after_step` gets a count."""
    import torch

    model, steps = constraints.model.train(), 0
    optimiser = torch.optim.Adam(constraints.parameters(), plan.rate)
    for epoch, part in enumerate(parts):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * 0.5 * (1 + cos(pi * part))
        generator = np.random.default_rng([plan.seed, stage, epoch])
        for patches in pairs.batches(plan.samples, plan.batch, generator):
            model.zero_grad()
            with passes():
                loss = hinge(model, torch.from_numpy(patches))
                loss.backward()
            if not isfinite(float(loss.detach())):
                raise DataError("the loss is not finite: lower the rate")
            constraints.before_step()
            optimiser.step()
            constraints.after_step(optimiser)
            after_step(steps := steps + 1)
        show()
    model.eval()


def float_errors(model: nn.Module, scene: Scene, plan: Plan) -> dict[str, Any]:
    """`errors` of real numbers."""
    import torch

    def features(picture: Array) -> Array:
        with torch.no_grad():
            found: Array = model(torch.from_numpy(picture)).numpy()
        return found

    return errors(features, scene, plan.pixels, plan.seed)


def integers(model: nn.Module, scenes: Sequence[Scene]) -> Network:
    """The network in the device's integers, for a picture of TILE pixels a side, calibrated on parts of the scenes."""
    import torch

    graph = import_torch(model, torch.zeros(1, 1, TILE, TILE), "matching")
    network, _ = quantise(graph, graph.input.feed(tiles(scenes)))
    return network


def tiles(scenes: Sequence[Scene]) -> Array:
    """(N, 1, TILE, TILE), spread over the pictures, which are normalised as a whole. DataError for small ones."""
    found = []
    for scene in scenes:
        height, width = scene.left.shape
        if min(height, width) < TILE:
            raise DataError(f"scene {scene.name}: {width} x {height} pixels are too few to calibrate with")
        for picture in (scene.left, scene.right):
            whole = normalised_picture(picture)[0]
            for top in np.linspace(0, height - TILE, TILES).astype(int):
                for first in np.linspace(0, width - TILE, TILES).astype(int):
                    found.append(whole[:, top : top + TILE, first : first + TILE])
    return np.stack(found)


def integer_errors(model: nn.Module, network: Network, scene: Scene, plan: Plan) -> dict[str, Any]:
    """`errors` of the integers, which are the device's bit for bit."""
    import torch

    height, width = scene.left.shape
    graph = import_torch(model, torch.zeros(1, 1, height, width), "matching")
    whole = replace(network, input_shape=(1, height, width))

    def features(picture: Array) -> Array:
        return run_network(graph, whole, picture).astype(np.float32)

    return errors(features, scene, plan.pixels, plan.seed)


def costs(network: Network) -> dict[str, Any]:
    """What the integers take: fractions of dense float32, bytes in each format, cycles for a picture of TILE.

    Biases, requantisation and what compares features do not count.
    """
    weights = [layer.weights for layer in network.layers if isinstance(layer, Weighted)]
    image, products = compile_network(network, get_config(CONFIG)), macs(network)
    return {
        "weights": sum(W.size for W in weights),
        "nonzeros": sum(int(np.count_nonzero(W)) for W in weights),
        "layers": [int(np.count_nonzero(W)) for W in weights],
        "memory": memory(weights, 8, indices=False),
        "memory_indices": memory(weights, 8, indices=True),
        "cost": products["nonzero"] * 8 * 8 / (products["dense"] * 32 * 32),
        "macs": products,
        "bytes": storage(network),
        "cycles": {"config": CONFIG, "tile": TILE, "estimated": estimate(image).cycles},
    }


def memory(weights: Sequence[NDArray[np.generic]], bits: int, indices: bool) -> float:
    """Bits of all weights that are not 0, over those of all as float32.

    indices: and of where they are, by layer the less of a bit for each weight and a position, of as many bits as the
    layer needs, for each that is not 0; a layer that would take more than all its weights do has them all.
    """
    total = 0
    for W in weights:
        count = int(np.count_nonzero(W))
        needed = bits * count
        if indices:
            needed = min(needed + min(W.size, count * (W.size - 1).bit_length()), bits * W.size)
        total += needed
    return total / (32 * sum(W.size for W in weights))


def _float_row(model: nn.Module, held_out: Scene, plan: Plan) -> dict[str, Any]:
    weights = list(weight_arrays(model).values())
    size, layers = sum(W.size for W in weights), [int(np.count_nonzero(W)) for W in weights]
    found = {"float": float_errors(model, held_out, plan), "int8": None, "weights": size, "nonzeros": sum(layers)}
    return found | {"layers": layers, "memory": 1.0, "memory_indices": 1.0, "cost": 1.0}


def experiment(
    scenes: Sequence[Scene], held_out: Scene, plan: Plan, wanted: Sequence[tuple[str, float]], show: Show
) -> dict[str, Any]:
    """What JSON holds of one scene held out and the others, `scenes`, to train on.

    wanted: score and density of rows; before them come random weights, the dense network, and that trained on.
    """
    pairs = Pairs(scenes)
    start = dense(pairs, plan, show)
    rows: list[dict[str, Any]] = []
    for score, model, epochs in (("random", untrained(plan), 0), ("dense", start, plan.dense)):
        row = {"score": score, "density": 1.0, "epochs": epochs, "seed": plan.seed}
        rows.append(row | _float_row(model.eval(), held_out, plan))
    for score, density in (("dense, trained on", 1.0), *wanted):
        constraints = pruned(start, pairs, plan, score, density, show)
        model = rounded(constraints, pairs, plan, show)
        network = integers(model, scenes)
        row = {"score": score, "density": density, "seed": plan.seed}
        row |= {"epochs": plan.dense + plan.prune + plan.round}
        row |= {"float": float_errors(constraints.model, held_out, plan)}
        rows.append(row | {"int8": integer_errors(model, network, held_out, plan)} | costs(network))
    height, width = held_out.left.shape
    return {
        "scene": held_out.name,
        "width": width,
        "height": height,
        "largest": float(held_out.disparity[held_out.known()].max()),
        "positions": len(pairs),
        "rows": rows,
    }


def epochs(plan: Plan, rows: int) -> int:
    """How often `experiment` calls `show` for so many rows wanted."""
    return plan.dense + (rows + 1) * (plan.prune + plan.round)
