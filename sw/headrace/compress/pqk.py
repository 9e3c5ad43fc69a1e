"""Pruning with rounding, then a teacher made of what was pruned: after the idea of PQK, arXiv 2106.14681.

Phase 1: masks by magnitude over all layers, along a cubic; passes see rounded masked weights, while gradients go to all
weights, so that a pruned one may return. Phase 2: masks are fixed; the student is the rounded masked weights, the
teacher all weights, of which it trains the pruned ones alone; the student learns from labels and from the teacher.

The scheme is the subject of a patent application, US 2022/0318633.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .constraints import masked, weighted_modules
from .prune import channel_relative, magnitude_masks
from .rounding import Rounding

if TYPE_CHECKING:
    import torch
    from torch import nn

TEMPERATURE = 2.0
"""Of both outputs, where the student learns from the teacher."""


class Pqk:
    """Dense weights in the model's modules, and the masks that make the student of them."""

    def __init__(self, model: nn.Module, rounding: Rounding) -> None:
        import torch

        self.model, self.rounding = model, rounding
        self.modules = weighted_modules(model)
        self.masks = {name: torch.ones_like(part.weight, dtype=torch.bool) for name, part in self.modules.items()}

    def prune(self, density: float, relative: bool = False) -> None:
        """Masks anew, from all weights: `round(density * all)` stay.

        relative: magnitudes are in units of their output channel's.
        """
        weights: dict[str, Any] = {name: part.weight.detach().numpy() for name, part in self.modules.items()}
        if relative:
            weights = {name: channel_relative(W) for name, W in weights.items()}
        for name, mask in magnitude_masks(weights, density, "global").items():
            self.masks[name] = _tensor(mask)

    @contextmanager
    def student(self) -> Iterator[None]:
        """Passes within see rounded masked weights; gradients are of all weights."""
        with masked(self.modules, self.masks), self.rounding.active():
            yield

    def backward_alone(self, x: torch.Tensor, labels: torch.Tensor, returning: bool) -> float:
        """The student's gradients from labels; returning: also for pruned weights. Returns the loss."""
        from torch.nn import functional

        with self.student():
            loss = functional.cross_entropy(self.model(x), labels)
            loss.backward()
        if not returning:
            self._keep_gradients(student=True)
        return float(loss.detach())

    def backward_both(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        """CE_student + CE_teacher + T^2 KL(teacher || student), the teacher detached. Returns this loss.

        Kept weights get the student's gradients, pruned ones the teacher's; biases and normalisations the student's.
        The teacher leaves no trace in running statistics.
        """
        import torch
        from torch.nn import functional

        buffers = {name: value.clone() for name, value in self.model.named_buffers()}
        teacher = self.model(x)
        loss_of_teacher = functional.cross_entropy(teacher, labels)
        loss_of_teacher.backward()
        with torch.no_grad():
            for name, value in self.model.named_buffers():
                value.copy_(buffers[name])
        self._keep_gradients(student=False)
        of_teacher = {name: part.weight.grad for name, part in self.modules.items()}
        self.model.zero_grad()
        with self.student():
            y = self.model(x)
            loss = functional.cross_entropy(y, labels) + distillation(y, teacher.detach())
            loss.backward()
        self._keep_gradients(student=True)
        for name, gradient in of_teacher.items():
            self.modules[name].weight.grad += gradient
        return float(loss.detach() + loss_of_teacher.detach())

    def _keep_gradients(self, student: bool) -> None:
        for name, part in self.modules.items():
            part.weight.grad.mul_(self.masks[name] if student else ~self.masks[name])

    def state(self) -> dict[str, Any]:
        """What `load` takes: masks, and all weights."""
        dense = {name: part.weight.detach().clone() for name, part in self.modules.items()}
        return {"masks": dict(self.masks), "dense": dense}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state of the same model, copied."""
        self.masks = {name: mask.clone() for name, mask in state["masks"].items()}
        for name, weights in state["dense"].items():
            self.modules[name].weight.data = weights.clone()


def distillation(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """T^2 KL(teacher || student) of outputs (N, classes) at temperature T, the mean over N (arXiv 1503.02531, 2.1)."""
    from torch.nn import functional

    log_student = functional.log_softmax(student / TEMPERATURE, dim=1)
    log_teacher = functional.log_softmax(teacher / TEMPERATURE, dim=1)
    return TEMPERATURE**2 * functional.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)


def _tensor(mask: NDArray[np.bool_]) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.ascontiguousarray(mask))
