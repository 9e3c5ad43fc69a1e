"""Networks that are graphs: strides, padding, dilation, groups, residuals, concatenations, all kinds of pools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from headrace.network import AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, MaxPool2d, Network, Shape
from networks import linear, scales, sparse


class _Dag:
    def __init__(self, rng: np.random.Generator, shape: Shape, max_channels: int) -> None:
        self.rng, self.max_channels = rng, max_channels
        self.layers: list[Layer] = []
        self.names, self.shapes = ["input"], [shape]

    def pick(self, *values: int) -> int:
        return int(self.rng.choice(values))

    def add(self, layer: Layer, *shapes: Shape) -> None:
        self.shapes.append(layer.output_shape(*shapes))
        self.names.append(layer.name)
        self.layers.append(layer)

    def window(self, shape: Shape, most: int, dilations: tuple[int, ...] = (1, 1, 1, 2)) -> dict[str, Any]:
        """Kernel, stride, padding, dilation that fit. A signal's rows are padded so that it keeps its one."""
        while True:
            kernel = self.pick(*range(1, most + 1)), self.pick(*range(1, most + 1))
            dilation = self.pick(*dilations), self.pick(*dilations)
            reach = [(k - 1) * d for k, d in zip(kernel, dilation, strict=True)]
            padding = tuple(self.pick(*range(reach[n % 2] + 1)) if self.pick(0, 1) else 0 for n in range(4))
            if self.shapes[0][1] == 1:
                top = self.pick(*range(reach[0] + 1))
                padding = (top, padding[1], reach[0] - top, padding[3])
            sizes = [shape[1] + padding[0] + padding[2], shape[2] + padding[1] + padding[3]]
            if min(a - b for a, b in zip(sizes, reach, strict=True)) >= 1:
                return {"kernel": kernel, "stride": self.pick(1, 1, 2), "padding": padding, "dilation": dilation}

    def conv(self, name: str, x: int) -> None:
        rng, shape = self.rng, self.shapes[x]
        groups = self.pick(*[g for g in (1, 1, 2, 3, shape[0]) if shape[0] % g == 0])
        rows = groups * self.pick(*range(1, max(2, self.max_channels // groups + 1)))
        window = self.window(shape, 3)
        weights = sparse(rng, (rows, shape[0] // groups, *window.pop("kernel")), float(rng.choice([0.1, 0.4, 1.0])))
        layer = Conv2d(
            name,
            weights,
            **scales(rng, weights),
            low=self.pick(0, -128),
            groups=groups,
            inputs=(self.names[x],),
            **window,
        )
        out = layer.output_shape(shape)
        same = [n for n, other in enumerate(self.shapes) if other == out]
        if same and self.pick(0, 1):
            skip = self.pick(*same)
            self.add(_with_skip(layer, self.names[skip], rng), shape, out)
        else:
            self.add(layer, shape)

    def pool(self, name: str, x: int) -> None:
        window = self.window(self.shapes[x], 3, (1,))
        del window["dilation"]
        kh, kw = window["kernel"]
        layer: Layer
        if kh == kw > 1 and self.pick(0, 1):
            window["kernel"] = kh
            layer = MaxPool2d(name, inputs=(self.names[x],), **window)
        else:
            layer = AveragePool2d(name, multiplier=(1 << 15) // (kh * kw), shift=15, inputs=(self.names[x],), **window)
        self.add(layer, self.shapes[x])

    def concat(self, name: str) -> None:
        x = self.pick(*range(len(self.shapes)))
        like = [n for n, shape in enumerate(self.shapes) if shape[1:] == self.shapes[x][1:]]
        parts = [x, *(self.pick(*like) for _ in range(self.pick(1, 2)))]
        self.add(Concat(name, inputs=tuple(self.names[n] for n in parts)), *(self.shapes[n] for n in parts))


def _with_skip(layer: Conv2d, name: str, rng: np.random.Generator) -> Conv2d:
    keys = ("weights", "bias", "multiplier", "shift", "low", "stride", "padding", "dilation", "groups")
    skip = sparse(rng, (len(layer.weights),), 0.8)
    return Conv2d(layer.name, **{key: getattr(layer, key) for key in keys}, skip=skip, inputs=(*layer.inputs, name))


def random_dag(
    rng: np.random.Generator,
    max_layers: int = 7,
    max_channels: int = 6,
    max_size: int = 13,
    size: tuple[int, int] | None = None,
) -> Network:
    """Layers that read any tensors before them; `size`: the input's height and width."""
    height, width = size or (int(rng.integers(1, max_size + 1)), int(rng.integers(1, max_size + 1)))
    shape = int(rng.integers(1, max_channels + 1)), height, width
    dag = _Dag(rng, shape, max_channels)
    for index in range(int(rng.integers(1, max_layers + 1))):
        recent = max(0, len(dag.shapes) - 1 - int(rng.integers(3)))
        kind = rng.choice(["conv"] * 4 + ["pool"] * 2 + ["concat"])
        if kind == "conv":
            dag.conv(f"conv{index}", recent)
        elif kind == "pool":
            dag.pool(f"pool{index}", recent)
        else:
            dag.concat(f"concat{index}")
    last, (c, h, w) = dag.names[-1], dag.shapes[-1]
    if dag.pick(0, 1):
        dag.add(GlobalAveragePool("gap", (1 << 15) // (h * w) or 1, 15, inputs=(last,)), dag.shapes[-1])
    elif dag.pick(0, 1):
        dag.add(replace(linear(rng, "fc", (5, c * h * w), 0.4), inputs=(last,)), dag.shapes[-1])
    return Network("dag", shape, 1 / 128, 0.125, tuple(_read(dag.layers)))


def _read(layers: list[Layer]) -> list[Layer]:
    """The layers without those that nothing reads."""
    kept = layers[-1:]
    for layer in reversed(layers[:-1]):
        if any(layer.name in other.inputs for other in kept):
            kept.insert(0, layer)
    return kept


def resnet8(rng: np.random.Generator) -> Network:
    """ResNet-8 for CIFAR-10 as in MLPerf Tiny: 16, 32 and 64 channels of 32, 16 and 8 pixels a side."""
    layers: list[Layer] = []

    def conv(
        name: str, rows: int, channels: int, kernel: int, *inputs: str, stride: int = 1, relu: bool = True
    ) -> None:
        weights, pad = sparse(rng, (rows, channels, kernel, kernel), 0.2), (kernel - 1) // 2
        skip = rng.integers(20, 90, rows).astype(np.int8) if len(inputs) > 1 else None
        low, padding = 0 if relu else -128, (pad,) * 4
        fields = {"low": low, "stride": stride, "padding": padding, "skip": skip, "inputs": inputs}
        layers.append(Conv2d(name, weights, **scales(rng, weights), **fields))

    conv("stem", 16, 3, 3)
    conv("a1", 16, 16, 3, "stem")
    conv("a2", 16, 16, 3, "a1", "stem")
    for block, rows, above in (("b", 32, "a2"), ("c", 64, "b2")):
        conv(f"{block}1", rows, rows // 2, 3, above, stride=2)
        conv(f"{block}s", rows, rows // 2, 1, above, stride=2, relu=False)
        conv(f"{block}2", rows, rows, 3, f"{block}1", f"{block}s")
    layers.append(GlobalAveragePool("pool", 512, 15, inputs=("c2",)))
    return Network("resnet8", (3, 32, 32), 1 / 128, 0.125, (*layers, linear(rng, "fc", (10, 64))))
