"""Removal of layers by residual convolutions that can be fused, after the idea of arXiv 2011.14356.

A convolution with its batch normalisation becomes y = s * BN(w * x) + p * x with two trained numbers s and p. The sum
of |s| is kept small while training, the layers of smallest |s| are taken out (y = p * x is left), and each of the
others is one plain convolution again, with the same outputs but for rounding:

    W = s * k * w + p * D,    b = s * (beta + k * (c - mu)),    k = gamma / sqrt(var + eps)

D is the kernel that copies its input, c the convolution's own bias, if any. Weight decay spares s and p but not gamma,
which would otherwise grow in place of s. Quantise after fusing, by channel: the centre of W holds p.
"""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn


def eligible(conv: nn.Module) -> bool:
    """Whether the input can be added to the output: a Conv2d of stride 1, equal channels, one group, odd kernel and
    zero padding that keeps height and width."""
    from torch import nn

    if not isinstance(conv, nn.Conv2d) or conv.groups != 1 or conv.padding_mode != "zeros":
        return False
    odd = all(size % 2 for size in conv.kernel_size)
    same = tuple(step * (size // 2) for size, step in zip(conv.kernel_size, conv.dilation, strict=True))
    kept = conv.padding == "same" or conv.padding == same
    return conv.in_channels == conv.out_channels and set(conv.stride) == {1} and odd and kept


@cache
def _kinds() -> tuple[Any, Any]:
    """The two modules, once torch is there."""
    import torch
    from torch import nn

    class ResConv(nn.Module):
        """y = s * norm(conv(x)) + p * x, of x (N, C, H, W)."""

        def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, s: float, p: float) -> None:
            super().__init__()
            self.conv, self.norm = conv, norm
            self.s = nn.Parameter(torch.tensor(s, dtype=conv.weight.dtype))
            self.p = nn.Parameter(torch.tensor(p, dtype=conv.weight.dtype))
            self.train(conv.training)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.s * self.norm(self.conv(x)) + self.p * x
            return y

    class Scale(nn.Module):
        """y = p * x: what is left of a layer that was removed."""

        def __init__(self, p: nn.Parameter, channels: int) -> None:
            super().__init__()
            self.p, self.channels = p, channels

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.p * x

    return ResConv, Scale


def residual(conv: nn.Conv2d, norm: nn.BatchNorm2d, s: float = 1.0, p: float = 1.0) -> Any:
    """A ResConv of these two modules, which it keeps. p = 0 leaves a trained network's function as it is.

    ValueError for a convolution that is not `eligible`, and a normalisation of other channels or without statistics.
    """
    if not eligible(conv):
        raise ValueError(f"{conv} cannot have its input added to its output")
    if norm.num_features != conv.out_channels or norm.running_mean is None:
        raise ValueError(f"{norm} does not follow {conv}, or has no statistics")
    return _kinds()[0](conv, norm, s, p)


def wrap(network: nn.Module, s: float = 1.0, p: float = 1.0) -> list[str]:
    """Make every eligible convolution that a batch normalisation alone follows a ResConv; their names, in order.

    In place: the ResConv takes the convolution's name, an Identity the normalisation's. The network must be one that
    `torch.fx` can trace.
    """
    from torch import fx, nn

    # A tracer that stops at what is wrapped already, since that is not of torch.nn.
    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, _kinds()) or super().is_leaf_module(m, module_qualified_name)

    calls = [node for node in Tracer().trace(network).nodes if node.op == "call_module"]
    uses, names = Counter(str(node.target) for node in calls), []
    for node in calls:
        conv, after = network.get_submodule(str(node.target)), list(node.users)
        if not eligible(conv) or len(after) != 1 or after[0].op != "call_module":
            continue
        name, following = str(node.target), str(after[0].target)
        norm = network.get_submodule(following)
        if isinstance(norm, nn.BatchNorm2d) and norm.running_mean is not None and uses[name] == uses[following] == 1:
            assert isinstance(conv, nn.Conv2d)
            network.set_submodule(name, residual(conv, norm, s, p))
            network.set_submodule(following, nn.Identity())
            names.append(name)
    return names


def layers(network: nn.Module) -> dict[str, Any]:
    """The ResConvs of a network by name, in order."""
    return {name: part for name, part in network.named_modules() if isinstance(part, _kinds()[0])}


def parameter_groups(network: nn.Module, decay: float) -> list[dict[str, Any]]:
    """For an optimiser: all trained parameters with this weight decay, but every s and p without."""
    parts = [part for part in network.modules() if isinstance(part, _kinds())]
    free = {id(value) for part in parts for name, value in part.named_parameters(recurse=False)}
    trained = [value for value in network.parameters() if value.requires_grad]
    return [
        {"params": [value for value in trained if id(value) not in free], "weight_decay": decay},
        {"params": [value for value in trained if id(value) in free], "weight_decay": 0.0},
    ]


def shrink(network: nn.Module, amount: float) -> None:
    """After an optimiser's step: s <- sign(s) * max(|s| - amount, 0), amount = learning rate * weight of sum |s|.

    The proximal step of that penalty, so that s reaches 0 exactly. ValueError where amount is below 0.
    """
    import torch

    if amount < 0:
        raise ValueError(f"amount must be 0 or more, not {amount}")
    with torch.no_grad():
        for part in layers(network).values():
            part.s.copy_(part.s.sign() * (part.s.abs() - amount).clamp(min=0))


def remove(network: nn.Module, count: int) -> list[str]:
    """Replace the `count` ResConvs of smallest |s|, of equals the first, by y = p * x; their names, smallest first.

    ValueError for a count that is not 0 to the number of ResConvs.
    """
    found = layers(network)
    if not 0 <= count <= len(found):
        raise ValueError(f"{count} layers cannot be removed: there are {len(found)}")
    chosen = sorted(found, key=lambda name: abs(float(found[name].s.detach())))[:count]
    for name in chosen:
        network.set_submodule(name, _kinds()[1](found[name].p, found[name].conv.out_channels))
    return chosen


def fuse(part: Any) -> nn.Conv2d:
    """A new Conv2d with bias that does what a ResConv, or what a removed layer left, does in evaluation mode.

    The sums are made in float64. Of a removed layer it is one number for each channel (groups = channels, 1 x 1).
    ValueError for other modules.
    """
    import torch
    from torch import nn

    residual_kind, scale_kind = _kinds()
    if isinstance(part, scale_kind):
        plain = nn.Conv2d(part.channels, part.channels, 1, groups=part.channels, dtype=part.p.dtype)
        with torch.no_grad():
            plain.weight.fill_(part.p)
            nn.init.zeros_(plain.bias)  # type: ignore[arg-type]
        return plain.train(part.training)
    if not isinstance(part, residual_kind):
        raise ValueError(f"{type(part).__name__} is no residual convolution")
    conv, norm = part.conv, part.norm
    with torch.no_grad():
        s, p, w, mean = (value.double() for value in (part.s, part.p, conv.weight, norm.running_mean))
        k = 1 / torch.sqrt(norm.running_var.double() + norm.eps)
        k = k if norm.weight is None else k * norm.weight.double()
        own = 0.0 if conv.bias is None else conv.bias.double()
        beta = 0.0 if norm.bias is None else norm.bias.double()
        W = s * k[:, None, None, None] * w + p * nn.init.dirac_(torch.empty_like(w))
        b = s * (beta + k * (own - mean))
        plain = nn.Conv2d(
            *(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding, conv.dilation),
            dtype=conv.weight.dtype,
        )
        plain.weight.copy_(W)
        plain.bias.copy_(b)  # type: ignore[union-attr]
    return plain.train(part.training)


def fuse_all(network: nn.Module) -> None:
    """Fuse every ResConv of a network, and what removed layers left, in place; where p is 1, that is an Identity."""
    from torch import nn

    residual_kind, scale_kind = _kinds()
    parts = [(name, part) for name, part in network.named_modules() if isinstance(part, (residual_kind, scale_kind))]
    for name, part in parts:
        nothing = isinstance(part, scale_kind) and float(part.p.detach()) == 1.0
        network.set_submodule(name, nn.Identity() if nothing else fuse(part))
