"""The headrace stream as a storage format: every matrix returns, every damaged byte is noticed."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from headrace.codecs.stream import Effort, Stream, StreamEncoded
from headrace.errors import HeadraceError

TYPES = ["?", "i1", "u1", "i2", "u2", "i4", "i8", "u8", "f2", "f4", "f8"]


def check(W: npt.NDArray[np.generic], codec: Stream | None = None) -> StreamEncoded:
    codec = Stream() if codec is None else codec
    encoded = codec.encode(W)
    read = StreamEncoded.from_bytes(encoded.data)
    assert (read.shape, read.dtype) == (W.shape, W.dtype)
    decoded = codec.decode(read)
    assert decoded.dtype == W.dtype and np.array_equal(decoded, W)
    assert encoded.nbytes == len(encoded.data) == sum(encoded.sizes.values())
    return encoded


@st.composite
def matrices(draw: st.DrawFn) -> npt.NDArray[np.generic]:
    dtype = np.dtype(draw(st.sampled_from(TYPES)))
    elements = hnp.from_dtype(dtype, allow_nan=False)
    palette = draw(st.lists(elements, min_size=1, max_size=5))
    shape = draw(st.tuples(st.integers(0, 12), st.integers(0, 12)))
    return draw(hnp.arrays(dtype, shape, elements=st.sampled_from(palette), fill=st.just(palette[0])))


@given(matrices(), st.sampled_from(Effort), st.integers(1, 9))
@settings(deadline=None, max_examples=150)
def test_round_trip(W: npt.NDArray[np.generic], effort: Effort, lanes: int) -> None:
    check(W, Stream(effort, lanes))


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(1, 60), st.sampled_from([2, 9, 255, 256, 257, 600]))
@settings(deadline=None, max_examples=40)
def test_many_values(seed: int, n: int, m: int, values: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=values).astype(np.float32)
    check(centres[rng.integers(0, values, (n, m))] * (rng.random((n, m)) < rng.random()))


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (1, 1), (1, 9000), (9000, 1), (7, 13)])
@pytest.mark.parametrize("value", [0.0, -2.5, np.inf])
def test_one_value(shape: tuple[int, int], value: float) -> None:
    assert check(np.full(shape, value, np.float32)).nbytes < 40


def test_all_different() -> None:
    rng = np.random.default_rng(0)
    encoded = check(rng.normal(size=(40, 60)))
    assert len(encoded.content[0].planes) == 2
    assert encoded.nbytes < 1.3 * encoded.dense_nbytes


def near_copies() -> npt.NDArray[np.float32]:
    rng = np.random.default_rng(4)
    few = rng.integers(0, 9, (300, 8)) * (rng.random((300, 8)) < 0.3)
    many = np.repeat(few, 40, axis=1)
    return (np.where(rng.random(many.shape) < 0.01, 0, many) / 8).astype(np.float32)


def test_near_copies_are_differences() -> None:
    encoded = check(near_copies())
    assert encoded.figures["rows_differential"] > 200
    assert encoded.figures["macs"] < np.count_nonzero(near_copies()) / 4


def test_more_effort_is_never_larger() -> None:
    rng = np.random.default_rng(5)
    W = rng.integers(1, 20, (60, 300)) * (rng.random((60, 300)) < rng.random(300) ** 2)
    fast, default, best = (check(W, Stream(effort)) for effort in Effort)
    assert best.nbytes <= default.nbytes <= fast.nbytes
    assert default.figures["codes"] > 1


def test_negative_zero_returns_as_zero() -> None:
    decoded = Stream().decode(Stream().encode(np.array([[-0.0, 1.0]], np.float32)))
    assert not np.signbit(decoded).any()


def test_every_flipped_bit_is_noticed() -> None:
    data = Stream().encode(near_copies()[:20, :30]).data
    for position in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        with pytest.raises(HeadraceError):
            StreamEncoded.from_bytes(bytes(damaged))
    for size in range(len(data)):
        with pytest.raises(HeadraceError):
            StreamEncoded.from_bytes(data[:size])


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(deadline=None, max_examples=300)
def test_damage_with_a_right_checksum_is_an_error_or_a_matrix(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(Stream().encode(near_copies()[:20, :30]).data)
    for _ in range(count):
        data[int(rng.integers(8, len(data)))] = int(rng.integers(256))
    data[4:8] = struct.pack("<I", zlib.crc32(bytes(data[8:])))
    with suppress(HeadraceError):
        encoded = StreamEncoded.from_bytes(bytes(data), 10_000)
        W = Stream().decode(encoded)
        assert (W.shape, W.dtype) == (encoded.shape, encoded.dtype)


def test_a_large_matrix_must_be_allowed() -> None:
    encoded = Stream().encode(np.zeros((1000, 1000), np.int8))
    with pytest.raises(HeadraceError, match="1000 x 1000 exceeds the limit of 999999 entries"):
        StreamEncoded.from_bytes(encoded.data, 999_999)
