"""DeepDTA's head pruned and shared, point by point: errors in real numbers and in integers, bytes, cycles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace.compile import compile_network
from headrace.compress.constraints import Constraints, weight_arrays
from headrace.compress.prune import magnitude_masks
from headrace.compress.sharing import Codebook, share_weights
from headrace.config import get_config
from headrace.cycles import estimate
from headrace.evaluate import concordance_index, mean_squared_error, run_network
from headrace.floats import FloatGraph
from headrace.importers.torch import import_torch
from headrace.network import Network, Weighted
from headrace.quantisation import Options, quantise

from .affinity import HeadData, Plan, Real, Show, Task, joined, predicted, train_all, train_head
from .results import grid_integers, macs, storage
from .stages import Compressed

CONFIG = "pynq-z2"
BATCHES = (1, 8)
"""Pairs that a run is estimated for: one, and as many as fit the activation memory."""
CALIBRATION = 512
"""Training pairs for the head; of the networks of sequences all drugs, and as many proteins as PROTEINS."""
PROTEINS = 64
GRID = 127
METHODS = ("cws", "pws")


@dataclass(frozen=True)
class Point:
    """Of each of the head's layers `density` stays; then by `method` it has as many `values` as are said for it."""

    density: float = 1.0
    method: str | None = None
    values: tuple[int, ...] = ()


def share_head(constraints: Constraints, point: Point, seed: int) -> None:
    """Codebooks on the device's grid, one a layer. 0 counts, but beside a pruned layer's 0 there are at least two."""
    assert point.method is not None
    books: list[Codebook] = []
    for index, (name, W) in enumerate(weight_arrays(constraints.model).items()):
        count = max(point.values[index], 2 if W.all() else 3)
        books += share_weights({name: W}, count, point.method, grid=GRID, seed=seed + index)
    constraints.share(books, GRID)


def integer_head(constraints: Constraints, data: HeadData, seed: int) -> tuple[FloatGraph, Network]:
    """The head in the device's integers: shared values as they were trained, one scale a layer; else one a channel."""
    graph = _import(constraints.model, data.x["train"][:1], "head")
    compressed = Compressed(constraints.model)
    compressed.constraints = constraints
    trained = grid_integers(compressed, graph)
    rest = {name for tied in constraints.tied for name in tied.modules} - set(trained)
    counts = {name: max(2, int(np.unique(W).size)) for name, W in weight_arrays(constraints.model).items()}
    options = Options(per_channel=not constraints.tied, values={name: counts[name] for name in rest} or None)
    chosen = np.random.default_rng(seed).permutation(len(data.x["train"]))[:CALIBRATION]
    network, _ = quantise(graph, graph.input.feed(data.x["train"][chosen]), options, trained=trained)
    return graph, network


def integer_features(networks: Any, task: Task) -> tuple[Real, Real]:
    """As `all_features`, from the two networks in the device's integers."""
    found = []
    for name, letters in (("drug", task.drugs), ("protein", task.proteins)):
        graph = _import(networks[name], letters[:1].astype(np.int64), name)
        network, _ = quantise(graph, graph.input.feed(letters[:PROTEINS].astype(np.int64)))
        found.append(run_network(graph, network, letters.astype(np.int64)).reshape(len(letters), -1))
    return found[0].astype(np.float32), found[1].astype(np.float32)


def _import(model: Any, example: Any, name: str) -> FloatGraph:
    import torch

    return import_torch(model.eval(), torch.from_numpy(example), name)


def measure(constraints: Constraints, data: HeadData, x_integer: Real, seed: int) -> dict[str, Any]:
    """Errors on test pairs, and what the head takes. x_integer: the test pairs' inputs, of integer networks."""
    values = data.values["test"]
    graph, network = integer_head(constraints, data, seed)
    outputs = {
        "float": predicted(constraints.model, data.x["test"]),
        "int8_head": run_network(graph, network, data.x["test"]),
        "int8": run_network(graph, network, x_integer),
    }
    layers = [layer.weights for layer in network.layers if isinstance(layer, Weighted)]
    cycles = {}
    for batch in BATCHES:
        image = compile_network(network, get_config(CONFIG), batch=batch)
        cycles[str(batch)] = estimate(image).cycles
    return {
        "test": {
            name: {"mse": mean_squared_error(y, values), "ci": concordance_index(y, values)}
            for name, y in outputs.items()
        },
        "weights": sum(W.size for W in layers),
        "nonzeros": [int(np.count_nonzero(W)) for W in layers],
        "distinct": [int(np.unique(W).size) for W in layers],
        "bytes": storage(network),
        "macs": macs(network),
        "cycles": {"config": CONFIG} | cycles,
    }


def experiment(
    task: Task,
    plan: Plan,
    densities: Sequence[float],
    methods: Sequence[str],
    values: Sequence[tuple[int, ...]],
    show: Show,
) -> dict[str, Any]:
    """What JSON holds: a row of the trained networks, then for each density a pruned one, and its `shared_points`."""
    points = shared_points(densities, methods, values)
    networks, report = train_all(task, plan, show)
    data = HeadData(networks, task)
    x_integer = joined(integer_features(networks, task), task.test)

    def row(constraints: Constraints, point: Point, training: dict[str, Any], epochs: int) -> dict[str, Any]:
        found: dict[str, Any] = {"density": point.density, "method": point.method, "values": list(point.values)}
        found |= {"epochs": epochs, "seed": plan.seed, "training": training}
        found |= measure(constraints, data, x_integer, plan.seed)
        show()
        return found

    start = Constraints(networks["head"])
    rows = [row(start, Point(), report, plan.epochs)]
    for density in densities:
        pruned = Constraints(deepcopy(start.model))
        if density < 1:
            pruned.set_masks(magnitude_masks(weight_arrays(pruned.model), density))
        report = train_head(pruned, data, plan, plan.prune, plan.prune_rate, False, show)
        rows.append(row(pruned, Point(density), report, plan.epochs + plan.prune))
        for point in points[density]:
            shared = Constraints(deepcopy(pruned.model))
            shared.load(pruned.state())
            share_head(shared, point, plan.seed)
            report = train_head(shared, data, plan, plan.share, plan.share_rate, True, show)
            rows.append(row(shared, point, report, plan.epochs + plan.prune + plan.share))
    splits = {name: len(pairs) for name, pairs in data.pairs.items()}
    constant = float(((task.test.values - task.train.values.mean()) ** 2).mean())
    return {"drugs": len(task.drugs), "proteins": len(task.proteins), "pairs": splits, "mean": constant, "rows": rows}


def shared_points(
    densities: Sequence[float], methods: Sequence[str], values: Sequence[tuple[int, ...]]
) -> dict[float, list[Point]]:
    """By density: the first of `values` by each method, at the least one the further, too.

    None where all weights stay, which is the control of pruning alone.
    """
    found: dict[float, list[Point]] = {}
    for density in densities:
        wanted = values if density == min(densities) else values[:1]
        found[density] = [Point(density, method, k) for k in wanted for method in methods if density < 1]
    return found


def steps(plan: Plan, points: Mapping[float, Sequence[Point]]) -> int:
    """How often `experiment` calls `show` with these `shared_points`: after each epoch and each row."""
    shared = sum(len(found) for found in points.values())
    return plan.epochs + 1 + len(points) * (plan.prune + 1) + shared * (plan.share + 1)
