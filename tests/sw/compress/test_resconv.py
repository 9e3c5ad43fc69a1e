"""Convolutions with a shortcut: what can have one, what it fuses to, and which are removed."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from headrace.compress.resconv import (  # noqa: E402
    fuse,
    fused,
    keeps_shape,
    parameter_groups,
    remove,
    resconv,
    shrink,
    wrap,
)
from headrace.errors import DataError  # noqa: E402
from headrace.nets import build  # noqa: E402


def random_layer(kernel: int, dilation: int, bias: bool, dtype: Any) -> Any:
    padding = dilation * (kernel // 2)
    layer = resconv()(
        torch.nn.Conv2d(6, 6, kernel, padding=padding, dilation=dilation, bias=bias), torch.nn.BatchNorm2d(6), 0.7, -1.3
    )
    for value in (layer.norm.weight, layer.norm.bias, layer.norm.running_mean):
        value.data.normal_()
    layer.norm.running_var.uniform_(0.1, 3)
    return layer.to(dtype).eval()


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("bias", [False, True])
def test_fusion_is_exact(kernel: int, dilation: int, bias: bool) -> None:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(kernel + dilation)
        for dtype, limit in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
            layer, x = random_layer(kernel, dilation, bias, dtype), torch.randn(2, 6, 9, 8, dtype=dtype)
            assert (fused(layer)(x) - layer(x)).abs().max() < limit


def test_what_can_have_a_shortcut() -> None:
    conv = torch.nn.Conv2d
    assert keeps_shape(conv(4, 4, 3, padding=1)) and keeps_shape(conv(4, 4, (1, 5), padding=(0, 2)))
    assert keeps_shape(conv(4, 4, 3, padding=2, dilation=2))
    for other in (
        *(conv(4, 8, 3, padding=1), conv(4, 4, 3), conv(4, 4, 2), conv(4, 4, 3, 2, 1), conv(4, 4, 1, 2)),
        *(conv(4, 4, 3, padding=1, groups=4), conv(4, 4, 3, padding="same"), conv(4, 4, 3, padding=2)),
        conv(4, 4, 3, padding=1, padding_mode="reflect"),
    ):
        assert not keeps_shape(other), other


def test_a_network_is_wrapped_and_fused_unchanged() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model, x = build("resnet20").eval(), torch.randn(2, 3, 32, 32)
        with torch.no_grad():
            before = model(x)
            layers = wrap(model, skip=0.0)
            assert torch.allclose(model(x), before, atol=1e-5)
            # of 19 convolutions of 3 x 3 the first has 3 inputs, two have stride 2
            assert len(layers) == 16 and "conv1" not in layers and "layer2.0.conv1" not in layers
            for layer in layers.values():
                layer.scale.fill_(0.9)
                layer.skip.fill_(0.1)
            shortcut = model(x)
            fuse(model, layers)
            assert (model(x) - shortcut).abs().max() < 1e-5 * shortcut.abs().max()
    assert not any(isinstance(part, resconv()) for part in model.modules())


def test_the_smallest_scales_are_removed() -> None:
    model = build("resnet20").eval()
    layers = wrap(model)
    names = list(layers)
    with torch.no_grad():
        for n, layer in enumerate(layers.values()):
            layer.scale.fill_((-1) ** n * (len(names) - n))
    assert remove(model, layers, 3) == names[:-4:-1]
    assert isinstance(model.get_submodule(names[-1]), torch.nn.Identity)
    assert list(layers) == names[:-3]
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    with pytest.raises(ValueError, match="14 layers to remove, of 13"):
        remove(model, layers, 14)


def test_the_penalty_and_the_optimiser() -> None:
    model = build("resnet20").train()
    layers = wrap(model)
    for layer, scale in zip(layers.values(), (0.5, -0.5, 0.05, -0.05), strict=False):
        layer.scale.data.fill_(scale)
    shrink(layers, 0.1)
    scales = [layer.scale.item() for layer in layers.values()]
    assert scales[:5] == pytest.approx([0.4, -0.4, 0, 0, 0.9])
    assert scales[2] == scales[3] == 0
    model(torch.ones(2, 3, 32, 32)).sum().backward()
    assert all(layer.scale.grad is not None and layer.skip.grad is not None for layer in layers.values())
    rest, apart = parameter_groups(model, layers, 1e-4)
    assert (rest["weight_decay"], apart["weight_decay"], len(apart["params"])) == (1e-4, 0, 2 * len(layers))
    trained = sum(value.requires_grad for value in model.parameters())
    assert len(rest["params"]) + len(apart["params"]) == trained


def test_what_cannot_be_traced_is_named() -> None:
    class Odd(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    with pytest.raises(DataError, match=r"torch\.fx cannot trace"):
        wrap(Odd())
