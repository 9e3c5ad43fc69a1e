"""DeepDTA trained on pairs of drugs and proteins: the three networks together, then the head alone, compressed.

There are far fewer drugs and proteins than pairs. The networks of sequences therefore work on each drug and each
protein of a batch once, whatever number of pairs they are in, and not at all while the head alone is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from math import cos, inf, isfinite, pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from headrace.compress.constraints import Constraints
from headrace.data.deepdta import (
    PROTEIN_LENGTH,
    PROTEIN_LETTERS,
    SMILES_LENGTH,
    SMILES_LETTERS,
    Affinities,
    encode,
    open_affinities,
)
from headrace.errors import DataError
from headrace.nets import deepdta

from .loop import root_mean_square

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Real = NDArray[np.float32]
Show = Callable[[], None]
"""Called after each epoch."""
EVALUATED = 1024
"""Pairs, or sequences by the PARTS-th, at a time where nothing is trained."""
PARTS = 32


@dataclass(frozen=True)
class Plan:
    """How long each part takes, and with what. Rates are Adam's, and fall along half a cosine."""

    epochs: int = 40
    """Of the three networks together."""
    prune: int = 6
    """Of a pruned head, the others as they are."""
    share: int = 3
    """Of its centres."""
    proteins: int = 8
    """Of a batch, with all their pairs, while three networks are trained."""
    batch: int = 256
    """Pairs, while only the head is."""
    rate: float = 1e-3
    prune_rate: float = 5e-4
    share_rate: float = 3e-3
    """In units of each tensor's root mean square."""
    dropout: float = 0.1
    """After the head's first and second layer."""
    seed: int = 1


@dataclass(frozen=True, eq=False)
class Pairs:
    """Of one split: `rows` (n, 2) are a drug and a protein, `values` (n,) their affinity."""

    rows: NDArray[np.int64]
    values: Real

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Task:
    """Letters of all drugs and proteins, and which pairs of them are for what."""

    drugs: NDArray[np.uint8]
    proteins: NDArray[np.uint8]
    train: Pairs
    validation: Pairs
    test: Pairs


def open_task(folder: str | Path) -> Task:
    """DeepDTA's files in `folder`; the last training fold is for validation. DataError where a split would be empty."""
    data = open_affinities(folder)
    if len(data.folds) < 2 or not all(len(part) for part in (*data.folds, data.test)):
        raise DataError(f"{folder}: two training folds or more, and a test set, are needed, and none may be empty")
    train = np.concatenate(data.folds[:-1])
    return Task(
        encode(data.ligands, SMILES_LETTERS, SMILES_LENGTH),
        encode(data.proteins, PROTEIN_LETTERS, PROTEIN_LENGTH),
        *(_pairs(data, numbers) for numbers in (train, data.folds[-1], data.test)),
    )


def _pairs(data: Affinities, numbers: NDArray[np.int64]) -> Pairs:
    return Pairs(data.pairs[numbers], data.values[numbers].astype(np.float32))


def untrained(task: Task, seed: int) -> nn.ModuleDict:
    """Random weights by the seed; the output starts at the training pairs' mean."""
    import torch
    from torch import nn

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = {"drug": deepdta.drug(), "protein": deepdta.protein(), "head": deepdta.head()}
    last = networks["head"][-1]  # type: ignore[index]
    torch.nn.init.constant_(last.bias, float(task.train.values.mean()))
    return nn.ModuleDict(networks)


def features(branch: Any, letters: Tensor) -> Tensor:
    """As `branch(letters)`, for a third of the work: rounding alone differs.

    An embedding and a convolution are one convolution over as many channels as there are letters, one of them 1.
    """
    import torch
    from torch.nn import functional

    table = branch.embedding.weight
    kernel = torch.einsum("ld,odk->olk", table, branch.conv1.weight)
    channels = functional.one_hot(letters.long(), len(table)).transpose(1, 2).to(table.dtype)
    y = functional.conv1d(channels, kernel, branch.conv1.bias).relu()
    y = branch.conv3(branch.conv2(y).relu())
    found: Tensor = branch.pool(y).flatten(1).relu()  # of the largest alone
    return found


def forward(head: Any, x: Tensor, dropout: float) -> Tensor:
    """The head in training: (N,)."""
    from torch.nn import functional

    for index, layer in enumerate(head):
        x = layer(x)
        if index in (1, 3) and dropout:
            x = functional.dropout(x, dropout)
    return x[:, 0]


def all_features(networks: Any, task: Task) -> tuple[Real, Real]:
    """Of every drug and every protein: (n, 96) each."""
    import torch

    found = []
    with torch.no_grad():
        for name, letters in (("drug", task.drugs), ("protein", task.proteins)):
            parts = torch.from_numpy(letters).split(PARTS)
            found.append(torch.cat([features(networks[name], part) for part in parts]).numpy())
    return found[0], found[1]


def joined(sides: tuple[Real, Real], pairs: Pairs) -> Real:
    """The head's inputs (n, 192)."""
    return np.concatenate([side[pairs.rows[:, column]] for column, side in enumerate(sides)], axis=1)


def predicted(head: Any, x: Real) -> Real:
    """(n,) without dropout."""
    import torch

    with torch.no_grad():
        return torch.cat([head(part)[:, 0] for part in torch.from_numpy(x).split(EVALUATED)]).numpy()


def squared_error(head: Any, x: Real, values: Real) -> float:
    """Mean over pairs."""
    return float(((predicted(head, x).astype(np.float64) - values) ** 2).mean())


def groups(pairs: Pairs, proteins: int, generator: np.random.Generator) -> Iterator[tuple[NDArray[np.int64], ...]]:
    """One epoch, `proteins` at a time with all their pairs: drugs, proteins, rows of both of each pair, and pairs."""
    order = generator.permutation(np.unique(pairs.rows[:, 1]))
    for first in range(0, len(order), proteins):
        chosen = np.flatnonzero(np.isin(pairs.rows[:, 1], order[first : first + proteins]))
        used = [np.unique(column, return_inverse=True) for column in pairs.rows[chosen].T]
        yield used[0][0], used[1][0], np.stack([used[0][1], used[1][1]]), chosen


def train_all(task: Task, plan: Plan, show: Show) -> tuple[nn.ModuleDict, dict[str, Any]]:
    """The three networks after the epoch that was best on validation pairs, and what there is to tell of it."""
    import torch

    networks = untrained(task, plan.seed)
    drugs, proteins = torch.from_numpy(task.drugs), torch.from_numpy(task.proteins)
    values = torch.from_numpy(task.train.values)
    optimiser = torch.optim.Adam(networks.parameters(), plan.rate)
    best = _Best()
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        for epoch in range(plan.epochs):
            _set_rate(optimiser, plan.rate, epoch / plan.epochs)
            total = 0.0
            for some, others, rows, chosen in groups(task.train, plan.proteins, _generator(plan, 0, epoch)):
                sides = features(networks["drug"], drugs[some]), features(networks["protein"], proteins[others])
                x = torch.cat([side[torch.from_numpy(row)] for side, row in zip(sides, rows, strict=True)], dim=1)
                optimiser.zero_grad()
                loss = ((forward(networks["head"], x, plan.dropout) - values[chosen]) ** 2).mean()
                loss.backward()
                optimiser.step()
                total += _finite(loss) * len(chosen)
            x_validation = joined(all_features(networks, task), task.validation)
            best.see(
                squared_error(networks["head"], x_validation, task.validation.values),
                total / len(task.train),
                networks.state_dict(),
            )
            show()
    networks.load_state_dict(best.state)
    return networks, best.report()


class HeadData:
    """What the head alone is trained and measured on: `x` and `values` by split."""

    def __init__(self, networks: Any, task: Task) -> None:
        sides = all_features(networks, task)
        self.pairs = {"train": task.train, "validation": task.validation, "test": task.test}
        self.x = {name: joined(sides, pairs) for name, pairs in self.pairs.items()}
        self.values = {name: pairs.values for name, pairs in self.pairs.items()}


def train_head(
    constraints: Constraints, data: HeadData, plan: Plan, epochs: int, rate: float, relative: bool, show: Show
) -> dict[str, Any]:
    """Train on what its masks and codebooks leave free, in random batches; it ends as after the best epoch.

    relative: the rate is in units of each tensor's root mean square.
    """
    import torch

    x, values = (torch.from_numpy(part["train"]) for part in (data.x, data.values))
    parameters = [
        {"params": [one], "unit": root_mean_square(one) if relative else 1.0} for one in constraints.parameters()
    ]
    optimiser = torch.optim.Adam(parameters, rate)
    best, head = _Best(), constraints.model
    with torch.random.fork_rng():
        torch.manual_seed(plan.seed)
        for epoch in range(epochs):
            _set_rate(optimiser, rate, epoch / epochs)
            total = 0.0
            order = torch.from_numpy(_generator(plan, 1, epoch).permutation(len(x)))
            for chosen in order.split(plan.batch):
                head.zero_grad()
                loss = ((forward(head, x[chosen], plan.dropout) - values[chosen]) ** 2).mean()
                loss.backward()
                constraints.before_step()
                optimiser.step()
                constraints.after_step(optimiser)
                total += _finite(loss) * len(chosen)
            validation = squared_error(head, data.x["validation"], data.values["validation"])
            best.see(validation, total / len(x), {"model": head.state_dict(), "constraints": constraints.state()})
            show()
    head.load_state_dict(best.state["model"])
    constraints.load(best.state["constraints"])
    return best.report()


class _Best:
    """The epoch with the least error on validation pairs, and every epoch's errors."""

    def __init__(self) -> None:
        self.history: list[dict[str, float]] = []
        self.epoch, self.error = 0, inf
        self.state: Any = None

    def see(self, error: float, loss: float, state: Any) -> None:
        self.history.append({"loss": loss, "validation": error})
        if error < self.error:
            self.epoch, self.error, self.state = len(self.history), error, deepcopy(state)

    def report(self) -> dict[str, Any]:
        return {"best_epoch": self.epoch, "validation": self.error, "history": self.history}


def _generator(plan: Plan, stage: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, stage, epoch])


def _set_rate(optimiser: torch.optim.Optimizer, rate: float, part: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group.get("unit", 1.0) * 0.5 * (1 + cos(pi * part))


def _finite(loss: Tensor) -> float:
    value = float(loss.detach())
    if not isfinite(value):
        raise DataError("the loss is not finite: lower the rate")
    return value
