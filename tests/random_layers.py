"""Random layers and small networks on the simulated RTL, each compared with the network's own integers.

Case n of seed s and a configuration is always the same: network, weights, images and the memory's moods.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from dags import random_dag
from graphs import random_graph
from headrace.artifact import Artifact
from headrace.compile import compile_network
from headrace.config import Config
from headrace.device import Device
from headrace.device.model import ModelDevice
from headrace.errors import CompileError, DeviceError
from headrace.geometry import Padding, extent
from headrace.image import Image
from headrace.isa import Opcode
from headrace.network import AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d, Network, Shape
from headrace.session import Session
from headrace_sim.build import build, cached_verilog
from headrace_sim.device import SimDevice
from networks import random_input, scales, sparse

_SMALL: dict[str, int] = {"acc_words": 32, "masks": 32, "taps": 64, "channels": 64, "symbols": 256}
CONFIGS = {
    config.name: config
    for config in (
        Config("r4x4", lanes=4, pixels=4, x_words=512, **_SMALL),
        Config("r2x8", lanes=2, pixels=8, x_words=256, **_SMALL),
        Config("r8x2", lanes=8, pixels=2, x_words=512, read_ports=2, **_SMALL),
        Config("r3x2", lanes=3, pixels=2, x_words=1024, **_SMALL),
        Config("r1x1", lanes=1, pixels=1, x_words=2048, **_SMALL | {"acc_words": 64, "code_tables": 1}),
        Config("r2x16", lanes=2, pixels=16, x_words=128, read_ports=2, **_SMALL | {"acc_words": 8}),
    )
}
"""Small memories, so that many layers need strips over lanes or several passes, and some fit none; one code, too."""

KINDS = (
    *("conv", "depthwise", "grouped", "signal", "linear", "max", "average", "global", "residual", "concat"),
    *("map", "map max", "map residual"),
)
"""What a case is about; a `map` is a single layer on a plane so large that it is cut."""


@dataclass(frozen=True)
class Case:
    """A network, images for it and options of the simulated memory."""

    kind: str
    network: Network
    images: NDArray[np.int8]
    memory: dict[str, Any]


@dataclass
class Tally:
    """What was run; `unfit` counts networks that their configuration has no room for."""

    equal: int = 0
    unfit: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    over_lanes: int = 0
    """Layers whose lanes work on different strips."""
    passes: int = 0
    """Layers in more than one pass."""
    banded: int = 0
    """Networks that run in bands of rows."""


class MismatchError(AssertionError):
    """The RTL's integers are not the network's."""


def case(config: Config, seed: int, number: int, network: bool = False) -> Case:
    """Case `number`: a layer of KINDS[number % len(KINDS)], or a network, and how it is run."""
    rng = np.random.default_rng([seed, number, crc32(config.name.encode()), int(network)])
    if network:
        kind = ("dag", "graph")[number % 2]
        made = random_dag(rng) if kind == "dag" else random_graph(rng)
    else:
        kind = KINDS[number % len(KINDS)]
        made = _single(rng, kind, config)
    images = _images(rng, made)
    memory: dict[str, Any] = {}
    if rng.integers(2):
        memory = {
            "stall": float(rng.choice([0.1, 0.5, 0.8])),
            "latency": int(rng.choice([0, 3, 40])),
            "seed": int(rng.integers(1 << 30)),
        }
    return Case(kind, made, images, memory)


def cases(config: Config, seed: int, layers: int, networks: int) -> Iterator[Case]:
    """That many single layers, then networks, from case 0 on."""
    for number in range(layers):
        yield case(config, seed, number)
    for number in range(networks):
        yield case(config, seed, number, network=True)


def _images(rng: np.random.Generator, network: Network) -> NDArray[np.int8]:
    """One or two; the first of only the extreme values in one case of four."""
    images = random_input(rng, network, int(rng.integers(1, 3)))
    if rng.integers(4) == 0:
        images[0] = rng.choice(np.array([-128, 127], np.int8), images.shape[1:])
    return images


class _Single:
    """One layer, between others where its kind needs them."""

    def __init__(self, rng: np.random.Generator, kind: str, config: Config) -> None:
        self.rng, self.kind, self.config = rng, kind, config
        self.layers: list[Layer] = []
        self.shape = self._shape()
        self.first = self.shape

    def one_of(self, *values: float) -> int:
        return int(self.rng.choice(values))

    def _shape(self) -> Shape:
        """Of the input. Planes of a `map` fill a part to all of a lane's memory, or more."""
        rng = self.rng
        if self.kind.startswith("map"):
            channels, width = self.one_of(1, 2, 3), self.one_of(8, 16, 24, 31, 32)
            area = self.config.x_bytes * float(rng.choice([0.4, 0.7, 1.0, 1.6]))
            return channels, max(4, min(64, round(area / channels / width))), width
        height = 1 if self.kind == "signal" else int(rng.integers(1, 18))
        return int(rng.integers(1, 9)), height, int(rng.integers(1, 41 if height == 1 else 18))

    def limits(self) -> dict[str, Any]:
        return {"low": self.one_of(0, -128, -100), "high": self.one_of(127, 127, 90)}

    def window(self, most: int, dilated: bool) -> tuple[list[int], Padding, tuple[int, int]]:
        """Kernel, padding, dilation; kernels larger than what is padded shrink to 1."""
        kernel, dilation, before, after = [], [], [], []
        for size in self.shape[1:]:
            k = self.one_of(*range(1, most + 1))
            d = self.one_of(1, 1, 1, 2, 3) if dilated else 1
            reach = extent(k, d)
            style = self.one_of(0, 1, 1, 2)
            low = (0, (reach - 1) // 2, int(self.rng.integers(0, reach)))[style]
            high = (0, reach - 1 - low, int(self.rng.integers(0, reach)))[style]
            if size + low + high < reach:
                k, d, low, high = 1, 1, 0, 0
            kernel.append(k)
            dilation.append(d)
            before.append(low)
            after.append(high)
        return kernel, (before[0], before[1], after[0], after[1]), (dilation[0], dilation[1])

    def conv(self, name: str, rows: int, groups: int = 1, same: bool = False, skip: str = "", x: str = "") -> None:
        """`same`: as large as its input; `skip`: the tensor that is added."""
        rng, channels = self.rng, self.shape[0]
        kernel, padding, dilation = self.window(5 if channels < 4 else 3, dilated=True)
        stride = self.one_of(1, 1, 2)
        if same:
            reach = [extent(k, d) - 1 for k, d in zip(kernel, dilation, strict=True)]
            padding, stride = (reach[0] // 2, reach[1] // 2, -(-reach[0] // 2), -(-reach[1] // 2)), 1
        density, levels = float(rng.choice([0.0, 0.05, 0.3, 1.0])), self.one_of(0, 2, 16)
        weights = sparse(rng, (rows, channels // groups, *kernel), density, levels)
        added = rng.integers(-128, 128, rows).astype(np.int8) if skip else None
        window: dict[str, Any] = {
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "skip": added,
        }
        inputs = (x or "input", skip) if skip else (x,) if x else ()
        self.add(Conv2d(name, weights, **scales(rng, weights), **self.limits(), **window, inputs=inputs))

    def add(self, layer: Layer, *shapes: Shape) -> None:
        self.layers.append(layer)
        if not shapes:
            shapes = (self.shape, self.shape) if len(layer.inputs) == 2 else (self.shape,)
        self.shape = layer.output_shape(*shapes)

    def pool(self, maximum: bool) -> None:
        kernel, padding, _ = self.window(4, dilated=False)
        stride = self.one_of(1, 2)
        if not maximum:
            window: dict[str, Any] = {"stride": stride, "padding": padding}
            window |= {"multiplier": (1 << 15) // (kernel[0] * kernel[1]), "shift": self.one_of(14, 15)}
            self.add(AveragePool2d("average", (kernel[0], kernel[1]), **window, **self.limits()))
            return
        k = max(2, *kernel)
        top, left, bottom, right = (min(value, k - 1) for value in padding)
        if min(self.shape[1] + top + bottom, self.shape[2] + left + right) < k:
            top, left, bottom, right = (k - 1,) * 4
        self.add(MaxPool2d("max", k, stride=stride, padding=(top, left, bottom, right)))

    def build(self) -> Network:
        rng, kind, channels = self.rng, self.kind, self.shape[0]
        rows = int(rng.integers(1, 13))
        if kind in ("conv", "signal", "map"):
            self.conv("conv", rows if kind != "map" else channels)
        elif kind == "depthwise":
            self.conv("conv", channels * self.one_of(1, 1, 2), groups=channels)
        elif kind == "grouped":
            groups = self.one_of(*(g for g in range(1, channels + 1) if channels % g == 0))
            self.conv("conv", groups * self.one_of(1, 2, 3), groups=groups)
        elif kind == "linear":
            weights = sparse(rng, (rows * 2, int(np.prod(self.shape))), float(rng.choice([0.0, 0.02, 0.2, 1.0])), 16)
            self.add(Linear("linear", weights, **scales(rng, weights), **self.limits()))
        elif kind in ("max", "average", "map max"):
            self.pool(kind != "average")
        elif kind == "global":
            size = self.shape[1] * self.shape[2]
            self.add(GlobalAveragePool("global", (1 << 14) // size, 14, **self.limits()))
        elif kind in ("residual", "map residual"):
            self.conv("one", channels, same=True)
            self.conv("two", channels, same=True, skip=self.one_of(0, 1) * "one" or "input", x="one")
        else:
            first = self.shape
            self.conv("one", rows, same=True)
            one = self.shape
            self.add(Concat("both", inputs=("one", "input")), one, first)
            self.conv("two", 4, x="both")
        return Network(kind.replace(" ", "_"), self.first, 1 / 128, 0.125, tuple(self.layers))


def _single(rng: np.random.Generator, kind: str, config: Config) -> Network:
    return _Single(rng, kind, config).build()


def run(image: Image, one: Case, config: Config, library: Path | None) -> NDArray[np.int8]:
    """The outputs of the RTL in `library`, or of the model; DeviceError where it stops."""
    with ExitStack() as stack:
        device: Device = ModelDevice(config)
        if library is not None:
            device = SimDevice(config, library=library, max_cycles=3_000_000, memory_bytes=1 << 22, **one.memory)
        stack.callback(device.close)
        session = stack.enter_context(Session(device, Artifact(image)))
        return session.run(one.images).outputs


def check(one: Case, config: Config, library: Path | None, tally: Tally) -> None:
    """MismatchError where the model, or the RTL in `library`, gives other integers or stops; `tally` counts."""
    try:
        image = compile_network(one.network, config)
    except CompileError:
        tally.unfit += 1
        return
    expected = one.network.run(one.images)
    for name, place in (("the RTL", library), ("the model", None)) if library else (("the model", None),):
        try:
            outputs = run(image, one, config, place)
        except DeviceError as error:
            raise MismatchError(f"{describe(one)}: {name}: {error}") from error
        if not np.array_equal(outputs, expected):
            wrong = np.argwhere(outputs != expected)
            count = f"{len(wrong)} of {expected.size} differ"
            raise MismatchError(f"{describe(one)}: {name}: {count}, the first at {wrong[0].tolist()}")
    tally.equal += 1
    tally.kinds[one.kind] += 1
    tally.over_lanes += sum(layer.spatial_strips > 1 for layer in image.layers)
    tally.passes += sum(layer.strips > 1 for layer in image.layers)
    tally.banded += sum(descriptor["opcode"] != Opcode.LAYER for descriptor in image.program) > image.input.strips + 2


def describe(one: Case) -> str:
    """Layers and shapes in a line each."""
    lines = [f"{one.kind} {one.network.input_shape} {len(one.images)} images, memory {one.memory}"]
    for layer, shape in zip(one.network.layers, one.network.shapes()[1:], strict=True):
        keys = ("kernel", "stride", "padding", "dilation", "groups", "inputs")
        fields = [f"{key} {getattr(layer, key)}" for key in keys if hasattr(layer, key)]
        lines.append(f"  {layer.name}: {', '.join(fields)} -> {shape}")
    return "\n".join(lines)


@cache
def library(config: Config) -> Path:
    """The simulation of `config`, built at the first call."""
    return build(cached_verilog(config))
