"""Packing and reading of bit strings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace import bits
from headrace.bits import BitReader, pack_bits
from headrace.errors import StreamError

codeword = st.integers(0, 57).flatmap(lambda n: st.tuples(st.integers(0, (1 << n) - 1), st.just(n)))


def reference(codewords):
    """The same bytes from a string of '0' and '1'."""
    text = "".join(format(code, f"0{n}b") if n else "" for code, n in codewords)
    padded = text + "0" * (-len(text) % 8)
    return bytes(int(padded[i : i + 8], 2) for i in range(0, len(padded), 8)), len(text)


@given(st.lists(codeword, max_size=80))
def test_pack_equals_the_text_of_the_bits(codewords):
    codes = np.array([code for code, _ in codewords], np.uint64)
    data, total = pack_bits(codes, np.array([n for _, n in codewords], np.int64))
    assert data.dtype == np.uint8
    assert (data.tobytes(), total) == reference(codewords)


@given(st.lists(codeword, max_size=80))
def test_read_returns_what_was_packed(codewords):
    data, total = pack_bits(np.array([c for c, _ in codewords], np.uint64), np.array([n for _, n in codewords], int))
    reader = BitReader(data, total)
    for code, n in codewords:
        assert reader.peek(n) == code
        assert reader.read(n) == code
    assert reader.position == total and reader.remaining == 0


@pytest.mark.parametrize("offset", range(66))
def test_longest_codeword_at_every_offset(offset):
    codewords = [(1, 1)] * offset + [((1 << 57) - 2, 57), (1, 2)]
    data, total = pack_bits([c for c, _ in codewords], [n for _, n in codewords])
    assert (data.tobytes(), total) == reference(codewords)


def test_chunks_join(monkeypatch):
    rng = np.random.default_rng(2)
    lengths = rng.integers(0, 14, 5000).astype(np.uint8)
    codes = rng.integers(0, 1 << 14, 5000) & ((1 << lengths.astype(np.int64)) - 1)
    whole, total = pack_bits(codes, lengths)
    for chunk in (1, 7, 4999):
        monkeypatch.setattr(bits, "_CHUNK", chunk)
        data, same_total = pack_bits(codes, lengths)
        assert same_total == total and np.array_equal(data, whole)


def test_nothing_to_pack():
    assert pack_bits([], [])[1] == 0
    data, total = pack_bits([0, 0], [0, 0])
    assert data.size == 0 and total == 0


@pytest.mark.parametrize(
    ("codes", "lengths", "reason"),
    [
        ([1], [58], "lie in"),
        ([1], [-1], "lie in"),
        ([2], [1], "above its length"),
        ([1], [0], "above its length"),
        ([1, 1], [1], "equal size"),
        ([[1]], [[1]], "one-dimensional"),
        ([1.0], [1], "integers"),
    ],
)
def test_pack_refuses(codes, lengths, reason):
    with pytest.raises(ValueError, match=reason):
        pack_bits(codes, lengths)


def test_reader_at_the_end():
    reader = BitReader(b"\xff\xc0", 10)
    reader.skip(8)
    assert reader.peek(5) == 0b11000  # zeros beyond the end
    with pytest.raises(StreamError, match="ends at bit 10"):
        reader.read(3)
    with pytest.raises(StreamError):
        reader.skip(3)
    assert reader.position == 8 and reader.read(2) == 3
    assert reader.read(0) == 0
    with pytest.raises(StreamError):
        reader.read(1)


def test_reader_sees_nothing_beyond_total_bits():
    assert BitReader(b"\xff", 4).peek(8) == 0xF0
    assert BitReader(b"").peek(3) == 0
    assert BitReader(b"\x5a", position=4).read(4) == 0xA


@pytest.mark.parametrize("arguments", [{"total_bits": 9}, {"total_bits": -1}, {"position": 9}, {"position": -1}])
def test_reader_refuses(arguments):
    with pytest.raises(ValueError, match=r"string|holds"):
        BitReader(b"\0", **arguments)
    with pytest.raises(ValueError, match="cannot read"):
        BitReader(b"\0").read(-1)
    with pytest.raises(ValueError, match="cannot read"):
        BitReader(b"\0").skip(-1)
