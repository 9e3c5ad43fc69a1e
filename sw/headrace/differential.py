"""Differential rows: which row is sent as the difference from which, in which order, through which slots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from .cycles.costs import row_cycles
from .isa import SLOTS
from .spanning import ROOT, Progress, spanning_tree
from .stream import Plan, RowPlan

IntArray = npt.NDArray[np.int64]


def differential_plan(
    W: npt.ArrayLike, lanes: int, words: int, slots: int = SLOTS, progress: Progress | None = None
) -> Plan:
    """A plan of fewest differing weights, cut into lanes of about equal cycles.

    The rows are put in the order of a walk over their spanning tree, which is cut where the lanes' cycles are equal;
    within its piece each lane has a tree of its own.

    Args:
        W: integers of at most 9 bits (M, K).
        lanes: number of lanes, at least 1.
        words: words of P pixels in a row, as for `schedule.fresh_plan`.
        slots: accumulator slots, 1..8.
        progress: called with (done, total).

    Raises:
        ValueError: W is not two-dimensional, or a number is out of range.
    """
    return Walk(W, words, slots, progress).cut(lanes)


class Walk:
    """All rows of a matrix in an order in which neighbours resemble each other, and the cycles that each takes.

    Arguments as for `differential_plan`, which is `cut` once.
    """

    def __init__(self, W: npt.ArrayLike, words: int, slots: int = SLOTS, progress: Progress | None = None) -> None:
        self._rows = np.asarray(W).astype(np.int16)
        self._slots = slots
        if self._rows.ndim != 2:
            raise ValueError("weights must be a two-dimensional array")
        if words < 1 or not 1 <= slots <= SLOTS:
            raise ValueError(f"{words} words, {slots} slots: out of range")
        self._whole = _walk(self._rows, spanning_tree(self._rows, progress), slots)
        self._order = np.array([row.row for row in self._whole], np.int64)
        self._cycles = _cycles(self._rows, self._whole, words).astype(np.float64)

    def cut(self, lanes: int, together: int = 1) -> Plan:
        """A plan for so many lanes, of about equal cycles; all but the last have a multiple of `together` rows."""
        if lanes < 1 or together < 1:
            raise ValueError(f"{lanes} lanes, {together} rows together: out of range")
        if lanes == 1:
            return (self._whole,)
        ends = np.cumsum(self._cycles)
        cuts = np.searchsorted(ends, ends[-1:] * np.arange(1, lanes) / lanes) if ends.size else np.zeros(lanes - 1)
        plan = []
        cuts = (cuts + together // 2) // together * together
        for piece in np.split(self._order, cuts.astype(np.int64)):
            lane = _walk(self._rows[piece], spanning_tree(self._rows[piece]), self._slots)
            plan.append(tuple(_renumbered(row, piece) for row in lane))
        return tuple(plan)

    def correct(self, plan: Plan, cycles: Sequence[int]) -> None:
        """Lane n of `plan`, which `cut` made, was found to take cycles[n]: the next cut goes by that."""
        pieces = np.split(self._cycles, np.cumsum([len(lane) for lane in plan])[:-1])
        for piece, found in zip(pieces, cycles, strict=True):  # views
            if piece.size and found:
                piece *= found / piece.sum()


def _renumbered(row: RowPlan, numbers: IntArray) -> RowPlan:
    parent = None if row.parent is None else int(numbers[row.parent])
    return RowPlan(int(numbers[row.row]), parent, row.source, row.target)


def _cycles(rows: npt.NDArray[np.int16], lane: tuple[RowPlan, ...], words: int) -> IntArray:
    """(M,) cycles of each row of a lane."""
    taps = [
        np.count_nonzero(rows[row.row] if row.parent is None else rows[row.row] != rows[row.parent]) for row in lane
    ]
    return row_cycles(np.array(taps, np.int64), words)


def _walk(rows: npt.NDArray[np.int16], parent: IntArray, slots: int) -> tuple[RowPlan, ...]:
    """The tree's rows, parents first, each with the slots to use.

    A row's last child takes over its slot; the others need one more each while their subtrees last, so the subtree
    that needs most slots comes last. Where the slots do not suffice, a row starts from zero, as a root of its own.

    Source: Sethi and Ullman, "The generation of optimal code for arithmetic expressions", J. ACM 17(4), 1970.
    """
    children: list[list[int]] = [[] for _ in rows]
    roots: list[int] = []
    for row, above in enumerate(parent.tolist()):
        (roots if above == ROOT else children[above]).append(row)
    need = _slots_needed(children, roots)
    lane: list[RowPlan] = []
    waiting = sorted(roots, key=lambda row: (need[row], row), reverse=True)
    while waiting:
        stack: list[tuple[int, int | None, int, bool]] = [(waiting.pop(), None, 0, False)]
        free = list(range(slots))[::-1]  # as a stack: the lowest number on top
        while stack:
            row, above, source, takes_over = stack.pop()
            if takes_over:
                target = source
            elif free:
                free.sort(reverse=True)
                target = free.pop()
            else:
                waiting.append(row)
                continue
            lane.append(RowPlan(row, above, source, target))
            below = sorted(children[row], key=lambda child: (need[child], child))
            if below:
                stack.append((below[-1], row, target, True))
                stack += [(child, row, target, False) for child in below[-2::-1]]
            else:
                free.append(target)
    return tuple(lane)


def _slots_needed(children: list[list[int]], roots: list[int]) -> list[int]:
    """Slots that each row's subtree needs, the row's own included."""
    need = [1] * len(children)
    order = list(roots)
    for row in order:
        order += children[row]
    for row in reversed(order):
        most = sorted(need[child] for child in children[row])[-2:]
        if len(most) == 2:
            need[row] = max(most[1], most[0] + 1)
        elif most:
            need[row] = most[0]
    return need
