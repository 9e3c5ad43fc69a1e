"""Random matrices and row plans for tests of the weight stream; everything follows from the generator passed in."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from headrace.isa import SLOTS
from headrace.stream import Plan, RowPlan


def random_matrix(
    rng: np.random.Generator, rows: int, positions: int, density: float, values: int = 255
) -> npt.NDArray[np.int8]:
    """int8 (rows, positions) with at most `values` distinct nonzero values, and rows that are near copies of others."""
    palette = rng.choice(np.concatenate([np.arange(-128, 0), np.arange(1, 128)]), size=values, replace=False)
    W = np.where(rng.random((rows, positions)) < density, rng.choice(palette, size=(rows, positions)), 0)
    for row in range(1, rows):
        if rng.random() < 0.4:
            changed = rng.random(positions) < 0.1
            W[row] = np.where(changed, W[row], W[rng.integers(row)])
    return W.astype(np.int8)


def random_plan(rng: np.random.Generator, rows: int, lanes: int, differential: float = 0.6, tables: int = 1) -> Plan:
    """A valid plan: rows shuffled over the lanes, each a difference from the row of a random slot with probability
    `differential`, in one of `tables` codes.
    """
    deal = rng.integers(lanes, size=rows)
    shuffled = rng.permutation(rows)
    plan = []
    for lane in range(lanes):
        held: dict[int, int] = {}
        entries = []
        for row in shuffled[deal == lane].tolist():
            target = int(rng.integers(SLOTS)) if held else 0
            table = int(rng.integers(tables))
            if held and rng.random() < differential:
                source = int(rng.choice(sorted(held)))
                entries.append(RowPlan(row, held[source], source, target, table))
            else:
                entries.append(RowPlan(row, target=target, table=table))
            held[target] = row
        plan.append(tuple(entries))
    return tuple(plan)
