"""The layers of headrace.network, one at a time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import literal
from headrace.network import AveragePool2d, Concat, Conv2d, GlobalAveragePool, Layer, Linear, MaxPool2d, Network

ONE = np.ones(4, np.int64)


def conv(c: int = 1, kh: int = 3, kw: int = 3, **changes: Any) -> Conv2d:
    """Four output channels, multiplier and shift 1."""
    rng = np.random.default_rng(c)
    weights = rng.integers(-9, 10, (4, c, kh, kw)).astype(np.int8)
    return Conv2d("conv", **({"weights": weights, "bias": ONE, "multiplier": ONE, "shift": 7 * ONE} | changes))


def activations(*shape: int) -> NDArray[np.int8]:
    return np.random.default_rng(len(shape)).integers(-128, 128, shape, dtype=np.int8)


@pytest.mark.parametrize(
    ("layer", "shape", "result"),
    [
        (conv(), (1, 5, 6), (4, 3, 4)),
        (conv(stride=2), (1, 5, 6), (4, 2, 2)),
        (conv(stride=2, padding=(0, 0, 1, 1)), (1, 4, 6), (4, 2, 3)),
        (conv(3, padding=(1, 2, 3, 4)), (3, 1, 1), (4, 3, 5)),
        (conv(dilation=(2, 3)), (1, 5, 8), (4, 1, 2)),
        (conv(groups=4, padding=(1, 1, 1, 1)), (4, 3, 3), (4, 3, 3)),
        (conv(groups=2, skip=np.arange(4, dtype=np.int8)), (2, 5, 5), (4, 3, 3)),
        (conv(2, kh=1, stride=2), (2, 1, 9), (4, 1, 4)),
        (conv(2, kh=1, kw=1, padding=(1, 0, 0, 1)), (2, 1, 1), (4, 2, 2)),
        (MaxPool2d("pool"), (2, 5, 4), (2, 2, 2)),
        (MaxPool2d("pool", 3, stride=2, padding=(1, 1, 1, 1)), (2, 5, 4), (2, 3, 2)),
        (MaxPool2d("pool", 2, stride=1), (2, 5, 4), (2, 4, 3)),
        (MaxPool2d("pool", 2, padding=(0, 0, 1, 0)), (2, 1, 9), (2, 1, 4)),
        (MaxPool2d("pool", 5, stride=1, padding=(2, 2, 2, 2)), (2, 2, 4), (2, 2, 4)),
        (MaxPool2d("pool", 11, stride=2), (1, 12, 13), (1, 1, 2)),
        (AveragePool2d("pool", (2, 3), 5461, 15), (2, 5, 5), (2, 4, 3)),
        (AveragePool2d("pool", (3, 3), 7282, 16, stride=2, padding=(1, 0, 0, 2), high=9), (2, 5, 5), (2, 2, 3)),
        (GlobalAveragePool("pool", 65535, 20), (3, 4, 4), (3, 1, 1)),
        (GlobalAveragePool("pool", 65535, 18, 0, 20), (3, 1, 5), (3, 1, 1)),
    ],
)
def test_shapes_and_meanings(layer: Layer, shape: tuple[int, int, int], result: tuple[int, int, int]) -> None:
    shapes, inputs = [shape], [activations(2, *shape)]
    if isinstance(layer, Conv2d) and layer.skip is not None:
        shapes.append(result)
        inputs.append(activations(2, *result))
    y = layer.run(*inputs)
    assert layer.output_shape(*shapes) == y.shape[1:] == result
    assert y.dtype == np.int8 and np.array_equal(y, literal.run_layer(layer, inputs))
    assert y.min() != y.max() or y.size < 4  # clamps have not swallowed everything


def test_a_residual_is_one_more_product() -> None:
    """Weight 0 and skip 2 over shift 1: the residual itself."""
    layer = conv(
        4, 1, 1, weights=np.zeros((4, 4, 1, 1), np.int8), bias=0 * ONE, shift=ONE, skip=ONE.astype(np.int8) * 2
    )
    x, r = activations(2, 4, 3, 3), activations(2, 4, 3, 3)[::-1]
    assert np.array_equal(layer.run(x, r), r)


def test_channels_are_joined_in_the_order_of_inputs() -> None:
    a, b = activations(2, 3, 2, 2), activations(2, 1, 2, 2)
    layer = Concat("cat", inputs=("a", "b"))
    assert layer.output_shape((3, 2, 2), (1, 2, 2)) == (4, 2, 2)
    y = layer.run(a, b)
    assert np.array_equal(y[:, :3], a) and np.array_equal(y[:, 3:], b)


def test_fields_are_kept_plain_and_locked() -> None:
    skip = np.ones(4, np.int8)
    layer = conv(stride=np.int64(2), padding=[1, np.int64(0), 1, 0], groups=np.int32(2), skip=skip, inputs=["a", "b"])
    skip[...] = 5
    assert layer.skip is not None and (layer.skip == 1).all()
    assert (layer.stride, layer.padding, layer.groups, layer.inputs) == (2, (1, 0, 1, 0), 2, ("a", "b"))
    assert type(layer.stride) is type(layer.padding[1]) is type(layer.groups) is int
    assert layer.kernel == (3, 3)
    with pytest.raises(ValueError, match="read-only"):
        layer.skip[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        MaxPool2d("pool").stride = 1
    assert MaxPool2d("pool").stride == 2 and MaxPool2d("pool", 3, stride=1).stride == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: conv(stride=3), "conv: stride must be 1 or 2, not 3"),
        (lambda: conv(stride=0), "conv: stride must be 1 or 2, not 0"),
        (lambda: conv(stride=1.0), "conv: stride must be 1 or 2, not 1.0"),
        (lambda: conv(padding=(1, 1)), r"conv: padding must be 4 integers, not \(1, 1\)"),
        (lambda: conv(padding=1), "conv: padding must be 4 integers, not 1"),
        (lambda: conv(padding=(0, 0, -1, 0)), "conv: padding must be 4 integers from 0 on"),
        (lambda: conv(dilation=(1, 0)), "conv: dilation must be 2 integers from 1 on"),
        (lambda: conv(dilation=(1, 1.5)), "conv: dilation must be 2 integers from 1 on"),
        (lambda: conv(groups=3), "conv: 4 channels do not form 3 groups"),
        (lambda: conv(groups=0), "conv: 4 channels do not form 0 groups"),
        (lambda: conv(skip=np.ones(3, np.int8)), r"conv: skip must be 4 int8, not int8 \(3,\)"),
        (lambda: conv(skip=ONE), "conv: skip must be 4 int8, not int64"),
        (lambda: conv(inputs="input"), "conv: inputs must be a sequence of names, not 'input'"),
        (lambda: Concat("cat", inputs=("a", 1)), "cat: inputs must be a sequence of names"),
        (lambda: MaxPool2d("pool", 1), "pool: kernel must be in 2..11, not 1"),
        (lambda: MaxPool2d("pool", 12, stride=1), "pool: kernel must be in 2..11, not 12"),
        (lambda: MaxPool2d("pool", 3), "pool: stride must be 1 or 2, not 3"),
        (lambda: MaxPool2d("pool", padding=(0, 2, 0, 0)), r"pool: padding \(0, 2, 0, 0\) must be less than the kernel"),
        (lambda: AveragePool2d("pool", (2,), 1, 1), "pool: kernel must be 2 integers"),
        (lambda: AveragePool2d("pool", (0, 2), 1, 1), "pool: kernel must be 2 integers from 1 on"),
        (lambda: AveragePool2d("pool", (2, 3), 1, 1, padding=(0, 0, 2, 0)), "pool: padding .* kernel, 2 x 3"),
        (lambda: AveragePool2d("pool", (2, 2), 65536, 1), "pool: multiplier must be an integer in 0..65535, not 65536"),
        (lambda: AveragePool2d("pool", (2, 2), 1, 1, stride=4), "pool: stride must be 1 or 2, not 4"),
        (lambda: GlobalAveragePool("pool", 1, 0), "pool: shift must be an integer in 1..63, not 0"),
        (lambda: GlobalAveragePool("pool", 0.5, 1), "pool: multiplier must be an integer"),
        (lambda: GlobalAveragePool("pool", 1, 1, 5, 4), "pool: limits 5, 4 are not ordered"),
    ],
)
def test_wrong_layers_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


RESIDUAL = conv(skip=np.ones(4, np.int8))


@pytest.mark.parametrize(
    ("layer", "shapes", "message"),
    [
        (conv(), [(1, 5, 5), (4, 3, 3)], "conv: a convolution without skip reads 1 inputs, not 2"),
        (RESIDUAL, [(1, 5, 5)], "conv: a convolution with skip reads 2 inputs, not 1"),
        (RESIDUAL, [(1, 5, 5), (4, 3, 2)], r"conv: the residual is \(4, 3, 2\), the output \(4, 3, 3\)"),
        (conv(groups=2), [(1, 5, 5)], "conv: weights .* do not fit an input of"),
        (conv(dilation=(3, 1)), [(1, 6, 6)], "conv: weights .* do not fit an input of"),
        (Linear("fc", np.ones((4, 9), np.int8), ONE, ONE, ONE), [(1, 3, 3)] * 2, "fc: .* reads 1 input, not 2"),
        (MaxPool2d("pool"), [(1, 3, 3)] * 2, "pool: pooling reads 1 input, not 2"),
        (MaxPool2d("pool"), [(1, 1, 3)], "pool: no 2 x 2 window"),
        (AveragePool2d("pool", (2, 4), 1, 1), [(1, 3, 3)], "pool: no 2 x 4 window"),
        (GlobalAveragePool("pool", 1, 1), [], "pool: pooling reads 1 input, not 0"),
        (Concat("cat"), [(1, 3, 3)], "cat: a concatenation reads 2 or more inputs, not 1"),
        (Concat("cat"), [(1, 3, 3), (1, 3, 4)], "cat: .* differ in height or width"),
    ],
)
def test_inputs_that_do_not_fit_are_named(layer: Layer, shapes: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        layer.output_shape(*shapes)


def test_torch_agrees_on_whole_layers() -> None:
    """A strided residual block and an average, in float64, with the rounding done by hand."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    rng = np.random.default_rng(3)
    w1, w2 = (rng.integers(-30, 30, shape).astype(np.int8) for shape in ((4, 3, 3, 3), (4, 1, 3, 3)))
    skip = rng.integers(-100, 100, 4).astype(np.int8)
    layers = (
        Conv2d("a", w1, ONE, 3 * ONE, 10 * ONE, stride=2, padding=(1, 1, 1, 1)),
        Conv2d(
            "b", w2, ONE, ONE, 7 * ONE, padding=(2, 2, 2, 2), dilation=(2, 2), groups=4, skip=skip, inputs=("a",) * 2
        ),
        GlobalAveragePool("c", 1365, 15),
    )
    x = activations(3, 3, 9, 7)

    def requant(acc: Any, multiplier: int, shift: int) -> Any:
        return torch.clamp(torch.floor((acc * multiplier + (1 << (shift - 1))) / (1 << shift)), -128, 127)

    def double(values: Any) -> Any:
        return torch.from_numpy(np.array(values, np.float64))

    a = requant(functional.conv2d(double(x), double(w1), double(ONE), stride=2, padding=1), 3, 10)
    b = functional.conv2d(a, double(w2), double(ONE), padding=2, dilation=2, groups=4)
    b = requant(b + double(skip)[:, None, None] * a, 1, 7)
    c = requant(b.sum(dim=(2, 3), keepdim=True), 1365, 15)
    assert np.array_equal(Network("n", (3, 9, 7), 1.0, 1.0, layers).run(x), c.numpy())
