"""headrace.model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from headrace import model

SEEDS = st.integers(0, 2**32 - 1)


def literal_conv2d(x: NDArray, w: NDArray, stride: int, padding: int) -> NDArray[np.int64]:
    """The definition, one Python integer at a time."""
    (n, c, height, width), (m, _, kh, kw) = x.shape, w.shape
    rows, columns = (height + 2 * padding - kh) // stride + 1, (width + 2 * padding - kw) // stride + 1
    out = np.zeros((n, m, rows, columns), np.int64)
    for index in np.ndindex(out.shape):
        total = 0
        for k in range(c):
            for i in range(kh):
                for j in range(kw):
                    h, v = index[2] * stride + i - padding, index[3] * stride + j - padding
                    if 0 <= h < height and 0 <= v < width:
                        total += int(x[index[0], k, h, v]) * int(w[index[1], k, i, j])
        out[index] = total
    return out


def draw_conv2d(rng: np.random.Generator) -> tuple[NDArray[np.int8], NDArray[np.int64], int, int]:
    n, c, m, kh, kw, padding = (int(v) for v in rng.integers([1, 1, 1, 1, 1, 0], [3, 4, 4, 4, 4, 3]))
    height, width = (int(v) for v in rng.integers(max(kh, kw), 8, 2))
    x = rng.integers(-128, 128, (n, c, height, width), dtype=np.int8)
    return x, rng.integers(-255, 256, (m, c, kh, kw)), int(rng.integers(1, 4)), padding


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_conv2d_is_its_definition(seed: int) -> None:
    x, w, stride, padding = draw_conv2d(np.random.default_rng(seed))
    assert np.array_equal(model.conv2d(x, w, stride, padding), literal_conv2d(x, w, stride, padding))


def test_conv2d_groups_see_their_own_channels() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.integers(-128, 128, (2, 4, 5, 6), dtype=np.int8), rng.integers(-9, 9, (6, 2, 3, 2))
    halves = [literal_conv2d(x[:, :2], w[:3], 1, 0), literal_conv2d(x[:, 2:], w[3:], 1, 0)]
    assert np.array_equal(model.conv2d(x, w, groups=2), np.concatenate(halves, axis=1))


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_linear_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, k, m = (int(v) for v in rng.integers(1, 9, 3))
    x, w = rng.integers(-128, 128, (n, k), dtype=np.int8), rng.integers(-255, 256, (m, k))
    expected = [[sum(int(a) * int(b) for a, b in zip(row, weights, strict=True)) for weights in w] for row in x]
    assert np.array_equal(model.linear(x, w), np.array(expected))


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_max_pool2d_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    kernel, stride = (int(v) for v in rng.integers(1, 4, 2))
    x = rng.integers(-128, 128, (2, 3, *rng.integers(kernel, 9, 2)), dtype=np.int8)
    result = model.max_pool2d(x, kernel, stride)
    assert result.dtype == np.int8
    assert result.shape[2:] == tuple((n - kernel) // stride + 1 for n in x.shape[2:])
    for n, c, h, w in np.ndindex(result.shape):
        window = x[n, c, h * stride : h * stride + kernel, w * stride : w * stride + kernel]
        assert result[n, c, h, w] == max(int(v) for v in window.ravel())


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
        x, w, stride, padding = draw_conv2d(rng)
        tx, tw = torch.from_numpy(x.astype(np.float64)), torch.from_numpy(w.astype(np.float64))
        result = functional.conv2d(tx, tw, stride=stride, padding=padding).numpy()
        assert np.array_equal(model.conv2d(x, w, stride, padding), result)
        flat, matrix = x.reshape(len(x), -1), rng.integers(-255, 256, (5, x[0].size))
        result = functional.linear(tx.reshape(len(x), -1), torch.from_numpy(matrix.astype(np.float64))).numpy()
        assert np.array_equal(model.linear(flat, matrix), result)
        kernel = int(rng.integers(1, min(x.shape[2:]) + 1))
        assert np.array_equal(model.max_pool2d(x, kernel, stride), functional.max_pool2d(tx, kernel, stride).numpy())


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
        (lambda: model.conv2d(X[:, :, :1], W), "kernel 2x2 does not fit into 1x4"),
        (lambda: model.linear(X[0, 0], W[:, :, 0, 0]), "differ in their second dimension"),
        (lambda: model.linear(X[0, 0], np.full((1, 4), 1 << 62)), "int64 cannot hold"),
        (lambda: model.max_pool2d(X, 5), "kernel 5"),
        (lambda: model.max_pool2d(X, 2, 0), "stride 0"),
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
