"""HAC: the papers' check vector, the layout bit by bit, sizes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.bits import BitReader
from headrace.codecs import Hac, prefix
from headrace.errors import FormatError, StreamError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])


def read_column(encoded, j):
    """Column j bit by bit, from its end in the column ends: the format as the papers describe it."""
    texts = {
        format(code, f"0{length}b"): value
        for code, length, value in zip(
            encoded.dictionary.codes, encoded.dictionary.lengths, encoded.dictionary.values, strict=True
        )
    }
    data = encoded.words.astype(encoded.words.dtype.newbyteorder(">")).tobytes()
    reader = BitReader(data, int(encoded.ends[j]), int(encoded.ends[j - 1]) if j else 0)
    column = []
    while reader.remaining:
        text = str(reader.read(1))
        while text not in texts:
            text += str(reader.read(1))
        column.append(texts[text])
    return column


def test_check_vector():
    encoded = Hac().encode(PAPER)
    codes = {
        int(value): format(code, f"0{length}b")
        for value, code, length in zip(
            encoded.dictionary.values, encoded.dictionary.codes, encoded.dictionary.lengths, strict=True
        )
    }
    assert codes == {0: "0", 1: "100", 2: "1010", 3: "1011", 4: "1100", 5: "1101", 6: "1110", 10: "1111"}
    assert encoded.words.dtype == np.uint32 and encoded.words.tolist() == [2317313536, 225443840]
    assert encoded.ends.dtype == np.uint32 and encoded.ends.tolist() == [10, 21, 29, 34, 45]
    assert np.array_equal(Hac().decode(encoded), PAPER)


def test_sizes_count_everything_that_decoding_needs():
    encoded = Hac().encode(PAPER.astype(np.float32))
    assert encoded.sizes == {"header": 11, "dictionary": 8 * 4 + 4 * 4, "words": 8}
    assert encoded.nbytes == 67 and encoded.dense_nbytes == 100 and encoded.access_nbytes == 20
    without = dataclasses.replace(encoded, ends=None)
    assert np.array_equal(Hac().decode(without), PAPER)
    assert without.nbytes == encoded.nbytes and without.access_nbytes == 0


def test_64_bit_words():
    encoded = Hac(64).encode(PAPER)
    assert encoded.words.dtype == np.uint64 and encoded.words.tolist() == [(2317313536 << 32) + 225443840]
    assert np.array_equal(Hac(64).decode(encoded), PAPER)


@pytest.mark.parametrize("word_bits", [0, 16, 33])
def test_other_word_sizes_are_refused(word_bits):
    with pytest.raises(ValueError, match="32 or 64"):
        Hac(word_bits)


@given(st.integers(0, 2**32 - 1), st.integers(1, 70), st.integers(1, 9), st.integers(1, 40), st.sampled_from([32, 64]))
@settings(deadline=None)
def test_columns_read_bit_by_bit(seed, n, m, k, word_bits):
    rng = np.random.default_rng(seed)
    W = (rng.integers(0, k, (n, m)) * (rng.random((n, m)) < 0.5)).astype(np.int16)
    encoded = Hac(word_bits).encode(W)
    for j in range(m):
        assert read_column(encoded, j) == W[:, j].tolist()
    total = int(encoded.ends[-1])
    assert encoded.words.size == -(-total // word_bits)


@pytest.mark.parametrize("offset", range(64))
def test_column_starting_at_any_bit_of_a_word(offset):
    """Column 1 starts at bit n: offset 31 is where the authors' kernel fails."""
    n = offset + 64
    W = np.zeros((n, 3), np.int8)
    W[::7, 1] = 3
    W[::5, 2] = -4
    encoded = Hac().encode(W)
    assert int(encoded.ends[0]) == n
    assert np.array_equal(Hac().decode(encoded), W)
    assert read_column(encoded, 1) == W[:, 1].tolist()


def test_one_value_takes_one_bit_an_entry():
    encoded = Hac().encode(np.full((10, 7), 2.5))
    assert encoded.words.tolist() == [0, 0, 0] and encoded.ends.tolist() == list(range(10, 71, 10))
    damaged = encoded.words.copy()
    damaged[0] = 1
    with pytest.raises(StreamError, match="not in the dictionary"):
        Hac().decode(dataclasses.replace(encoded, words=damaged))


def test_chunks_of_decoding_join(monkeypatch):
    W = (np.random.default_rng(1).geometric(0.3, (60, 50)) - 1).astype(np.int8)
    encoded = Hac().encode(W)
    for chunk in (1, 3, 64):
        monkeypatch.setattr(prefix, "_CHUNK", chunk)
        assert np.array_equal(Hac().decode(encoded), W)


def test_codes_longer_than_32_bits_are_limited():
    counts = [1, 1]
    while len(counts) < 36:
        counts.append(counts[-1] + counts[-2])
    dictionary, rank = prefix.Dictionary.build(np.arange(36), np.array(counts))
    assert dictionary.lengths[-1] == 32 and dictionary.codes.size == 36
    words = prefix.encode_ranks(dictionary, rank, 32)
    assert np.array_equal(dictionary.values[prefix.decode_ranks(dictionary, words, 36)], np.arange(36))


def test_damaged_words():
    W = np.random.default_rng(3).integers(0, 9, (30, 20)).astype(np.int8)
    encoded = Hac().encode(W)
    words = encoded.words

    def decode(**parts):
        return Hac().decode(dataclasses.replace(encoded, **parts))

    with pytest.raises(StreamError, match="ends"):
        decode(words=words[:-1])
    with pytest.raises(StreamError, match="words"):
        decode(words=np.append(words, np.uint32(0)))
    assert int(encoded.ends[-1]) % 32
    padded = words.copy()
    padded[-1] |= 1
    with pytest.raises(StreamError, match="padding"):
        decode(words=padded)
    with pytest.raises(FormatError, match="uint32 or uint64"):
        decode(words=words.astype(np.uint16))
    ends = encoded.ends.copy()
    ends[3] += 1
    with pytest.raises(StreamError, match="column ends"):
        decode(ends=ends)
    with pytest.raises(FormatError, match="column ends"):
        decode(ends=ends[1:])


@pytest.mark.parametrize("shape", [(21, 30), (20, 31), (1 << 20, 1 << 20)])
def test_larger_shape_is_refused(shape):
    encoded = Hac().encode(np.random.default_rng(4).integers(0, 7, (20, 30)))
    with pytest.raises(StreamError):
        Hac().decode(dataclasses.replace(encoded, shape=shape))


def test_damaged_dictionary():
    encoded = Hac().encode(PAPER)
    good = encoded.dictionary

    def decode(**parts):
        return Hac().decode(dataclasses.replace(encoded, dictionary=dataclasses.replace(good, **parts)))

    with pytest.raises(FormatError, match="as many values"):
        decode(values=good.values[:-1])
    with pytest.raises(FormatError, match="values must be"):
        decode(values=good.values.astype(np.float32))
    with pytest.raises(FormatError, match="prefix code"):
        decode(code_counts=np.array([3, 5], np.uint32))
    with pytest.raises(FormatError, match="code counts"):
        decode(code_counts=np.zeros(33, np.uint32))
    with pytest.raises(FormatError, match="code counts"):
        decode(code_counts=good.code_counts.astype(np.int64))
    with pytest.raises(StreamError, match="0 symbols"):
        decode(values=good.values[:0], code_counts=good.code_counts[:0])
    with pytest.raises(StreamError):
        decode(code_counts=np.array([0, 0, 0, 8], np.uint32))
