"""Quantisation after training: from a network in real numbers to the device's integers, without retraining."""

from .options import Options
from .pipeline import quantise
from .report import Report, WeightReport

__all__ = ["Options", "Report", "WeightReport", "quantise"]
