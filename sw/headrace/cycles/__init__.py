"""How many cycles the accelerator takes for a compiled network, without running it."""

from __future__ import annotations

from .memory import Memory
from .program import DescriptorCycles, Timeline

__all__ = ["DescriptorCycles", "Memory", "Timeline"]
