"""PyTorch's operators mean what PyTorch computes, and what the device cannot run is named."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from headrace.errors import ModelError  # noqa: E402
from headrace.importers.torch import import_torch  # noqa: E402


class Lambda(nn.Module):
    """A function with modules that have weights."""

    def __init__(self, function: Any, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x, *self.parts)


def conv(*arguments: Any, **named: Any) -> nn.Module:
    return nn.Conv2d(4, 6, 3, *arguments, **named)


def keep() -> nn.Module:
    """A layer, since a network without any is none."""
    return nn.Conv2d(4, 4, 1, groups=4)


IMAGE, SIGNAL, VECTOR = (2, 4, 8, 9), (2, 4, 24), (2, 9)
CASES: dict[str, tuple[Any, tuple[int, ...]]] = {
    "conv": (conv(2, (1, 2), dilation=(2, 1)), IMAGE),
    "conv same": (conv(padding="same"), IMAGE),
    "conv valid": (conv(padding="valid", bias=False), IMAGE),
    "conv 1-D": (nn.Conv1d(4, 6, 5, 2, 3, groups=2), SIGNAL),
    "normalised": (nn.Sequential(conv(), nn.BatchNorm2d(6), nn.ReLU6()), IMAGE),
    "normalised vector": (
        nn.Sequential(nn.Linear(9, 6), nn.BatchNorm1d(6, affine=False), nn.Hardtanh(-0.5, 0.25)),
        VECTOR,
    ),
    "limits": (Lambda(lambda x, a: a(x).clamp(-0.1, 0.2).clamp_min(0.0), keep()), IMAGE),
    "limit above": (Lambda(lambda x, a: a(x).clamp(max=0.2), keep()), IMAGE),
    "in place": (nn.Sequential(conv(), nn.ReLU(inplace=True)), IMAGE),
    "maxima": (nn.Sequential(keep(), nn.MaxPool2d(3, 2, 1, ceil_mode=True)), IMAGE),
    "maxima 1-D": (nn.Sequential(nn.Conv1d(4, 4, 1), nn.MaxPool1d(3, 2)), SIGNAL),
    "averages": (nn.Sequential(keep(), nn.AvgPool2d((2, 3), 1, (1, 1))), IMAGE),
    "averages 1-D": (nn.Sequential(nn.Conv1d(4, 4, 1), nn.AvgPool1d(4)), SIGNAL),
    "adaptive": (nn.Sequential(keep(), nn.AdaptiveAvgPool2d((4, 9))), (2, 4, 8, 18)),
    "adaptive to one": (nn.Sequential(keep(), nn.AdaptiveMaxPool2d(1), nn.Flatten()), IMAGE),
    "means": (Lambda(lambda x, a: a(x).mean((2, 3), keepdim=True), keep()), IMAGE),
    "maxima of all": (Lambda(lambda x, a: a(x).amax((-1, -2)), keep()), IMAGE),
    "arithmetic": (Lambda(lambda x, a: 3 - (a(x) * 2 + 1) / 4 - 0.5, keep()), IMAGE),
    "added twice": (Lambda(lambda x, a, b: torch.relu(a(x) + b(x)) + x, keep(), keep()), IMAGE),
    "joined": (Lambda(lambda x, a: torch.cat([a(x), x, torch.relu(a(x))], 1), keep()), IMAGE),
    "views": (
        Lambda(lambda x, a: a(x.view(x.size(0), -1)[...] if False else x.view(x.size(0), -1)), nn.Linear(288, 5)),
        IMAGE,
    ),
    "permuted": (Lambda(lambda x, a: a(x.permute(0, 3, 1, 2).reshape(2, 288)), nn.Linear(288, 5)), IMAGE),
    "channels last": (Lambda(lambda x, a: a(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1), keep()), (2, 8, 9, 4)),
    "unflattened": (Lambda(lambda x, a: a(x.unflatten(1, (4, 3, 3))), conv()), (2, 36)),
    "transposed": (Lambda(lambda x, a: a(x.transpose(1, 2)), nn.Conv1d(24, 3, 3)), SIGNAL),
    "rows": (nn.Sequential(nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 2)), (2, 5, 9)),
    "product": (Lambda(lambda x, a: x @ a.weight.T, nn.Linear(9, 6)), VECTOR),
    "squeezed": (
        Lambda(lambda x, a: a(x).mean((2, 3), keepdim=True).squeeze(3).squeeze(-1).unsqueeze(1), keep()),
        IMAGE,
    ),
    "padded": (nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), conv()), IMAGE),
    "padded by constant": (Lambda(lambda x, a: functional.pad(a(x), (1, 1, 2, 0)), keep()), IMAGE),
    "chances": (nn.Sequential(nn.Linear(9, 6), nn.Dropout(), nn.Softmax(1)), VECTOR),
    "logarithms": (nn.Sequential(nn.Linear(9, 6), nn.LogSoftmax(-1)), VECTOR),
    "sigmoid": (nn.Sequential(nn.Linear(9, 6), nn.Identity(), nn.Sigmoid()), VECTOR),
    "wide weights": (nn.Sequential(nn.Linear(9, 6)).double(), VECTOR),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("decomposed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_operator(name: str, decomposed: bool):
    torch.manual_seed(3)
    module, shape = CASES[name]
    for one in module.modules():
        if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d):
            one.running_mean.uniform_(-1, 1)
            one.running_var.uniform_(0.5, 2)
    x = torch.randn(shape, dtype=next(module.parameters()).dtype)
    expected = module.eval()(x).detach().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        program = torch.export.export(module, (x,))
        program = program.run_decompositions() if decomposed else program
    if name == "rows" and decomposed:
        with pytest.raises(ModelError, match="the batch, must stay"):
            import_torch(program)
        return
    got = import_torch(program).run(x.numpy())
    assert got.shape == expected.shape
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_lookup():
    module = Lambda(lambda x, e, c: c(e(x).transpose(1, 2)), nn.Embedding(7, 4), nn.Conv1d(4, 3, 5))
    x = torch.randint(0, 7, (3, 20))
    graph = import_torch(module, x)
    np.testing.assert_allclose(graph.run(x.numpy()), module(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_tied_weights_and_the_modules_mode():
    first, second = nn.Linear(6, 6), nn.Linear(6, 6)
    second.weight = first.weight
    module = nn.Sequential(first, nn.Dropout(), second).train()
    second.eval()
    x = torch.randn(2, 6)
    graph = import_torch(module, x.numpy())
    assert module.training and first.training and not second.training
    np.testing.assert_allclose(graph.run(x.numpy()), module.eval()(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_names_of_layers():
    module = nn.Sequential()
    module.add_module("first", nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    module.add_module("second", nn.Sequential(nn.Flatten(), nn.Linear(168, 3)))
    graph = import_torch(module, torch.zeros(2, 4, 8, 9), "name")
    assert [layer.name for layer in graph.layers] == ["first.0", "second.1"] and graph.name == "name"


def problems(module: nn.Module, *shape: int) -> tuple[str, ...]:
    with pytest.raises(ModelError) as caught:
        import_torch(module, torch.zeros(shape))
    assert "\n" not in str(caught.value)
    return caught.value.problems


def test_all_are_in_one_report():
    parts = nn.Sequential(
        conv(), nn.LeakyReLU(), nn.GroupNorm(2, 6), nn.Conv2d(6, 4, 1), nn.Upsample(scale_factor=2), nn.GELU()
    )
    found = problems(parts, *IMAGE)
    assert [line.split("'")[0].strip() for line in found] == ["leaky_relu", "group_norm", "upsample_nearest2d", "gelu"]


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        (Lambda(lambda x, a: a(x) * x, keep()), "mul of two computed tensors"),
        (Lambda(lambda x, a: a(x) + x[:, :1], keep()), "slice"),
        (Lambda(lambda x, a: a(x).transpose(0, 1), keep()), "computed one by one"),
        (Lambda(lambda x, a: a(x).mean(1), keep()), "other axes than height and width"),
        (Lambda(lambda x, a: (a(x), x), keep()), "one output"),
        (Lambda(lambda x, a: a(functional.pad(x, (1, 1), value=2.0)), keep()), "padding with 2"),
        (Lambda(lambda x, a: a(functional.pad(x, (1, 1, 1, 1), mode="reflect")), keep()), "the device pads with 0"),
        (Lambda(lambda x, a: functional.dropout(a(x), training=True), keep()), "model.eval()"),
        (Lambda(lambda x, a: a(x) if x.sum() > 0 else x, keep()), "cannot export"),
        (nn.ConvTranspose2d(4, 4, 2), "enlarge"),
    ],
)
def test_reason(module: nn.Module, reason: str):
    assert any(reason in line for line in problems(module, *IMAGE))


def test_example_is_needed():
    with pytest.raises(ModelError, match="needs an example"):
        import_torch(keep())
