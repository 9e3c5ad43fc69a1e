"""What training must not undo: pruned weights stay 0, shared weights stay shared.

The modules keep plain weights throughout, so that whatever reads modules, the importer above all, needs to know nothing
of this. Around a step of an optimiser:

    loss.backward(); constraints.before_step(); optimiser.step(); constraints.after_step(optimiser)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .share import snap
from .sharing import Codebook, on_grid

if TYPE_CHECKING:
    import torch
    from torch import nn


def weighted_modules(model: nn.Module) -> dict[str, Any]:
    """Convolutions and products of a module by name, in order, those alone whose weights are trained."""
    from torch import nn

    kinds = (nn.Conv1d, nn.Conv2d, nn.Linear)
    return {name: part for name, part in model.named_modules() if isinstance(part, kinds) and part.weight.requires_grad}


def weight_arrays(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Copies of their weights."""
    return {name: part.weight.detach().numpy().copy() for name, part in weighted_modules(model).items()}


@contextmanager
def masked(modules: Mapping[str, Any], masks: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Soft masks: passes within see masked weights, gradients are of all, so that a pruned one learns on.

    The optimiser's step belongs outside, where the weights are whole. Modules without a mask stay as they are.
    """
    dense = {name: modules[name].weight.data for name in masks}
    try:
        for name, weights in dense.items():
            modules[name].weight.data = weights * masks[name]
        yield
    finally:
        for name, weights in dense.items():
            modules[name].weight.data = weights


class Constraints:
    """Masks and codebooks of the layers of one model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.modules = weighted_modules(model)
        self.masks: dict[str, torch.Tensor] = {}
        """By layer, bool of the weights' shape, True = kept; layers without one are not pruned."""
        self.tied: list[Tied] = []

    def set_masks(self, masks: Mapping[str, NDArray[np.bool_]]) -> None:
        """Prune these layers so, from now on. A mask only ever shrinks: what an earlier one pruned stays pruned.

        ValueError where weights are shared already: share after pruning.
        """
        import torch

        if self.tied:
            raise ValueError("weights that are shared cannot be pruned: prune first")
        for name, mask in masks.items():
            kept = torch.from_numpy(np.ascontiguousarray(mask))
            self.masks[name] = kept & self.masks[name] if name in self.masks else kept
        self._apply()

    def share(self, books: Sequence[Codebook], grid: int = 0) -> None:
        """Let layers share their weights as these codebooks say; centres are trained in place of weights.

        grid: weights are the centres moved to integers up to this after each step, as `share_weights` does; the centres
        themselves are not.
        """
        self.tied = [Tied({name: self.modules[name] for name in book.labels}, book, grid) for book in books]

    def parameters(self) -> list[torch.Tensor]:
        """What an optimiser is to be given: everything trainable, of shared layers the centres in place of weights."""
        shared = {id(part.weight) for tied in self.tied for part in tied.modules.values()}
        own = [p for p in self.model.parameters() if p.requires_grad and id(p) not in shared]
        return [*own, *(tied.centres for tied in self.tied)]

    def before_step(self) -> None:
        """After the backward pass: no gradient for pruned weights, and centres get their members' sums."""
        for name, mask in self.masks.items():
            grad = self.modules[name].weight.grad
            if grad is not None:
                grad.mul_(mask)
        for tied in self.tied:
            tied.gather()

    def after_step(self, optimiser: torch.optim.Optimizer) -> None:
        """After the step: pruned weights are 0 whatever decay and momentum did, and so is their momentum."""
        self._apply()
        for name, mask in self.masks.items():
            weight = self.modules[name].weight
            for value in optimiser.state.get(weight, {}).values():
                if getattr(value, "shape", None) == weight.shape:
                    value.mul_(mask)
        for tied in self.tied:
            tied.scatter()

    def _apply(self) -> None:
        for name, mask in self.masks.items():
            self.modules[name].weight.data.mul_(mask)

    def state(self) -> dict[str, Any]:
        """Tensors, numbers and strings that `load` takes."""
        return {"masks": dict(self.masks), "tied": [tied.state() for tied in self.tied]}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state of the same model, copied."""
        self.masks = {name: mask.clone() for name, mask in state["masks"].items()}
        self.tied = []
        for one in state["tied"]:
            labels = {name: part.numpy().copy() for name, part in one["labels"].items()}
            book = Codebook(one["centres"].numpy().copy(), labels, one["zero"])
            self.tied.append(Tied({name: self.modules[name] for name in labels}, book, one["grid"]))


class Tied:
    """Layers whose weights are `centres[labels]` (arXiv 2108.12704: a centre learns by its members' gradients)."""

    def __init__(self, modules: Mapping[str, Any], book: Codebook, grid: int) -> None:
        import torch

        self.modules = dict(modules)
        self.zero, self.grid = book.zero, grid
        self.counts = book.counts
        self.labels = {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in book.labels.items()}
        self.centres = torch.from_numpy(book.centres.copy()).requires_grad_()
        self.scatter()

    def gather(self) -> None:
        """The centres' gradients: sums over their members in all layers, none for the centre of pruned weights."""
        import torch

        total = torch.zeros_like(self.centres)
        for name, part in self.modules.items():
            if part.weight.grad is not None:
                total.index_add_(0, self.labels[name].ravel(), part.weight.grad.ravel())
        if self.zero is not None:
            total[self.zero] = 0.0
        self.centres.grad = total

    def scatter(self) -> None:
        """The weights, from the centres."""
        import torch

        with torch.no_grad():
            if self.zero is not None:
                self.centres[self.zero] = 0.0
            values = self.centres
            if self.grid:
                values = torch.from_numpy(on_grid(values.numpy(), self.counts, self.grid))
            for name, part in self.modules.items():
                part.weight.copy_(values[self.labels[name]])

    def integers(self) -> tuple[float, dict[str, NDArray[np.int8]]]:
        """Of weights on a grid: its step, and by layer how many steps each is. ValueError for any real values."""
        if not self.grid:
            raise ValueError("weights that share real values lie on no grid")
        centres = self.centres.detach().numpy()
        steps, step, used = np.zeros(centres.shape, np.int8), 1.0, centres != 0
        if used.any():
            step, found = snap(centres[used].astype(np.float64), np.maximum(self.counts[used], 1), self.grid)
            steps[used] = found
        return step, {name: steps[labels.numpy()] for name, labels in self.labels.items()}

    def state(self) -> dict[str, Any]:
        """What `Constraints.load` takes."""
        centres = self.centres.detach().clone()
        return {"centres": centres, "labels": dict(self.labels), "zero": self.zero, "grid": self.grid}
