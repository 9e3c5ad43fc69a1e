"""What quantisation did to each layer, and a name for the integers that came out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace.floats import FloatGraph
from headrace.network import Network


@dataclass(frozen=True)
class WeightReport:
    """One layer's weights."""

    name: str
    """Of the layer in real numbers."""
    output: str
    """Of the integer layer that has them: another one where an addition was absorbed."""
    shape: tuple[int, ...]
    nonzeros: int
    values: int
    """Distinct integers, 0 included where it occurs."""
    sharing_loss: float | None
    """Root of the squared error over the squared weights that sharing alone causes, its int8 grid included; None
    without sharing."""
    error: float
    """The same of everything together: pruning, sharing, rounding."""


@dataclass(frozen=True)
class Report:
    """Of one network."""

    weights: tuple[WeightReport, ...]
    scales: Mapping[str, float]
    """Real units of one integer step of the input and of each integer layer's output, by name."""
    corrected: bool
    """Biases were corrected."""
    pairs: int
    """Pairs of layers whose channels were equalised."""
    reference: FloatGraph = field(repr=False, compare=False)
    """The real network that `scales` refer to: the given one or, with the same meaning, the equalised one."""

    @property
    def density(self) -> float:
        """Nonzero weights over all."""
        return sum(one.nonzeros for one in self.weights) / sum(int(np.prod(one.shape)) for one in self.weights)

    def to_json(self) -> dict[str, Any]:
        """What JSON holds: all but the reference."""
        weights = [asdict(one) for one in self.weights]
        return {
            "weights": weights,
            "scales": dict(self.scales),
            "corrected": self.corrected,
            "pairs": self.pairs,
            "density": self.density,
        }


def relative_error(wanted: NDArray[np.floating], got: NDArray[np.floating]) -> float:
    """Root of the squared error over the squared wanted values; 0 of nothing but zeros."""
    reference = wanted.astype(np.float64)
    power = float((reference**2).sum())
    return float(np.sqrt(((reference - got) ** 2).sum() / power)) if power else 0.0


def network_digest(network: Network) -> str:
    """SHA-256 over every integer and name of a network: equal for equal networks only."""
    digest = hashlib.sha256()
    for layer in network.layers:
        for key, value in sorted(vars(layer).items()):
            digest.update(f"{layer.kind} {key} ".encode())
            if isinstance(value, np.ndarray):
                digest.update(f"{value.dtype} {value.shape} ".encode() + np.ascontiguousarray(value).tobytes())
            else:
                digest.update(repr(value).encode())
    digest.update(repr((network.input_shape, network.input_scale, network.output_scale)).encode())
    return digest.hexdigest()
