"""Rows made alike: what may change, what it saves, and that the network stays what options say it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.compress.alike import LEAST, alike_rows, make_alike, price_within
from headrace.compress.quantise import quantise_activations
from headrace.network import Conv2d, Linear, Network
from headrace.quantisation import Options, quantise
from headrace.quantisation.report import network_digest
from headrace.spanning import ROOT, spanning_tree
from real_graphs import chain, images, residual


def symbols(W: np.ndarray) -> int:
    parents = spanning_tree(W).tolist()
    return sum(
        int(np.count_nonzero(row if parent == ROOT else row != W[parent]))
        for row, parent in zip(W, parents, strict=True)
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 12), st.floats(0.0, 20.0))
def test_a_weight_moves_only_where_that_is_worth_less_than_a_symbol(seed: int, m: int, k: int, price: float):
    generator = np.random.default_rng(seed)
    W = generator.integers(-5, 6, (m, k), np.int8)
    errors = generator.random((m, k))
    moved = alike_rows(W, errors, price)
    change = (moved.astype(int) - W) ** 2
    assert moved.dtype == W.dtype and (errors * change <= price).all()
    for column, before in zip(moved.T, W.T, strict=True):
        assert set(column.tolist()) <= {0, *before.tolist()}
    assert (errors * change).sum() + price * symbols(moved) <= price * np.count_nonzero(W) + 1e-9


def test_without_a_price_nothing_moves():
    W = np.random.default_rng(1).integers(-5, 6, (9, 9), np.int8)
    assert np.array_equal(alike_rows(W, np.ones(W.shape), 0.0), W)


def test_rows_nearly_alike_become_alike():
    row = np.random.default_rng(2).integers(20, 90, 30)
    W = np.stack([row, row + 1, row - 1]).astype(np.int8)
    moved = alike_rows(W, np.ones(W.shape), 2.0)
    assert (moved == moved[0]).all() and np.count_nonzero(moved[0]) == 30


def integers(net) -> tuple[Network, np.ndarray]:
    network, _ = quantise(net, images(64), Options())
    return network, quantise_activations(images(64), network.input_scale)


@pytest.mark.parametrize("net", [chain, residual], ids=["chain", "residual"])
def test_a_network_takes_fewer_symbols_and_keeps_its_mean_outputs(net):
    network, x = integers(net())
    alike = make_alike(network, x, 0.5)
    before, after = (
        [layer.weights.reshape(len(layer.weights), -1) for layer in one.layers if isinstance(layer, Conv2d | Linear)]
        for one in (network, alike)
    )
    assert sum(map(symbols, after)) < 0.9 * sum(map(symbols, before))
    first, same = (next(one for one in each.layers if isinstance(one, Conv2d)) for each in (network, alike))
    sums = [one.run(x).astype(float).mean(axis=(0, 2, 3)) for one in (first, same)]
    assert np.abs(sums[0] - sums[1]).max() < 4
    for one, other in zip(network.layers, alike.layers, strict=True):
        if isinstance(one, Conv2d) and one.groups > 1:
            assert one is other
    assert make_alike(network, x, 0.0) is network


def test_a_row_that_would_leave_the_accumulator_stays():
    """Of the 24 bits, the weight of an absorbed addition takes its part."""
    generator = np.random.default_rng(3)
    shape = (4, 64, 3, 3)
    weights = generator.integers(110, 118, shape).astype(np.int8)
    skip = (2**16 - 1 - np.abs(weights.astype(int)).sum(axis=(1, 2, 3))).clip(0, 127).astype(np.int8)
    numbers = [np.full(4, value) for value in (0, 1 << 14, 24)]
    layer = Conv2d("a", weights, *numbers, padding=(1, 1, 1, 1), skip=skip, inputs=("input", "input"))
    x = generator.integers(-128, 128, (8, 64, 6, 6)).astype(np.int8)
    first = Conv2d("first", np.eye(4, 64, dtype=np.int8).reshape(4, 64, 1, 1), *numbers)
    net = Network("net", (64, 6, 6), 1.0, 1.0, (first, replace(layer, inputs=("input", "first"))))
    moved = make_alike(net, x, 1.0).layers[1]
    assert isinstance(moved, Conv2d)
    sizes = [np.abs(one.astype(int)).sum(axis=(1, 2, 3)) for one in (weights, moved.weights)]
    assert ((sizes[1] + skip <= 2**16 - 1) | (sizes[1] <= sizes[0])).all()


def test_options_give_the_network_again():
    network, x = integers(residual())
    again, report = quantise(residual(), images(64), Options(alike=0.5))
    assert network_digest(again) == network_digest(make_alike(network, x, 0.5)) != network_digest(network)
    weights = {layer.name: layer.weights for layer in again.layers if isinstance(layer, Conv2d | Linear)}
    assert all(one.nonzeros == np.count_nonzero(weights[one.output]) for one in report.weights)
    with pytest.raises(ValueError, match="alike must be 0 or more"):
        Options(alike=-1.0)


def test_the_largest_price_that_fits():
    network, x = integers(chain())

    def fits(one: Network) -> bool:
        weights = [layer.weights for layer in one.layers if isinstance(layer, Conv2d | Linear)]
        return sum(map(np.count_nonzero, weights)) > 0.7 * sum(w.size for w in weights)

    price = price_within(network, x, fits)
    assert price > LEAST and fits(make_alike(network, x, price)) and not fits(make_alike(network, x, 4 * price))
    assert price_within(network, x, lambda _: False) == 0.0
