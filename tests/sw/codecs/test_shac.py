"""sHAC: the papers' check vector, index types, sizes."""

import dataclasses

import numpy as np
import pytest

from headrace.codecs import Shac
from headrace.codecs.shac import index_type
from headrace.errors import FormatError, StreamError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])


def test_check_vector():
    encoded = Shac().encode(PAPER)
    codes = {
        int(value): format(code, f"0{length}b")
        for value, code, length in zip(
            encoded.dictionary.values, encoded.dictionary.codes, encoded.dictionary.lengths, strict=True
        )
    }
    assert codes == {1: "00", 2: "010", 3: "011", 4: "100", 5: "101", 6: "110", 10: "111"}
    assert encoded.words.dtype == np.uint32 and encoded.words.tolist() == [393404416]
    assert encoded.ends.tolist() == [5, 11, 14, 14, 20]
    assert encoded.counts.tolist() == [2, 2, 1, 0, 2]
    assert encoded.ri.tolist() == [0, 2, 1, 2, 0, 2, 4]
    assert np.array_equal(Shac().decode(encoded), PAPER)


def test_sizes_count_everything_that_decoding_needs():
    encoded = Shac().encode(PAPER.astype(np.float32))
    assert encoded.sizes == {"header": 12, "dictionary": 7 * 4 + 3 * 4, "words": 4, "ri": 7, "counts": 5}
    assert encoded.nbytes == 68 and encoded.access_nbytes == 20
    without = dataclasses.replace(encoded, ends=None)
    assert np.array_equal(Shac().decode(without), PAPER)
    assert without.nbytes == encoded.nbytes and without.access_nbytes == 0


def test_64_bit_words():
    encoded = Shac(64).encode(PAPER)
    assert encoded.words.dtype == np.uint64 and encoded.words.tolist() == [393404416 << 32]
    assert np.array_equal(Shac(64).decode(encoded), PAPER)
    with pytest.raises(ValueError, match="32 or 64"):
        Shac(8)


@pytest.mark.parametrize(("n", "size"), [(0, 1), (255, 1), (256, 2), (65535, 2), (65536, 4)])
def test_index_type(n, size):
    assert index_type(n).itemsize == size
    W = np.zeros((n, 2), np.int8)
    W[n // 2 :, 1] = 1
    encoded = Shac().encode(W)
    assert encoded.ri.itemsize == size
    assert encoded.counts.dtype == index_type(n - n // 2)
    assert np.array_equal(Shac().decode(encoded), W)


def test_zero_matrix_has_no_words():
    encoded = Shac().encode(np.zeros((30, 4), np.float32))
    assert encoded.words.size == encoded.ri.size == encoded.dictionary.nbytes == 0
    assert encoded.nbytes == 12 + 4 and encoded.ends.tolist() == [0] * 4


@pytest.mark.parametrize("nonzeros", range(30, 35))
def test_column_starting_next_to_a_word_boundary(nonzeros):
    W = np.zeros((40, 3), np.int8)
    W[:nonzeros, 0] = 5  # one bit each
    W[::3, 1] = 6
    W[1::2, 2] = 7
    encoded = Shac().encode(W)
    assert int(encoded.ends[0]) == nonzeros
    assert np.array_equal(Shac().decode(encoded), W)


def test_negative_zero_is_a_zero():
    encoded = Shac().encode(np.array([[-0.0, 1.0]], np.float32))
    assert encoded.ri.tolist() == [0] and encoded.counts.tolist() == [0, 1]


def test_damaged_parts():
    rng = np.random.default_rng(2)
    W = (rng.integers(1, 9, (30, 20)) * (rng.random((30, 20)) < 0.4)).astype(np.int8)
    encoded = Shac().encode(W)

    def decode(**parts):
        return Shac().decode(dataclasses.replace(encoded, **parts))

    def changed(part, at, value):
        copy = part.copy()
        copy[at] = value
        return copy

    with pytest.raises(StreamError, match="ends"):
        decode(words=encoded.words[:-1])
    with pytest.raises(StreamError, match="words"):
        decode(words=np.append(encoded.words, np.uint32(0)))
    with pytest.raises(FormatError, match="column counts"):
        decode(counts=encoded.counts[:-1])
    with pytest.raises(FormatError, match="column counts"):
        decode(counts=encoded.counts.astype(np.int64))
    with pytest.raises(FormatError, match="row indices must be"):
        decode(counts=changed(encoded.counts, 0, encoded.counts[0] + 1))
    with pytest.raises(FormatError, match="row indices must be"):
        decode(ri=encoded.ri[1:])
    with pytest.raises(FormatError, match="row indices must increase"):
        decode(ri=changed(encoded.ri, 0, 30))
    with pytest.raises(FormatError, match="row indices must increase"):
        decode(ri=changed(encoded.ri, 1, encoded.ri[0]))
    with pytest.raises(StreamError, match="column ends"):
        decode(ends=changed(encoded.ends, 3, 0))
