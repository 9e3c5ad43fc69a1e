"""Which lane decodes which row: balanced offline, since lanes do not wait for each other within a layer."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .cycles.costs import row_cycles
from .stream import Plan, RowPlan


def assign_rows(costs: npt.ArrayLike, lanes: int, groups: Sequence[Sequence[int]] | None = None) -> list[list[int]]:
    """Deal rows to lanes so that the busiest lane is done early.

    Longest processing time first (Graham 1969: at most 4/3 of the optimum); equal costs go by row number, equal loads
    by lane number, so the result depends on the arguments only.

    Args:
        costs: integers (M,), cycles of each row, not negative.
        lanes: number of lanes, at least 1.
        groups: rows that must stay in one lane and in this order, such as the subtrees of differential rows; every row
            in one group. By default each row is its own group.

    Returns:
        Rows of each lane, groups by their first row: in ascending order where there are no groups. A lane may be empty.

    Raises:
        ValueError: wrong arguments, or groups that do not hold every row once.
    """
    cycles = np.asarray(costs)
    if cycles.ndim != 1 or (cycles.size and (cycles.dtype.kind not in "iu" or cycles.min() < 0)):
        raise ValueError("costs must be a one-dimensional array of integers that are not negative")
    if lanes < 1:
        raise ValueError(f"lanes is {lanes}, must be at least 1")
    work = cycles.tolist()
    members = [[row] for row in range(len(work))] if groups is None else [list(group) for group in groups if group]
    if sorted(row for group in members for row in group) != list(range(len(work))):
        raise ValueError(f"the groups do not hold each of {len(work)} rows once")

    loads = [(0, lane) for lane in range(lanes)]
    dealt: list[list[list[int]]] = [[] for _ in range(lanes)]
    totals = [(-sum(work[row] for row in group), group[0], group) for group in members]
    for total, _, group in sorted(totals):
        load, lane = loads[0]
        heapq.heapreplace(loads, (load - total, lane))
        dealt[lane].append(group)
    return [[row for group in sorted(lane) for row in group] for lane in dealt]


def fresh_plan(
    W: npt.ArrayLike, lanes: int, words: int, tables: npt.ArrayLike | None = None, together: int = 1
) -> Plan:
    """A plan without differential rows, balanced by each row's cycles; each lane goes through its rows code by code.

    Args:
        W: integers (M, K).
        lanes: number of lanes.
        words: words of P pixels in a row, see `cycles.costs.row_cycles`.
        tables: code of each row (M,); by default all are sent in code 0.
        together: rows of which every lane gets a multiple; M is one.

    Raises:
        ValueError: W is not two-dimensional, lanes or words is below 1, tables is not of M numbers, or M no multiple.
    """
    weights = np.asarray(W)
    if weights.ndim != 2:
        raise ValueError("weights must be a two-dimensional array")
    if words < 1:
        raise ValueError(f"words is {words}, must be at least 1")
    codes = np.zeros(len(weights), np.int64) if tables is None else np.asarray(tables, np.int64)
    if codes.shape != weights.shape[:1]:
        raise ValueError(f"tables has shape {codes.shape}, not one code for each of {len(weights)} rows")
    costs = row_cycles(np.count_nonzero(weights, axis=1), words)
    groups = np.argsort(costs, kind="stable").reshape(-1, together).tolist()
    listed = codes.tolist()
    lanes_rows = assign_rows(costs, lanes, groups)
    return tuple(
        tuple(RowPlan(row, table=listed[row]) for row in sorted(lane, key=lambda row: (listed[row], row)))
        for lane in lanes_rows
    )
