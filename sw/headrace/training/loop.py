"""The stages of a recipe one after the other, with a checkpoint after every epoch.

A checkpoint is named by everything that decides what is in it, so points of a sweep share the stages they have in
common, and a run that was interrupted goes on where its last epoch ended, to the same numbers.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict
from math import cos, isfinite, pi
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace.data.samples import Samples, normalised
from headrace.errors import DataError
from headrace.files import replacing
from headrace.nets import build
from headrace.nets.weights import load as load_weights

from .data import Data, batches
from .recipe import Recipe, Stage
from .stages import Compressed, Work, quickly_laid_out

if TYPE_CHECKING:
    import torch

MOMENTUM = 0.9
TEST_BATCH = 500
Tell = Callable[[str], None]
Show = Callable[[int, int], None]


def initial(recipe: Recipe, weights: Path | None) -> Compressed:
    """The recipe's network, with weights by its seed or from the file. DataError where one is needed or not."""
    import torch

    if (recipe.weights == "file") != (weights is not None):
        needs = "starts from a file of weights: --weights" if weights is None else "starts from random weights"
        raise DataError(f"{recipe.name} {needs}")
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return Compressed(build(recipe.network) if weights is None else load_weights(recipe.network, weights))


def accuracy(compressed: Compressed, samples: Samples, normalise: str) -> float:
    """Top-1 of the model as it is trained, with rounding where that is on."""
    import torch

    assert samples.labels is not None
    right = 0
    compressed.model.eval()
    with torch.no_grad(), compressed.forward():
        for first in range(0, len(samples), TEST_BATCH):
            x = normalised(samples.inputs[first : first + TEST_BATCH], normalise).astype(np.float32)
            y = compressed.model(quickly_laid_out(torch.from_numpy(x))).argmax(1).numpy()
            right += int((y == samples.labels[first : first + TEST_BATCH]).sum())
    return right / len(samples)


def run_stages(
    recipe: Recipe, compressed: Compressed, data: Data, folder: Path, tell: Tell, show: Show
) -> list[dict[str, Any]]:
    """Train; a list with what each stage came to. `tell` gets a line an epoch, `show` the steps done and their number.

    folder: of checkpoints. DataError where one cannot be written or read, and for stages that do not fit.
    """
    digest = _digest(recipe, compressed, data)
    steps = len(data.train) // recipe.batch
    total = max(1, sum(stage.epochs for stage in recipe.stages) * steps)
    done, reports = 0, []

    def shown(made: int) -> None:
        show(done + made, total)

    for index, stage in enumerate(recipe.stages):
        digest = hashlib.sha256(f"{digest} {json.dumps(asdict(stage))}".encode()).hexdigest()
        run = _StageRun(recipe, compressed, data, index, folder / f"{digest[:16]}.pt", tell)
        reports.append(run.run(shown))
        done += stage.epochs * steps
    return reports


def _digest(recipe: Recipe, compressed: Compressed, data: Data) -> str:
    """Of everything but the stages: the recipe's other keys that matter to training, first weights, samples."""
    keys = ("network", "normalise", "augment", "batch", "bfloat16", "seed")
    found = hashlib.sha256(json.dumps([getattr(recipe, key) for key in keys]).encode())
    for value in compressed.model.state_dict().values():
        found.update(value.numpy().tobytes())
    for part in (data.train, data.validation):
        assert part.labels is not None
        found.update(np.ascontiguousarray(part.inputs).tobytes() + part.labels.tobytes())
    return found.hexdigest()


class _StageRun:
    def __init__(self, recipe: Recipe, compressed: Compressed, data: Data, index: int, path: Path, tell: Tell) -> None:
        self.recipe, self.compressed, self.data, self.index = recipe, compressed, data, index
        self.path, self.tell = path, tell
        self.stage: Stage = recipe.stages[index]
        self.steps = len(data.train) // recipe.batch
        self.history: list[dict[str, float]] = []
        self.best: dict[str, Any] = {"accuracy": -1.0, "epoch": 0, "state": None}
        self.work = Work(self.stage, compressed, self.steps, recipe.seed, recipe.bfloat16)

    def run(self, show: Callable[[int], None]) -> dict[str, Any]:
        saved = _read(self.path)
        if saved is None:
            self.work.begin()
            self.optimiser = self._optimiser()
        else:
            self.compressed.load(saved["compressed"])
            self.history, self.best = saved["history"], saved["best"]
            if saved["done"]:
                return self._report()
            self.work.load(saved["work"])
            self.optimiser = self._optimiser()
            self.optimiser.load_state_dict(saved["optimiser"])
        for epoch in range(len(self.history), self.stage.epochs):
            if self._stopped():
                break
            self._epoch(epoch, show)
            self._save(False)
        self.work.end()
        if self.best["state"] is None:  # no epoch that counts: what there is in the end
            self.best = {"accuracy": self._accuracy(), "epoch": len(self.history), "state": None}
        else:
            self.compressed.load(self.best["state"])
            self.best["state"] = None
        self._save(True)
        return self._report()

    def _epoch(self, epoch: int, show: Callable[[int], None]) -> None:
        total, compressed = 0.0, self.compressed
        for group in self.optimiser.param_groups:
            falling = 0.5 * (1 + cos(pi * epoch / self.stage.epochs)) if self.stage.cosine else 1.0
            group["lr"] = self.stage.rate * falling * group["unit"]
        compressed.model.train()
        for step, (x, labels) in enumerate(batches(self.recipe, self.data.train, self.index, epoch)):
            compressed.model.zero_grad()
            total += self.work.backward(x, labels)
            compressed.constraints.before_step()
            self.optimiser.step()
            compressed.constraints.after_step(self.optimiser)
            self.work.after_step(epoch * self.steps + step + 1)
            if not isfinite(total):
                raise DataError(f"stage {self.index} {self.stage.kind}: the loss is not finite: lower its rate")
            show(epoch * self.steps + step + 1)
        found = self._accuracy()
        self.history.append({"loss": total / self.steps, "accuracy": found})
        if self.work.eligible(epoch + 1) and found > self.best["accuracy"]:
            self.best = {"accuracy": found, "epoch": epoch + 1, "state": deepcopy(compressed.state())}
        title = f"stage {self.index} {self.stage.kind}, epoch {epoch + 1}/{self.stage.epochs}"
        apart = "" if self.work.admm is None else f", distance {self.work.admm.distance():.4f}"
        self.tell(f"{title}: loss {total / self.steps:.4f}, validation {found:.4f}{apart}")

    def _accuracy(self) -> float:
        return accuracy(self.compressed, self.data.validation, self.recipe.normalise)

    def _stopped(self) -> bool:
        best, patience = self.best["epoch"], self.stage.patience
        return bool(patience and best and len(self.history) - best >= patience)

    def _optimiser(self) -> torch.optim.Optimizer:
        import torch

        stage, parameters = self.stage, []
        for one in self.compressed.constraints.parameters():
            parameters.append({"params": [one], "unit": root_mean_square(one) if stage.relative else 1.0})
        if stage.optimiser == "adam":
            return torch.optim.Adam(parameters, stage.rate, weight_decay=stage.decay)
        return torch.optim.SGD(parameters, stage.rate, momentum=MOMENTUM, nesterov=True, weight_decay=stage.decay)

    def _report(self) -> dict[str, Any]:
        return {
            "kind": self.stage.kind,
            "epochs": len(self.history),
            "best_epoch": self.best["epoch"],
            "validation": self.best["accuracy"],
        }

    def _save(self, done: bool) -> None:
        import torch

        state = {
            "done": done,
            "history": self.history,
            "best": self.best,
            "compressed": self.compressed.state(),
            "work": self.work.state(),
            "optimiser": self.optimiser.state_dict(),
        }
        with replacing(self.path, make_folder=True) as file:
            torch.save(state, file)


def root_mean_square(parameter: torch.Tensor) -> float:
    """Of what is not 0; 1 of nothing but zeros."""
    used = parameter.detach()[parameter.detach() != 0]
    return float((used**2).mean().sqrt()) if len(used) else 1.0


def _read(path: Path) -> dict[str, Any] | None:
    import torch

    if not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError):
        raise DataError(f"{path} is a damaged checkpoint: remove it") from None
    return state
