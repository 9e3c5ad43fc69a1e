"""Removal of whole layers: convolutions with a trainable shortcut, after the idea of arXiv 2011.14356.

A convolution and its batch normalisation become y = s * BN(w * x) + p * x. An L1 penalty drives the scale s of layers
that matter little to 0; these are removed, the others fused into plain convolutions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.errors import DataError

if TYPE_CHECKING:
    import torch
    from torch import nn


def wrap(model: nn.Module, scale: float = 1.0, skip: float = 1.0) -> dict[str, Any]:
    """Give every convolution of `model` that can have one a shortcut; these by name, in the order of execution.

    It can where it maps a tensor to one of the same shape (stride 1, as many output as input channels, one group, an
    odd kernel with zeros around) and nothing but a batch normalisation reads it, which becomes part of it. With scale 1
    and skip 0 the function of the model stays what it was. DataError where torch.fx cannot trace the model.
    """
    import torch
    from torch import nn

    kind = resconv()
    try:
        graph = torch.fx.symbolic_trace(model).graph
    except Exception as error:  # tracing runs the model's own code
        raise DataError(f"layers cannot be removed from a model that torch.fx cannot trace: {error}") from None
    parts = dict(model.named_modules())
    made = {}
    for node in graph.nodes:
        convolution, readers = parts.get(str(node.target)), list(node.users)
        if node.op != "call_module" or not isinstance(convolution, nn.Conv2d) or len(readers) != 1:
            continue
        norm = parts.get(str(readers[0].target)) if readers[0].op == "call_module" else None
        if isinstance(norm, nn.BatchNorm2d) and keeps_shape(convolution):
            made[str(node.target)] = kind(convolution, norm, scale, skip)
            _replace(model, str(node.target), made[str(node.target)])
            _replace(model, str(readers[0].target), nn.Identity())
    return made


def keeps_shape(convolution: nn.Conv2d) -> bool:
    """Whether x can be added to what it makes of x, and both be one convolution."""
    sizes = zip(convolution.kernel_size, convolution.dilation, convolution.padding, strict=False)
    return (
        convolution.in_channels == convolution.out_channels
        and convolution.groups == 1
        and convolution.padding_mode == "zeros"
        and set(convolution.stride) == {1}
        and not isinstance(convolution.padding, str)
        and all(kernel % 2 and padding == dilation * (kernel // 2) for kernel, dilation, padding in sizes)
    )


def resconv() -> type[Any]:
    """The class of these layers, made on demand as torch is."""
    from torch import nn

    class ResConv(nn.Module):
        """(N, C, H, W) to the same."""

        def __init__(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d, scale: float, skip: float) -> None:
            import torch

            super().__init__()
            self.convolution, self.norm = convolution, norm
            self.scale = nn.Parameter(torch.tensor(scale))
            self.skip = nn.Parameter(torch.tensor(skip))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.scale * self.norm(self.convolution(x)) + self.skip * x

    return ResConv


def shrink(layers: dict[str, Any], amount: float) -> None:
    """The proximal step of the penalty `sum |s|`, after an optimiser's: scales move towards 0 by `amount`."""
    import torch

    with torch.no_grad():
        for layer in layers.values():
            layer.scale.copy_(layer.scale.sign() * (layer.scale.abs() - amount).clamp(min=0))


def parameter_groups(model: nn.Module, layers: dict[str, Any], decay: float) -> list[dict[str, Any]]:
    """For an optimiser: no decay for scales and shortcuts, `decay` for all else.

    Decay of gamma, the normalisation's factor, is wanted: growing, it would make up for a small scale.
    """
    apart = [value for layer in layers.values() for value in (layer.scale, layer.skip)]
    others = {id(value) for value in apart}
    rest = [value for value in model.parameters() if id(value) not in others and value.requires_grad]
    return [{"params": rest, "weight_decay": decay}, {"params": apart, "weight_decay": 0.0}]


def remove(model: nn.Module, layers: dict[str, Any], count: int) -> list[str]:
    """Take the `count` layers of the smallest |s| out of the model, and of `layers`; their names.

    In their place x passes as it is: what p made of it, following layers and training on have to learn. ValueError
    where there are fewer layers.
    """
    from torch import nn

    if not 0 <= count <= len(layers):
        raise ValueError(f"{count} layers to remove, of {len(layers)}")
    removed = sorted(layers, key=lambda name: abs(layers[name].scale.item()))[:count]
    for name in removed:
        _replace(model, name, nn.Identity())
        del layers[name]
    return removed


def fuse(model: nn.Module, layers: dict[str, Any]) -> None:
    """Make plain convolutions of all layers, with the same outputs in evaluation up to rounding."""
    for name, layer in layers.items():
        _replace(model, name, fused(layer))


def fused(layer: Any) -> nn.Conv2d:
    """W = s k w + p D, b = s (beta - k mu), with k = gamma / sqrt(variance + eps) and D the identity's kernel.

    Computed in float64. Quantise the result by output channel: D stands out of the other weights.
    """
    import torch
    from torch import nn

    old, norm = layer.convolution, layer.norm
    with torch.no_grad():
        scale, skip = layer.scale.double(), layer.skip.double()
        gamma = torch.ones_like(norm.running_var) if norm.weight is None else norm.weight
        beta = torch.zeros_like(norm.running_var) if norm.bias is None else norm.bias
        k = gamma.double() / (norm.running_var.double() + norm.eps).sqrt()
        weights = scale * k[:, None, None, None] * old.weight.double()
        nn.init.dirac_(identity := torch.zeros_like(weights))
        before = torch.zeros_like(k) if old.bias is None else old.bias.double()
        bias = scale * (beta.double() + k * (before - norm.running_mean.double()))
        options = {"padding": old.padding, "dilation": old.dilation, "dtype": old.weight.dtype}
        new = nn.Conv2d(old.in_channels, old.out_channels, old.kernel_size, **options)
        new.weight.copy_(weights + skip * identity)
        assert new.bias is not None
        new.bias.copy_(bias)
    return new


def _replace(model: nn.Module, name: str, part: nn.Module) -> None:
    folder, _, last = name.rpartition(".")
    setattr(model.get_submodule(folder), last, part)
