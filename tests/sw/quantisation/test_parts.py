"""The steps of quantisation, one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.errors import CompileError
from headrace.floats import Add
from headrace.network import SUM_LIMIT
from headrace.quantisation import Options, quantise
from headrace.quantisation.bias import channel_means, correct_bias
from headrace.quantisation.build import addition
from headrace.quantisation.calibrate import BINS, calibrate
from headrace.quantisation.compress import prune, share
from headrace.quantisation.equalise import equalise
from headrace.quantisation.reconstruct import reconstruct
from headrace.quantisation.weights import integers, is_shared
from real_graphs import SHAPE, chain, graph, images, linear, residual


def test_scale_of_the_largest_magnitude():
    net, x = chain(), images(70)
    scales = calibrate(net, x, Options(calibration="max"))
    outputs = dict(net.trace(x))
    assert scales[0] == pytest.approx(np.abs(x).max() / 127, rel=1e-12)
    assert scales[1] == pytest.approx(np.abs(outputs["first"]).max() / 127, rel=1e-6)
    assert scales[2] == scales[3] == pytest.approx(np.abs(outputs["second"]).max() / 127, rel=1e-6)  # joined by a pool


def test_percentile():
    net = graph([linear(np.random.default_rng(0), "one", "input", 2, 192)])
    x = images(50)
    for percentile in (50.0, 99.0):
        scale = calibrate(net, x, Options(calibration="percentile", percentile=percentile))[0]
        step = np.abs(x).max() / BINS
        assert abs(scale * 127 - np.percentile(np.abs(x), percentile)) <= 2 * step


def test_least_error_clips_an_outlier():
    net = graph([linear(np.random.default_rng(0), "one", "input", 2, 192)])
    x = images(50)
    x[0, 0, 0, 0] = 40
    largest, best = (calibrate(net, x, Options(calibration=method))[0] for method in ("max", "mse"))

    def error(scale: float) -> float:
        return float(((x - scale * np.clip(np.rint(x / scale), -128, 127)) ** 2).sum())

    assert best < largest and error(best) < error(largest)
    assert error(best) <= 1.02 * min(error(largest * part) for part in np.linspace(0.2, 1, 81))


@pytest.mark.parametrize("factor", [1e-28, 1e-36, 1e-42])
def test_magnitudes_next_to_nothing(factor: float):
    """float32 holds them, and not what a histogram multiplies them with."""
    x = images(8)
    near = calibrate(chain(), (x * np.float32(factor)), Options())[0]
    assert near == pytest.approx(calibrate(chain(), x, Options())[0] * factor, rel=0.01)


def test_fixed_input_scale():
    assert calibrate(chain(), images(4), Options(input_scale=0.25))[0] == 0.25


@pytest.mark.parametrize("per_channel", [True, False])
def test_sums_fit_24_bits(per_channel: bool):
    wide = linear(np.random.default_rng(0), "wide", "input", 4, 20_000)
    parts = integers(wide, 0.05, per_channel)
    assert parts is not None
    sums = np.abs(parts.weights.astype(np.int64)).sum(axis=1)
    assert (sums * 128 <= SUM_LIMIT).all() and sums.max() * 128 > 0.8 * SUM_LIMIT
    assert np.abs(parts.dense() - wide.weights).max() <= 0.51 * parts.scale.max()
    assert len(set(parts.scale)) == (4 if per_channel else 1)
    with pytest.raises(CompileError, match="wide: 140000 weights an output are too many"):
        integers(linear(np.random.default_rng(0), "wide", "input", 1, 140_000), 0.05, per_channel)


def test_channel_of_nothing_but_a_tiny_bias():
    """Its step would be so small that no rescaling factor is in range."""
    layer = linear(np.random.default_rng(0), "one", "input", 3, 192)
    weights, bias = layer.weights.copy(), layer.bias.copy()
    weights[1], bias[1] = 0.0, 1e-15
    network, _ = quantise(graph([replace(layer, weights=weights, bias=bias)]), images(20))
    made = network.layers[0]
    assert not made.weights[1].any() and made.bias[1] == 0 and made.weights[0].any() and made.weights[2].any()


def test_residual_factor_is_an_integer():
    layer = linear(np.random.default_rng(0), "one", "input", 6, 50)
    parts = integers(layer, 0.1, True, ratio=0.2)
    assert parts is not None and parts.skip is not None
    assert np.allclose(parts.scale * parts.skip, 0.2, rtol=1e-12) and parts.skip.min() >= 4
    assert integers(layer, 0.1, True, ratio=1e-3) is None


@pytest.mark.parametrize("ratio", [1.0, 0.37, 3.3, 0.011, 90.0])
def test_addition_of_two_scales(ratio: float):
    layer = Add("sum", ("a", "b"))
    conv = addition(layer, (0.1, 0.1 * ratio), 0.2 * max(1, ratio), 2)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-127, 128, (3, 2, 5, 5)).astype(np.int8) for _ in range(2))
    wanted = (a * 0.1 + b * 0.1 * ratio) / (0.2 * max(1, ratio))
    assert np.abs(conv.run(a, b) - np.clip(wanted, -128, 127)).max() <= 1.6


def test_pruning_counts_within_channels():
    net = chain(spread=300)
    relative, absolute = (prune(net, Options(density=0.5, per_channel=choice)) for choice in (True, False))
    kept = [np.count_nonzero(one.layers[0].weights.reshape(8, -1), axis=1) for one in (relative, absolute)]
    assert kept[0].sum() == kept[1].sum() == 108
    assert kept[0].min() > 6 and kept[1].min() == 0
    assert prune(net, Options()).layers[0].weights is net.layers[0].weights


def test_sharing_keeps_zeros():
    pytest.importorskip("sklearn")
    pruned = prune(residual(), Options(density=0.5))
    shared = share(pruned, Options(values={"half": 6}))
    assert list(shared) == ["half"]
    half = next(layer for layer in pruned.layers if layer.name == "half")
    assert np.array_equal(shared["half"].weights == 0, half.weights == 0)
    assert np.unique(shared["half"].weights).size <= 6


def test_equalised_network_means_the_same():
    net = chain(spread=1000)
    changed, pairs = equalise(net)
    x = images(8)
    assert pairs == 2
    assert np.allclose(net.run(x), changed.run(x), rtol=1e-3, atol=1e-4)
    ranges = [np.abs(one.layers[0].weights).reshape(8, -1).max(axis=1) for one in (net, changed)]
    assert ranges[1].max() / ranges[1].min() < ranges[0].max() / ranges[0].min() / 50


def test_corrected_means():
    net, x = residual(), images(24)
    pruned = prune(net, Options(density=0.3))
    wanted = channel_means(net, x)
    before, after = channel_means(pruned, x), channel_means(correct_bias(pruned, wanted, x), x)
    for name, mean in wanted.items():
        assert np.allclose(after[name], mean, atol=1e-5)
    assert np.abs(before["linear"] - wanted["linear"]).max() > 0.01


def test_reconstruction_is_the_least_squares_solution():
    rng = np.random.default_rng(0)
    net = graph([linear(rng, "one", "input", 3, 192)])
    mixing = rng.normal(0, 1, (192, 192)).astype(np.float32) / 14
    x = (images(128).reshape(128, -1) @ mixing).reshape(128, *SHAPE)
    pruned = prune(net, Options(density=0.25))
    fitted = reconstruct(pruned, net, x)
    errors = [np.square(net.run(x) - one.run(x)).sum() for one in (pruned, fitted)]
    assert errors[1] < 0.5 * errors[0]
    assert np.array_equal(fitted.layers[0].weights == 0, pruned.layers[0].weights == 0)
    kept = pruned.layers[0].weights[0] != 0
    inputs = x.reshape(128, -1)[:, kept].astype(np.float64)
    best = np.linalg.lstsq(inputs - inputs.mean(0), (y := net.run(x)[:, 0]) - y.mean(), rcond=None)[0]
    assert np.corrcoef(best, fitted.layers[0].weights[0, kept])[0, 1] > 0.9
    assert reconstruct(net, net, x).layers[0].weights is net.layers[0].weights


def test_layers_that_come_shared_keep_one_scale():
    """Equal weights are equal integers, in all channels."""
    rng = np.random.default_rng(4)
    book = np.float32([0, 0, -0.31, 0.2, 0.75, 1.1])
    layer = linear(rng, "one", "input", 40, 192)
    layer = replace(layer, weights=book[rng.integers(0, 6, layer.weights.shape)])
    assert is_shared(layer.weights) and not is_shared(linear(rng, "two", "input", 40, 192).weights)
    sparse = np.where(rng.random(layer.weights.shape) < 0.01, rng.standard_normal(layer.weights.shape), 0)
    assert not is_shared(sparse.astype(np.float32))
    network, _ = quantise(graph([layer]), images(20), Options(bias_correction=False))
    made = network.layers[0].weights.reshape(layer.weights.shape)
    for value in np.unique(book):
        assert np.unique(made[layer.weights == value]).size == 1
    assert np.unique(made).size == np.unique(layer.weights).size
