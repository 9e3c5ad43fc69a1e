"""Networks that are graphs, with random layers of every kind."""

from __future__ import annotations

import numpy as np

from headrace.geometry import Padding, Pair, extent
from headrace.network import AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d, Network, Shape
from networks import scales, sparse


class _Builder:
    """Layers so far, and the tensors that none of them reads yet."""

    def __init__(self, rng: np.random.Generator, first: Shape, max_channels: int) -> None:
        self.rng, self.max_channels = rng, max_channels
        self.shapes: dict[str, Shape] = {"input": first}
        self.unread = ["input"]
        self.layers: list[Layer] = []

    def name(self, kind: str) -> str:
        return f"{kind}{len(self.layers)}"

    def pick(self) -> str:
        """A tensor, more often than not one that nothing reads."""
        return str(self.rng.choice(self.unread if self.rng.random() < 0.7 else list(self.shapes)))

    def add(self, layer: Layer) -> None:
        self.shapes[layer.name] = layer.output_shape(*(self.shapes[name] for name in layer.inputs))
        self.unread = [name for name in self.unread if name not in layer.inputs] + [layer.name]
        self.layers.append(layer)

    def limits(self) -> dict[str, int]:
        return {"low": int(self.rng.choice([0, -128, -100])), "high": int(self.rng.choice([127, 90]))}

    def average(self, size: int) -> tuple[int, int]:
        """Multiplier and shift of an average over `size` elements, at a scale of its own."""
        return int(self.rng.uniform(0.5, 3) / size * (1 << 14)), 14

    def padding(self, limit: Pair) -> Padding:
        """At most `limit` rows, columns a side; as often as not, none."""
        if self.rng.integers(2):
            return 0, 0, 0, 0
        top, left, bottom, right = (int(self.rng.integers(0, limit[side % 2] + 1)) for side in range(4))
        return top, left, bottom, right

    def conv2d(self) -> None:
        rng, x = self.rng, self.pick()
        channels, height, width = self.shapes[x]
        kernel, dilation = [int(k) for k in rng.integers(1, 6, 2)], [int(d) for d in rng.choice([1, 1, 1, 2, 3], 2)]
        reach = [extent(k, d) for k, d in zip(kernel, dilation, strict=True)]
        top, left, bottom, right = self.padding((2, 2))
        if rng.integers(2):  # as large as the input, at stride 1
            top, left = (int(rng.integers(0, r)) for r in reach)
            bottom, right = reach[0] - 1 - top, reach[1] - 1 - left
        if height + top + bottom < reach[0]:
            kernel[0], dilation[0], top, bottom = 1, 1, 0, 0
        if width + left + right < reach[1]:
            kernel[1], dilation[1], left, right = 1, 1, 0, 0
        groups = int(rng.choice([1, 1, channels, *(g for g in range(1, channels + 1) if channels % g == 0)]))
        rows = groups * int(rng.integers(1, max(1, self.max_channels // groups) + 1))
        stride = int(rng.choice([1, 1, 2]))

        def layer(rows: int, residual: str | None) -> Conv2d:
            shape = (rows, channels // groups, *kernel)
            weights = sparse(rng, shape, float(rng.choice([0.1, 0.5, 1.0])), int(rng.choice([0, 8])))
            skip = None if residual is None else rng.integers(-128, 128, rows).astype(np.int8)
            return Conv2d(
                self.name("conv"),
                weights,
                **scales(rng, weights),
                **self.limits(),
                stride=stride,
                padding=(top, left, bottom, right),
                dilation=(dilation[0], dilation[1]),
                groups=groups,
                skip=skip,
                inputs=(x,) if residual is None else (x, residual),
            )

        plain = layer(rows, None)
        size = plain.output_shape(self.shapes[x])[1:]
        residuals = [n for n, shape in self.shapes.items() if shape[1:] == size and shape[0] % groups == 0]
        if residuals and rng.integers(3):
            residual = str(rng.choice(residuals))
            plain = layer(self.shapes[residual][0], residual)
        self.add(plain)

    def max_pool(self) -> None:
        x = self.pick()
        size = self.shapes[x][1:]
        kernel = int(self.rng.choice([2, 2, 3, 5]))
        padding = self.padding((kernel - 1, kernel - 1))
        if size[0] + padding[0] + padding[2] < kernel or size[1] + padding[1] + padding[3] < kernel:
            padding = kernel - 1, kernel - 1, kernel - 1, kernel - 1
        self.add(MaxPool2d(self.name("max"), kernel, stride=int(self.rng.integers(1, 3)), padding=padding, inputs=(x,)))

    def average_pool(self) -> None:
        x = self.pick()
        kh, kw = (int(self.rng.integers(1, min(n, 4) + 1)) for n in self.shapes[x][1:])
        window = {"stride": int(self.rng.integers(1, 3)), "padding": self.padding((kh - 1, kw - 1))}
        layer = AveragePool2d(
            self.name("avg"), (kh, kw), *self.average(kh * kw), **window, **self.limits(), inputs=(x,)
        )
        self.add(layer)

    def concat(self) -> None:
        x = self.pick()
        equal = [name for name, shape in self.shapes.items() if shape[1:] == self.shapes[x][1:] and name != x]
        if equal:
            others = self.rng.choice(equal, int(self.rng.integers(1, min(3, len(equal)) + 1)), replace=False)
            self.add(Concat(self.name("cat"), inputs=(x, *(str(name) for name in others))))

    def finish(self) -> None:
        """Brings everything together that nothing reads; perhaps one linear layer more."""
        if len(self.unread) > 1:
            for name in self.unread.copy():
                _, height, width = self.shapes[name]
                if height * width > 1:
                    average = self.average(height * width)
                    self.add(GlobalAveragePool(self.name("gap"), *average, **self.limits(), inputs=(name,)))
            self.add(Concat(self.name("cat"), inputs=tuple(self.unread)))
        if not self.layers or self.rng.integers(2):
            name = self.unread[0]
            weights = sparse(self.rng, (int(self.rng.integers(1, 12)), int(np.prod(self.shapes[name]))), 0.5)
            self.add(Linear(self.name("fc"), weights, **scales(self.rng, weights), inputs=(name,)))


def random_graph(rng: np.random.Generator, max_layers: int = 8, max_channels: int = 6, max_size: int = 12) -> Network:
    """A network of all kinds of layers; every tensor is read. One in four works on a signal (C, 1, W).

    `max_layers` counts those before the ones that bring all branches together; concatenation may exceed
    `max_channels`.
    """
    height = 1 if rng.integers(4) == 0 else int(rng.integers(1, max_size + 1))
    first = int(rng.integers(1, max_channels + 1)), height, int(rng.integers(1, max_size + 1))
    builder = _Builder(rng, first, max_channels)
    steps = [builder.conv2d, builder.conv2d, builder.conv2d, builder.max_pool, builder.average_pool, builder.concat]
    for _ in range(int(rng.integers(1, max_layers + 1))):
        steps[int(rng.integers(len(steps)))]()
    builder.finish()
    return Network("graph", first, 1 / 128, 0.125, tuple(builder.layers))
