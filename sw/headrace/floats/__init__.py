"""Networks in real numbers: a directed acyclic graph of the layers that the device has, and its meaning in float32."""

from .edges import Input, Output
from .graph import FloatGraph
from .layers import Add, AveragePool, Concat, Conv, FloatLayer, GlobalAveragePool, Linear, MaxPool

__all__ = [
    "Add",
    "AveragePool",
    "Concat",
    "Conv",
    "FloatGraph",
    "FloatLayer",
    "GlobalAveragePool",
    "Input",
    "Linear",
    "MaxPool",
    "Output",
]
