"""Rows dealt to lanes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.schedule import assign_rows, fresh_plan
from headrace.stream import RowPlan


@given(st.lists(st.integers(0, 1000), max_size=60), st.integers(1, 7))
def test_every_row_once_ascending_and_balanced(costs: list[int], lanes: int) -> None:
    dealt = assign_rows(costs, lanes)
    assert len(dealt) == lanes
    assert sorted(row for lane in dealt for row in lane) == list(range(len(costs)))
    assert all(lane == sorted(lane) for lane in dealt)
    busiest = max(sum(costs[row] for row in lane) for lane in dealt)
    assert busiest <= sum(costs) / lanes + max(costs, default=0)  # no greedy schedule is worse


@given(st.data())
def test_groups_stay_whole(data: st.DataObject) -> None:
    rows = data.draw(st.permutations(range(data.draw(st.integers(0, 30)))))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=8)))
    groups = [list(rows[a:b]) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    dealt = assign_rows(np.arange(len(rows)), 3, groups)
    starts = {group[0]: group for group in groups if group}
    for lane in dealt:
        firsts = []
        while lane:
            group = starts.pop(lane[0])
            assert lane[: len(group)] == group
            firsts.append(group[0])
            lane = lane[len(group) :]
        assert firsts == sorted(firsts)
    assert not starts


def test_longest_first_ties_by_number() -> None:
    assert assign_rows([3, 3, 2, 2, 2], 2) == [[0, 2, 4], [1, 3]]
    assert assign_rows([1, 9, 1], 2) == [[1], [0, 2]]
    assert assign_rows([1, 1, 1, 5], 2, [[2, 0], [3], [1]]) == [[3], [1, 2, 0]]
    assert assign_rows([], 3) == [[], [], []]
    assert assign_rows([4], 3) == [[0], [], []]


@pytest.mark.parametrize(
    ("costs", "lanes", "groups"),
    [
        ([1, 2], 0, None),
        ([[1, 2]], 2, None),
        ([1, -1], 2, None),
        ([1.5], 2, None),
        ([1, 2], 2, [[0]]),
        ([1, 2], 2, [[0, 1], [1]]),
        ([1, 2], 2, [[0, 2]]),
    ],
)
def test_wrong_arguments(costs: list[int], lanes: int, groups: list[list[int]] | None) -> None:
    with pytest.raises(ValueError):
        assign_rows(costs, lanes, groups)


def test_fresh_plan() -> None:
    W = np.zeros((4, 6), np.int8)
    W[1, :5] = 1
    W[2, :4] = 1
    # words 1: costs 1, 6, 5, 1; words 3: 3, 15, 12, 3
    assert fresh_plan(W, 2, 1) == ((RowPlan(1), RowPlan(3)), (RowPlan(0), RowPlan(2)))
    assert fresh_plan(W, 2, 3) == ((RowPlan(1), RowPlan(3)), (RowPlan(0), RowPlan(2)))
    assert fresh_plan(np.zeros((0, 5), np.int8), 2, 1) == ((), ())
    assert fresh_plan(np.zeros((1, 0), np.int8), 2, 1) == ((RowPlan(0),), ())
    with pytest.raises(ValueError, match="words"):
        fresh_plan(W, 2, 0)
    with pytest.raises(ValueError, match="two-dimensional"):
        fresh_plan(W[0], 2, 1)
