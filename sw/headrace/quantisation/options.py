"""What a user can choose about quantisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

METHODS = ("max", "percentile", "mse")


@dataclass(frozen=True)
class Options:
    """Choices of `quantise`. ValueError for values outside what is said here."""

    per_channel: bool = True
    """A scale of the weights for each output channel, not one for the layer: also of those that `values` asks to share,
    and of the magnitudes that pruning compares. Layers that come with shared values have one scale in any case."""
    calibration: str = "mse"
    """What 127 stands for: the largest magnitude seen ("max"), the `percentile` of magnitudes, or the magnitude with
    the least squared error of rounding and clipping ("mse")."""
    percentile: float = 99.99
    bias_correction: bool = True
    """Biases make up for what pruning, sharing and rounding of weights do to each channel's mean output."""
    reconstruct: bool = False
    """Fit the weights that pruning leaves to what each layer gave before, by least squares on the calibration data. The
    time grows with output channels times the third power of the weights of one: minutes for layers of thousands."""
    equalise: bool = False
    """Scale channels between two layers first, so that their weights have like ranges (cross-layer equalisation)."""
    density: float | Mapping[str, float] = 1.0
    """Fraction of each layer's weights to keep, the largest: for all layers, or by their names (others: 1)."""
    values: int | Mapping[str, int] | None = None
    """Most distinct weights of a layer, 0 included, by k-means: for all layers, or by name; None: any int8."""
    alike: float = 0.0
    """Rows are made alike to save symbols, see `headrace.compress.alike`: the noise over signal that saving all
    multiplications would be worth. 0: they stay as they are."""
    input_scale: float | None = None
    """Real units of one step of the network's input; None: as calibrated."""

    def __post_init__(self) -> None:
        if self.calibration not in METHODS:
            raise ValueError(f"calibration must be one of {', '.join(METHODS)}, not {self.calibration!r}")
        if not 0 < self.percentile <= 100:
            raise ValueError(f"percentile must be above 0 and at most 100, not {self.percentile}")
        densities = self.density.values() if isinstance(self.density, Mapping) else (self.density,)
        if not all(0 <= one <= 1 for one in densities):
            raise ValueError("densities must be fractions from 0 to 1")
        counts = self.values.values() if isinstance(self.values, Mapping) else (self.values,)
        if not all(one is None or 2 <= one <= 256 for one in counts):
            raise ValueError("numbers of shared values must be 2 to 256")
        if not (isfinite(self.alike) and self.alike >= 0):
            raise ValueError(f"alike must be 0 or more, not {self.alike}")
        if self.input_scale is not None and not (isfinite(self.input_scale) and self.input_scale > 0):
            raise ValueError(f"input_scale must be positive, not {self.input_scale}")

    def density_of(self, layer: str) -> float:
        """Of one layer's weights."""
        return self.density.get(layer, 1.0) if isinstance(self.density, Mapping) else self.density

    def values_of(self, layer: str) -> int | None:
        """Of one layer's weights."""
        return self.values.get(layer) if isinstance(self.values, Mapping) else self.values

    def named_layers(self) -> set[str]:
        """Layers that densities or numbers of values name."""
        return {name for choice in (self.density, self.values) if isinstance(choice, Mapping) for name in choice}

    def to_json(self) -> dict[str, Any]:
        """What JSON holds; `Options(**values)` gives these options again."""
        return asdict(self)
