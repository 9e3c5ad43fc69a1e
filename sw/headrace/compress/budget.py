"""Densities of all layers for a number of bytes or cycles, counted as the device counts them.

Each layer is tried alone at a few densities: what that does to the network's outputs on calibration data is its loss.
What a layer costs at a density is taken from the network compiled at that density: bytes of its streams and tables,
its cycles as `headrace.cycles` estimates them. A price per byte or cycle then decides for each layer by itself, and is
raised until the network, compiled as decided, is within the budget; what room is left is given to single layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from headrace.coding import Effort
from headrace.compile import compile_network
from headrace.config import Config
from headrace.cycles import estimate
from headrace.errors import CompileError
from headrace.floats import Conv, FloatGraph, Linear
from headrace.image import Image
from headrace.quantisation import Options, quantise
from headrace.quantisation.compress import prune
from headrace.slices import layer_name

LEVELS = (1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01)
"""Densities tried for each layer."""
IMAGES = 64
"""Calibration samples that losses are measured on."""
Progress = Callable[[int, int], None]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trade:
    """What layers lose and cost at each of LEVELS; a row a layer."""

    names: tuple[str, ...]
    losses: Array
    """(layers, levels): squared change of the network's outputs over their squares, of this layer alone; rises."""
    costs: Array
    """(limits, layers, levels): bytes and cycles, as parts of what is allowed of them; falls, but for what coding makes
    of chance."""

    def choose(self, price: float) -> NDArray[np.int64]:
        """For each layer the level with the least loss + price * cost, of equals the sparsest."""
        total = self.losses + price * self.costs.sum(axis=0)
        return total.shape[1] - 1 - np.argmin(total[:, ::-1], axis=1)

    def choices(self) -> list[NDArray[np.int64]]:
        """Every choice that a price between 0 and infinity leads to, from dense to sparse.

        Between neighbours some price makes two levels of a layer equal, so only these prices matter.
        """
        found = [np.argmin(self.losses, axis=1)]
        prices: set[float] = set()
        for loss, cost in zip(self.losses, self.costs.sum(axis=0), strict=True):
            for a in range(len(loss)):
                gain, saved = loss[a + 1 :] - loss[a], cost[a] - cost[a + 1 :]
                prices.update((gain[(saved > 0) & (gain >= 0)] / saved[(saved > 0) & (gain >= 0)]).tolist())
        for price in sorted(prices):
            choice = self.choose(price * (1 + 1e-12))
            if not np.array_equal(choice, found[-1]):
                found.append(choice)
        return found

    def refinements(self, choice: NDArray[np.int64], room: Array) -> list[NDArray[np.int64]]:
        """The choice, and ever denser ones: each has the change with the most loss avoided for its cost that fits.

        room: for each limit the part that is left with `choice`, as far as costs of single layers tell.
        """
        found, rows = [choice], np.arange(len(self.names))
        while True:
            now = found[-1]
            gain = self.losses[rows, now][:, None] - self.losses
            extra = self.costs - self.costs[:, rows, now][:, :, None]
            fits = (gain > 0) & (extra <= room[:, None, None]).all(axis=0)
            if not fits.any():
                return found
            worth = np.where(fits, gain / np.maximum(extra.sum(axis=0), 1e-9), -1.0)
            row, level = np.unravel_index(int(np.argmax(worth)), worth.shape)
            room = room - extra[:, row, level]
            found.append(np.where(rows == row, level, now))


def densities_within(
    graph: FloatGraph,
    calibration: NDArray[np.float32],
    options: Options,
    config: Config,
    max_bytes: int | None = None,
    max_cycles: int | None = None,
    progress: Progress | None = None,
    effort: Effort = Effort.DEFAULT,
) -> dict[str, float]:
    """A density for each layer with weights: the least loss found within `max_bytes` and `max_cycles`.

    calibration: as for `quantise`. options: but for the density. max_bytes: of the image's blob, which is all that a
    device keeps in memory for the network. max_cycles: of one inference, as estimated. Deterministic; compiles the
    network for each level and then in a binary search. CompileError where even the sparsest network is too large or
    too slow, naming what it takes; ValueError without any limit.
    """
    limits = [(limit, count) for limit, count in ((max_bytes, _bytes), (max_cycles, _cycles)) if limit is not None]
    if not limits:
        raise ValueError("max_bytes or max_cycles is needed")
    names = tuple(layer.name for layer in graph.layers if isinstance(layer, Conv | Linear))
    steps = len(LEVELS) * (len(names) + 1)

    def show(done: int) -> None:
        if progress is not None:
            progress(done, steps)

    def compiled(density: float | Mapping[str, float]) -> tuple[Image, dict[str, str]]:
        network, report = quantise(graph, calibration, replace(options, density=density))
        return compile_network(network, config, effort=effort), {one.name: one.output for one in report.weights}

    losses = _losses(graph, calibration[:IMAGES], options, names, show)
    costs = np.zeros((len(limits), len(names), len(LEVELS)))
    for number, level in enumerate(LEVELS):
        image, outputs = compiled(level)
        for row, (_, count) in enumerate(limits):
            values = count(image)[1]
            costs[row, :, number] = [_of_layer(values, outputs[name]) for name in names]
        show(len(names) * len(LEVELS) + number + 1)
    allowed = np.array([limit for limit, _ in limits], np.float64)
    trade = Trade(names, losses, costs / allowed[:, None, None])

    def taken(choice: NDArray[np.int64]) -> Array:
        image, _ = compiled(_named(names, choice))
        return np.array([count(image)[0] for _, count in limits])

    choices = trade.choices()
    sparsest = taken(choices[-1])
    if (sparsest > allowed).any():
        image, _ = compiled(_named(names, choices[-1]))
        raise CompileError(
            f"{graph.name}: the sparsest choice of densities takes {_bytes(image)[0]:,} bytes and "
            f"{_cycles(image)[0]:,} cycles on config {config.name}: allow as much, or take a smaller network"
        )
    choice = _first(choices, lambda one: bool((taken(one) <= allowed).all()))
    finer = trade.refinements(choice, 1 - taken(choice) / allowed)[::-1]
    return _named(names, _first(finer, lambda one: bool((taken(one) <= allowed).all())))


def _first(choices: list[NDArray[np.int64]], fits: Callable[[NDArray[np.int64]], bool]) -> NDArray[np.int64]:
    """The first that fits, of choices each sparser than the one before, by halving; the last is known to."""
    low, high = 0, len(choices) - 1
    while low < high:
        middle = (low + high) // 2
        if fits(choices[middle]):
            high = middle
        else:
            low = middle + 1
    return choices[high]


def _named(names: tuple[str, ...], choice: NDArray[np.int64]) -> dict[str, float]:
    return {name: LEVELS[level] for name, level in zip(names, choice.tolist(), strict=True)}


def _losses(
    graph: FloatGraph, x: NDArray[np.float32], options: Options, names: tuple[str, ...], show: Callable[[int], None]
) -> Array:
    """Of each layer alone at each level, as `Trade` says; made to rise where chance has it fall."""
    wanted = _outputs(graph, x)
    power = float((wanted**2).sum()) or 1.0
    losses = np.zeros((len(names), len(LEVELS)))
    for row, name in enumerate(names):
        for number, level in enumerate(LEVELS):
            pruned = prune(graph, replace(options, density={name: level}))
            losses[row, number] = ((_outputs(pruned, x) - wanted) ** 2).sum() / power
            show(row * len(LEVELS) + number + 1)
    return np.maximum.accumulate(losses, axis=1)


def _outputs(graph: FloatGraph, x: NDArray[np.float32]) -> Array:
    for _, y in graph.trace(x):
        last = y
    return last.astype(np.float64)


def _bytes(image: Image) -> tuple[int, dict[str, int]]:
    """Of all, and of each layer or slice of one."""
    return len(image.blob), {info.name: info.stream_bytes + info.table_bytes for info in image.layers}


def _cycles(image: Image) -> tuple[int, dict[str, int]]:
    """Of all, and of each layer or slice of one."""
    found = estimate(image)
    return found.cycles, {layer.name: layer.cycles for layer in found.layers}


def _of_layer(values: Mapping[str, int], name: str) -> int:
    """What a layer has, or all of its slices."""
    if name in values:
        return values[name]
    return sum(value for one, value in values.items() if layer_name(one) == name)
