"""CSC: the check matrix, types of indices and starts, damaged parts."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.codecs import Csc
from headrace.errors import FormatError

PAPER = np.array([[1, 0, 4, 0, 0], [0, 10, 0, 0, 0], [2, 3, 0, 0, 5], [0, 0, 0, 0, 0], [0, 0, 0, 0, 6]])


def changed(part, at, value):
    copy = part.copy()
    copy[at] = value
    return copy


def test_check_matrix():
    encoded = Csc().encode(PAPER.astype(np.float32))
    assert encoded.values.tolist() == [1, 2, 10, 3, 4, 5, 6]
    assert encoded.ri.tolist() == [0, 2, 1, 2, 0, 2, 4]
    assert encoded.starts.tolist() == [0, 2, 4, 5, 5, 7]
    assert encoded.sizes == {"header": 10, "values": 28, "ri": 7, "starts": 6}
    assert np.array_equal(Csc().decode(encoded), PAPER)
    assert Csc().product(encoded, [1, 2, 3, 4, 5]).tolist() == [7, 29, 4, 0, 45]


@given(st.integers(0, 2**32 - 1), st.integers(1, 300), st.integers(1, 300), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
@settings(deadline=None, max_examples=40)
def test_against_the_definition(seed, n, m, density):
    rng = np.random.default_rng(seed)
    W = (rng.integers(1, 9, (n, m)) * (rng.random((n, m)) < density)).astype(np.int8)
    encoded = Csc().encode(W)
    nonzeros = np.count_nonzero(W)
    assert encoded.ri.itemsize == (1 if n < 256 else 2)
    assert encoded.starts.itemsize == (1 if nonzeros < 256 else 2 if nonzeros < 65536 else 4)
    for j in range(m):
        part = slice(int(encoded.starts[j]), int(encoded.starts[j + 1]))
        assert encoded.ri[part].tolist() == np.flatnonzero(W[:, j]).tolist()
        assert encoded.values[part].tolist() == W[W[:, j] != 0, j].tolist()


def test_damaged_parts():
    encoded = Csc().encode(PAPER)

    def refuse(match, **parts):
        broken = dataclasses.replace(encoded, **parts)
        for call in (Csc().decode, lambda broken: Csc().product(broken, np.ones(broken.shape[0]))):
            with pytest.raises(FormatError, match=match):
                call(broken)

    refuse("starts must be", starts=encoded.starts[:-1])
    refuse("starts must be", starts=encoded.starts.astype(np.uint16))
    refuse("starts must lead", starts=changed(encoded.starts, 0, 1))
    refuse("starts must lead", starts=changed(encoded.starts, 5, 6))
    refuse("starts must lead", starts=changed(encoded.starts, 2, 1))
    refuse("starts must lead", starts=changed(encoded.starts, 3, 255))
    refuse("must increase", ri=changed(encoded.ri, 1, 0))
    refuse("must increase", starts=changed(encoded.starts, 1, 4))
    refuse("index 5 is not below 5", ri=changed(encoded.ri, 1, 5))
    refuse("indices must be", ri=encoded.ri[1:])
    refuse("hold a zero", values=changed(encoded.values, 1, 0))
    refuse("values must be", values=encoded.values.astype(np.float64))
    real = Csc().encode(PAPER.astype(np.float32))
    with pytest.raises(FormatError, match="NaN"):
        Csc().decode(dataclasses.replace(real, values=changed(real.values, 1, np.nan)))
