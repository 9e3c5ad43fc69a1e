"""Layers in real numbers, against sums written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from headrace.floats import Add, AveragePool, Concat, Conv, FloatLayer, GlobalAveragePool, Linear, MaxPool, arith

RNG = np.random.default_rng(11)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def windows(
    x: np.ndarray, kernel: tuple[int, int], layer: Any, fill: float, reduce: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """`reduce` of every window (N, C, kh, kw), one after the other."""
    top, left, bottom, right = layer.padding
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    height, width = layer.output_shape(x.shape[1:])[1:]
    rows = []
    for i in range(height):
        row = []
        for j in range(width):
            at = i * layer.stride, j * layer.stride
            row.append(reduce(padded[:, :, at[0] : at[0] + kernel[0], at[1] : at[1] + kernel[1]]))
        rows.append(np.stack(row, -1))
    return np.stack(rows, -2)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_convolution(stride: int, groups: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arith, "BLOCK", 1)
    w, b, x = normal(8, 4 // groups, 3, 2), normal(8), normal(3, 4, 9, 7)
    layer = Conv(
        "c", ("input",), weights=w, bias=b, stride=stride, padding=(1, 0, 2, 1), groups=groups, low=-0.5, high=1
    )

    def one(window: np.ndarray) -> np.ndarray:
        each = [
            np.einsum("nchw,mchw->nm", part, kernel)
            for part, kernel in zip(np.split(window, groups, 1), np.split(w, groups), strict=True)
        ]
        return np.clip(np.concatenate(each, 1) + b, -0.5, 1)

    np.testing.assert_allclose(layer.run(x), windows(x, (3, 2), layer, 0.0, one), rtol=1e-5, atol=1e-5)


def test_dilation_is_a_kernel_with_zeros():
    w, x = normal(5, 4, 2, 3), normal(2, 4, 9, 11)
    wide = np.zeros((5, 4, 3, 7), np.float32)
    wide[:, :, ::2, ::3] = w
    dilated = Conv("c", ("input",), weights=w, bias=normal(5), dilation=(2, 3), padding=(1, 2, 3, 4))
    plain = Conv("c", ("input",), weights=wide, bias=dilated.bias, padding=(1, 2, 3, 4))
    assert dilated.output_shape((4, 9, 11)) == plain.output_shape((4, 9, 11))
    np.testing.assert_allclose(dilated.run(x), plain.run(x), rtol=1e-5, atol=1e-5)


def test_pooling():
    x = normal(2, 3, 8, 9)
    largest = MaxPool("m", ("input",), kernel=3, stride=2, padding=(2, 1, 0, 1))
    assert np.array_equal(largest.run(x), windows(x, (3, 3), largest, -np.inf, lambda w: w.max((2, 3))))
    mean = AveragePool("a", ("input",), kernel=(2, 3), stride=1, padding=(1, 0, 0, 2), low=-0.1)
    expected = np.maximum(windows(x, (2, 3), mean, 0.0, lambda w: w.mean((2, 3))), np.float32(-0.1))
    np.testing.assert_allclose(mean.run(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        GlobalAveragePool("g", ("input",)).run(x)[..., 0, 0], x.mean((2, 3)), rtol=1e-5, atol=1e-6
    )


def test_the_rest():
    x, y, w, b = normal(2, 3, 2, 2), normal(2, 3, 2, 2), normal(5, 12), normal(5)
    product = Linear("l", ("input",), weights=w, bias=b, low=0)
    np.testing.assert_allclose(
        product.run(x)[:, :, 0, 0], np.maximum(x.reshape(2, 12) @ w.T + b, 0), rtol=1e-5, atol=1e-6
    )
    assert np.array_equal(Add("a", ("x", "y"), high=0.5).run(x, y), np.minimum(x + y, np.float32(0.5)))
    assert np.array_equal(Concat("j", ("x", "y")).run(x, y), np.concatenate([x, y], 1))


def conv(**changes: Any) -> FloatLayer:
    return Conv("c", ("input",), **({"weights": normal(4, 2, 3, 3), "bias": normal(4)} | changes))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: conv(stride=3), "stride must be 1 or 2"),
        (lambda: conv(padding=(1, 1)), "padding must be 4"),
        (lambda: conv(dilation=(0, 1)), "dilation must be 2"),
        (lambda: conv(groups=3), "do not form 3 groups"),
        (lambda: conv(weights=np.zeros((4, 2, 3, 3))), "float32"),
        (lambda: conv(weights=normal(4, 2, 3)), "float32 of 4 axes"),
        (lambda: conv(bias=normal(3)), "bias"),
        (lambda: conv(bias=np.full(4, np.inf, np.float32)), "NaN or an infinity"),
        (lambda: conv(low=1.0, high=0.0), "not ordered"),
        (lambda: conv(low=float("nan")), "not ordered"),
        (lambda: MaxPool("c", ("input",), kernel=12), "2..11"),
        (lambda: MaxPool("c", ("input",), kernel=2, padding=(2, 0, 0, 0)), "less than the kernel"),
        (lambda: AveragePool("c", ("input",), kernel=(0, 2)), "kernel"),
        (lambda: Add("c", ("input",)), "reads 2 inputs"),
        (lambda: Concat("c", ("input",)), "2 or more"),
        (lambda: MaxPool("c", "input"), "sequence of names"),  # type: ignore[arg-type]
    ],
)
def test_wrong_layers(make: Callable[[], FloatLayer], reason: str):
    with pytest.raises(ValueError, match=reason) as caught:
        make()
    assert str(caught.value).startswith("c: ")


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (conv(), [(3, 8, 8)]),
        (conv(), [(2, 2, 8)]),
        (Linear("c", ("input",), weights=normal(2, 9), bias=normal(2)), [(2, 2, 2)]),
        (Add("c", ("x", "y")), [(1, 2, 3), (1, 3, 2)]),
        (Concat("c", ("x", "y")), [(1, 2, 3), (1, 3, 2)]),
        (MaxPool("c", ("input",), kernel=4), [(2, 3, 8)]),
    ],
)
def test_inputs_that_do_not_fit(layer: FloatLayer, shapes: list[tuple[int, int, int]]):
    with pytest.raises(ValueError, match=r"^c: "):
        layer.output_shape(*shapes)


def test_arrays_are_copied_and_kept():
    w = normal(4, 2, 3, 3)
    layer = conv(weights=w)
    w[:] = 0
    assert isinstance(layer, Conv) and layer.weights.any() and not layer.weights.flags.writeable
