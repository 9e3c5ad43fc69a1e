"""Training with the device's rounding: int8 weights and activations forward, straight-through gradients back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .constraints import weighted_modules

if TYPE_CHECKING:
    import torch
    from torch import nn

DECAY = 0.999
"""Of the largest activation seen, at each batch in training."""


class Rounding:
    """Fake quantisation of a model, on while `active()`.

    Weights: int8 with a scale for each output channel, left as they are in the layers named `shared`, whose values lie
    on a grid already. Activations: what convolutions and products read, in int8 steps of the largest magnitude seen.
    """

    def __init__(self, model: nn.Module, shared: set[str]) -> None:
        self.model = model
        self.modules = weighted_modules(model)
        self.shared = shared
        self.largest: dict[str, float] = {}
        """By layer, of its input."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """Forward and backward passes within see rounded weights; the optimiser's step belongs outside."""
        hooks = [part.register_forward_pre_hook(self._hook(name)) for name, part in self.modules.items()]
        kept = {name: part.weight.data for name, part in self.modules.items() if name not in self.shared}
        try:
            for name, weights in kept.items():
                self.modules[name].weight.data = rounded_weights(weights)
            yield
        finally:
            for name, weights in kept.items():
                self.modules[name].weight.data = weights
            for hook in hooks:
                hook.remove()

    def _hook(self, name: str) -> Any:
        def hook(part: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            import torch

            (x,) = inputs
            least, most = (float(one) for one in torch.aminmax(x.detach()))
            if self.model.training or name not in self.largest:
                self.largest[name] = max(self.largest.get(name, 0.0) * DECAY, -least, most)
            step = self.largest[name] / 127
            # the gradient passes wherever nothing is clipped
            return (torch.fake_quantize_per_tensor_affine(x, step, 0, -128, 127),) if step else inputs

        return hook

    def state(self) -> dict[str, float]:
        """What `load` takes."""
        return dict(self.largest)

    def load(self, state: Mapping[str, float]) -> None:
        """Take the ranges of activations seen."""
        self.largest = dict(state)


def rounded_weights(weights: torch.Tensor) -> torch.Tensor:
    """int8 multiples of a scale for each output channel, whose largest weight becomes 127."""
    flat = weights.reshape(len(weights), -1)
    scale = flat.abs().amax(dim=1, keepdim=True).clamp(min=1e-30) / 127
    return ((flat / scale).round() * scale).reshape(weights.shape)
