"""What each kind of stage does: as it begins, at every step, and as it ends."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from headrace.compress.admm import Admm
from headrace.compress.constraints import Constraints, weight_arrays
from headrace.compress.pqk import Pqk
from headrace.compress.prune import channel_relative, cubic_density, magnitude_masks
from headrace.compress.rounding import Rounding
from headrace.compress.sharing import share_weights
from headrace.compress.taylor import TaylorScores
from headrace.errors import DataError

from .recipe import Stage

if TYPE_CHECKING:
    import torch
    from torch import nn


class Compressed:
    """A model in training: its weights, what they are bound to, and the rounding that it sees."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.constraints = Constraints(model)
        self.rounding: Rounding | None = None
        self.pqk: Pqk | None = None
        """While the modules have more weights than the model that is trained."""

    def forward(self) -> AbstractContextManager[None]:
        """Forward and backward passes belong inside."""
        if self.pqk is not None:
            return self.pqk.student()
        return nullcontext() if self.rounding is None else self.rounding.active()

    def begin_rounding(self) -> None:
        """From now on passes see the device's integers."""
        shared = {name for tied in self.constraints.tied for name in tied.modules if tied.grid}
        self.rounding = Rounding(self.model, shared)

    def state(self) -> dict[str, Any]:
        """Copies of everything, of types that `torch.load(weights_only=True)` takes."""
        model = {key: value.clone() for key, value in self.model.state_dict().items()}
        constraints = self.constraints.state()
        if self.pqk is not None:
            constraints["masks"] = {name: mask.clone() for name, mask in self.pqk.masks.items()}
            for name, mask in self.pqk.masks.items():
                model[f"{name}.weight"] *= mask
        rounding = None if self.rounding is None else self.rounding.state()
        return {"model": model, "constraints": constraints, "rounding": rounding}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take a state."""
        self.pqk = None
        self.model.load_state_dict(state["model"])
        self.constraints.load(state["constraints"])
        self.rounding = None
        if state["rounding"] is not None:
            self.begin_rounding()
            assert self.rounding is not None
            self.rounding.load(state["rounding"])


class Work:
    """A stage under way, of `steps` an epoch. `begin` first, unless `load` brings back what it had begun."""

    def __init__(self, stage: Stage, compressed: Compressed, steps: int, seed: int, bfloat16: bool = False) -> None:
        self.stage, self.compressed, self.steps, self.seed, self.bfloat16 = stage, compressed, steps, seed, bfloat16
        self.density = _densities(stage, list(compressed.constraints.modules))
        self.admm: Admm | None = None
        self.taylor = TaylorScores(compressed.model) if stage.score == "taylor" else None
        self.pqk: Pqk | None = None
        self.step = 0

    def begin(self) -> None:
        """Share, start rounding, prune at once, or make Z and U."""
        stage, constraints = self.stage, self.compressed.constraints
        if stage.kind == "pqk" and (constraints.tied or constraints.masks):
            raise DataError("stage pqk: weights are pruned or shared already; put it before the stages that do so")
        if stage.kind in ("prune", "admm") and constraints.tied:
            raise DataError(f"stage {stage.kind}: weights are shared already; put it before the stage that shares")
        if stage.kind == "share":
            weights = weight_arrays(self.compressed.model)
            options = (stage.values, stage.method, stage.scope or "layer", stage.zeros, stage.grid, self.seed)
            constraints.share(share_weights(weights, *options), stage.grid)
            if self.compressed.rounding is not None:
                self.compressed.begin_rounding()
        elif stage.kind == "int8":
            self.compressed.begin_rounding()
        elif stage.kind == "admm":
            self._make_admm()
        elif stage.kind == "pqk":
            self.compressed.begin_rounding()
            self._make_pqk()
        elif stage.kind == "prune" and not stage.over:
            self._prune(1.0)

    def backward(self, x: torch.Tensor, labels: torch.Tensor) -> float:
        """The gradients of a batch, with what the stage adds to them; its loss."""
        x = quickly_laid_out(x)
        if self.pqk is not None:
            first_phase = self.step < self.stage.over * self.steps
            if first_phase or not self.stage.distil:
                return self.pqk.backward_alone(x, labels, returning=first_phase)
            return self.pqk.backward_both(x, labels)
        import torch
        from torch.nn import functional

        fast = self.bfloat16 and self.compressed.rounding is None
        with self.compressed.forward():
            with torch.autocast("cpu", torch.bfloat16, enabled=fast):
                y = self.compressed.model(x)
            loss = functional.cross_entropy(y.float(), labels)
            loss.backward()
        if self.admm is not None:
            self.admm.add_gradients()
        if self.taylor is not None:
            self.taylor.update()
        return float(loss.detach())

    def after_step(self, step: int) -> None:
        """`step`: how many the stage has made, this one included."""
        stage, self.step = self.stage, step
        if step % stage.every == 0 or step == stage.over * self.steps:
            if self.admm is not None:
                self.admm.update()
            elif stage.over and step <= stage.over * self.steps:
                self._prune(step / (stage.over * self.steps))

    def eligible(self, epochs: int) -> bool:
        """Whether after so many epochs the model is what the stage aims at, so that its accuracy counts."""
        return epochs >= self.stage.over and self.admm is None

    def end(self) -> None:
        """Prune to what ADMM has led to; the student alone stays of "pqk"."""
        if self.pqk is not None:
            self.compressed.load(self.compressed.state())
            self.pqk = None
        if self.admm is not None:
            self.compressed.constraints.set_masks(self.admm.masks())
            self.admm = None

    def _make_admm(self) -> None:
        # ADMM counts what may stay by layer; a layer that is not to shrink needs no penalty.
        densities = self.density
        if not isinstance(densities, Mapping):
            densities = dict.fromkeys(self.compressed.constraints.modules, densities)
        self.admm = Admm(self.compressed.model, {n: d for n, d in densities.items() if d < 1}, self.stage.rho)

    def _make_pqk(self) -> None:
        assert self.compressed.rounding is not None
        self.pqk = self.compressed.pqk = Pqk(self.compressed.model, self.compressed.rounding)

    def _prune(self, progress: float) -> None:
        falling: float | dict[str, float]
        if isinstance(self.density, Mapping):
            falling = {name: cubic_density(progress, density) for name, density in self.density.items()}
        else:
            falling = cubic_density(progress, self.density)
            if self.pqk is not None:
                self.pqk.prune(falling, self.stage.relative)
                return
            if self.taylor is not None:
                self.compressed.constraints.set_masks(self.taylor.masks(falling))
                return
        weights: dict[str, Any] = weight_arrays(self.compressed.model)
        if self.stage.relative:
            weights = {name: channel_relative(W) for name, W in weights.items()}
        self.compressed.constraints.set_masks(magnitude_masks(weights, falling, self.stage.scope or "layer"))

    def state(self) -> dict[str, Any]:
        """What `load` takes."""
        parts = {"admm": self.admm, "taylor": self.taylor, "pqk": self.pqk}
        return {"step": self.step} | {name: None if part is None else part.state() for name, part in parts.items()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; the model's own state is loaded already."""
        self.step = state["step"]
        if state["admm"] is not None:
            self._make_admm()
            assert self.admm is not None
            self.admm.load(state["admm"])
        if self.taylor is not None:
            self.taylor.load(state["taylor"])
        if state["pqk"] is not None:
            self.compressed.constraints.masks = {}  # until the end the student's masks are not the model's
            self._make_pqk()
            assert self.pqk is not None
            self.pqk.load(state["pqk"])


def quickly_laid_out(x: torch.Tensor) -> torch.Tensor:
    """Pictures with their channels last in memory, which convolutions on a CPU are faster with; others as they are."""
    import torch

    return x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x


def _densities(stage: Stage, layers: list[str]) -> float | dict[str, float]:
    if not isinstance(stage.density, tuple):
        return stage.density
    if len(stage.density) != len(layers):
        reason = f"{len(stage.density)} densities for {len(layers)} layers: {', '.join(layers)}"
        raise DataError(f"stage {stage.kind}: {reason}")
    return dict(zip(layers, stage.density, strict=True))
