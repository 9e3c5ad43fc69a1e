"""Pruning by the alternating direction method of multipliers, progressively (arXiv 1810.07378).

min f(W) with at most l_i nonzero weights in layer i. Training minimises f + sum of rho / 2 * ||W - Z + U||^2; now and
then Z becomes the projection of W + U onto what is allowed, and U grows by W - Z. At the end W is pruned to l_i and
trained with its mask. Progressive: do all of that again to the masked result, for fewer weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .constraints import weighted_modules
from .prune import magnitude_mask

if TYPE_CHECKING:
    import torch
    from torch import nn


class Admm:
    """Z and U of the layers that are to be pruned further.

    densities: by layer, the fraction of all its weights that may stay. rho: the weight of the penalty. ValueError for
    names that are no layers, and densities outside 0 to 1.
    """

    def __init__(self, model: nn.Module, densities: Mapping[str, float], rho: float) -> None:
        modules = weighted_modules(model)
        unknown = [name for name in densities if name not in modules]
        if unknown:
            raise ValueError(f"no layer {unknown[0]!r}; layers are {', '.join(modules)}")
        self.rho = rho
        self.densities = dict(densities)
        self.modules = {name: modules[name] for name in densities}
        self.Z = {name: self._project(name, part.weight.detach()) for name, part in self.modules.items()}
        self.U = {name: part.weight.detach() * 0 for name, part in self.modules.items()}

    def _project(self, name: str, V: torch.Tensor) -> torch.Tensor:
        """The nearest allowed weights: exactly the largest magnitudes of V, else 0."""
        import torch

        return V * torch.from_numpy(magnitude_mask(V.numpy(), self.densities[name]))

    def add_gradients(self) -> None:
        """The penalty's gradient, rho * (W - Z + U), to what the backward pass has left."""
        for name, part in self.modules.items():
            if part.weight.grad is not None:
                part.weight.grad.add_(part.weight.detach() - self.Z[name] + self.U[name], alpha=self.rho)

    def update(self) -> None:
        """Z <- projection of W + U, then U <- U + W - Z."""
        for name, part in self.modules.items():
            W = part.weight.detach()
            self.Z[name] = self._project(name, W + self.U[name])
            self.U[name] = self.U[name] + W - self.Z[name]

    def masks(self) -> dict[str, Any]:
        """Of the largest weights as they are now, bool arrays: what pruning at the end keeps."""
        return {
            name: magnitude_mask(part.weight.detach().numpy(), self.densities[name])
            for name, part in self.modules.items()
        }

    def distance(self) -> float:
        """||W - Z|| over ||W||, of all layers: 0 once pruning changes nothing."""
        apart = sum(float(((part.weight.detach() - self.Z[name]) ** 2).sum()) for name, part in self.modules.items())
        whole = sum(float((part.weight.detach() ** 2).sum()) for part in self.modules.values())
        return float((apart / whole) ** 0.5) if whole else 0.0

    def state(self) -> dict[str, Any]:
        """What `load` takes."""
        return {"Z": dict(self.Z), "U": dict(self.U)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take Z and U of the same layers, copied."""
        self.Z = {name: value.clone() for name, value in state["Z"].items()}
        self.U = {name: value.clone() for name, value in state["U"].items()}
