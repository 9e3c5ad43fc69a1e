"""headrace.model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import literal
from headrace import model

SEEDS = st.integers(0, 2**32 - 1)


@dataclass(frozen=True)
class Case:
    """A convolution of random shape that fits."""

    x: NDArray[np.int8]
    w: NDArray[np.int64]
    stride: int
    padding: tuple[int, int, int, int]
    groups: int
    dilation: tuple[int, int]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Case:
        groups = int(rng.integers(1, 5))
        n, c, rows, kh, kw = (int(v) for v in rng.integers(1, [3, 4, 6, 5, 5]))
        dilation = int(rng.integers(1, 3)), int(rng.integers(1, 4))
        top, left, bottom, right = (int(v) for v in rng.integers(0, 4, 4))
        height = int(rng.integers(1, 7)) + max(0, dilation[0] * (kh - 1) - top - bottom)
        width = int(rng.integers(1, 7)) + max(0, dilation[1] * (kw - 1) - left - right)
        x = rng.integers(-128, 128, (n, groups * c, height, width), dtype=np.int8)
        w = rng.integers(-255, 256, (groups * rows, c, kh, kw))
        return cls(x, w, int(rng.integers(1, 4)), (top, left, bottom, right), groups, dilation)

    def run(self) -> NDArray[np.int64]:
        return model.conv2d(self.x, self.w, self.stride, self.padding, self.groups, self.dilation)


@settings(deadline=None, max_examples=150)
@given(SEEDS)
def test_conv2d_is_its_definition(seed: int) -> None:
    case = Case.draw(np.random.default_rng(seed))
    expected = literal.conv2d(case.x, case.w, case.stride, case.padding, case.groups, case.dilation)
    result = case.run()
    assert result.shape == expected.shape and result.dtype == np.int64
    assert (result == expected).all()


@pytest.mark.parametrize("block", [1, 50, 700])
def test_conv2d_in_blocks_is_conv2d(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [Case.draw(np.random.default_rng(seed)) for seed in range(40)]
    expected = [case.run() for case in cases]
    monkeypatch.setattr(model, "BLOCK", block)
    assert all(np.array_equal(case.run(), result) for case, result in zip(cases, expected, strict=True))


def test_one_padding_or_dilation_is_for_all_sides() -> None:
    rng = np.random.default_rng(2)
    x, w = rng.integers(-128, 128, (1, 2, 6, 7), dtype=np.int8), rng.integers(-9, 9, (3, 2, 3, 2))
    assert np.array_equal(model.conv2d(x, w, 2, 1, 1, 2), model.conv2d(x, w, 2, (1, 1, 1, 1), 1, (2, 2)))
    assert np.array_equal(model.max_pool2d(x, 3, 2, 1), model.max_pool2d(x, 3, 2, (1, 1, 1, 1)))
    assert np.array_equal(model.sum_pool2d(x, (3, 2), 2, 1), model.sum_pool2d(x, (3, 2), 2, (1, 1, 1, 1)))


def test_no_images_have_no_results() -> None:
    x, w = np.zeros((0, 4, 5, 6), np.int8), np.ones((8, 1, 3, 3), np.int8)
    assert model.conv2d(x, w, groups=4).shape == (0, 8, 3, 4)
    assert model.conv2d(x, np.ones((8, 4, 3, 3), np.int8)).shape == (0, 8, 3, 4)
    assert model.max_pool2d(x, 2).shape == (0, 4, 2, 3)
    assert model.sum_pool2d(x, (2, 3)).shape == (0, 4, 4, 4)


@pytest.mark.parametrize(
    ("weight", "kind"), [(1 << 17, np.float64), ((1 << 17) - 1, np.float32), (1 << 46, np.int64), (1 << 45, np.float64)]
)
def test_bounds_decide_the_type(weight: int, kind: type) -> None:
    """-128 * 2**17 is the first sum that float32 may not hold along with its neighbours, -128 * 2**46 of float64."""
    x = np.array([[-128, 1]], np.int8)
    w = np.array([[weight, 0], [1, -1]])
    assert model._sum_type(x, w) is kind
    assert model.linear(x, w).tolist() == [[-128 * weight, -129]]


def test_sums_at_the_edge_of_float32_are_exact() -> None:
    """The largest multiple of 127 below 2**24."""
    x, w = np.full((1, 259, 1, 1), 127, np.int8), np.full((1, 259, 1, 1), 510)
    w[0, 0] = 510 + 14
    assert model._sum_type(x, w) is np.float32
    assert model.conv2d(x, w).item() == 127 * (259 * 510 + 14)


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_linear_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, m = (int(v) for v in rng.integers(1, 9, 3))
    x, w = rng.integers(-128, 128, (n, k), dtype=np.int8), rng.integers(-255, 256, (m, k))
    expected = [[sum(int(a) * int(b) for a, b in zip(row, weights, strict=True)) for weights in w] for row in x]
    assert np.array_equal(model.linear(x, w), np.array(expected))


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_pools_are_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride = tuple(int(v) for v in rng.integers(1, 5, 2)), int(rng.integers(1, 4))
    padding = tuple(int(v) for v in rng.integers(0, kernel * 2))
    x = rng.integers(-128, 128, (2, 3, *rng.integers(max(kernel), 9, 2)), dtype=np.int8)
    sums = model.sum_pool2d(x, kernel, stride, padding)
    expected = literal.pool2d(x, sum, 0, kernel, stride, padding)
    assert sums.dtype == np.int64 and sums.shape == expected.shape and (sums == expected).all()
    padding = tuple(int(v) for v in rng.integers(0, kernel[0], 4))
    maxima = model.max_pool2d(x, kernel[0], stride, padding)
    expected = literal.pool2d(x, max, -128, (kernel[0],) * 2, stride, padding)
    assert maxima.dtype == np.int8 and maxima.shape == expected.shape and (maxima == expected).all()


def test_pools_do_not_share_memory_with_their_input() -> None:
    x = np.zeros((1, 1, 3, 3), np.int8)
    assert not np.shares_memory(model.max_pool2d(x, 1), x)


@settings(deadline=None, max_examples=60)
@given(SEEDS)
def test_requant_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 5))
    acc = rng.integers(-(1 << 24), 1 << 24, (2, m, 3))
    bias, multiplier, shift = rng.integers(-(1 << 23), 1 << 23, m), rng.integers(0, 1 << 16, m), rng.integers(1, 64, m)
    low, high = sorted(int(v) for v in rng.integers(-128, 128, 2))
    result = model.requant(acc, bias, multiplier, shift, low, high)
    assert result.dtype == np.int8
    for n, c, p in np.ndindex(acc.shape):
        s = int(shift[c])
        value = ((int(acc[n, c, p]) + int(bias[c])) * int(multiplier[c]) + (1 << (s - 1))) >> s
        assert result[n, c, p] == min(max(value, low), high)


@pytest.mark.parametrize(("acc", "expected"), [(1, 1), (-1, 0), (3, 2), (-3, -1), (0, 0), (300, 127), (-300, -128)])
def test_requant_rounds_half_up_and_saturates(acc: int, expected: int) -> None:
    one = np.ones(1, np.int64)
    assert model.requant(np.array([[acc]]), 0 * one, one, one).item() == expected


def test_large_weights_take_the_integer_path() -> None:
    x, w = np.full((1, 2), 127, np.int8), np.array([[(1 << 53) + 1, 1]])
    assert model.linear(x, w).item() == 127 * ((1 << 53) + 2)  # float64 holds neither the weight nor the sum


def test_torch_agrees() -> None:
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional
    for seed in range(30):
        rng = np.random.default_rng(seed)
        case = Case.draw(rng)
        top, left, bottom, right = case.padding
        tx, tw = torch.from_numpy(case.x.astype(np.float64)), torch.from_numpy(case.w.astype(np.float64))
        padded = functional.pad(tx, (left, right, top, bottom))
        result = functional.conv2d(padded, tw, None, case.stride, 0, case.dilation, case.groups).numpy()
        assert np.array_equal(case.run(), result)
        flat, matrix = case.x.reshape(len(case.x), -1), rng.integers(-255, 256, (5, case.x[0].size))
        result = functional.linear(tx.reshape(len(flat), -1), torch.from_numpy(matrix.astype(np.float64))).numpy()
        assert np.array_equal(model.linear(flat, matrix), result)
        kernel = int(rng.integers(1, min(case.x.shape[2:]) + 1))
        lowest = functional.pad(tx, (left, right, top, bottom), value=-128.0)
        result = functional.max_pool2d(lowest, kernel, case.stride).numpy()
        assert np.array_equal(model.max_pool2d(case.x, kernel, case.stride, case.padding), result)
        result = functional.avg_pool2d(padded, kernel, case.stride, divisor_override=1).numpy()
        assert np.array_equal(model.sum_pool2d(case.x, (kernel, kernel), case.stride, case.padding), result)


X, W = np.zeros((1, 2, 4, 4), np.int8), np.zeros((3, 2, 2, 2), np.int8)
ONES = np.ones(3, np.int64)
ACC = np.zeros((1, 3, 2), np.int64)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: model.conv2d(X.astype(np.int16), W), "input must be int8 of 4 dimensions, not int16"),
        (lambda: model.conv2d(X[0], W), "input must be int8 of 4 dimensions"),
        (lambda: model.conv2d(X, W.astype(np.float64)), "weights must be integers of 4 dimensions, not float64"),
        (lambda: model.conv2d(X, W[:, :1]), "do not share channels"),
        (lambda: model.conv2d(X, W, groups=2), "do not share channels"),
        (lambda: model.conv2d(X, W, stride=0), "stride 0"),
        (lambda: model.conv2d(X, W, padding=-1), "padding -1"),
        (lambda: model.conv2d(X, W, padding=(0, 0, 1)), r"padding \(0, 0, 1\)"),
        (lambda: model.conv2d(X, W, padding=(0, 0, -1, 0)), "padding .* not negative"),
        (lambda: model.conv2d(X, W, dilation=0), "dilation .* must be positive"),
        (lambda: model.conv2d(X, W, dilation=(1, 4)), "kernel 2x2 does not fit into 4x4"),
        (lambda: model.conv2d(X, W, groups=0), "do not share channels in 0 groups"),
        (lambda: model.conv2d(X[:, :, :1], W), "kernel 2x2 does not fit into 1x4"),
        (lambda: model.linear(X[0, 0], W[:, :, 0, 0]), "differ in their second dimension"),
        (lambda: model.linear(X[0, 0], np.full((1, 4), 1 << 62)), "int64 cannot hold"),
        (lambda: model.max_pool2d(X, 5), "kernel 5"),
        (lambda: model.max_pool2d(X, 2, 0), "stride 0"),
        (lambda: model.max_pool2d(X, 2, 1, -1), "max_pool2d: .*padding -1"),
        (lambda: model.sum_pool2d(X, (5, 1)), "sum_pool2d: kernel 5x1 does not fit into 4x4"),
        (lambda: model.sum_pool2d(X, (0, 1)), "sum_pool2d: kernel 0x1"),
        (lambda: model.sum_pool2d(X.astype(np.int16), (2, 2)), "sum_pool2d: input must be int8"),
        (lambda: model.max_pool2d(X.astype(np.float32), 2), "must be integers"),
        (lambda: model.requant(ACC, ONES[:2], ONES, ONES), "bias must be 3 integers"),
        (lambda: model.requant(ACC, ONES, ONES * 1.0, ONES), "multiplier must be 3 integers"),
        (lambda: model.requant(ACC, ONES, ONES << 16, ONES), "multipliers must be in 0..65535"),
        (lambda: model.requant(ACC, ONES, ONES, ONES * 0), "shifts in 1..63"),
        (lambda: model.requant(ACC, ONES, ONES, ONES, 1, 0), "limits 1, 0"),
        (lambda: model.requant(ACC, ONES << 46, ONES, ONES), "sums reach 2"),
        (lambda: model.requant(ACC[0, 0], ONES, ONES, ONES), r"integers \(N, M, ...\)"),
    ],
)
def test_wrong_arguments_are_named(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
