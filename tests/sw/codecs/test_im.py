"""IM: index bits, packing, damaged parts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import Im, dense_product, im
from headrace.errors import FormatError, StreamError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])


def changed(part, at, value):
    copy = part.copy()
    copy[at] = value
    return copy


def test_check_matrix():
    encoded = Im().encode(PAPER)
    assert encoded.centres.tolist() == [0, 1, 2, 3, 4, 5, 6, 10] and encoded.index_bits == 3
    columns = ["001000010000000", "000111011000000", "100000000000000", "000000000000000", "000000101000110"]
    bits = "".join(columns) + "00000"
    assert encoded.packed.tolist() == [int(bits[i : i + 8], 2) for i in range(0, 80, 8)]
    assert np.array_equal(Im().decode(encoded), PAPER)
    assert Im().encode(PAPER.astype(np.float32)).sizes == {"header": 17, "centres": 32, "packed": 10}


@pytest.mark.parametrize(("k", "bits"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9), (1025, 11)])
def test_bits_of_an_index(k, bits):
    W = (np.arange(11 * 187) % k).reshape(11, 187).astype(np.int32)
    encoded = Im().encode(W)
    assert encoded.index_bits == bits and encoded.packed.size == -(-W.size * bits // 8)
    assert np.array_equal(Im().decode(encoded), W)


def test_one_value_takes_no_bits():
    encoded = Im().encode(np.full((70, 9), -2.5))
    assert encoded.packed.size == 0 and encoded.nbytes == 17 + 8
    assert np.array_equal(Im().product(encoded, np.ones(70)), np.full(9, -175.0))


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 40), st.integers(1, 300), st.integers(1, 200))
@settings(deadline=None)
def test_blocks_of_columns_join(seed, n, m, k, chunk):
    rng = np.random.default_rng(seed)
    W = rng.integers(0, k, (n, m)).astype(np.int16)
    encoded = Im().encode(W)
    x = rng.integers(-5, 5, (2, n))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(im, "_CHUNK", chunk)
        assert np.array_equal(Im().decode(encoded), W)
        assert np.array_equal(Im().product(encoded, x), dense_product(W, x))


def test_damaged_parts():
    encoded = Im().encode(PAPER[:, :3])  # 6 centres of 3 bits, 45 bits in 6 bytes

    def refuse(error, match, **parts):
        broken = dataclasses.replace(encoded, **parts)
        for call in (Im().decode, lambda broken: Im().product(broken, np.ones(broken.shape[0]))):
            with pytest.raises(error, match=match):
                call(broken)

    refuse(FormatError, "packed", packed=encoded.packed[:-1])
    refuse(FormatError, "packed", packed=encoded.packed.astype(np.uint16))
    refuse(StreamError, "padding", packed=changed(encoded.packed, 5, encoded.packed[5] | 1))
    refuse(StreamError, "index 7 is not", packed=changed(encoded.packed, 0, 0xFF))
    refuse(FormatError, "increase", centres=encoded.centres[::-1].copy())
    refuse(FormatError, "increase", centres=changed(encoded.centres, 1, 0))
    refuse(FormatError, "centres must be", centres=encoded.centres.astype(np.int32))
    refuse(FormatError, "cannot have 0", centres=encoded.centres[:0])
    refuse(FormatError, "cannot have 6", shape=(0, 3), packed=encoded.packed[:0])
    single = Im().encode(np.ones((2, 2)))
    with pytest.raises(FormatError, match="NaN"):
        Im().decode(dataclasses.replace(single, centres=np.array([np.nan])))


def test_a_shape_beyond_memory_is_refused():
    single = Im().encode(np.ones((2, 2)))
    with pytest.raises(FormatError, match="memory"):
        Im().decode(dataclasses.replace(single, shape=(1 << 31, 1 << 31)))
