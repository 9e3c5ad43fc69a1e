"""What holds for every codec of the registry: round trip, product, edge matrices, refusals, corrupted parts."""

import contextlib
import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import CODECS, dense_product
from headrace.codecs.base import alphabet, as_matrix
from headrace.errors import FormatError, HeadraceError, StreamError

TYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", ">i2", ">f4"]
every_codec = pytest.mark.parametrize("codec", CODECS.values(), ids=CODECS.keys())


@st.composite
def matrices(draw):
    """Small matrices of any type; sparse or dense, few or many distinct values, extreme values included."""
    kind = np.dtype(draw(st.sampled_from(TYPES)))
    shape = draw(st.tuples(st.integers(0, 20), st.integers(0, 20)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind.kind == "f":
        info = np.finfo(kind)
        palette = np.concatenate([rng.normal(size=40), [info.max, info.min, info.tiny, np.inf, -np.inf, -0.0]])
    elif kind.kind == "b":
        palette = np.array([False, True])
    else:
        limits = np.iinfo(kind)
        palette = rng.integers(limits.min, limits.max, 40, kind.newbyteorder("="), endpoint=True)
        palette = np.concatenate([palette, np.array([limits.min, limits.max], palette.dtype)])
    palette = palette[rng.permutation(palette.size)[: draw(st.integers(1, palette.size))]].astype(kind)
    skew = draw(st.sampled_from([1, 4, 30]))
    W = palette[(palette.size * rng.random(shape) ** skew).astype(int)]
    return W * (rng.random(shape) < draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))) if kind.kind != "f" else W


def edges():
    """Named matrices at the borders of what can be stored."""
    column = np.zeros((6, 3), np.int8)
    column[:, [0, 2]] = 7
    return {
        "0x5": np.zeros((0, 5), np.float32),
        "5x0": np.zeros((5, 0), np.int8),
        "0x0": np.zeros((0, 0)),
        "all zero": np.zeros((9, 4), np.float32),
        "one value": np.full((9, 4), -2.5, np.float32),
        "1x1 zero": np.zeros((1, 1), np.int8),
        "1x1": np.full((1, 1), 3, np.int8),
        "empty column": column,
        "empty first and last column": np.pad(np.ones((3, 2), np.int16), ((0, 0), (1, 1))),
        "255 rows": np.tile(np.arange(255, dtype=np.int16)[:, None], (1, 2)),
        "256 rows": np.tile(np.arange(256, dtype=np.int16)[:, None], (1, 2)),
        "65536 rows": np.arange(65536, dtype=np.uint32)[:, None] % 5,
        "all distinct": np.random.default_rng(3).permutation(900).reshape(30, 30),
        "transposed": np.arange(12).reshape(3, 4).T,
        "strided": np.arange(48, dtype=np.float32).reshape(6, 8)[::2, ::-3],
        "list": [[1, 0], [0, 2]],
    }


def assert_restored(codec, W):
    W = np.asarray(W)
    encoded = codec.encode(W)
    decoded = codec.decode(encoded)
    assert decoded.shape == W.shape == encoded.shape
    assert decoded.dtype == encoded.dtype == W.dtype.newbyteorder("=")
    assert np.array_equal(decoded, W)
    if W.dtype.kind == "f":
        plain = np.where(W == 0, 0, W).astype(decoded.dtype)
        assert decoded.tobytes() == plain.tobytes()  # bit for bit, -0.0 as 0.0
    assert encoded.nbytes == sum(encoded.sizes.values())
    assert all(isinstance(size, int) and size >= 0 for size in encoded.sizes.values())
    return encoded


@every_codec
@given(W=matrices())
@settings(deadline=None)
def test_round_trip(codec, W):
    assert_restored(codec, W)


@every_codec
@pytest.mark.parametrize("name", edges())
def test_edges(codec, name):
    W = edges()[name]
    encoded = assert_restored(codec, W)
    x = np.arange(np.shape(W)[0]) - 2
    assert np.array_equal(codec.product(encoded, x), x @ np.asarray(W))


@every_codec
def test_encoding_is_deterministic_and_reads_only(codec):
    W = np.random.default_rng(4).integers(-3, 4, (20, 30)).astype(np.float32)
    W.setflags(write=False)
    first, second = codec.encode(W), codec.encode(W.copy(order="F"))
    assert first.sizes == second.sizes
    assert np.array_equal(codec.decode(first), codec.decode(second))


@every_codec
@pytest.mark.parametrize("batch", [(), (0,), (3,)])
def test_integer_product_is_exact(codec, batch):
    rng = np.random.default_rng(5)
    W = rng.integers(-128, 128, (40, 17)).astype(np.int8)
    x = rng.integers(-128, 128, (*batch, 40)).astype(np.int8)
    y = codec.product(codec.encode(W), x)
    assert y.dtype == np.int64
    assert np.array_equal(y, (x.astype(object)[..., None] * W).sum(axis=-2))


@every_codec
def test_float_product_is_float64(codec):
    rng = np.random.default_rng(6)
    W, x = rng.normal(size=(40, 17)).astype(np.float32), rng.normal(size=40).astype(np.float32)
    y = codec.product(codec.encode(W), x)
    assert y.dtype == np.float64
    error = np.abs(y - x.astype(np.float64) @ W.astype(np.float64))
    assert np.all(error <= 2.0**-50 * 40 * np.abs(W).max() * np.abs(x).sum())  # only the summation rounds


@every_codec
@given(W=matrices(), seed=st.integers(0, 2**32 - 1), batch=st.sampled_from([(), (3,)]))
@settings(deadline=None)
def test_products_are_those_of_the_decoded_matrix(codec, W, seed, batch):
    """Integers are equal, wrapped sums included; reals are summed in another order, which tells for extremes."""
    encoded = codec.encode(W)
    x = np.random.default_rng(seed).integers(-9, 9, (*batch, W.shape[0]))
    with np.errstate(all="ignore"):
        expected = dense_product(codec.decode(encoded), x)
        y = codec.product(encoded, x)
    assert y.dtype == expected.dtype and y.shape == expected.shape
    if W.dtype.kind != "f":
        assert np.array_equal(y, expected)
    elif (largest := np.abs(W.astype(np.float64)).max(initial=0)) < 1e300:
        scale = largest * np.abs(x).sum(axis=-1, keepdims=True)
        assert np.all(np.abs(y - expected) <= 2.0**-45 * scale)


@every_codec
def test_product_with_infinities_is_the_dense_one(codec):
    W = np.array([[0, np.inf, 2], [1, -1, 0]], np.float32)
    for V, x in ((W, [0.0, 1.0]), (np.nan_to_num(W, posinf=4), [np.inf, 1.0])):
        with np.errstate(invalid="ignore"):
            assert np.array_equal(codec.product(codec.encode(V), x), dense_product(V, x), equal_nan=True)


@every_codec
def test_damaged_parts_in_products(codec):
    """What decoding refuses, the product refuses or takes as far as it goes, never with another error."""
    W = np.random.default_rng(8).integers(-3, 4, (12, 9)).astype(np.float32) * (np.arange(9) % 2)
    encoded = codec.encode(W)
    rng = np.random.default_rng(9)
    for field in dataclasses.fields(encoded):
        part = getattr(encoded, field.name)
        if not isinstance(part, np.ndarray) or not part.size:
            continue
        for _ in range(60):
            flipped = part.copy()
            flipped.reshape(-1).view(np.uint8)[rng.integers(flipped.nbytes)] ^= 1 << rng.integers(8)
            try:
                y = codec.product(dataclasses.replace(encoded, **{field.name: flipped}), np.ones(12))
            except HeadraceError:
                continue
            assert y.shape == (9,)


@every_codec
@pytest.mark.parametrize("shape", [(1 << 31, 9), (12, 1 << 31), (1 << 31, 1 << 31), (1 << 32) - 1])
def test_absurd_shape_is_refused(codec, shape):
    shape = shape if isinstance(shape, tuple) else (shape, shape)
    for W in (np.zeros((12, 9), np.float32), np.eye(12, 9), np.zeros((0, 0))):
        encoded = dataclasses.replace(codec.encode(W), shape=shape)
        with contextlib.suppress(FormatError, StreamError):
            assert codec.decode(encoded).shape == shape


def test_names_are_those_of_the_registry():
    assert all(codec.name == name for name, codec in CODECS.items())
    names = ["im", "csc", "csr", "coo", "cser", "cla", "hac", "shac", "hac64", "shac64"]
    assert [name for name in CODECS if name in names] == names


@every_codec
def test_figures_are_numbers(codec):
    figures = codec.encode(np.eye(4)).figures
    assert all(isinstance(value, int | float) for value in figures.values())


@every_codec
@pytest.mark.parametrize(
    ("W", "reason"),
    [
        (np.zeros(3), "two dimensions"),
        (np.zeros((1, 2, 3)), "two dimensions"),
        (np.array([[np.nan]]), "NaN"),
        (np.zeros((2, 2), complex), "complex128"),
        (np.array([["a"]]), "booleans, integers or reals"),
        (np.array([[None]]), "object"),
        (np.zeros((0, 1 << 32)), "dimension"),
    ],
)
def test_encode_refuses(codec, W, reason):
    with pytest.raises(ValueError, match=reason):
        codec.encode(W)


@every_codec
@pytest.mark.parametrize("shape", [(4,), (2, 4), (2, 2, 3), ()])
def test_product_refuses(codec, shape):
    with pytest.raises(ValueError, match="x has shape"):
        codec.product(codec.encode(np.ones((3, 4))), np.ones(shape))


@every_codec
@pytest.mark.parametrize("shape", [(19, 30), (20, 29), (30, 20), (0, 30), (20, 0), (0, 0)])
def test_smaller_shape_is_refused(codec, shape):
    if codec.name == "im" and shape == (30, 20):
        pytest.skip("an index map holds nothing but the entries, any shape of as many fits")
    W = np.random.default_rng(7).integers(0, 7, (20, 30))
    with pytest.raises((FormatError, StreamError)):
        codec.decode(dataclasses.replace(codec.encode(W), shape=shape))


@every_codec
@pytest.mark.parametrize("shape", [(21, 30), (20, 31), (300, 30)])
def test_larger_shape_is_refused_or_kept(codec, shape):
    """A format that stores positions cannot tell that zero rows or columns were added; the shape is then as claimed."""
    W = np.random.default_rng(7).integers(0, 7, (20, 30))
    try:
        decoded = codec.decode(dataclasses.replace(codec.encode(W), shape=shape))
    except (FormatError, StreamError):
        return
    assert decoded.shape == shape and np.array_equal(decoded[:20, :30], W)


@every_codec
@pytest.mark.parametrize("shape", [(-1, 3), (3,), (1, 2, 3), (0, 1 << 32)])
def test_shape_of_no_matrix_is_refused(codec, shape):
    with pytest.raises(FormatError, match="shape"):
        dataclasses.replace(codec.encode(np.ones((3, 4))), shape=shape)


@every_codec
def test_another_type_is_refused(codec):
    encoded = codec.encode(np.arange(12, dtype=np.int16).reshape(3, 4))
    with pytest.raises(FormatError):
        codec.decode(dataclasses.replace(encoded, dtype=np.dtype(np.int32)))


@every_codec
def test_damaged_parts_never_give_a_wrong_shape(codec):
    """Every array of the encoded form cut, extended and with bits flipped: a named error, or a matrix of the shape."""
    W = np.random.default_rng(8).integers(-5, 6, (12, 9)) * (np.arange(9) % 2)
    encoded = codec.encode(W)
    rng = np.random.default_rng(9)
    arrays = {f.name: v for f in dataclasses.fields(encoded) if isinstance(v := getattr(encoded, f.name), np.ndarray)}
    arrays = {name: part for name, part in arrays.items() if part.size}
    if not arrays:
        pytest.skip("this form is a byte string")
    for name, part in arrays.items():
        for damaged in (part[:-1], part[:0], np.append(part, part[-1:]), part.astype(np.float64), part[None]):
            with pytest.raises((FormatError, StreamError)):
                codec.decode(dataclasses.replace(encoded, **{name: damaged}))
        for _ in range(60):
            flipped = part.copy()
            flipped.reshape(-1).view(np.uint8)[rng.integers(flipped.nbytes)] ^= 1 << rng.integers(8)
            try:
                decoded = codec.decode(dataclasses.replace(encoded, **{name: flipped}))
            except HeadraceError:
                continue
            assert decoded.shape == W.shape and decoded.dtype == W.dtype


def test_alphabet():
    values, counts, index = alphabet(np.array([3, 1, 3, 3]))
    assert values.tolist() == [1, 3] and counts.tolist() == [1, 3] and index.tolist() == [1, 0, 1, 1]
    values, counts, index = alphabet(np.zeros(0, np.float32))
    assert values.size == counts.size == index.size == 0


def test_as_matrix_removes_negative_zero_only():
    W = np.array([[-0.0, 1e-45, np.inf]], np.float32)
    assert as_matrix(W).tobytes() == np.array([[0.0, 1e-45, np.inf]], np.float32).tobytes()
    assert np.signbit(W[0, 0])


def test_dense_product_of_mixed_types_is_float():
    assert dense_product(np.array([[1], [2]], np.int8), [0.5, 0.25]).tolist() == [1.0]


@every_codec
@pytest.mark.skipif("HEADRACE_SHAM" not in os.environ, reason="HEADRACE_SHAM names no folder of trained matrices")
def test_trained_matrices(codec):
    files = sorted(Path(os.environ["HEADRACE_SHAM"]).glob("*.npz"))
    assert files
    for file in files:
        with np.load(file) as archive:
            assert_restored(codec, archive["centres"][archive["index"]])
