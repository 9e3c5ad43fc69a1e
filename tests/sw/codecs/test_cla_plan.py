"""What the plan of CLA promises: exact sizes, a partition, never more than single columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import cla_plan
from headrace.codecs.cla_plan import line_sizes, plan


def test_sizes_by_hand():
    codes = np.array([[0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 0, 2, 0, 1, 2]])
    sizes, ole = line_sizes(codes, np.array([1, 2, 1]), 4)
    run, offsets = 3 + 1 * (8 + 2) + 2 * 2, 3 + 2 * (4 + 2) + 2 * (1 + 2 + 1 + 2)
    assert sizes.tolist() == [3, run, offsets] and ole.tolist() == [True, False, True]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(0, 50), st.integers(1, 5), st.integers(1, 8))
@settings(deadline=None)
def test_partition(seed, n, m, kinds, value_bytes):
    rng = np.random.default_rng(seed)
    codes = (rng.integers(1, 4, (kinds, n)) * (rng.random((kinds, n)) < 0.4))[rng.integers(0, kinds, m)]
    groups, rest = plan(codes, value_bytes)
    assert sorted([*rest, *(column for group in groups for column in group.columns)]) == list(range(m))
    single, _ = line_sizes(codes, np.ones(m, np.int64), value_bytes)
    for group in groups:
        tuples = {tuple(row): code for row, code in zip(codes[group.columns].T.tolist(), group.codes, strict=True)}
        assert len(set(tuples.values())) == len(tuples)  # a code for each tuple
        assert all((code == 0) == (not any(row)) for row, code in tuples.items())
        together, ole = line_sizes(group.codes[None], np.array([group.columns.size]), value_bytes)
        assert together[0] <= single[group.columns].sum() and bool(ole[0]) == group.ole
    assert all(single[column] >= n * value_bytes for column in rest)


@pytest.mark.parametrize(("name", "value"), [("BINS", 1), ("BINS", 0), ("BIN", 1), ("BIN", 3), ("SAMPLE", 64)])
def test_bounds_of_the_search(name, value, monkeypatch):
    rng = np.random.default_rng(1)
    codes = (rng.integers(1, 4, (4, 200)) * (rng.random((4, 200)) < 0.2))[np.arange(40) % 4]
    merged = len(plan(codes, 4)[0])
    monkeypatch.setattr(cla_plan, name, value)
    groups, rest = plan(codes, 4)
    assert merged <= len(groups) <= 40 and rest.size == 0
    assert sorted(column for group in groups for column in group.columns) == list(range(40))
