"""COO: the check matrix, sizes, damaged parts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import Coo
from headrace.errors import FormatError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])


def changed(part, at, value):
    copy = part.copy()
    copy[at] = value
    return copy


def test_check_matrix():
    encoded = Coo().encode(PAPER.astype(np.float32))
    assert encoded.values.tolist() == [1, 2, 10, 3, 4, 5, 6]
    assert encoded.ri.tolist() == [0, 2, 1, 2, 0, 2, 4]
    assert encoded.ci.tolist() == [0, 0, 1, 1, 2, 4, 4]
    assert encoded.sizes == {"header": 17, "values": 28, "ri": 7, "ci": 7}
    assert np.array_equal(Coo().decode(encoded), PAPER)
    assert Coo().product(encoded, [1, 2, 3, 4, 5]).tolist() == [7, 29, 4, 0, 45]


@given(st.integers(0, 2**32 - 1), st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
@settings(deadline=None, max_examples=40)
def test_size(seed, n, m, density):
    rng = np.random.default_rng(seed)
    W = (rng.integers(1, 9, (n, m)) * (rng.random((n, m)) < density)).astype(np.float64)
    bytes_each = 8 + (1 if n < 256 else 2) + (1 if m < 256 else 2)
    assert Coo().encode(W).nbytes == 17 + bytes_each * np.count_nonzero(W)


def test_damaged_parts():
    encoded = Coo().encode(PAPER)

    def refuse(match, **parts):
        broken = dataclasses.replace(encoded, **parts)
        for call in (Coo().decode, lambda broken: Coo().product(broken, np.ones(broken.shape[0]))):
            with pytest.raises(FormatError, match=match):
                call(broken)

    refuse("row indices", ri=encoded.ri[:-1])
    refuse("column indices", ci=encoded.ci.astype(np.uint16))
    refuse("column index 5 is not below 5", ci=changed(encoded.ci, 6, 5))
    refuse("index 9 is not below 5", ri=changed(encoded.ri, 6, 9))
    refuse("must increase", ci=changed(encoded.ci, 2, 200))
    refuse("must increase", ri=changed(encoded.ri, 1, 0))
    refuse("hold a zero", values=changed(encoded.values, 0, 0))
    with pytest.raises(FormatError, match="row indices must be"):
        Coo().decode(dataclasses.replace(encoded, shape=(1 << 31, 5)))


def test_a_shape_beyond_memory_is_refused():
    encoded = Coo().encode(np.zeros((1 << 16, 1 << 16), np.bool_)[:, :0])
    encoded = dataclasses.replace(encoded, shape=(1 << 31, (1 << 8) - 1), dtype=np.dtype(np.bool_))
    try:
        assert Coo().decode(encoded).shape == encoded.shape  # on a machine that can
    except FormatError as error:
        assert "memory" in str(error)
    wide = Coo().encode(np.zeros((0, 1 << 20), np.bool_))
    wide = dataclasses.replace(wide, shape=((1 << 32) - 1, 1 << 31), ri=wide.ri.astype(np.uint32))
    with pytest.raises(FormatError, match="memory"):
        Coo().decode(wide)
