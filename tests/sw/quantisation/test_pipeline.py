"""Quantisation as a whole: close to the real network, exact on the device, the same each time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import get_config
from headrace.device.model import ModelDevice
from headrace.errors import CompileError, FormatError
from headrace.evaluate import compare, integer_input, run_float, run_network
from headrace.network import Conv2d
from headrace.quantisation import Options, quantise
from headrace.quantisation.record import KEY, quantise_again, read_record, record
from headrace.quantisation.report import network_digest
from headrace.session import Session
from real_graphs import chain, graph, images, linear, residual

CALIBRATION = images(128)


def noise_db(net, options: Options, calibration=CALIBRATION) -> float:
    network, _ = quantise(net, calibration, options)
    x = calibration[:64]  # others may lie beyond the scales
    real, integer = run_float(net, x), run_network(net, network, x)
    return float(10 * np.log10((real**2).sum() / ((real - integer) ** 2).sum()))


@pytest.mark.parametrize(
    ("options", "least"),
    [
        (Options(), 28),
        (Options(calibration="max"), 28),
        (Options(calibration="percentile"), 28),
        (Options(per_channel=False), 25),
        (Options(bias_correction=False), 25),
        (Options(equalise=True), 25),
    ],
)
def test_close_to_the_real_network(options: Options, least: float):
    assert noise_db(residual(), options) > least
    assert noise_db(chain(), options) > least


def test_layers_keep_their_names_and_an_addition_is_absorbed():
    network, report = quantise(residual(), CALIBRATION)
    names = [layer.name for layer in network.layers]
    assert names == [layer.name for layer in residual().layers if layer.name != "b"]
    layers = {layer.name: layer for layer in network.layers}
    assert isinstance(layers["sum"], Conv2d) and layers["sum"].inputs == ("a", "first") and layers["sum"].low == 0
    assert isinstance(layers["both"], Conv2d) and layers["both"].groups == 8 and layers["both"].weights.shape[2] == 1
    assert {one.name: one.output for one in report.weights}["b"] == "sum"
    assert set(report.scales) == {"input", *names}
    assert network.input_scale == report.scales["input"] and network.output_scale == report.scales["linear"]
    assert report.scales["max"] == report.scales["sum"] and report.scales["joined"] == report.scales["both"]


def test_limits_become_integers():
    network, report = quantise(residual(), CALIBRATION * np.float32(100))
    both = next(layer for layer in network.layers if layer.name == "both")
    assert both.high == min(127, round(6 / report.scales["both"])) and both.low == -128


def test_device_gives_the_same_integers():
    net = residual(3)
    network, _ = quantise(net, CALIBRATION, Options(density=0.5))
    config = get_config("small")
    x = integer_input(net, images(3, seed=5), network.input_scale)
    with ModelDevice.open(config) as device, Session(device, Artifact(compile_network(network, config))) as session:
        assert np.array_equal(session.run(x).outputs, network.run(x))


def test_pruned_and_shared():
    pytest.importorskip("sklearn")
    options = Options(density={"first": 0.5, "linear": 0.25}, values={"first": 8, "a": 16, "b": 16})
    network, report = quantise(residual(), CALIBRATION, options)
    by_name = {one.name: one for one in report.weights}
    assert by_name["first"].nonzeros == 108 and by_name["linear"].nonzeros <= 15
    assert by_name["first"].values <= 8 and by_name["a"].values <= 16 and by_name["b"].values <= 16
    assert by_name["half"].values > 100 and by_name["half"].sharing_loss is None
    assert 0 < by_name["a"].sharing_loss < 0.2 and by_name["a"].sharing_loss == by_name["a"].error
    assert by_name["first"].error > by_name["first"].sharing_loss
    assert report.density < 0.95 and report.corrected and report.pairs == 0
    assert by_name["a"].values == np.unique(next(one for one in network.layers if one.name == "a").weights).size


def test_fitting_what_pruning_leaves():
    pruned = Options(density=0.5)
    fitted = replace(pruned, reconstruct=True)
    x = images(512)
    assert noise_db(residual(), fitted, x) > noise_db(residual(), pruned, x) + 0.8
    assert network_digest(quantise(chain(), CALIBRATION, fitted)[0]) == network_digest(
        quantise(chain(), CALIBRATION, fitted)[0]
    )


def test_equalisation_helps_where_ranges_differ():
    skewed, layerwise = chain(spread=300), Options(per_channel=False)
    assert noise_db(skewed, replace(layerwise, equalise=True)) > noise_db(skewed, layerwise) + 6
    assert quantise(skewed, CALIBRATION, Options(equalise=True))[1].pairs == 2


def test_compare_finds_the_layer_that_loses():
    pytest.importorskip("sklearn")
    net = residual()
    network, report = quantise(net, CALIBRATION)
    x = images(16, seed=2)
    equalised = quantise(net, CALIBRATION, Options(equalise=True))
    assert all(one.sqnr_db > 20 for one in compare(equalised[1].reference, equalised[0], equalised[1].scales, x))
    before = compare(net, network, report.scales, x)
    assert [one.name for one in before] == [layer.name for layer in network.layers]
    assert all(one.sqnr_db > 20 and one.clipped < 0.05 for one in before)
    worse, worse_report = quantise(net, CALIBRATION, Options(values={"half": 3}))
    after = compare(net, worse, worse_report.scales, x)
    drops = {b.name: b.sqnr_db - a.sqnr_db for b, a in zip(before, after, strict=True)}
    assert drops["half"] > 8 and max(abs(drop) for name, drop in drops.items() if name in ("first", "a", "sum")) < 1


def test_record_gives_the_network_again():
    pytest.importorskip("sklearn")
    options = Options(density={"first": 0.5}, values=16, equalise=True)
    network, _ = quantise(chain(), CALIBRATION[:32], options)
    note = record(options, 32, "raw", network)
    read, count, normalisation, digest = read_record({KEY: note})
    assert (read, count, normalisation) == (options, 32, "raw")
    again, _ = quantise_again(chain(), CALIBRATION[:32], read, digest)
    assert network_digest(again) == digest
    with pytest.raises(FormatError, match="does not give the artifact's network"):
        quantise_again(chain(1), CALIBRATION[:32], read, digest)
    for damaged in ({}, {KEY: 3}, {KEY: {"options": {"nothing": 1}}}, {KEY: note | {"images": "8"}}):
        with pytest.raises(FormatError, match="quantis"):
            read_record(damaged)


def test_progress():
    seen = []
    quantise(chain(), CALIBRATION, Options(calibration="mse"), lambda done, total: seen.append((done, total)))
    assert seen[-1] == (256, 256) and seen == sorted(seen)


def test_layers_without_output():
    """Weights of a channel, or of a layer, may all be zero."""
    rng = np.random.default_rng(0)
    one = linear(rng, "one", "input", 6, 192)
    weights = one.weights.copy()
    weights[2] = 0
    net = graph([replace(one, weights=weights), linear(rng, "two", "one", 3, 6)])
    assert noise_db(net, Options()) > 25
    zero = graph([replace(one, weights=np.zeros_like(weights))])
    network, _ = quantise(zero, CALIBRATION)
    assert np.allclose(run_network(zero, network, images(2)), one.bias, atol=network.output_scale)


def test_errors_name_the_layer():
    with pytest.raises(CompileError, match="nobody: no layer with weights"):
        quantise(chain(), CALIBRATION, Options(density={"nobody": 0.5}))
    with pytest.raises(CompileError, match="calibration needs data"):
        quantise(chain(), CALIBRATION[:0])
    with pytest.raises(CompileError, match="net: the calibration data holds a NaN"):
        quantise(chain(), CALIBRATION * np.float32(np.nan))
    for corrected in (True, False):
        with (
            np.errstate(over="ignore", invalid="ignore"),
            pytest.raises(CompileError, match=r"(first|second|linear): .* not finite"),
        ):
            quantise(chain(), np.clip(CALIBRATION, -3, 3) * np.float32(1.1e38), Options(bias_correction=corrected))


@pytest.mark.parametrize(
    "wrong",
    [
        {"calibration": "mean"},
        {"percentile": 0},
        {"density": 1.5},
        {"density": {"a": -1}},
        {"values": 1},
        {"input_scale": 0.0},
    ],
)
def test_wrong_options(wrong):
    with pytest.raises(ValueError):
        Options(**wrong)
