"""Methods that are no stages of recipes, end to end on real digits: trained, compressed, quantised, still right."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from headrace.compile import compile_network  # noqa: E402
from headrace.compress import resconv, tickets  # noqa: E402
from headrace.compress.alike import make_alike  # noqa: E402
from headrace.compress.budget import densities_within  # noqa: E402
from headrace.compress.constraints import Constraints, weight_arrays  # noqa: E402
from headrace.compress.quantise import quantise_activations  # noqa: E402
from headrace.config import get_config  # noqa: E402
from headrace.cycles import estimate  # noqa: E402
from headrace.data import embedded_digits  # noqa: E402
from headrace.evaluate import accuracy  # noqa: E402
from headrace.importers.torch import import_torch  # noqa: E402
from headrace.quantisation import Options, quantise  # noqa: E402

IMAGES, LABELS = embedded_digits()
X = torch.from_numpy(IMAGES[:, None].astype(np.float32) / 255)
Y = torch.from_numpy(LABELS.astype(np.int64))
TRAIN = 208
CONFIG = get_config("demo")


def fresh(classes: int = 10) -> Any:
    from torch import nn

    def conv(before: int, after: int, stride: int) -> list[Any]:
        return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]

    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers = [*conv(1, 8, 2), *conv(8, 8, 1), *conv(8, 16, 2), *conv(16, 16, 1)]
        return nn.Sequential(*layers, nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(144, classes))


def train(model: Any, epochs: int, shrinking: float = 0.0, masks: Any = None, rotations: bool = False) -> Any:
    constraints = Constraints(model)
    constraints.set_masks(masks or {})
    optimiser = torch.optim.Adam(model.parameters(), 4e-3)
    for epoch in range(epochs):
        optimiser.param_groups[0]["lr"] = 4e-3 * (1 - epoch / epochs)
        order = np.random.default_rng(epoch).permutation(TRAIN)
        for first in range(0, TRAIN, 26):
            chosen = order[first : first + 26]
            model.train().zero_grad()
            if rotations:
                tickets.rotation_loss(model, X[chosen]).backward()
            else:
                torch.nn.functional.cross_entropy(model(X[chosen]), Y[chosen]).backward()
            constraints.before_step()
            optimiser.step()
            constraints.after_step(optimiser)
            if shrinking:
                resconv.shrink(model, shrinking)
    return model.eval()


def right(model: Any) -> float:
    with torch.no_grad():
        return float((model.eval()(X[TRAIN:]).argmax(1) == Y[TRAIN:]).float().mean())


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads would wait for each other, on so little; afterwards their number is what it was."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(one_thread: None) -> Any:
    model = train(fresh(), 20)
    assert right(model) > 0.7
    return model


@pytest.fixture(scope="module")
def graph(trained: Any) -> Any:
    return import_torch(trained, X[:1], "digits")


def integer_accuracy(network: Any) -> float:
    return accuracy(network, quantise_activations(X[TRAIN:].numpy(), network.input_scale), LABELS[TRAIN:])


def test_layers_removed(trained: Any):
    model = deepcopy(trained)
    assert len(resconv.wrap(model)) == 2
    train(model, 3, shrinking=1e-3)
    assert len(resconv.remove(model, 1)) == 1
    train(model, 8)
    fused = deepcopy(model)
    resconv.fuse_all(fused)
    with torch.no_grad():
        y = model(X[TRAIN:])
        assert (fused.eval()(X[TRAIN:]) - y).abs().max() <= 1e-5 * y.abs().max()
    network, _ = quantise(import_torch(fused, X[:1], "fused"), X[:TRAIN].numpy(), Options())
    assert right(fused) > 0.5 and integer_accuracy(network) > 0.5


def test_masks_found_without_labels():
    model = fresh(tickets.ROTATIONS)
    masks = tickets.full_masks(model)
    early = deepcopy(model.state_dict())
    for _ in range(2):
        train(model, 2, masks=masks, rotations=True)
        masks = tickets.prune_round(weight_arrays(model), masks, 0.4)
        tickets.reset(model, early, masks)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        tickets.set_classes(model, 10)
    train(model, 15, masks=masks)
    weights = weight_arrays(model)
    assert all(not weights[name][~mask].any() for name, mask in masks.items())
    assert tickets.density(masks) == pytest.approx(0.36, abs=0.01) and right(model) > 0.5


@pytest.mark.slow
def test_cycles_that_were_asked_for(graph: Any):
    x = X[:TRAIN].numpy()
    dense, _ = quantise(graph, x, Options())
    most = int(0.7 * estimate(compile_network(dense, CONFIG)).cycles)
    network, _ = quantise(graph, x, Options(density=densities_within(graph, x, Options(), CONFIG, max_cycles=most)))
    assert estimate(compile_network(network, CONFIG)).cycles <= most and integer_accuracy(network) > 0.5


def test_rows_made_alike(graph: Any):
    x = X[:TRAIN].numpy()
    network, _ = quantise(graph, x, Options())
    alike = make_alike(network, quantise_activations(x, network.input_scale), 0.1)
    before, after = (estimate(compile_network(one, CONFIG)).cycles for one in (network, alike))
    assert after < 0.95 * before and integer_accuracy(alike) >= integer_accuracy(network) - 0.1
