"""headrace.compress.budget, and `headrace compress --max-bytes --max-cycles`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.compile import compile_network
from headrace.compress.budget import LEVELS, Trade, densities_within
from headrace.config import get_config
from headrace.cycles import estimate
from headrace.errors import CompileError
from headrace.floats import Conv, FloatGraph, Linear
from headrace.floats.edges import Input, Output
from headrace.quantisation import Options, quantise

TINY = get_config("tiny")


def graph() -> FloatGraph:
    """A convolution and a product, the product's last rows of no use to anyone."""
    generator = np.random.default_rng(0)

    def weights(*shape: int) -> np.ndarray:
        return generator.normal(0, 1, shape).astype(np.float32)

    conv = Conv("conv", ("input",), low=0.0, weights=weights(6, 2, 3, 3), bias=weights(6))
    hidden = Linear("hidden", ("conv",), low=0.0, weights=weights(40, 6 * 16), bias=weights(40))
    last = weights(5, 40)
    last[:, 20:] *= 1e-3
    out = Linear("out", ("hidden",), weights=last, bias=weights(5))
    return FloatGraph("net", Input((2, 6, 6), (2, 6, 6)), (conv, hidden, out), Output((5, 1, 1), (5,)))


def calibration() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 1, (16, 2, 6, 6)).astype(np.float32)


def taken(densities: dict[str, float] | float, config=TINY) -> tuple[int, int]:
    network, _ = quantise(graph(), calibration(), replace(Options(), density=densities))
    image = compile_network(network, config)
    return len(image.blob), estimate(image).cycles


@pytest.mark.slow
def test_fits_and_wastes_little() -> None:
    dense, sparse = taken(1.0), taken(LEVELS[-1])
    for part in (0.3, 0.6):
        size, cycles = (round(b + part * (a - b)) for a, b in zip(dense, sparse, strict=True))
        by_size = densities_within(graph(), calibration(), Options(), TINY, max_bytes=size)
        by_cycles = densities_within(graph(), calibration(), Options(), TINY, max_cycles=cycles)
        both = densities_within(graph(), calibration(), Options(), TINY, size, cycles)
        assert list(by_size) == ["conv", "hidden", "out"]
        assert 0.6 * size < taken(by_size)[0] <= size
        assert 0.6 * cycles < taken(by_cycles)[1] <= cycles
        assert taken(both)[0] <= size and taken(both)[1] <= cycles


def test_without_need_nothing_is_pruned() -> None:
    found = densities_within(graph(), calibration(), Options(), TINY, max_bytes=1 << 20)
    assert found == dict.fromkeys(found, 1.0)


def test_impossible_budgets_are_named() -> None:
    with pytest.raises(CompileError, match="the sparsest choice of densities takes"):
        densities_within(graph(), calibration(), Options(), TINY, max_bytes=100)
    with pytest.raises(ValueError, match="max_bytes or max_cycles"):
        densities_within(graph(), calibration(), Options(), TINY)


def test_refinements_use_the_room() -> None:
    losses = np.array([[0, 1, 4], [0, 5, 6]], float)
    costs = np.array([[[9, 4, 1], [9, 3, 1]], [[1, 1, 1], [3, 2, 1]]], float)
    found = Trade(("a", "b"), losses, costs).refinements(np.array([2, 2]), np.array([6.0, 1.0]))
    assert [one.tolist() for one in found] == [[2, 2], [1, 2], [1, 1]]


TABLE = hnp.arrays(np.float64, (3, 4), elements=st.integers(0, 20).map(float))


@given(TABLE, TABLE)
def test_choices_are_the_best_of_their_cost(losses: np.ndarray, costs: np.ndarray) -> None:
    losses, costs = np.maximum.accumulate(losses, axis=1), np.minimum.accumulate(costs, axis=1)
    rows = np.arange(3)
    reached = [
        (losses[rows, choice].sum(), costs[rows, choice].sum())
        for choice in Trade(("a", "b", "c"), losses, costs[None]).choices()
    ]
    every = np.stack(np.meshgrid(*[np.arange(4)] * 3), -1).reshape(-1, 3)
    for loss, cost in reached[1:]:
        cheaper = costs[rows, every].sum(axis=1) <= cost
        assert loss <= losses[rows, every].sum(axis=1)[cheaper].min() + 1e-6
    assert reached[0][0] == losses.min(axis=1).sum()
    assert reached[-1][1] == costs.min(axis=1).sum()
    assert (np.diff([cost for _, cost in reached[1:]]) <= 0).all()
