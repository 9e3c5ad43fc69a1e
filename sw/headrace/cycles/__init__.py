"""How many cycles the accelerator takes for a compiled network, without running it.

    estimate(image).cycles

The rules are those of docs/hardware.md: lanes that decode and multiply (`lanes`), one way out for the rows of all of
them (`emission`), a memory behind the read ports (`memory`), and a front that is one layer ahead (`front`, `program`).
`costs` holds the constants. What depends on data, such as activations, does not matter to the device's cycles.
"""

from __future__ import annotations

from .estimate import Estimate, LayerEstimate, Limit, estimate
from .memory import Memory

__all__ = ["Estimate", "LayerEstimate", "Limit", "Memory", "estimate"]
