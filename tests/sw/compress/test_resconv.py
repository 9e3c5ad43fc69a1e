"""Residual convolutions: fusion is exact, removal takes the smallest, the threshold is its closed form."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from headrace.compress.resconv import (  # noqa: E402
    eligible,
    fuse,
    fuse_all,
    layers,
    parameter_groups,
    remove,
    residual,
    shrink,
    wrap,
)
from headrace.nets import build  # noqa: E402

nn = torch.nn


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(7)


def trained(conv: Any, s: float = 0.7, p: float = 1.3) -> Any:
    """A residual convolution whose normalisation has values as training leaves them."""
    norm = nn.BatchNorm2d(conv.out_channels, dtype=conv.weight.dtype)
    for tensor, low, high in ((norm.weight, -1, 2), (norm.bias, -1, 1), (norm.running_mean, -1, 1)):
        nn.init.uniform_(tensor, low, high)
    nn.init.uniform_(norm.running_var, 0.1, 3)
    return residual(conv, norm, s, p).eval()


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("kernel", [1, 3, (5, 3)])
@pytest.mark.parametrize("bias", [False, True])
def test_fusion_is_exact(dtype: Any, limit: float, kernel: Any, bias: bool) -> None:
    part = trained(nn.Conv2d(6, 6, kernel, padding="same", bias=bias, dtype=dtype))
    x = torch.randn(3, 6, 9, 8, dtype=dtype)
    with torch.no_grad():
        wanted, got = part(x), fuse(part)(x)
    assert type(fuse(part)) is nn.Conv2d
    assert float((wanted - got).abs().max()) < limit
    assert float((wanted - x).abs().max()) > 0.1


def test_fusion_of_a_dilated_convolution_without_affine_normalisation() -> None:
    conv = nn.Conv2d(4, 4, 3, padding=2, dilation=2).double()
    part = residual(conv, nn.BatchNorm2d(4, affine=False).double(), 0.5, -1.0).eval()
    x = torch.randn(2, 4, 7, 7, dtype=torch.float64)
    with torch.no_grad():
        assert float((part(x) - fuse(part)(x)).abs().max()) < 1e-12


def test_fusion_of_other_modules_is_refused() -> None:
    with pytest.raises(ValueError, match="Linear is no residual convolution"):
        fuse(nn.Linear(2, 2))


@pytest.mark.parametrize(
    ("conv", "wanted"),
    [
        (lambda: nn.Conv2d(4, 4, 3, padding=1), True),
        (lambda: nn.Conv2d(4, 4, 1), True),
        (lambda: nn.Conv2d(4, 4, 3, padding=2, dilation=2), True),
        (lambda: nn.Conv2d(4, 4, 3, padding=1, stride=2), False),
        (lambda: nn.Conv2d(4, 8, 3, padding=1), False),
        (lambda: nn.Conv2d(4, 4, 3), False),
        (lambda: nn.Conv2d(4, 4, 2, padding="same"), False),
        (lambda: nn.Conv2d(4, 4, 3, padding=1, groups=4), False),
        (lambda: nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), False),
        (lambda: nn.Linear(4, 4), False),
    ],
)
def test_eligibility(conv: Any, wanted: bool) -> None:
    assert eligible(conv()) == wanted
    if not wanted:
        with pytest.raises(ValueError, match="cannot have its input added"):
            residual(conv(), nn.BatchNorm2d(4))


def test_a_normalisation_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not follow"):
        residual(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match="no statistics"):
        residual(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4, track_running_stats=False))


def test_wrapping_takes_all_eligible_layers_and_p_0_changes_nothing() -> None:
    network = build("resnet20")
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        before = network(x)
        names = wrap(network, p=0.0)
        assert torch.equal(network(x), before)
    assert len(names) == 16  # 18 in blocks, without the two of stride 2
    assert list(layers(network)) == names
    assert "layer2.0.conv1" not in names and "layer2.0.conv2" in names and "conv1" not in names
    assert wrap(network) == []


def test_a_shared_layer_and_one_whose_output_has_other_uses_stay() -> None:
    shared = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    assert wrap(nn.Sequential(shared, shared)) == []

    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

        def forward(self, x: Any) -> Any:
            y = self.conv(x)
            return self.norm(y) + y

    assert wrap(Branch()) == []


def test_gradients_reach_s_and_p() -> None:
    network = build("resnet20").train()
    wrap(network)
    network(torch.randn(4, 3, 32, 32)).square().sum().backward()
    for part in layers(network).values():
        assert float(part.s.grad) != 0 and float(part.p.grad) != 0


def test_decay_spares_s_and_p_alone() -> None:
    network = build("resnet20")
    names = wrap(network)
    remove(network, 3)
    decayed, free = parameter_groups(network, 1e-4)
    assert (decayed["weight_decay"], free["weight_decay"]) == (1e-4, 0.0)
    assert len(free["params"]) == 2 * (len(names) - 3) + 3
    assert all(value.ndim == 0 for value in free["params"]) and all(value.ndim for value in decayed["params"])
    trained_values = [value for value in network.parameters() if value.requires_grad]
    assert len(decayed["params"]) + len(free["params"]) == len(trained_values)


def test_threshold_is_the_minimum_of_the_proximal_problem() -> None:
    network = build("resnet20")
    wrap(network)
    before = [0.5, -0.5, 0.1, -0.1, 0.25, 0.0]
    parts = list(layers(network).values())[: len(before)]
    for part, value in zip(parts, before, strict=True):
        part.s.data.fill_(value)
    shrink(network, 0.25)
    assert [float(part.s.detach()) for part in parts] == [0.25, -0.25, 0.0, 0.0, 0.0, 0.0]
    grid = torch.linspace(-1, 1, 8001, dtype=torch.float64)
    for part, value in zip(parts, before, strict=True):
        best = grid[((grid - value) ** 2 / 2 + 0.25 * grid.abs()).argmin()]
        assert abs(float(part.s.detach()) - float(best)) < 1e-3
    with pytest.raises(ValueError, match="amount"):
        shrink(network, -0.1)


def test_removal_takes_exactly_the_smallest() -> None:
    network = build("resnet20")
    names = wrap(network)
    for index, part in enumerate(layers(network).values()):
        part.s.data.fill_((-1) ** index * (1.0 + (index * 5) % 16))
    order = sorted(range(16), key=lambda index: (index * 5) % 16)
    kept = {name: part.s for name, part in layers(network).items()}
    assert remove(network, 4) == [names[index] for index in order[:4]]
    left = layers(network)
    assert list(left) == [name for index, name in enumerate(names) if index not in order[:4]]
    assert all(part.s is kept[name] for name, part in left.items())
    with pytest.raises(ValueError, match="13 layers cannot be removed: there are 12"):
        remove(network, 13)


def test_of_equal_layers_the_first_goes() -> None:
    network = build("resnet20")
    names = wrap(network)
    assert remove(network, 0) == []
    assert remove(network, 2) == names[:2]


def test_a_removed_layer_is_p_times_its_input() -> None:
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)).eval()
    assert wrap(network, p=1.5) == ["0"]
    remove(network, 1)
    x = torch.randn(2, 3, 5, 5)
    with torch.no_grad():
        assert torch.equal(network(x), 1.5 * x)
        fuse_all(network)
        assert isinstance(network[0], nn.Conv2d) and torch.equal(network(x), 1.5 * x)


def test_a_whole_network_fuses_into_plain_layers() -> None:
    network = build("resnet20").train()
    wrap(network)
    with torch.no_grad():
        network(torch.randn(16, 3, 32, 32))  # statistics that are not 0 and 1
        for index, part in enumerate(layers(network).values()):
            part.s.fill_(0.3 + 0.05 * index)
            part.p.fill_(1.0 if index == 0 else 0.9)
        remove(network, 2)
        network.eval().double()
        fused = deepcopy(network)
        fuse_all(fused)
        x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
        wanted, got = network(x), fused(x)
    assert layers(fused) == {} and isinstance(fused.layer1[0].conv1, nn.Identity)
    assert float((wanted - got).abs().max()) < 1e-12 * max(1.0, float(wanted.abs().max()))
