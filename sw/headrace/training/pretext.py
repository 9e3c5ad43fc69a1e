"""Masks found with labels, found by telling rotations, and permuted ones, compared on labels: after arXiv 2001.03554.

Iterative magnitude pruning (`headrace.compress.tickets`) of a small ResNet on either task; then each mask is trained on
labels, from weights of early in that training or newly drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import cos, isfinite, pi
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from headrace.compress.constraints import Constraints, weight_arrays
from headrace.compress.tickets import (
    ROTATIONS,
    Masks,
    density,
    full_masks,
    permuted,
    prune_round,
    reset,
    rotation_loss,
    rotations,
    set_classes,
)
from headrace.data.samples import Samples, normalised
from headrace.errors import DataError
from headrace.nets.resnet import resnet

from .data import augmented

if TYPE_CHECKING:
    import torch
    from torch import nn

CLASSES = 10
TASKS = ("labels", "rotations")
MASKS = ("labels", "rotations", "permuted")
STARTS = ("early", "redrawn")
"""Weights under a mask: of early in the training that found it (of a permuted one: of what was permuted), or new."""

State = Mapping[str, "torch.Tensor"]
Show = Callable[[], None]
"""Called after each epoch."""


@dataclass(frozen=True)
class Plan:
    """How pruning and training go. All trainings, of rounds and of rows, are as long and see as many pictures."""

    rounds: int = 6
    fraction: float = 0.36
    """Of the weights left, pruned in a round: 0.36 is what two rounds of 0.2 prune."""
    report: tuple[int, ...] = (2, 4, 6)
    """After which rounds masks are compared."""
    epochs: int = 5
    early: int = 1
    """Epochs after which weights are kept to rewind to."""
    samples: int = 5_120
    """Pictures that go through the network in an epoch, drawn anew for each; of rotations each picture counts four."""
    batch: int = 64
    rate: float = 3e-3
    """Of Adam, falling along half a cosine, anew in each training."""
    decay: float = 1e-4
    size: int = 16
    """Pixels of a side."""
    blocks: int = 1
    """Of each width of the ResNet."""

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return self.samples // self.batch


@dataclass(frozen=True, eq=False)
class Pictures:
    """(N, 3, size, size) normalised, labels (N,) int64."""

    x: NDArray[np.float32]
    labels: NDArray[np.int64]


def pictures(samples: Samples, size: int) -> Pictures:
    """Averaged down to `size` pixels a side. DataError for no labels, or what is not square, or no whole multiple."""
    shape = samples.inputs.shape[1:]
    if len(shape) != 3 or shape[1] != shape[2] or shape[0] != 3 or shape[1] % size:
        raise DataError(f"{samples.title}: inputs {shape} are no square pictures that reduce to {size} x {size}")
    if samples.labels is None or not len(samples) or not 0 <= samples.labels.min() <= samples.labels.max() < CLASSES:
        raise DataError(f"{samples.title} has no labels of {CLASSES} classes to train with")
    whole = np.asarray(samples.inputs, np.float32)
    factor = shape[1] // size
    means = whole.reshape(len(whole), 3, size, factor, size, factor).mean((3, 5))
    x = np.asarray(normalised(means, "imagenet"), np.float32)
    return Pictures(x, samples.labels.astype(np.int64))


def drawn(plan: Plan, seed: list[int], outputs: int = CLASSES) -> nn.Module:
    """New weights; but for the last layer the same for the same seed, whatever the outputs."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
        network = resnet(plan.blocks)
        if outputs != CLASSES:
            set_classes(network, outputs)
    faster: nn.Module = cast(Any, network).to(memory_format=torch.channels_last)
    return faster


def train(
    network: nn.Module, masks: Masks, data: Pictures, task: str, plan: Plan, seed: int, show: Show
) -> dict[str, torch.Tensor]:
    """On one of TASKS with the masks, in place; the state after `plan.early` epochs.

    Pictures and their order depend on seed and task alone, so that masks are compared on the same ones.
    """
    import torch
    from torch.nn import functional

    constraints = Constraints(network.train())
    constraints.set_masks(masks)
    optimiser = torch.optim.Adam(constraints.parameters(), plan.rate, weight_decay=plan.decay)
    early: dict[str, torch.Tensor] = {}
    for epoch in range(plan.epochs):
        generator = np.random.default_rng([seed, TASKS.index(task), epoch])
        count = plan.batch if task == "labels" else plan.batch // ROTATIONS
        order = generator.permutation(len(data.x))
        for step in range(plan.steps):
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * 0.5 * (1 + cos(pi * (epoch + step / plan.steps) / plan.epochs))
            chosen = order[step * count : (step + 1) * count]
            x = torch.from_numpy(np.ascontiguousarray(augmented(data.x[chosen], "shift+flip", generator)))
            optimiser.zero_grad()
            if task == "labels":
                loss = functional.cross_entropy(network(x), torch.from_numpy(data.labels[chosen]))
            else:
                loss = rotation_loss(network, x)
            loss.backward()
            if not isfinite(float(loss.detach())):
                raise DataError("the loss is not finite: lower the rate")
            constraints.before_step()
            optimiser.step()
            constraints.after_step(optimiser)
        if epoch + 1 == plan.early:
            early = deepcopy(network.state_dict())
        show()
    network.eval()
    return early


@dataclass(frozen=True, eq=False)
class Pruned:
    """What iterative pruning on a task found. Item r of the lists is of after r rounds, the first of the dense network.

    networks: trained on the task with the mask of their place.
    """

    early: State
    masks: list[Masks]
    networks: list[nn.Module]


def prune(data: Pictures, task: str, plan: Plan, seed: int, show: Show) -> Pruned:
    """`plan.rounds` rounds: train, prune, rewind. With the last masks only labels are trained, which is a row."""
    network = drawn(plan, [seed], CLASSES if task == "labels" else ROTATIONS)
    found = [full_masks(network)]
    early = train(network, found[0], data, task, plan, seed, show)
    networks = [deepcopy(network)]
    for number in range(1, plan.rounds + 1):
        found.append(prune_round(weight_arrays(network), found[-1], plan.fraction))
        if task == "labels" or number < plan.rounds:
            reset(network, early, found[-1])
            train(network, found[-1], data, task, plan, seed, show)
            networks.append(deepcopy(network))
    return Pruned(early, found, networks)


def accuracy(network: nn.Module, data: Pictures, task: str = "labels") -> float:
    """Top-1 in percent; of rotations over all four of each picture."""
    import torch

    right = outputs = 0
    with torch.no_grad():
        for first in range(0, len(data.x), 500):
            x, labels = (torch.from_numpy(part[first : first + 500]) for part in (data.x, data.labels))
            if task == "rotations":
                x, labels = rotations(x)
            right += int((network(x).argmax(1) == labels).sum())
            outputs += len(labels)
    return 100 * right / outputs


def overlap(a: Masks, b: Masks) -> tuple[float, float]:
    """Of the weights that `a` keeps, the fraction that `b` keeps too, and what chance would give, layer by layer."""
    kept = sum(int(mask.sum()) for mask in a.values())
    both = sum(int((mask & b[name]).sum()) for name, mask in a.items())
    chance = sum(int(mask.sum()) * float(b[name].mean()) for name, mask in a.items())
    return both / kept, chance / kept


def experiment(data: Pictures, test: Pictures, plan: Plan, seed: int, show: Show) -> dict[str, Any]:
    """What JSON holds of one seed: rows for the dense network, then for each round reported, mask and start.

    All networks are trained on labels for `plan.epochs` from where they start; the test set chooses nothing.
    """
    labels, unlabelled = prune(data, "labels", plan, seed, show), prune(data, "rotations", plan, seed, show)
    rows, overlaps = [], []

    def row(network: nn.Module, kind: str, start: str, number: int, masks: Masks) -> None:
        top1 = accuracy(network, test)
        layers = [int(mask.sum()) for mask in masks.values()]
        one = {"masks": kind, "start": start, "round": number, "kept": density(masks), "layers": layers}
        rows.append(one | {"seed": seed, "epochs": plan.epochs, "accuracy": top1})

    row(labels.networks[0], "dense", "redrawn", 0, labels.masks[0])
    network = drawn(plan, [seed, 0])  # a ticket, but for the mask
    reset(network, labels.early, labels.masks[0])
    train(network, labels.masks[0], data, "labels", plan, seed, show)
    row(network, "dense", "early", 0, labels.masks[0])
    for number in plan.report:
        mixed = permuted(labels.masks[number], 1000 * seed + number)
        sources = ((labels.masks[number], labels.early), (unlabelled.masks[number], unlabelled.early))
        for kind, (masks, early) in zip(MASKS, (*sources, (mixed, labels.early)), strict=True):
            for start in STARTS:
                if (kind, start) == ("labels", "early"):  # the round's own training
                    row(labels.networks[number], kind, start, number, masks)
                    continue
                network = drawn(plan, [seed, number])
                reset(network, early if start == "early" else deepcopy(network.state_dict()), masks)
                train(network, masks, data, "labels", plan, seed, show)
                row(network, kind, start, number, masks)
        both, chance = overlap(labels.masks[number], unlabelled.masks[number])
        overlaps.append({"round": number, "both": both, "chance": chance})
    turned = accuracy(unlabelled.networks[0], test, "rotations")
    return {"seed": seed, "rotations": turned, "overlap": overlaps, "rows": rows}


def epochs(plan: Plan) -> int:
    """How often `experiment` calls `show`."""
    trainings = 2 * plan.rounds + 2 + (len(MASKS) * len(STARTS) - 1) * len(plan.report)
    return trainings * plan.epochs
