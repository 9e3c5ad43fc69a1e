"""Networks of the literature: what torch exports means what torch computes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from headrace.floats import FloatGraph, Input  # noqa: E402
from headrace.importers import import_model  # noqa: E402
from headrace.importers.torch import import_torch  # noqa: E402
from headrace.nets import NETS, build  # noqa: E402

LARGE = ("resnet56", "resnet110", "vgg19", "vgg19-mnist")
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in NETS]
CLOSE = 1e-4


def network(name: str) -> tuple[Any, Any, np.ndarray]:
    """A module with normalisations that do something, an input of two images or texts, and torch's output."""
    torch.manual_seed(1)
    module = build(name)
    for one in module.modules():
        if isinstance(one, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            one.running_mean.uniform_(-0.1, 0.1)
            one.running_var.uniform_(0.5, 1.5)
    texts = any(isinstance(one, torch.nn.Embedding) for one in module.modules())
    shape = (2, *NETS[name].input_shape)
    x = torch.randint(0, 20, shape) if texts else torch.randn(shape)
    return module, x, module(x).detach().numpy()


def check(graph: FloatGraph, x: Any, expected: np.ndarray) -> None:
    got = graph.run(x.numpy())
    assert got.shape == expected.shape and got.dtype == np.float32
    assert np.abs(got - expected).max() <= CLOSE * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("name", NAMES)
def test_onnx(name: str, tmp_path: Path):
    module, x, expected = network(name)
    path = tmp_path / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this exporter is on its way out; files of it are around
        torch.onnx.export(module, (x,), path, dynamo=False, input_names=["x"], dynamic_axes={"x": [0]})
    check(import_model(path), x, expected)


@pytest.mark.parametrize("name", ["lenet5", "dscnn", "resnet20"])
def test_onnx_of_the_present_exporter(name: str, tmp_path: Path):
    pytest.importorskip("onnxscript")
    module, x, expected = network(name)
    path = tmp_path / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (x,), path, dynamo=True, external_data=True, verbose=False)
    check(import_model(path), x, expected)


@pytest.mark.parametrize("name", NAMES)
def test_module_and_file(name: str, tmp_path: Path):
    module, x, expected = network(name)
    check(import_torch(module, x, name), x, expected)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, tmp_path / f"{name}.pt2")
    graph = import_model(tmp_path / f"{name}.pt2")
    check(graph, x, expected)
    assert graph.name == name and isinstance(graph.input, Input)


def test_decomposed_program():
    module, x, expected = network("resnet8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        program = torch.export.export(module, (x,)).run_decompositions()
    check(import_torch(program, name="resnet8"), x, expected)
